"""Which rules hold for the notebooks of a folder, and the names that their host defines: `[check]` of their project."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors, project_root, regular_file
from notebooks_lib.notebooks import notebook_rules

ALL = "ALL"
FAULTS = "FAULTS"
"""Of a selection: every rule but conventions."""
_SECTION = re.compile(rb"""(?m)^[ \t]*\[?[ \t]*["']?check\b""")


@dataclass(frozen=True)
class CheckOptions:
    """Which rules `nbops check` applies in a folder, and which names are defined there."""

    builtins: tuple[str, ...] = ()
    """Names that the host defines, such as `spark`."""
    select: tuple[str, ...] = (ALL,)
    """ALL, FAULTS, or beginnings of codes such as NB and F821."""

    @property
    def faults_only(self) -> bool:
        """True if only faults are reported, not breaches of conventions, as outside a project."""
        return self.select == (FAULTS,)

    def includes(self, code: str) -> bool:
        """Return whether findings with this code are reported. A file that is not a notebook is always reported."""
        if ALL in self.select or code == notebook_rules.UNREADABLE:
            return True
        rule = notebook_rules.find_rule(code)
        is_fault = rule is None or not rule.convention
        return (FAULTS in self.select and is_fault) or code.startswith(tuple(set(self.select) - {FAULTS}))


def check_selection(names: Iterable[str]) -> tuple[str, ...]:
    """Return the rules or beginnings of codes that `names` selects; a name may hold several, separated by commas.

    Raises UsageError for a name that selects no rule.
    """
    selected = tuple(part.strip() for name in names for part in name.split(",") if part.strip())
    codes = [rule.code for rule in notebook_rules.all_rules()]
    for name in selected:
        if name not in (ALL, FAULTS) and not any(code.startswith(name) or name.startswith(code) for code in codes):
            raise errors.UsageError(
                f"select: found {name!r}, expected {ALL}, {FAULTS}, or the beginning of a code such as NB0 or F821; "
                "nbops check --rules lists them"
            )
    return selected


@functools.cache
def of_folder(folder: Path, top: Path | None = None) -> CheckOptions:
    """Return the options for notebooks in a folder: in a project all rules, elsewhere faults, unless settings differ.

    The settings are loaded only if the file or a variable mentions [check]. A project above `top` does not count.
    """
    root = project_root.find_root(folder)
    root = root if top is None or root.is_relative_to(top.resolve()) else top.resolve()
    options = CheckOptions(select=(ALL,) if project_root.is_project(root) else (FAULTS,))
    file = root / "production" / "settings.toml"
    try:
        mentioned = _SECTION.search(regular_file.read_bytes(file)) is not None
    except OSError:
        mentioned = False
    if not mentioned and not {"NBOPS_CHECK_BUILTINS", "NBOPS_CHECK_SELECT"} & os.environ.keys():
        return options
    from notebooks_lib import settings

    check = settings.load(root, os.environ).check
    return CheckOptions(check.builtins, check_selection(check.select) or options.select)
