"""What a notebook imports: `run = tracking.run()`. MLflow is imported when something is tracked, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebooks_lib.tracking.runs import Run

__all__ = ["run"]


def run(experiment: str | None = None, *, name: str | None = None) -> Run:
    """The run of this notebook: its owner's when one started it, else one opened here. See `runs.Run`."""
    from notebooks_lib.tracking import runs

    return runs.run(experiment, name=name)
