"""How the run of a notebook ended, decided by what its execution has shown. It starts and writes nothing."""

from __future__ import annotations

import signal

from notebooks_lib.run_result import Failure, RunStatus
from notebooks_lib.running.cell_usage_table import first_line
from notebooks_lib.running.engine import Execution


def decide_outcome(execution: Execution) -> tuple[RunStatus, Failure | None]:
    """Return the run's status and, unless it is FINISHED, the failure.

    FAILED: a cell raised, the notebook exited with another code than 0, or the kernel did not start. KILLED: the kernel
    died, or the run was stopped by a time limit, an interrupt or pruning.
    """
    cell, line = failing_cell(execution)
    if execution.start_failure is not None:
        return "FAILED", Failure("start", "KernelStartError", execution.start_failure)
    if execution.stopped == "timeout":
        return "KILLED", Failure(
            "timeout", "Timeout", f"the notebook took longer than {execution.timeout:g} s", cell, line
        )
    if execution.stopped == "cell timeout":
        return "KILLED", Failure(
            "timeout", "CellTimeout", f"the cell took longer than {execution.cell_timeout:g} s", cell, line
        )
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
            message = "input() gets no answer while a notebook is run: make the answer a parameter"
        return "FAILED", Failure("error", name, message, cell, line)
    return "FINISHED", None


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


def failing_cell(execution: Execution) -> tuple[int | None, str]:
    """Return the running cell's index in the author's notebook (None for injected cells), and its first line."""
    if execution.cell is None or execution.notebook is None:
        return None, ""
    return execution.origins[execution.cell], first_line(execution.notebook.cells[execution.cell].source)
