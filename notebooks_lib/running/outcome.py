"""The outcome of a run, from what the engine saw, and its note in the executed notebook. Pure values."""

from __future__ import annotations

import dataclasses
import html
import signal
from collections.abc import Callable
from typing import Any

from nbformat.v4 import new_markdown_cell

from notebooks_lib.records import Failure, RunStatus, TrialState
from notebooks_lib.running.engine import Execution
from notebooks_lib.running.executed_notebook import first_line
from notebooks_lib.running.preparation import ERROR_TAG


def decide_outcome(
    execution: Execution, *, timeout: float | None, cell_timeout: float | None
) -> tuple[RunStatus, Failure | None]:
    """Return FINISHED, FAILED (a raising cell, a non-zero exit) or KILLED (death, time limit, interrupt), and why."""
    cell, line = _place(execution)
    if execution.start_failure is not None:
        return "FAILED", Failure("start", "KernelStartError", execution.start_failure)
    if execution.stopped == "timeout":
        return "KILLED", Failure("timeout", "Timeout", f"the notebook took longer than {timeout:g} s", cell, line)
    if execution.stopped == "cell timeout":
        return "KILLED", Failure("timeout", "CellTimeout", f"the cell took longer than {cell_timeout:g} s", cell, line)
    if execution.stopped == "interrupt":
        return "KILLED", Failure("interrupt", "Interrupted", "the runner was asked to stop", cell, line)
    if execution.stopped == "pruned":
        return "KILLED", Failure("pruned", "Pruned", "the sweep asked to stop: not worth finishing", cell, line)
    if execution.died:
        return "KILLED", _death(execution.returncode, cell, line)
    if execution.error is not None:
        name, message = execution.error
        if name == "SystemExit":
            code = message.strip()
            if code in ("", "0", "None"):
                return "FINISHED", None
            return "FAILED", Failure("exit", name, code, cell, line)
        if name == "StdinNotImplementedError":
            message = "nobody can answer input() while a notebook is run: make the answer a parameter"
        return "FAILED", Failure("error", name, message, cell, line)
    return "FINISHED", None


def trial_state(status: RunStatus, failure: Failure | None) -> TrialState:
    """Return how a trial of a sweep ended; MLflow has no status for a pruned one."""
    if failure is not None and failure.kind == "pruned":
        return "pruned"
    return "finished" if status == "FINISHED" else "failed" if status == "FAILED" else "killed"


def mask_failure(failure: Failure, mask: Callable[[str], str]) -> Failure:
    """Return the failure with secrets masked in its texts."""
    return dataclasses.replace(failure, message=mask(failure.message), line=mask(failure.line))


def annotate(notebook: Any, status: RunStatus, failure: Failure | None, cell: int | None) -> None:
    """Write the outcome into the notebook: in its metadata, at its top, and before the cell where it ended."""
    notebook.metadata["nbops"] = {"status": status, "failure": None if failure is None else dict(vars(failure))}
    if failure is None:
        return
    if cell is not None:
        anchor = '<span id="nbops-end" style="color:red">It ended in the next cell.</span>'
        notebook.cells.insert(cell, new_markdown_cell(anchor, metadata={"tags": [ERROR_TAG]}))
    summary = html.escape(str(failure).partition("\n")[0])
    link = " ([where](#nbops-end))" if cell is not None else ""
    note = f'<span style="color:red">**{status}**: {summary}</span>{link}'
    notebook.cells.insert(0, new_markdown_cell(note, metadata={"tags": [ERROR_TAG]}))


def _death(returncode: int | None, cell: int | None, line: str) -> Failure:
    if returncode is not None and returncode < 0:
        number = -returncode
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = "; often the machine ran out of memory" if name == "SIGKILL" else ""
        return Failure("signal", name, f"the kernel was killed by {name}{hint}", cell, line, number)
    code = "" if returncode is None else f" with exit code {returncode}"
    return Failure("signal", "KernelDied", f"the kernel went away{code}", cell, line)


def _place(execution: Execution) -> tuple[int | None, str]:
    """Return the running cell's index in the author's notebook (None for injected cells), and its first line."""
    if execution.cell is None or execution.notebook is None:
        return None, ""
    return execution.origins[execution.cell], first_line(execution.notebook.cells[execution.cell].source)
