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
from typing import Any, NamedTuple

from notebooks_lib import errors
from notebooks_lib.notebooks import cell_code, magic_effects
from notebooks_lib.notebooks.document import Notebook, NotebookCell

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
_SILENCED = re.compile(r"#\s*(?:ruff|flake8)\s*:", re.IGNORECASE)


class RuffRule(NamedTuple):
    """One rule of ruff, or a family of rules, that notebooks are held to."""

    code: str
    """What ruff selects by; the code in a finding begins with it."""
    what: str
    why: str
    fix: str


RULES: tuple[RuffRule, ...] = (
    RuffRule(
        "F821",
        "a name that no earlier cell defines",
        "On a fresh kernel the run fails there.",
        "Define it in an earlier cell; names that the host brings along go into `[check] builtins`.",
    ),
    RuffRule(
        "F822",
        "a name in `__all__` that is not defined",
        "`from module import *` fails on it.",
        "Define it, or take it out.",
    ),
    RuffRule(
        "F823",
        "a local variable that is read before it is assigned",
        "The function fails there.",
        "Assign it first, or give the local variable another name.",
    ),
    RuffRule(
        "F811",
        "a definition that is replaced before it is used",
        "One of the two has no effect.",
        "Keep one of them.",
    ),
    RuffRule(
        "F401",
        "an import that nothing uses",
        "Readers look for its use, and every run waits for it.",
        "Take it out; `# noqa: F401` keeps an import that has an effect of its own.",
    ),
    RuffRule(
        "F402",
        "a loop variable that replaces an import",
        "After the loop the import is gone.",
        "Give the loop variable another name.",
    ),
    RuffRule(
        "F403",
        "`from module import *`",
        "Nobody can tell where a name comes from, and undefined names stay unseen.",
        "Import the names that are used.",
    ),
    RuffRule(
        "F5",
        "a format string that does not fit its values",
        "It fails, or it leaves values out.",
        "Let placeholders and values agree.",
    ),
    RuffRule(
        "F6",
        "a comparison, assertion or dictionary that does not do what it says",
        "The test is always true or false, or a key is overwritten.",
        "Write what is meant.",
    ),
    RuffRule(
        "F7",
        "a statement in a place where it is not allowed",
        "Python refuses the cell, or never gets there.",
        "Move or remove the statement.",
    ),
    RuffRule(
        "PLE",
        "code that fails when it runs",
        "The run fails there, after all the work before it.",
        "Mend the line.",
    ),
    RuffRule(
        "B015",
        "a comparison whose result is not used",
        "It has no effect; an assignment or an assertion was probably meant.",
        "Write `assert`, assign the result, or remove the line.",
    ),
    RuffRule(
        "B018",
        "an expression whose value is not used",
        "It has no effect; only the last expression of a cell is shown.",
        "Call it, show it by `display`, or remove the line.",
    ),
    RuffRule(
        "E402",
        "an import below other code in its cell",
        "Imports tell what a notebook needs; readers look for them at the top.",
        "Move the import to the top of its cell, or to the setup cell.",
    ),
)


class RuffFinding(NamedTuple):
    """One finding of ruff, in our cells."""

    cell: int
    """Index from 0."""
    line: int
    """Line in the cell, from 1."""
    code: str
    message: str


HostNames = Callable[[Notebook], Collection[str]]
"""Returns the names that the host of a notebook defines, such as `spark`."""


def lint(
    notebooks: Sequence[Notebook], host_names: HostNames = lambda _: (), *, executable: str | None = None
) -> list[list[RuffFinding]]:
    """Return the findings of each notebook, in its order. Raises UsageError if ruff is missing or cannot be relied on.

    `SYNTAX` is the code of what ruff cannot parse. A notebook of another language has no findings.
    """
    answers: list[list[RuffFinding]] = [[] for _ in notebooks]
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
            finding = RuffFinding(cell, entry["location"]["row"], entry["code"] or SYNTAX, entry["message"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unreliable(f"an answer that cannot be read: {entry!r:.100}") from error
        answers[number].append(finding)
    return [list(_certain(notebook, found, host_names)) for notebook, found in zip(notebooks, answers, strict=True)]


def find_ruff() -> str:
    """Return the path of ruff's program. Raises UsageError."""
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
    """Return the code of a cell for ruff, empty if it cannot be read. A magic is no statement."""
    code = cell.code
    if cell.kind != "code" or code.tree is None:
        return ""
    lines = code.text.split("\n")
    for number, _ in code.magics:
        if lines[number - 1] == "pass" or lines[number - 1].startswith("import os; os.environ["):
            lines[number - 1] = ""
    return _HALF.sub("\ufffd", "\n".join(lines))


def _run(executable: str, folder: str) -> list[dict[str, Any]]:
    command = [executable, "check", "--isolated", "--no-cache", "--exit-zero", "--quiet", "--no-respect-gitignore"]
    command += ["--output-format", "json", "--select", ",".join(rule.code for rule in RULES)]
    command += ["--target-version", f"py3{min(sys.version_info.minor, _NEWEST_PYTHON)}"]
    command += ["--config", f'required-version=">={OLDEST}"', "--config", "exclude=[]", "."]
    # Variables of ruff would change its answer, and where it goes.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RUFF_")}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise _unreliable(error.strerror or str(error)) from error
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


def _unreliable(what: str) -> errors.UsageError:
    return errors.UsageError(
        f"ruff cannot be relied on ({what}); {OLDEST} or newer is needed to check names: pip install --upgrade ruff"
    )


def _certain(notebook: Notebook, findings: list[RuffFinding], host_names: HostNames) -> Iterator[RuffFinding]:
    """Yield what is a fault for certain. Raises UsageError if ruff has not read the notebook."""
    if not notebook.is_python:
        return
    canary = len(notebook.cells)
    silenced = any(_SILENCED.search(cell.source) for cell in notebook.code_cells)
    if not silenced and not any(f.code == SYNTAX or (f.cell == canary and f.code == _CANARY_CODE) for f in findings):
        raise _unreliable(f"{notebook.path.name} was not read")
    findings = [finding for finding in findings if finding.cell < canary]
    if not findings:
        return
    unread = magic_effects.unread_words(notebook)
    given = None if magic_effects.may_define_unseen_names(notebook) else {*unread, *host_names(notebook)}
    for finding in findings:
        if not _is_excused(notebook.cells[finding.cell], finding, unread, given):
            yield finding


def _is_excused(
    cell: NotebookCell, finding: RuffFinding, unread: Collection[str], given: Collection[str] | None
) -> bool:
    """Return whether a finding may be wrong.

    `unread` words may use a name, and `given` ones define it; None stands for any name.
    """
    named = _NAME.search(finding.message)
    name = named[1] if named else ""
    if finding.code in ("F821", "F822"):
        line = cell.source.split("\n")[finding.line - 1].strip()
        known = given is None or name in given or magic_effects.is_given_by_ipython(name)
        return known or (line == name and cell_code.is_automagic(line))
    if any(finding.line == line for line, _ in cell.code.magics):
        return True  # code that stands in for a magic
    if finding.code in ("F401", "F811"):
        return not set(_WORDS.findall(name.rpartition(" as ")[2])).isdisjoint(unread)
    return False
