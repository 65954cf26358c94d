"""The files of a fresh project, and how they get into a folder without touching what is there."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import __version__, errors

_HERE = Path(__file__).parent
_SOURCE = _HERE.parents[1]
_PACKED = _HERE / "project"
QUESTION = "Can a linear model read handwritten digits?"
EXPERIMENT = "first_question"
_NOTEBOOK = f"experimentation/{EXPERIMENT}.ipynb"
_TEMPLATES = {
    "Makefile": "Makefile",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.template",
    "requirements.in": "requirements.in",
    ".gitignore": "gitignore",
    ".gitattributes": "gitattributes",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    "tests/test_notebooks.py": "test_notebooks.template",
    "production/settings.toml": "settings.toml",
}
"""Path in a project -> file in cli/project, with {{name}} and {{version}} to be replaced."""
_COPIES = (
    ".github/workflows/pull-request.yml",
    ".github/workflows/pull-request-comment.yml",
    ".ci/azure-pipelines-pull-request.yml",
    ".ci/azure-steps-comment.yml",
    ".ci/azure-steps-setup.yml",
    ".vscode/extensions.json",
    ".vscode/settings.json",
    "production/promote.ipynb",
)
"""Files of this repository that a project gets too; the wheel packs them into cli/project by their names."""
OF_REPOSITORY = (".github/", ".ci/", ".pre-commit-config.yaml")
"""What has an effect only at the root of a git repository."""
_SCRATCH = ".nbops-init-"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_TARGETS = re.compile(r"^([a-z]+):", re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """Which files `write` wrote, and which were there already."""

    new: tuple[str, ...]
    existing: Mapping[str, str]
    """Files that were there with other content -> what they lack, empty if that is not known."""


def project_name(folder: Path) -> str:
    """Return a project name for a folder, made of a-z, 0-9 and `-`."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "notebooks"


def contents(folder: Path) -> dict[str, str]:
    """Return path -> content for all files of a new project in this folder. Nothing is written."""
    name = project_name(folder)
    texts = {path: (_PACKED / template).read_text("utf-8") for path, template in _TEMPLATES.items()}
    files = {path: text.replace("{{name}}", name).replace("{{version}}", __version__) for path, text in texts.items()}
    files |= {path: _shared(path) for path in _COPIES}
    promote = files["production/promote.ipynb"]
    for parameter, old, new in (("experiment", "diabetes", EXPERIMENT), ("metric", "rmse", "brier")):
        promote = promote.replace(f'"{parameter}: str = \\"{old}\\"', f'"{parameter}: str = \\"{new}\\"')
    editor = files[".vscode/settings.json"].replace(', "-m", "not proof"', "")
    files |= {".vscode/settings.json": editor, _NOTEBOOK: _first_notebook(), "production/promote.ipynb": promote}
    own = folder / "pyproject.toml"
    if own.exists() and "nbops" not in own.read_text("utf-8", "replace"):
        return files  # its environment may not have nbops: requirements.in names what is locked
    return {path: text for path, text in files.items() if path != "requirements.in"}


def _shared(path: str) -> str:
    packed = _PACKED / Path(path).name
    return (packed if packed.is_file() else _SOURCE / path).read_text("utf-8")


def _first_notebook() -> str:
    from notebooks_lib.cli import new
    from notebooks_lib.notebooks import document, new_notebook

    content = new_notebook.Content(
        QUESTION,
        "Images of ten written digits, 8 by 8 pixels each, told apart by a logistic regression.",
        "An example to begin with, from data to a recorded model; put your own question in its place.",
        _NOTEBOOK,
        EXPERIMENT,
        instructions=False,
    )
    return new.as_text(new_notebook.build(document.read(new.find_template(None, "classification")), content))


def write(folder: Path, files: Mapping[str, str]) -> Written:
    """Write the files that do not exist yet. Existing files stay as they are.

    All files are written to a scratch folder first, and then moved into place one by one, each whole or not at all. The
    next call completes what an interrupted one left undone. Raises UsageError, before anything is written, when a file
    is where a folder is needed or a path leads out of the folder. Raises OSError when a file cannot be written.
    """
    _refuse_what_is_in_the_way(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_scratch_of_dead_processes(folder)
    scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=folder))
    try:
        for number, text in enumerate(files.values()):
            (scratch / str(number)).write_text(text, "utf-8")
        new = [path for number, path in enumerate(files) if _put(scratch / str(number), folder / path)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    others = {path: text for path, text in files.items() if path not in new}
    return Written(tuple(new), dict(_differing(folder, others)))


def _refuse_what_is_in_the_way(folder: Path, files: Mapping[str, str]) -> None:
    for path in files:
        for parent in [*reversed((folder / path).parents)]:
            if parent.exists() and not parent.is_dir():
                raise errors.UsageError(f"{parent} is a file where a folder is needed; nothing was written")
        inside = (folder / path).parent.resolve()
        if not inside.is_relative_to(folder.resolve()):
            raise errors.UsageError(
                f"{(folder / path).parent} leads to {inside}, out of the project; nothing was written"
            )


def _put(draft: Path, target: Path) -> bool:
    """Move a file to where nothing is, and return whether it was: never over anything."""
    if os.path.lexists(target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        draft.rename(target)  # a file system without links
    return True


def _remove_scratch_of_dead_processes(folder: Path) -> None:
    import psutil

    for scratch in folder.glob(f"{_SCRATCH}*"):
        process = scratch.name.removeprefix(_SCRATCH).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(scratch, ignore_errors=True)


def _differing(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files with other content, and what those lack that are lists of lines or targets."""
    for path, text in files.items():
        there = ""
        with suppress(OSError):
            there = (folder / path).read_text("utf-8", "replace")
        if there == text:
            continue
        lacking: list[str] = []
        if path in (".gitignore", ".gitattributes"):
            lines = {line.strip() for line in there.splitlines()}
            lacking = [line for line in text.splitlines() if line not in lines and not line.startswith("#")]
            yield path, f"add {', '.join(lacking)}" if lacking else ""
        elif path == "Makefile":
            lacking = [name for name in _TARGETS.findall(text) if name not in _TARGETS.findall(there)]
            yield path, f"it has no target {', '.join(lacking)}" if lacking else ""
        elif path.endswith(".toml"):
            yield path, _toml_problem(there)
        else:
            yield path, ""


def _toml_problem(text: str) -> str:
    """Return why a text is no TOML, in one line; empty if it is."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return f"it is no TOML: {error}; mend it"
    return ""
