"""The one door to ruff: it checks names and statements of all notebooks in one call.

Each notebook goes to a scratch folder with its cells as `cell_code` reads them, line for line. What ruff cannot know
(names of IPython and of the host, what a magic uses or defines) is taken out of its answer: what is left is certain.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import cell_code, magic_effects
from notebooks_lib.notebooks.document import Notebook, NotebookCell
from notebooks_lib.notebooks.notebook_rule import Finding
from notebooks_lib.notebooks.ruff_rules import RULES

OLDEST = "0.9"
"""The first ruff whose answers are read; `pyproject.toml` pins a newer one."""
SYNTAX = "invalid-syntax"
"""The code of what ruff cannot parse; our own rule NB014 says it."""

_NEWEST_PYTHON = 14
_NAME = re.compile(r"`([^`]+)`")
_WORDS = re.compile(r"\w+")
_HALF = re.compile("[\ud800-\udfff]")
_CANARY = '"%s" % (1, 2)'
_CANARY_CODE = "F507"
"""Each notebook gets a last cell with this fault: if ruff does not report it, then ruff has not read the notebook."""
_PATIENCE = 300
"""Seconds; for a thousand notebooks ruff takes one."""
_DIRECTIVE = re.compile(r"(#[^\S\r\n]*)(?:ruff|flake8)(?=[^\S\r\n]*:)", re.IGNORECASE)
"""All cells are one file for ruff: `# ruff: noqa` in one of them would silence it for the whole notebook."""


RuffAnswer = tuple[str, Finding]
"""Code and finding."""
PredefinedNames = Callable[[Notebook], Collection[str]]
"""Returns the names that the host of a notebook defines, such as `spark`."""


def lint(
    notebooks: Sequence[Notebook], predefined_names: PredefinedNames = lambda _: (), *, executable: str | None = None
) -> list[list[RuffAnswer]]:
    """Return ruff's findings for each notebook, in the order of the notebooks. Other languages than Python have none.

    Each finding has ruff's code, or `SYNTAX` for code that ruff cannot parse. `predefined_names` returns the names that
    a notebook's host defines. Raises UsageError if ruff is missing or gives answers that cannot be read.
    """
    answers: list[list[RuffAnswer]] = [[] for _ in notebooks]
    python = [number for number, notebook in enumerate(notebooks) if notebook.is_python]
    if not python:
        return answers
    with tempfile.TemporaryDirectory(prefix="nbops-ruff-") as folder:
        for number in python:
            (Path(folder) / f"{number}.ipynb").write_text(_as_python(notebooks[number]), "utf-8")
        raw = _run(executable or find_ruff(), folder)
    for entry in raw:
        try:
            number, cell = int(Path(entry["filename"]).stem), entry["cell"] - 1
            finding = Finding(cell, entry["message"], entry["location"]["row"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unreliable(f"an answer that cannot be read: {entry!r:.100}") from error
        answers[number].append((entry["code"] or SYNTAX, finding))
    return [
        list(_certain(notebook, own_answers, predefined_names))
        for notebook, own_answers in zip(notebooks, answers, strict=True)
    ]


def find_ruff() -> str:
    """Return the path of ruff's program. Raises UsageError when ruff is not installed."""
    beside = Path(sys.executable).with_name("ruff.exe" if os.name == "nt" else "ruff")
    if beside.is_file():
        return str(beside)
    try:
        from ruff import find_ruff_bin

        return str(find_ruff_bin())
    except (ImportError, OSError):
        on_path = shutil.which("ruff")
    if on_path is None:
        raise errors.UsageError(
            f"ruff: found none, {OLDEST} or newer is needed to check names; install it: pip install ruff"
        )
    return on_path


