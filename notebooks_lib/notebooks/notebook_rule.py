"""What a rule for notebooks is: a function that yields findings, with its reason, its fix and two examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from notebooks_lib.notebooks.document import Notebook


class Finding(NamedTuple):
    """One place where a rule is broken."""

    cell: int
    """Index from 0; also 0 for what concerns the whole file."""
    message: str
    line: int = 0
    """Line in the cell, from 1; 0 for the whole cell."""
    cause: str = ""
    """Findings of one rule with the same cause are shown as one that names the cells; empty: always its own."""


Findings = Iterator[Finding]


@dataclass(frozen=True)
class NotebookRule:
    """A rule for notebooks. It reports only what is certain to be wrong."""

    code: str
    what: str
    """What is reported."""
    why: str
    fix: str
    find: Callable[[Notebook], Findings]
    bad: str
    """An example that the rule reports: cells in the percent format, or the source of one code cell."""
    good: str
    """An example that it does not report."""
    convention: bool = False
    """True for what a project of this kind asks of its notebooks; a fault goes wrong in any."""
