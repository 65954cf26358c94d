"""The engine that runs the cells of a prepared notebook in one kernel: papermill's engine and nbclient's client.

It does not know tracking. `Execution` holds what happened, even when papermill raises.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers

from notebooks_lib.running.cell_usage_table import record_memory
from notebooks_lib.running.executed_notebook_writer import ExecutedNotebook
from notebooks_lib.running.interruption import StopReason, Watchdog
from notebooks_lib.running.kernel_messages import LOOK_AGAIN, SILENCE, MessageClient
from notebooks_lib.running.kernel_process import KernelProcess
from notebooks_lib.running.output_limits import cut_text

ENGINE = "nbops"
START_TIMEOUT = 60
START_ATTEMPTS = 2


@dataclass
class Execution:
    """What the engine is to run and how; after the run also its outcome."""

    output: ExecutedNotebook
    environment: Mapping[str, str]
    source: Path
    """The notebook's own file; its kernel runs in that folder."""
    timeout: float | None = None
    cell_timeout: float | None = None
    stop_reason: Callable[[], StopReason | None] = lambda: None
    """Called ten times a second; returns the reason when the notebook is to stop."""
    on_cell: Callable[[int, int], None] = lambda index, total: None
    origins: Sequence[int | None] = ()
    """For each cell its index in the author's notebook."""
    cold: bool = False
    """Start an ordinary kernel although a warm one could be had."""
    look_again: float = LOOK_AGAIN
    silence: float = SILENCE

    notebook: Any = None
    """The notebook as far as it was executed."""
    cell: int | None = None
    """Index of the cell that was running when the notebook ended early."""
    error: tuple[str, str] | None = None
    """Name and message of the exception of that cell."""
    stopped: StopReason | None = None
    died: bool = False
    returncode: int | None = None
    start_failure: str | None = None
    peak_memory_mb: float | None = None
    warm: bool = False
    """True if the kernel that ran the cells was a warm one."""
    attempts: list[str] = field(default_factory=list)


def execute(notebook: Any, parameters: Mapping[str, object], execution: Execution, kernel_name: str) -> None:
    """Run the cells of a notebook whose parameters are already injected. `execution` receives the outcome.

    A failing notebook raises no error.
    """
    papermill_engines.register(ENGINE, NbopsEngine)
    # papermill would warn about annotations that it misreads, and about names that are already checked.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        execution.notebook = execute_notebook(
            notebook,
            None,  # papermill would rewrite the file at every cell's start and end (docs/design trap 6)
            engine_name=ENGINE,
            kernel_name=kernel_name,
            progress_bar=False,
            execution=execution,
            given=parameters,
        )
    except PapermillExecutionError:
        # papermill's note and anchor would shift the cells; the runner adds a note for every kind of end.
        execution.notebook = remove_error_markers(execution.notebook)


