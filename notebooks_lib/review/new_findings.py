"""Findings of the rules that a change brings, and those that it mends: by rule and cell identity, not by index."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from notebooks_lib.notebooks import secret_rules
from notebooks_lib.notebooks.check_options import CheckOptions
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import NotebookDiff
from notebooks_lib.notebooks.notebook_rules import RuleViolation, check_with_ruff
from notebooks_lib.review.parameter_changes import find_parameter_changes

Options = Callable[[Notebook], CheckOptions]
"""Returns the rules and the host's names that hold for a notebook."""
_NUMBER = re.compile(r"\b\d+\b")
"""Not the one in a name, as `x_2`."""
_QUOTED = re.compile(r"'(\w+)'")


@dataclass(frozen=True)
class FindingChanges:
    """The findings that a change of one notebook adds, and how many it fixes."""

    new: tuple[RuleViolation, ...] = ()
    """Of the head; one with several cells names those that are new."""
    mended: int = 0


class _Fault(NamedTuple):
    """One finding in one cell. Two are the same if all but the place is."""

    code: str
    message: str
    """Without its numbers, which count cells, lines or outputs; with the base's name of a renamed parameter."""
    secret: str
    """Of a finding of a secret: another one in its place is new."""
    cell: int | None
    """Index in the base; None for a cell that only one side has, and where the cell does not matter."""


@dataclass(frozen=True)
class _Side:
    """One version of a notebook, and which of the base's cells and parameters its own are."""

    notebook: Notebook
    base_index: Mapping[int, int]
    base_names: Mapping[str, str] = field(default_factory=dict)

    def faults(self, violation: RuleViolation) -> Iterator[tuple[int, _Fault]]:
        """Yield each cell of a finding with its fault; with several of as many secrets."""
        for cell in violation.cells or (violation.cell,):
            for secret in self._secrets[violation.code, cell, violation.line, violation.message] or [""]:
                yield cell, self._fault(violation, self.base_index.get(cell), secret)

    def fault_of_file(self, violation: RuleViolation) -> _Fault | None:
        """Return the fault of a finding without a line: it may be one of the whole file, shown at any cell."""
        if violation.line or violation.cells:
            return None
        secrets = self._secrets[violation.code, violation.cell, 0, violation.message]
        return self._fault(violation, None, "\n".join(secrets))

    def _fault(self, violation: RuleViolation, cell: int | None, secret: str) -> _Fault:
        message = _QUOTED.sub(lambda name: repr(self.base_names.get(name[1], name[1])), violation.message)
        return _Fault(violation.code, _NUMBER.sub("", message), secret, cell)

    @cached_property
    def _secrets(self) -> Mapping[tuple[str, int, int, str], list[str]]:
        """The secrets by code, cell, line and message of their finding."""
        secrets: dict[tuple[str, int, int, str], list[str]] = defaultdict(list)
        for finding, secret in secret_rules.find_secrets(self.notebook):
            secrets[secret_rules.CODE, finding.cell, finding.line, finding.message].append(secret)
        return secrets


def find_new_findings(
    diffs: Sequence[NotebookDiff], options: Options = lambda _: CheckOptions()
) -> tuple[FindingChanges, ...]:
    """Return, for each diff, the findings that are new and the number of those that are fixed.

    `options` returns which rules apply to a notebook. Ruff is called once for each side. Raises UsageError when ruff is
    missing or gives answers that cannot be read.
    """
    base = _by_notebook([diff.base for diff in diffs], options)
    head = _by_notebook([diff.head for diff in diffs], options)
    return tuple(_compare(diff, *sides) for diff, *sides in zip(diffs, base, head, strict=True))


def _by_notebook(notebooks: Sequence[Notebook], options: Options) -> list[list[RuleViolation]]:
    by_path: dict[object, list[RuleViolation]] = defaultdict(list)
    chosen = {notebook.path: options(notebook) for notebook in notebooks}
    checked = [notebook for notebook in notebooks if notebook.cells]
    for violation in check_with_ruff(checked, lambda notebook: chosen[notebook.path].builtins):
        if chosen[violation.path].includes(violation.code):
            by_path[violation.path].append(violation)
    return [by_path[notebook.path] if notebook.cells else [] for notebook in notebooks]


def _compare(diff: NotebookDiff, base: Sequence[RuleViolation], head: Sequence[RuleViolation]) -> FindingChanges:
    if not diff.head.cells:
        return FindingChanges()
    base_index = {cell.head.index: cell.base.index for cell in diff.cells if cell.base and cell.head}
    renamed = {change.head: change.base for change in find_parameter_changes(diff) if change.kind == "renamed"}
    old, now = _Side(diff.base, {index: index for index in base_index.values()}), _Side(diff.head, base_index, renamed)
    faults = Counter(fault for violation in base for _, fault in old.faults(violation))
    new: list[RuleViolation] = []
    for violation in head:
        cells = dict.fromkeys(cell for cell, fault in now.faults(violation) if not _take(faults, fault))
        if cells:
            new.append(_in_cells(violation, list(cells), diff.head))
    gone = [violation for violation in base if all(_take(faults, fault) for _, fault in old.faults(violation))]
    anywhere = Counter(fault for violation in gone if (fault := old.fault_of_file(violation)))
    kept_new = [violation for violation in new if not _take(anywhere, now.fault_of_file(violation))]
    return FindingChanges(tuple(kept_new), len(gone) - (len(new) - len(kept_new)))


def _take(faults: Counter[_Fault], fault: _Fault | None) -> bool:
    """Return whether a fault is there, and take it out."""
    if fault is None or not faults[fault]:
        return False
    faults[fault] -= 1
    return True


def _in_cells(violation: RuleViolation, cells: Sequence[int], notebook: Notebook) -> RuleViolation:
    first = cells[0]
    return replace(
        violation, cell=first, id=notebook.cells[first].id or "", cells=tuple(cells) if len(cells) > 1 else ()
    )
