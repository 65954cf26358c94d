"""Run one notebook once: open its run, run its cells, decide and record the outcome.

A failing notebook raises nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from notebooks_lib import errors
from notebooks_lib.run_result import Failure, RunResult, RunStatus, TrialState
from notebooks_lib.running import interruption, kernel_packages
from notebooks_lib.running.cell_usage_table import read_cell_usage
from notebooks_lib.running.engine import Execution, execute
from notebooks_lib.running.executed_notebook_writer import ExecutedNotebook, annotate
from notebooks_lib.running.interruption import StopReason
from notebooks_lib.running.kernel_process import find_kernel
from notebooks_lib.running.notebook_page import to_html
from notebooks_lib.running.outcome import decide_outcome, failing_cell
from notebooks_lib.running.plan import Plan, artifact_stem, executed_file
from notebooks_lib.running.prepared_notebook import prepare
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.store import Store

_warned: set[str] = set()
_WITHOUT_REQUEST = {Env.JOB: ""}
"""The parameters of a job are for its notebook, not for the notebooks that a cell of it runs."""


class OtherProcesses(Protocol):
    """The other processes of a distributed job, for the process that owns the run."""

    def failure(self) -> Failure | None:
        """Return the failure of one that has failed; called ten times a second."""

    def end(self, status: RunStatus, interrupted: Callable[[], object]) -> Failure | None:
        """Return the failure of the others, once this process has ended with `status`; it may wait for them."""


def run_notebook(
    plan: Plan,
    *,
    store: Store | None = None,
    timeout: float | None = None,
    cell_timeout: float | None = None,
    output: Path | None = None,
    html: bool = True,
    kernel: str | None = None,
    cold: bool = False,
    environment: Mapping[str, str] | None = None,
    stop_reason: Callable[[], StopReason | None] = lambda: None,
    others: OtherProcesses | None = None,
    on_open: Callable[[str, str], None] = lambda run_id, url: None,
    on_cell: Callable[[int, int], None] = lambda index, total: None,
) -> RunResult:
    """Run the plan's notebook; `timeout` (the whole) and `cell_timeout` (each cell) are in seconds.

    `output` is the path of the executed notebook; with `html`, its page is kept with the run. `kernel` names another
    kernel than the notebook's own; `cold` asks for an ordinary kernel instead of a warm one. `environment` is added to
    the kernel's variables. `stop_reason` is called ten times a second in this thread; it returns the reason when the
    notebook is to stop. `others` are the other processes of a distributed job: the notebook stops when one of them
    fails, and the run fails with that failure. `on_open` is called with the run's id and address, `on_cell` with the
    index of each cell and the number of cells.

    Returns when the kernel, all its child processes and the run have ended. Raises TrackingError when the store does
    not accept the run; the executed notebook is kept and named in the message. Raises NotebookError when the kernel is
    not installed.
    """
    started = time.monotonic()
    kernel_name = find_kernel(plan.notebook, kernel)
    stores.make_state(plan.settings.layout)
    prepared = prepare(plan.notebook, plan.overrides, plan.secrets)
    _refuse_unwritable(output or plan.settings.layout.executed / "n.ipynb")
    with interruption.catch_signals() as interrupted:  # up to the last write: no Ctrl-C leaves the run half written
        owned = _own_run(plan, store, kernel_name)
        if owned is not None:
            on_open(owned.run_id, owned.url)
        execution = Execution(
            output=ExecutedNotebook(
                output or executed_file(plan, owned.run_id if owned else uuid.uuid4().hex), plan.secret_values
            ),
            environment={**(environment or {}), **(owned.environment() if owned else {}), **_WITHOUT_REQUEST},
            source=plan.notebook.opened,
            origins=prepared.origins,
            timeout=timeout,
            cell_timeout=cell_timeout,
            cold=cold or _needs_cold(plan),
            stop_reason=lambda: interrupted() or stop_reason() or _other_failed(others),
            on_cell=on_cell,
        )
        status: RunStatus = "KILLED"
        failure: Failure | None = Failure("error", "RunnerError", "the runner itself failed; please report it")
        try:
            execute(prepared.notebook, plan.overrides, execution, kernel_name)
            status, failure = decide_outcome(execution)
            if others is not None and (elsewhere := others.end(status, interrupted)):
                failure = failure.beside(elsewhere) if failure and status == "FAILED" else elsewhere
                status = "KILLED" if failure.kind == "interrupt" else "FAILED"
        except KeyboardInterrupt:  # of somebody who insists; the run was asked to stop before
            failure = Failure("interrupt", "Interrupted", "the runner was asked to stop", *failing_cell(execution))
            raise
        except OSError as error:
            status, failure = "FAILED", _unwritten(execution.output, error)
        finally:
            result = _end(plan, owned, execution, status, failure, html=html, started=started)
    return result


def _own_run(plan: Plan, store: Store | None, kernel_name: str) -> OwnedRun | None:
    """Open the run, or adopt the one that is there; None for an untracked notebook."""
    start = plan.start
    if start is None:
        return None
    if start.lock_sha256:
        folder = plan.notebook.opened.parent
        installed = kernel_packages.lock_installed(plan.settings.layout, kernel_name, folder)
        start = dataclasses.replace(start, lock_installed=installed)
    connected = store or stores.connect(plan.settings)
    return OwnedRun.adopt(connected, start.run_id, start) if start.run_id else OwnedRun.open(connected, start)


def _other_failed(others: OtherProcesses | None) -> StopReason | None:
    return "interrupt" if others is not None and others.failure() else None


def _refuse_unwritable(file: Path) -> None:
    """Raise UsageError where the executed notebook could not be saved, before anything is started."""
    folder = file.parent
    try:
        if stat.S_ISDIR(file.stat().st_mode):
            raise errors.UsageError(f"{file} is a folder: name a file in it, as in --output {file / 'executed.ipynb'}")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise errors.UsageError(
            f"{file} cannot be written ({error.strerror}): name another file with --output"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise errors.UsageError(
            f"{folder} cannot be written ({error.strerror}), so the executed notebook has no place: make the folder "
            "writable, or name another file with --output"
        ) from error


def _needs_cold(plan: Plan) -> bool:
    """Return whether the notebook needs an ordinary kernel; warn once, because it costs time."""
    warning = f"an ordinary kernel runs {plan.notebook.path.name}: {plan.cold_because}"
    if plan.cold_because and warning not in _warned:
        _warned.add(warning)
        logging.getLogger(__name__).warning(warning)
    return bool(plan.cold_because)


def _unwritten(output: ExecutedNotebook, error: OSError) -> Failure:
    return Failure("error", type(error).__name__, f"{output.path} cannot be written: {error}")


def trial_state(status: RunStatus, failure: Failure | None) -> TrialState:
    """Return the state in which a trial of a sweep ended, such as pruned, for which MLflow has no status."""
    if failure is not None and failure.kind == "pruned":
        return "pruned"
    return "finished" if status == "FINISHED" else "failed" if status == "FAILED" else "killed"


def _end(
    plan: Plan,
    owned: OwnedRun | None,
    execution: Execution,
    status: RunStatus,
    failure: Failure | None,
    *,
    html: bool,
    started: float,
) -> RunResult:
    output = execution.output
    notebook = execution.notebook
    if failure is not None:
        failure = owned.explained(failure) if owned else failure
        failure = dataclasses.replace(failure, message=output.masked(failure.message), line=output.masked(failure.line))
    saved = False
    if notebook is not None:
        annotate(notebook, status, failure, execution.cell)
        try:
            output.save(notebook)
            saved = True
        except OSError as error:
            status, failure = ("FAILED", _unwritten(output, error)) if failure is None else (status, failure)
    early = status == "FINISHED" and execution.error is not None
    result = RunResult(
        run_id=owned.run_id if owned else None,
        status=status,
        output=output.path,
        failure=failure,
        url=owned.url if owned else "",
        stopped_early=early,
        seconds=time.monotonic() - started,
        peak_memory_mb=execution.peak_memory_mb,
    )
    if owned is None:
        return result
    tags = {
        Tag.KERNEL: "warm" if execution.warm else "cold",
        Tag.STOPPED_EARLY: "true" if early else "",
        Tag.PEAK_MEMORY: str(execution.peak_memory_mb or ""),
    }
    if plan.start is not None and Tag.TRIAL in (plan.start.tags or {}):
        tags[Tag.TRIAL_STATE] = trial_state(status, failure)
    shown_failure = failure if failure is None or failure.kind != "pruned" else None  # pruning is no failure
    cells = [vars(figures) for figures in read_cell_usage(notebook)] if notebook is not None else []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            page = _page(output.without_secrets(notebook), plan, Path(scratch)) if saved and html else None
            artifacts = [(path, "notebook") for path in (output.path if saved else None, page) if path is not None]
            metrics = owned.end(
                status, failure=shown_failure, tags=tags, artifacts=artifacts, documents={"cells.json": cells}
            )
    except Exception as error:
        raise errors.RunNotWrittenError(
            f"the notebook ended {status} and stands in {output.path}, but run {owned.run_id} could not be written to "
            f"{owned.store.uri}: {errors.reason(error)}; `nbops doctor` closes it when the store answers",
            result,
        ) from error
    return dataclasses.replace(result, metrics=metrics, seconds=time.monotonic() - started)


def _page(notebook: Any, plan: Plan, folder: Path) -> Path | None:
    """Write the HTML page; None when nbconvert fails, because the run must not depend on a page."""
    page = folder / f"{artifact_stem(plan.notebook.path)}.html"
    try:
        page.write_text(to_html(notebook, plan.notebook.path.stem), "utf-8")
    except Exception as error:  # noqa: BLE001  # whatever a template or a filter raises
        logging.getLogger(__name__).warning("no HTML page of %s: %s", plan.notebook.path.name, error)
        return None
    return page
