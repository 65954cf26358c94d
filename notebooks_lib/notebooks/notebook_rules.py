"""All rules for notebooks, our own and those of ruff; `check` applies them and changes nothing.

A cell tagged `nbops-ignore-NB012` is exempt from rule NB012.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from notebooks_lib.notebooks import (
    cleanliness_rules,
    code_rules,
    parameter_rules,
    randomness_rules,
    readability_rules,
    ruff_linter,
    ruff_rules,
    secret_rules,
    tracking_rules,
)
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, NotebookRule
from notebooks_lib.notebooks.ruff_linter import PredefinedNames
from notebooks_lib.notebooks.ruff_rules import RuffRule

IGNORE_TAG = "nbops-ignore-"
UNREADABLE = "NB000"
SYNTAX = "NB014"
_MODULES = (
    cleanliness_rules,
    parameter_rules,
    code_rules,
    readability_rules,
    tracking_rules,
    randomness_rules,
    secret_rules,
)
RULES: tuple[NotebookRule, ...] = tuple(
    sorted((rule for module in _MODULES for rule in module.RULES), key=lambda rule: rule.code)
)


@dataclass(frozen=True)
class RuleViolation:
    """A fault in a notebook; `str` gives `file:cell (id): CODE line 3: message`."""

    path: Path
    cell: int
    """Index from 0; also 0 for what concerns the whole file."""
    code: str
    message: str
    line: int = 0
    """Line in the cell, from 1; 0 for the whole cell."""
    id: str = ""
    """The cell's id; empty if it has none."""
    cells: tuple[int, ...] = ()
    """All cells with this fault, if there is more than one."""

    @property
    def text(self) -> str:
        """The message with its line, and the numbers of other cells with the same fault."""
        line = f"line {self.line}: " if self.line else ""
        others = [str(cell) for cell in self.cells if cell != self.cell]
        return f"{line}{self.message}" + (
            f"; also in cell{'s' * (len(others) > 1)} {', '.join(others)}" if others else ""
        )

    @property
    def place(self) -> str:
        """The cell's index, with its id in brackets unless the id only repeats the index, such as `c3` for cell 3."""
        return f"{self.cell}" + (f" ({self.id})" if self.id and self.id != f"{self.id[0]}{self.cell}" else "")

    def __str__(self) -> str:
        return f"{self.path}:{self.place}: {self.code} {self.text}"


def all_rules() -> tuple[NotebookRule | RuffRule, ...]:
    """Return the rules of nbops, then those of ruff."""
    return (*RULES, *ruff_rules.RULES)


def find_rule(code: str) -> NotebookRule | RuffRule | None:
    """Return the rule, or family of rules, to which a finding's code belongs; None if there is none."""
    return next((rule for rule in all_rules() if code.startswith(rule.code)), None)


def check(notebook: Notebook) -> list[RuleViolation]:
    """Apply the rules of nbops to a notebook. Return the violations, sorted by cell and rule."""
    return _violations(notebook, _own(notebook))


def check_with_ruff(
    notebooks: Sequence[Notebook], predefined_names: PredefinedNames = lambda _: ()
) -> list[RuleViolation]:
    """Apply the rules of nbops and of ruff. Ruff is called once for all notebooks.

    `predefined_names` returns the names that a notebook's host defines. Raises UsageError if ruff is missing or gives
    answers that cannot be read.
    """
    violations: list[RuleViolation] = []
    for notebook, answers in zip(notebooks, ruff_linter.lint(notebooks, predefined_names), strict=True):
        of_ruff = ((SYNTAX if code == ruff_linter.SYNTAX else code, finding) for code, finding in answers)
        violations += _violations(notebook, [*_own(notebook), *of_ruff])
    return violations


def _own(notebook: Notebook) -> Iterator[tuple[str, Finding]]:
    return ((rule.code, finding) for rule in RULES for finding in rule.find(notebook))


def _violations(notebook: Notebook, findings: Iterable[tuple[str, Finding]]) -> list[RuleViolation]:
    """Return one violation for each cause, without those that a cell's tag excuses."""
    ignored = {(cell.index, tag) for cell in notebook.cells for tag in cell.tags if tag.startswith(IGNORE_TAG)}
    ids = {cell.index: cell.id or "" for cell in notebook.cells}
    reported = [(code, finding) for code, finding in findings if (finding.cell, IGNORE_TAG + code) not in ignored]
    first: dict[object, RuleViolation] = {}
    for code, finding in sorted(reported, key=lambda pair: (pair[1].cell, pair[0], pair[1].line)):
        violation = RuleViolation(
            notebook.path, finding.cell, code, finding.message, finding.line, ids.get(finding.cell, "")
        )
        cause = (code, finding.cause) if finding.cause else (code, len(first))
        same = first.get(cause)
        if same is None:
            first[cause] = violation
        elif finding.cell != same.cell:
            first[cause] = replace(same, cells=tuple(dict.fromkeys((same.cell, *same.cells, finding.cell))))
    return list(first.values())
