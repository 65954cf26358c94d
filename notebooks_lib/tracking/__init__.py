"""Runs in a store: SQLite, a server, or an Azure ML workspace. A notebook calls `run = tracking.run()`."""

from __future__ import annotations

from typing import Any

import notebooks_lib

__all__ = ["run"]


def run(experiment: str | None = None, *, name: str | None = None) -> notebooks_lib.Run:
    """Return the run of this notebook: its owner's when one started it, else one opened here. See `Run`."""
    return notebooks_lib.run(experiment, name=name)


def __getattr__(name: str) -> Any:
    if name == "datasets":  # where notebooks of version 0.1 find it
        return notebooks_lib.datasets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
