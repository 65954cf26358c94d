"""Runs in a store: SQLite, a server, or an Azure ML workspace. A notebook calls `run = tracking.run()`."""

from __future__ import annotations

import notebooks_lib

__all__ = ["run"]


def run(experiment: str | None = None, *, name: str | None = None) -> notebooks_lib.Run:
    """Return the run of this notebook: the one that `nbops run` or a job opened for it, else one opened here.

    See `Run` for what it logs. `experiment` and `name` are for a run opened here.
    """
    return notebooks_lib.run(experiment, name=name)
