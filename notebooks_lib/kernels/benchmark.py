"""Measure the start of warm kernels beside cold ones, on this machine and with its packages. Prints nothing."""

from __future__ import annotations

import os
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 180.0
"""Seconds for one kernel."""


class BenchmarkFailed(Exception):
    """No start could be measured; the message gives the reason."""


@dataclass(frozen=True)
class KernelStart:
    """The measured start of one kernel, from the request to the result of its first cell."""

    warm: bool
    seconds: float
    own_mb: float
    """Memory afterwards that is not shared with any other process (USS)."""


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.3g}  ({min(self.values):.3g} to {max(self.values):.3g})"


def measure_starts(
    names: Sequence[str], repeats: int, on_start: Callable[[KernelStart], object]
) -> tuple[list[KernelStart], list[KernelStart]]:
    """Start warm and cold kernels in turn, `repeats` of each, and return both lists of starts.

    Each kernel imports the modules `names`. A first round is not counted. `on_start` is called after each start. Raises
    BenchmarkFailed when a kernel is not warm where it should be, ends, or does not import the modules in time.
    """
    code = f"import {', '.join(names)}"
    for _ in range(2):  # the first teaches the template; the second finds the memory as all later ones do
        _start(code, warm=True)
    _start(code, warm=False)
    warm: list[KernelStart] = []
    cold: list[KernelStart] = []
    for _ in range(repeats):
        for measured in (warm, cold):
            measured.append(_start(code, warm=measured is warm))
            on_start(measured[-1])
    return warm, cold


def _start(code: str, *, warm: bool) -> KernelStart:
    import psutil
    from jupyter_client.manager import KernelManager

    from notebooks_lib.kernels.kernelspec_managers import ColdSpecs, WarmSpecs

    with tempfile.TemporaryDirectory(prefix="nbops-") as private:
        # As for a run: sockets in a private folder, and no fixed wait.
        manager = KernelManager(
            kernel_name="python3",
            connection_file=f"{private}/k.json",
            transport="ipc",
            kernel_spec_manager=WarmSpecs() if warm else ColdSpecs(),
        )
        started = time.perf_counter()
        with open(os.devnull, "wb") as null:  # noqa: PTH123
            manager.start_kernel(env=dict(os.environ), cwd=str(Path.cwd()), stdout=null, stderr=null)
        try:
            process: Any = manager.provisioner.process
            _run(manager, process, code)
            seconds = time.perf_counter() - started
            if getattr(manager.provisioner, "warm", False) != warm:
                raise BenchmarkFailed("kernels are not warm here: the warning above, or `warm = false` in the settings")
            own = psutil.Process(process.pid).memory_full_info().uss / 2**20
            manager.shutdown_kernel()
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
    return KernelStart(warm, seconds, own)


def _run(manager: Any, process: Any, code: str) -> None:
    until = time.monotonic() + TIMEOUT
    listens = Path(f"{manager.ip}-{manager.hb_port}")  # the last socket that a kernel binds
    for _ in _while_alive(process, until):
        if listens.exists():
            break
        time.sleep(0.002)
    client = manager.client()
    client.start_channels(stdin=False, hb=False, control=False)
    try:
        sent = client.execute(code)
        for _ in _while_alive(process, until):
            try:
                reply = client.get_shell_msg(timeout=1)
            except queue.Empty:
                continue
            if reply["parent_header"].get("msg_id") == sent:
                break
        if reply["content"]["status"] != "ok":
            raise BenchmarkFailed(f"{code}: {reply['content'].get('ename')}: {reply['content'].get('evalue')}")
    finally:
        client.stop_channels()


def _while_alive(process: Any, until: float) -> Iterator[None]:
    while time.monotonic() < until:
        if process.poll() is not None:
            raise BenchmarkFailed(f"the kernel ended with exit code {process.poll()}")
        yield
    raise BenchmarkFailed(f"the kernel did not answer within {TIMEOUT:g} s")
