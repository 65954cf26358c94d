"""Findings of `nbops check` for other programs: JSON, GitHub's workflow commands, SARIF 2.1.0.

In the last two, paths count from the root of the git repository, whatever the current folder is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebooks_lib import __version__, errors
from notebooks_lib.cli import output

if TYPE_CHECKING:
    from notebooks_lib.notebooks.file_lines import FileLines
    from notebooks_lib.notebooks.notebook_rules import RuleViolation

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(violations: Sequence[RuleViolation]) -> str:
    """Return a JSON list with an object for each finding."""
    entries = [{**vars(violation), "path": output.path(violation.path)} for violation in violations]
    return json.dumps(entries, ensure_ascii=False)


def as_github(violations: Sequence[RuleViolation]) -> Iterator[str]:
    """Yield a workflow command for each finding, which GitHub shows as an annotation on the diff."""
    for violation, path, line in _located(violations):
        properties = f"file={_property(path)},line={line},title={_property(violation.code)}"
        yield f"::error {properties}::{_data(f'cell {violation.place}: {violation.text}')}"


def as_sarif(violations: Sequence[RuleViolation]) -> str:
    """Return the findings as a SARIF file, with the rules that they break."""
    codes = sorted({violation.code for violation in violations})
    driver = {"name": "nbops", "version": __version__, "rules": [_sarif_rule(code) for code in codes]}
    results = [
        {
            "ruleId": violation.code,
            "ruleIndex": codes.index(violation.code),
            "level": "error",
            "message": {"text": f"cell {violation.place}: {violation.text}"},
            "locations": [_sarif_location(violation, path, line)],
            # An index moves with every cell above, an id does not.
            "partialFingerprints": {
                "cell/v1": f"{violation.code}:{violation.id or violation.cell}:{violation.message}"
            },
        }
        for violation, path, line in _located(violations)
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _sarif_rule(code: str) -> dict[str, Any]:
    from notebooks_lib.notebooks import notebook_rules

    rule = notebook_rules.find_rule(code)
    if rule is None:
        return {"id": code, "shortDescription": {"text": "a file that is no notebook"}}
    help_text = {"text": f"{rule.why} {rule.fix}"}
    return {
        "id": code,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.why},
        "help": help_text,
    }


def _sarif_location(violation: RuleViolation, path: str, line: int) -> dict[str, Any]:
    artifact = {"uri": quote(path)}
    return {
        "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}},
        "logicalLocations": [{"name": f"cell {violation.place}", "kind": "member"}],
    }


def _located(violations: Sequence[RuleViolation]) -> Iterator[tuple[RuleViolation, str, int]]:
    """Yield each finding with its path and its line in the file, 1 if that is not known."""
    relative = _path_in_repository()
    files: dict[Path, FileLines | None] = {}
    for violation in violations:
        if violation.path not in files:
            files[violation.path] = _file_lines(violation.path)
        lines = files[violation.path]
        line = lines.line(violation.cell, violation.line) if lines else None
        yield violation, relative(violation.path), line or 1


def _file_lines(path: Path) -> FileLines | None:
    from notebooks_lib.notebooks import document
    from notebooks_lib.notebooks.file_lines import FileLines

    try:
        return FileLines(document.read(path), path.read_text("utf-8-sig"))
    except (errors.NotebookError, OSError, UnicodeDecodeError):
        return None


def _path_in_repository() -> Callable[[Path], str]:
    """Return what makes a path relative to the root of this git repository; without one, to the current folder."""
    from notebooks_lib.git_repository import GitRepository

    here = Path.cwd()
    try:
        repository = GitRepository.find(here)
    except errors.UsageError:
        repository = GitRepository(here)
    return lambda path: repository.inside(path) if repository.holds(path) else path.as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