class NbopsEngine(Engine):  # type: ignore[misc]  # papermill is untyped
    """The engine that papermill calls. papermill itself records times and states of the cells."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, execution: Execution, given: Mapping[str, object], **_: Any
    ) -> None:
        """Run all cells in a fresh kernel."""
        # papermill was given a notebook, not a path, and would record the whole notebook here.
        nb_man.nb.metadata.papermill.input_path = str(execution.source)
        nb_man.nb.metadata.papermill.output_path = str(execution.output.path)
        nb_man.nb.metadata.papermill.parameters = json.loads(json.dumps(dict(given), default=str, skipkeys=True))
        execution.notebook = nb_man.nb
        client = _Client(nb_man, execution, kernel_name)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(client.run())
        else:  # called from a notebook, whose loop is running: use another thread's
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, client.run()).result()


class _Client(MessageClient):
    def __init__(self, nb_man: Any, execution: Execution, kernel_name: str) -> None:
        super().__init__(
            nb_man.nb,
            execution.output,
            look_again=execution.look_again,
            silence=execution.silence,
            startup_timeout=START_TIMEOUT,
            kernel_name=kernel_name,
        )
        self.nb_man = nb_man
        self.execution = execution
        self.kernel: KernelProcess | None = None

    async def run(self) -> None:
        """Start the kernel, run the cells, and end the kernel. No process or file of it is left, whatever happens."""
        execution = self.execution
        execution.output.save(self.nb, lasting=False)
        try:
            if await self._start():
                assert self.kernel is not None
                watchdog = Watchdog(
                    self.kernel,
                    timeout=execution.timeout,
                    cell_timeout=execution.cell_timeout,
                    stop_reason=execution.stop_reason,
                )
                watching = asyncio.ensure_future(watchdog.watch())
                try:
                    await self._cells(watchdog)
                finally:
                    execution.stopped = watchdog.stopped
                    watching.cancel()
        finally:
            await self._end()
            self.set_widgets_metadata()
            execution.notebook = self.nb_man.nb

    async def _start(self) -> bool:
        """Start a kernel, and try once more after a failure; that is safe because no user code has run yet."""
        execution = self.execution
        for _ in range(START_ATTEMPTS):
            self.kernel = KernelProcess(
                self.kernel_name, execution.environment, execution.source.parent, cold=execution.cold
            )
            self.km = self.kernel.manager
            try:
                await self.kernel.start()
                self.kc = self.km.client()
                self.without_limit(self.kc)
                info = await wait_until_ready(self.kc, self.kernel, START_TIMEOUT)
                self.prepare_kernel(info)
                self.nb.metadata["language_info"] = info["content"]["language_info"]
                execution.warm = self.kernel.warm
                return True
            except Exception as error:  # noqa: BLE001  # whatever a kernel's start raises: recorded, then tried again
                log = self.kernel.last_words()
                execution.attempts.append(f"{type(error).__name__}: {error}" + (f"\n{log}" if log else ""))
                await self._end()
        self.execution.start_failure = self.execution.attempts[-1]
        return False

    async def _cells(self, watchdog: Watchdog) -> None:
        execution = self.execution
        assert self.kernel is not None
        total = len(self.nb.cells)
        for index, cell in enumerate(self.nb.cells):
            execution.cell = index
            execution.on_cell(index, total)
            self.nb_man.cell_start(cell, index)
            self.cell_begins()
            watchdog.cell_begins()
            self.kernel.begin_cell()
            failed = True
            try:
                await self.async_execute_cell(cell, index)
                failed = False
            except CellExecutionError as error:
                execution.error = (error.ename, cut_text(error.evalue))
            except DeadKernelError:
                execution.died = True
                await self._wait_for_exit_code()
            finally:
                await self.drain()
                watchdog.cell_ends()
                peak = self.kernel.end_cell()
                if peak is not None and cell.cell_type == "code":
                    record_memory(cell, peak)
                self.nb_man.cell_complete(cell, cell_index=index)
                if (failed or watchdog.stopped) and cell.cell_type == "code":
                    # After, not before: papermill would call the killing cell "completed" (docs/design trap 1).
                    self.nb_man.cell_exception(cell, cell_index=index)
            if failed or watchdog.stopped:
                return
            execution.output.save_sometimes(self.nb)
        execution.cell = None

    async def _wait_for_exit_code(self) -> None:
        """Wait shortly for the dead kernel's exit code, which may come after the message of its death."""
        assert self.kernel is not None
        until = time.monotonic() + 2
        while self.kernel.returncode is None and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def _end(self) -> None:
        """End the kernel: gently when it is idle, at once when it was stopped or has died."""
        if self.kernel is None:
            return
        self.kernel.measure()
        self.kernel.note_children()
        self.execution.peak_memory_mb = self.kernel.peak_memory_mb or self.execution.peak_memory_mb
        gentle = self.execution.stopped is None and not self.execution.died
        try:
            if self.kc is not None:
                self.kc.stop_channels()
                self.kc = None
            await self.kernel.shut_down(gentle=gentle)
        finally:
            self.execution.returncode = self.kernel.returncode
            self.kernel.close()
            self.kernel = self.km = None


async def wait_until_ready(client: Any, kernel: KernelProcess, timeout: float) -> Any:
    """Connect to a starting kernel and return its answer to `kernel_info`. No later output is missed.

    jupyter_client's own `wait_for_ready` also listens for a fixed time, to see whether more messages come. That is not
    needed: the output channel is connected once anything came through it, and cells' output is recognised by its parent
    message. Raises RuntimeError when the kernel ends, or does not answer within `timeout` seconds.
    """
    until = time.monotonic() + timeout
    answer = None
    connected = False
    while time.monotonic() < until:
        if kernel.returncode is not None:
            raise RuntimeError(f"the kernel ended with exit code {kernel.returncode} before it answered")
        try:
            if not connected and not kernel.listens:  # connecting too early costs a tenth of a second in ZeroMQ
                await asyncio.sleep(0.002)
            elif not connected:
                client.start_channels(stdin=False, hb=False, control=False)
                client.allow_stdin = False
                connected = True
            elif answer is None:
                client.kernel_info()
                reply = await client.get_shell_msg(timeout=1)
                answer = reply if reply["msg_type"] == "kernel_info_reply" else None
            else:
                await client.get_iopub_msg(timeout=0.5)
                return answer
        except queue.Empty:
            answer = None  # ask again: if the output was connected too late, the next answer comes through it
    raise RuntimeError(f"the kernel did not answer within {timeout:g} s")
