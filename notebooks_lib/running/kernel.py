"""One kernel process: its connection, environment and folder, what it used, and its certain end. It runs no cells."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from notebooks_lib import errors
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.records import Env
from notebooks_lib.running import reaper

SOCKET_PATH_LIMIT = 100
"""A Unix socket's path has room for 107 bytes on Linux and 103 on macOS."""


class Kernel:
    """A kernel that is not started yet. `close()` leaves no process and no file of it behind."""

    def __init__(self, kernel_name: str, environment: Mapping[str, str], folder: Path) -> None:
        self.marker = f"{Env.KERNEL}={uuid.uuid4().hex}"
        self.folder = folder
        # Never under the project: socket paths are short of room there (docs/design trap 5).
        self._private = Path(tempfile.mkdtemp(prefix="nbops-"))
        self.log = self._private / "kernel.log"
        connection = self._private / "k.json"
        ipc = sys.platform != "win32" and len(os.fsencode(connection)) < SOCKET_PATH_LIMIT
        self.manager = AsyncKernelManager(
            kernel_name=kernel_name,
            connection_file=str(connection),
            **({"transport": "ipc"} if ipc else {}),
        )
        name, _, value = self.marker.partition("=")
        self.environment = {**os.environ, **environment, name: value}
        self.pid: int | None = None
        self.returncode: int | None = None
        self.peak_memory_mb: float | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._children: list[psutil.Process] = []
        self._output: IO[bytes] | None = None

    def start_arguments(self) -> dict[str, Any]:
        """What `start_kernel` is given: what C code prints goes to a file, not among the runner's own output."""
        self._output = self.log.open("ab")
        return {
            "env": self.environment,
            "cwd": str(self.folder),
            "stdout": self._output,
            "stderr": self._output,
        }

    def guard(self) -> None:
        """Have a second process end the kernel if this one is killed; before the kernel starts."""
        if sys.platform == "win32":
            return
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, self.marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C or a kill of our process group must not reach it
            cwd="/",
        )

    def started(self) -> None:
        """Note the process, once the manager has it."""
        process = self.process
        if process is not None:
            self.pid = process.pid
            self._tell(f"pgid {process.pid}\n")

    @property
    def process(self) -> Any:
        """The process as its provisioner knows it, or None."""
        return getattr(self.manager.provisioner, "process", None)

    def note_exit(self) -> None:
        """Remember how the process ended, while its provisioner still knows."""
        if self.process is not None and self.returncode is None:
            self.returncode = self.process.poll()

    def measure(self) -> None:
        """Take the memory in use now into the peak: the kernel's high-water mark and its children's resident set."""
        if self.pid is None:
            return
        try:
            kernel = psutil.Process(self.pid)
            total = _high_water(self.pid) or kernel.memory_info().rss
            total += sum(child.memory_info().rss for child in kernel.children(recursive=True))
        except psutil.Error:
            return
        self.peak_memory_mb = max(self.peak_memory_mb or 0.0, round(total / 2**20, 1))

    def note_children(self) -> None:
        """Remember what the kernel has started, while it lives: later nobody can tell whose those processes were."""
        try:
            if self.pid is not None:
                self._children = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            pass  # it died; the process group and the mark have to do

    def kill(self) -> None:
        """End the kernel and everything it started, now."""
        if self.pid is not None and hasattr(os, "killpg"):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except OSError:
                pass  # already gone
        elif self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """End what is left of it and remove its files."""
        groups = [self.pid] if self.pid is not None else []
        for child in self._children:
            try:
                child.kill()  # psutil looks whether the pid is still the same process
            except psutil.Error:
                pass
        if hasattr(os, "killpg"):
            reaper.end(self.marker.encode(), groups)
        if self._output is not None:
            self._output.close()
        self._tell("done\n")
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
        shutil.rmtree(self._private, ignore_errors=True)

    def last_words(self, characters: int = 2000) -> str:
        """The end of what the process wrote outside its notebook: why it did not start."""
        try:
            return self.log.read_text("utf-8", "replace")[-characters:].strip()
        except OSError:
            return ""

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            try:
                self._guard.stdin.write(line)
                self._guard.stdin.flush()
            except OSError:
                pass  # the guard is gone; the kernel is still ours to end


def installed(notebook: Notebook, wanted: str | None = None) -> str:
    """The name of an installed kernel for the notebook: the wanted one, its own, or `python3` for any Python notebook.

    Notebooks name kernels of the machine they were written on, such as a conda environment's; papermill stops there.
    Raises NotebookError that lists the kernels there are.
    """
    known = set(KernelSpecManager().find_kernel_specs())
    name = wanted or notebook.kernel
    if name in known:
        return name
    if wanted is None and notebook.is_python and "python3" in known:
        logging.getLogger(__name__).warning("kernel %r is not installed here: python3 runs the notebook", name)
        return "python3"
    raise errors.NotebookError(
        f"{notebook.path.name}: {errors.unknown('kernel', name, known)}; install it, or name another with --kernel"
    )


def _high_water(pid: int) -> int | None:
    """The most memory the process has ever held, in bytes; Linux only."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
