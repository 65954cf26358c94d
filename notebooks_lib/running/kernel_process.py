"""One kernel process: its connection, environment and folder, its memory, and its certain end. Runs no cells."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from traitlets import TraitError

from notebooks_lib import errors
from notebooks_lib.kernels.kernelspec_managers import ColdSpecs, WarmSpecs
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.running import orphan_processes
from notebooks_lib.running.orphan_processes import GUARD
from notebooks_lib.tags import Env

SOCKET_PATH_LIMIT = 100
"""Bytes; the path of a Unix socket has room for 107 on Linux and 103 on macOS."""
BROKEN_SPEC = (OSError, ValueError, TypeError, TraitError)
"""What jupyter_client raises for a kernel.json that is no JSON, or no kernelspec."""
SHUTDOWN = 5.0
"""Seconds that an idle kernel has to shut down."""


class KernelProcess:
    """A kernel process, started by `start()`. `close()` leaves no process and no file of it behind."""

    def __init__(self, kernel_name: str, environment: Mapping[str, str], folder: Path, *, cold: bool = False) -> None:
        self._mark = uuid.uuid4().hex
        self.marker = f"{Env.KERNEL}={self._mark}"
        self.folder = folder
        # Never under the project, where the path of a socket may be too long (docs/design trap 5).
        self._private = Path(tempfile.mkdtemp(prefix="nbops-"))
        self.log = self._private / "kernel.log"
        connection = self._private / "k.json"
        ipc = sys.platform != "win32" and len(os.fsencode(connection)) < SOCKET_PATH_LIMIT
        self.manager = AsyncKernelManager(
            kernel_name=kernel_name,
            connection_file=str(connection),
            kernel_spec_manager=ColdSpecs() if cold else WarmSpecs(),
            **({"transport": "ipc"} if ipc else {}),
        )
        self.environment = {**os.environ, **environment, Env.KERNEL: self._mark}
        self.process: Any = None
        """The provisioner's process: a Popen, or an object with its methods."""
        self.peak_memory_mb: float | None = None
        self._cell_peak = 0.0
        self._children: list[psutil.Process] = []
        self._output: IO[bytes] | None = None

    @property
    def warm(self) -> bool:
        """True if the kernel was forked from a template, which has the libraries imported."""
        return bool(getattr(self.manager.provisioner, "warm", False))

    @property
    def pid(self) -> int | None:
        """The process id, also after the process has ended."""
        return None if self.process is None else int(self.process.pid)

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return None if self.process is None else self.process.poll()

    @property
    def listens(self) -> bool:
        """True if a client can connect. For TCP ports always True, because that cannot be seen."""
        manager = self.manager
        return (
            manager.transport != "ipc" or Path(f"{manager.ip}-{manager.hb_port}").exists()
        )  # the last socket that it binds

    async def start(self) -> None:
        """Start the kernel. Output of C code goes to a file instead of the output of this process."""
        GUARD.start(self.marker)
        self._output = self.log.open("ab")
        await self.manager.start_kernel(
            env=self.environment, cwd=str(self.folder), stdout=self._output, stderr=self._output
        )
        self.process = getattr(self.manager.provisioner, "process", None)
        if self.pid is not None:
            GUARD.group(self.marker, self.pid)

    async def shut_down(self, *, gentle: bool) -> None:
        """Ask an idle kernel to exit if `gentle`, else kill it. Its kernel manager cannot be used afterwards."""
        manager = self.manager
        if gentle and self.process is not None and self.process.poll() is None:
            await manager.request_shutdown()
            try:
                await asyncio.wait_for(manager.provisioner.wait(), SHUTDOWN)
            except TimeoutError:
                pass
        if self.process is not None:
            await manager.shutdown_kernel(now=True)
        await manager.cleanup_resources()

    def measure(self) -> None:
        """Update the peak memory: that of the kernel process plus the resident memory of its children."""
        if self.pid is None:
            return
        try:
            kernel = psutil.Process(self.pid)
            total = _high_water(self.pid) or kernel.memory_info().rss
            total += sum(child.memory_info().rss for child in _descendants(kernel))
        except psutil.Error:
            return
        self._cell_peak = max(self._cell_peak, round(total / 2**20, 1))
        self.peak_memory_mb = max(self.peak_memory_mb or 0.0, self._cell_peak)

    def begin_cell(self) -> None:
        """Start measuring a cell: reset the high-water mark to the memory in use."""
        self._cell_peak = 0.0
        if self.pid is not None:
            try:
                Path(f"/proc/{self.pid}/clear_refs").write_text("5")
            except OSError:
                pass  # not Linux, or the process has ended: the mark then includes the cells before

    def end_cell(self) -> float | None:
        """Return the peak memory since the cell began, in MiB; None when it could not be measured."""
        self.measure()
        return self._cell_peak or None

    def note_children(self) -> None:
        """Record the kernel's child processes while it runs; after its end they can no longer be assigned to it."""
        try:
            if self.pid is not None:
                self._children = _descendants(psutil.Process(self.pid))
        except psutil.Error:
            pass  # it has died; process group and marker remain to find them by

    def kill(self) -> None:
        """Kill the kernel and its process group now."""
        if self.pid is not None and hasattr(os, "killpg"):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except OSError:
                pass  # already gone
        elif self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Kill the remaining processes of the kernel, and remove its files."""
        groups = [self.pid] if self.pid is not None else []
        for child in self._children:
            try:
                child.kill()  # psutil checks that the pid is still the same process
            except psutil.Error:
                pass
        if hasattr(os, "killpg"):
            orphan_processes.kill_all(self.marker.encode(), groups)
        if self._output is not None:
            self._output.close()
        GUARD.done(self.marker)
        shutil.rmtree(self._private, ignore_errors=True)

    def last_words(self, characters: int = 2000) -> str:
        """Return the last `characters` of what the kernel process printed, which may explain why it did not start."""
        try:
            return self.log.read_text("utf-8", "replace")[-characters:].strip()
        except OSError:
            return ""


def find_kernel(notebook: Notebook, requested: str | None = None) -> str:
    """Return the name of an installed kernel: `requested`, the notebook's own, or `python3` for a Python notebook.

    Notebooks often name a kernel that exists only on the machine where they were written, such as a conda
    environment's. Raises NotebookError, listing the installed kernels, when none of these is installed, and for one
    whose kernel.json cannot be read.
    """
    specs = KernelSpecManager()
    installed = specs.find_kernel_specs()
    name = requested or notebook.kernel
    if name in installed:
        try:
            specs.get_kernel_spec(name)
        except NoSuchKernel:  # its provisioner is not installed, which its start reports
            pass
        except BROKEN_SPEC as error:
            raise errors.NotebookError(
                f"{notebook.path.name}: kernel {name!r} is damaged, {Path(installed[name]) / 'kernel.json'} cannot be "
                f"read ({errors.reason(error)}): mend it, or name another kernel with --kernel"
            ) from error
        return name
    if requested is None and notebook.is_python and "python3" in installed:
        logging.getLogger(__name__).warning("kernel %r is not installed here: python3 runs the notebook", name)
        return "python3"
    raise errors.NotebookError(
        f"{notebook.path.name}: {errors.unknown('kernel', name, installed)}; install it, or name another with --kernel"
    )


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return a process's children, and theirs. Linux lists them; elsewhere psutil searches all processes."""
    if not Path(f"/proc/{process.pid}/task/{process.pid}/children").exists():
        return process.children(recursive=True)
    descendants: list[psutil.Process] = []
    wave = [process]
    while wave:
        numbers = {
            int(pid)
            for parent in wave
            for task in Path(f"/proc/{parent.pid}/task").glob("*/children")
            for pid in _words(task)
        }
        wave = []
        for pid in numbers:
            with contextlib.suppress(psutil.Error):
                wave.append(psutil.Process(pid))
        descendants += wave
    return descendants


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _high_water(pid: int) -> int | None:
    """Return the most memory that the process has held, in bytes; Linux only."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