def _as_python(notebook: Notebook) -> str:
    """Return the notebook's JSON with cells as Python at their own index, and the canary as the last cell."""
    sources = [*(_python_lines(cell) for cell in notebook.cells), _CANARY]
    common: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": (), "execution_count": None}
    cells = [{**common, "source": source} for source in sources]
    metadata = {"language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})


def _python_lines(cell: NotebookCell) -> str:
    """Return the code of a cell for ruff, empty if it cannot be read. A magic is no statement.

    Comments that ruff obeys in more than their own line become ordinary ones; `# noqa` stays.
    """
    code = cell.code
    if cell.kind != "code" or code.tree is None:
        return ""
    lines = code.text.split("\n")
    for number, _ in code.magics:
        if lines[number - 1] == "pass" or lines[number - 1].startswith("import os; os.environ["):
            lines[number - 1] = ""
    return _HALF.sub("\ufffd", _DIRECTIVE.sub(r"\1not-ruff", "\n".join(lines)))


def _run(executable: str, folder: str) -> list[dict[str, Any]]:
    command = [executable, "check", "--isolated", "--no-cache", "--exit-zero", "--quiet", "--no-respect-gitignore"]
    command += ["--output-format", "json", "--select", ",".join(rule.code for rule in RULES)]
    command += ["--target-version", f"py3{min(sys.version_info.minor, _NEWEST_PYTHON)}"]
    command += ["--config", f'required-version=">={OLDEST}"', "--config", "exclude=[]", "."]
    # Variables of ruff would change its answer, and where it goes.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RUFF_")}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=_PATIENCE)
    except OSError as error:
        raise _unreliable(error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise _unreliable(f"no answer within {_PATIENCE} s") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise _unreliable(": ".join(lines[:2])[:200] or f"exit code {done.returncode}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise _unreliable("an answer that is not JSON") from error
    if not isinstance(answer, list):
        raise _unreliable("an answer that is no list")
    return answer


def _unreliable(fault: str) -> errors.UsageError:
    return errors.UsageError(
        f"ruff cannot be relied on ({fault}); {OLDEST} or newer is needed to check names: pip install --upgrade ruff"
    )


def _certain(notebook: Notebook, answers: list[RuffAnswer], predefined_names: PredefinedNames) -> Iterator[RuffAnswer]:
    """Yield what is a fault for certain. Raises UsageError if ruff has not read the notebook."""
    if not notebook.is_python:
        return
    canary = len(notebook.cells)
    was_read = any(code == SYNTAX or (finding.cell == canary and code == _CANARY_CODE) for code, finding in answers)
    if not was_read:
        raise _unreliable(f"{notebook.path.name} was not read")
    answers = [answer for answer in answers if answer[1].cell < canary]
    if not answers:
        return
    unread = magic_effects.unread_words(notebook)
    by_host = {*predefined_names(notebook), *magic_effects.names_of_host(notebook)}
    defined_names = unread | by_host | magic_effects.asked_names(notebook)
    defined = None if magic_effects.may_define_unseen_names(notebook) else defined_names
    for code, finding in answers:
        if not _is_excused(notebook.cells[finding.cell], code, finding, unread, defined):
            yield code, finding._replace(cause=_cause(code, finding.message))


def _cause(code: str, message: str) -> str:
    """Return what findings have in common that are mended together: a name, or a habit."""
    if code in ("F821", "F401"):
        return message
    return code if code == "E402" else ""


def _is_excused(
    cell: NotebookCell, code: str, finding: Finding, unread: Collection[str], defined: Collection[str] | None
) -> bool:
    """Return whether a finding may be wrong.

    `unread` words may use a name, and `defined` ones define it; None stands for any name.
    """
    named = _NAME.search(finding.message)
    name = named[1] if named else ""
    if code in ("F821", "F822"):
        line = cell.source.split("\n")[finding.line - 1].strip()
        is_defined = defined is None or name in defined or magic_effects.is_given_by_ipython(name)
        return is_defined or (line == name and cell_code.is_automagic(line))
    if any(finding.line == line for line, _ in cell.code.magics):
        return True  # code that stands in for a magic
    if code in ("F401", "F811"):
        return not set(_WORDS.findall(name.rpartition(" as ")[2])).isdisjoint(unread)
    return False
