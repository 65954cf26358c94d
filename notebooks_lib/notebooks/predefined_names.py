"""The names that the place where notebooks run brings along: `[check] builtins` of their project."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from notebooks_lib import project_root

_SECTION = re.compile(rb"""(?m)^[ \t]*\[?[ \t]*["']?check\b""")


@functools.cache
def of_folder(folder: Path) -> tuple[str, ...]:
    """Return the names for notebooks in a folder. Settings are loaded only where they may set them."""
    root = project_root.find_root(folder)
    file = root / "production" / "settings.toml"
    try:
        mentioned = _SECTION.search(file.read_bytes()) is not None
    except OSError:
        mentioned = False
    if not mentioned and "NBOPS_CHECK_BUILTINS" not in os.environ:
        return ()
    from notebooks_lib import settings

    return settings.load(root, os.environ).check.builtins
