"""Which third-party modules the kernels of a project have imported, and which must never be imported beforehand.

One small JSON file a project and interpreter. Standard library only.
"""

from __future__ import annotations

import json
import os

MODULES = 20_000
"""A bound, so that a notebook which imports without end cannot fill the disk."""


def read(path: str, packages: str | None = None) -> tuple[list[str], dict[str, str]]:
    """(modules in the order in which they were imported, module -> why it must not be). Empty when there is no file.

    What proved unfit is tried again once other `packages` are installed than then; None: whatever they are.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        modules = [str(name) for name in content["modules"]]
        never = {str(name): str(why) for name, why in content["never"].items()}
        return modules, never if packages in (None, content["packages"]) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [], {}  # what cannot be read is learned anew


def add(path: str, packages: str, modules: list[str], never: dict[str, str]) -> None:
    """Put these beside what is there; whole or not at all. A disk that does not take it loses speed, nothing else."""
    known, refused = read(path, packages)
    merged = list(dict.fromkeys(known + modules))[-MODULES:]
    if merged == known and refused.keys() >= never.keys():
        return
    scratch = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump({"modules": merged, "never": refused | never, "packages": packages}, file, indent=0)
        os.replace(scratch, path)
    except OSError:
        try:
            os.unlink(scratch)
        except OSError:
            pass
