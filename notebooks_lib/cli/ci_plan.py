"""List the steps of a pull request, which `nbops ci` and the workflows both run. It runs nothing."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.errors import UsageError

_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""In the order in which make looks for them."""


@dataclass(frozen=True)
class Step:
    """A step of a pull request: a make target, or a command for projects without that target."""

    target: str
    command: Sequence[str] = ()
    """Empty: without the target there is nothing to run."""
    needs: str = ""
    """A folder or file without which the command has nothing to do."""
    takes_base: bool = False
    """Whether the step compares with the base of the pull request."""


STEPS = (
    Step("check", ("nbops", "check", ".")),
    Step("test", ("pytest",), needs="tests"),
    Step("notebooks"),
    Step("review", ("nbops", "review"), takes_base=True),
)
"""In the order of `nbops ci`: the review finds the runs that the notebooks left."""

_MODULES = {"nbops": "notebooks_lib", "pytest": "pytest"}


@dataclass(frozen=True)
class PlannedStep:
    """A step as it is run in one project: its command, or why it is left out."""

    name: str
    command: tuple[str, ...] = ()
    """As a person types it."""
    left_out: str = ""
    """Why it is not run; empty if it is."""

    @property
    def arguments(self) -> list[str]:
        """The command line of the step. Programs of this environment are started as Python modules."""
        module = _MODULES.get(self.command[0])
        return [sys.executable, "-m", module, *self.command[1:]] if module else list(self.command)


def plan_steps(root: Path, base: str, *, no_base: str = "") -> list[PlannedStep]:
    """Return how each step is run in the project at `root`. `no_base` says why there is nothing to compare with.

    Raises UsageError when the project's steps are make targets and make is not installed.
    """
    makefile = next((root / name for name in _MAKEFILES if (root / name).is_file()), None)
    text = makefile.read_text("utf-8", "replace") if makefile else ""
    rules = re.findall(r"(?m)^([^\s#:=][^#:=\n]*)::?(?!=)", text)
    targets = {name for rule in rules for name in rule.split()}
    if targets & {step.target for step in STEPS} and shutil.which("make") is None:
        raise UsageError("the steps of this project are targets of its Makefile, and make is not installed")
    return [_plan(step, root, targets, base, no_base) for step in STEPS]


def _plan(step: Step, root: Path, targets: set[str], base: str, no_base: str) -> PlannedStep:
    name = step.target
    if step.takes_base and no_base:
        return PlannedStep(name, left_out=no_base)
    if name in targets:
        return PlannedStep(name, ("make", name, *([f"BASE={base}"] if step.takes_base and base else [])))
    if not step.command:
        return PlannedStep(name, left_out=f"there is no Makefile with a target `{name}`")
    if step.needs and not (root / step.needs).exists():
        return PlannedStep(name, left_out=f"there is no Makefile with a target `{name}`, and no {step.needs}/")
    return PlannedStep(name, (*step.command, *([base] if step.takes_base and base else [])))
