"""The successor of a template: a copy of it imports what kernels had to import themselves, and takes its place.

Meanwhile the template continues to fork. Kernels whose project needs the new modules wait a while, others do not.
Standard library only.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import_history, preload = sys.modules["_nbops_import_history"], sys.modules["_nbops_preload"]

PATIENCE = 10.0
"""Seconds for which a kernel waits for modules that its project needs; importing them itself would take as long."""
HANG = 300.0
"""Seconds that a copy may take; then the template continues without it. The next template tries again."""


class Successor:
    """The template's view of its successor: the copy that imports more modules and will replace it."""

    def __init__(self, pid: int, output: int, projects: set[str]) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.output = output
        os.set_blocking(output, False)
        self.importing = ""
        self.ready = False
        self._projects = projects
        self._unfit = ""
        self._rest = b""
        self._since = time.monotonic()

    def read(self) -> bool:
        """Read reports from the successor; return False when there is nothing more to read."""
        try:
            data = os.read(self.output, 2**16)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            kind, _, text = line.decode().partition(" ")
            if kind == "importing":
                self.importing = text
            elif kind == "unfit":
                self._unfit = text
            self.ready = self.ready or kind == "ready"
        return bool(data)

    def worth_waiting_for(self, project: str, since: float) -> bool:
        """Return True if a kernel of this project, waiting since `since`, should go on waiting for the successor."""
        late = time.monotonic() - min(since, self._since) > PATIENCE
        return not self.ready and project in self._projects and not late

    def hangs(self) -> bool:
        """Return True if the successor is not ready HANG seconds after it started."""
        return not self.ready and time.monotonic() - self._since > HANG

    def end(self) -> None:
        """Kill the successor."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except OSError:
            pass

    def close(self) -> dict[str, str]:
        """Reap the ended successor. Return {module: reason} for the module that it failed to import; empty if none."""
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        os.close(self.pidfd)
        os.close(self.output)
        if self.ready or not self.importing:
            return {}
        return {self.importing: self._unfit or "a process that imported it ended"}


class Reporter:
    """Sends reports from the successor to the template. Errors are ignored, because the template may have ended."""

    def __init__(self, output: int) -> None:
        self._output = output

    def __call__(self, kind: str, text: str = "") -> None:
        """Send a report of one line."""
        try:
            os.write(self._output, f"{kind} {text}\n".encode())
        except OSError:
            pass


class Learning:
    """Which modules the template's projects need and it lacks, and the successor that imports them."""

    def __init__(
        self,
        imported: Any,
        pinned: Sequence[str],
        become: Callable[[list[str], Reporter], None],
        taken_over: Callable[..., None],
    ) -> None:
        self.projects: dict[str, Any] = {}
        """Each project's import history, with the stamp that the file had when it was read."""
        self._preload = imported
        self._pinned = pinned
        self._become = become
        self._taken_over = taken_over
        self._successor: Successor | None = None

    def add_project(self, project: str) -> None:
        """Add a project whose import history the next successor takes into account."""
        self.projects.setdefault(project, 0)

    def fork_successor(self, selector: selectors.BaseSelector) -> None:
        """Fork a successor that imports the missing modules, unless there is one. Returns in both processes."""
        if self._successor is not None or not (missing := self._missing()):
            return
        output, written = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(output)
            self._become(list(missing), Reporter(written))
            os.close(written)
            return
        os.close(written)
        self._successor = Successor(pid, output, set().union(*missing.values()))
        selector.register(output, selectors.EVENT_READ, lambda _: self._read(selector))
        selector.register(self._successor.pidfd, selectors.EVENT_READ, lambda _: self._ended(selector))

    def _missing(self) -> dict[str, set[str]]:
        """Return modules not imported yet, with the projects that need them, where an import history has changed."""
        missing: dict[str, set[str]] = {}
        for project, last_stamp in self.projects.items():
            stamp = preload.file_stamp(project)
            if stamp != last_stamp:
                self.projects[project] = stamp
                for name in [*self._pinned, *import_history.read_history(project)]:
                    if self._preload.wants(name) and self._preload.table.allows(name):
                        missing.setdefault(name, set()).add(project)
        return missing

    def _read(self, selector: selectors.BaseSelector) -> None:
        successor = self._successor
        assert successor is not None
        if not successor.read():
            selector.unregister(successor.output)
        elif successor.ready:
            self._taken_over(gone=False)

    def _ended(self, selector: selectors.BaseSelector) -> None:
        """Go on without the successor, and without the module whose import ended it, if it never took over."""
        successor, self._successor = self._successor, None
        assert successor is not None
        while successor.read():
            pass
        for fd in (successor.pidfd, successor.output):
            if fd in selector.get_map():
                selector.unregister(fd)
        for name, why in successor.close().items():
            self._preload.never[self._preload.table.package(name) or name] = f"{name}: {why}"
            self.projects = dict.fromkeys(self.projects, 0)
        self.fork_successor(selector)

    def worth_waiting_for(self, project: str, since: float) -> bool:
        """Return True if a kernel of this project, waiting since `since`, should wait for the successor."""
        return self._successor is not None and self._successor.worth_waiting_for(project, since)

    @property
    def importing(self) -> str:
        """The module that the successor is importing now; empty when there is none."""
        return self._successor.importing if self._successor is not None and not self._successor.ready else ""

    def end(self, *, only_if_it_hangs: bool = False) -> None:
        """Kill a successor that is not ready yet; with `only_if_it_hangs`, only if it has taken longer than HANG."""
        successor = self._successor
        if successor is not None and not successor.ready and (successor.hangs() or not only_if_it_hangs):
            successor.end()

    def forget(self) -> None:
        """Close the template's descriptors; called in a child."""
        if self._successor is not None:
            os.close(self._successor.pidfd)
            os.close(self._successor.output)
            self._successor = None
