"""How a template learns: a copy of it imports what kernels had to import themselves, and takes its place.

Meanwhile the template answers as ever: kernels to which the copy will be of use wait a while, all others do not.
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
"""Seconds for which a kernel waits for modules that its project needs; to import them would take it as long."""
HANG = 300.0
"""Seconds that a copy may take; then this template goes on without it. The next template tries again."""


class Successor:
    """The copy, as the template sees it."""

    def __init__(self, pid: int, heard: int, projects: set[str]) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.heard = heard
        os.set_blocking(heard, False)
        self.importing = ""
        self.ready = False
        self._projects = projects
        self._unfit = ""
        self._rest = b""
        self._since = time.monotonic()

    def hear(self) -> bool:
        """Take in what it says; False when it says no more."""
        try:
            data = os.read(self.heard, 2**16)
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
        """Whether a kernel of the project that has waited since then had better go on waiting."""
        late = time.monotonic() - min(since, self._since) > PATIENCE
        return not self.ready and project in self._projects and not late

    def hangs(self) -> bool:
        """Whether it has had its time."""
        return not self.ready and time.monotonic() - self._since > HANG

    def end(self) -> None:
        """SIGKILL."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except OSError:
            pass

    def close(self) -> dict[str, str]:
        """Reap it; which import it has died of, if it never became ready, and why."""
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        os.close(self.pidfd)
        os.close(self.heard)
        if self.ready or not self.importing:
            return {}
        return {self.importing: self._unfit or "a process that imported it ended"}


class Tell:
    """Speaks to the template, from its successor; a template that is gone does not listen."""

    def __init__(self, told: int) -> None:
        self._told = told

    def __call__(self, kind: str, text: str = "") -> None:
        try:
            os.write(self._told, f"{kind} {text}\n".encode())
        except OSError:
            pass


class Learning:
    """What a template's projects want to have imported, and the successor that is about to have it."""

    def __init__(
        self,
        imported: Any,
        pinned: Sequence[str],
        succeed: Callable[[list[str], Tell], None],
        taken_over: Callable[..., None],
    ) -> None:
        self.projects: dict[str, Any] = {}
        """Each project's import cache, and what it looked like when it was read."""
        self._preload = imported
        self._pinned = pinned
        self._succeed = succeed
        self._taken_over = taken_over
        self._successor: Successor | None = None

    def of(self, project: str) -> None:
        """Take a project's wishes into account."""
        self.projects.setdefault(project, 0)

    def grow(self, selector: selectors.BaseSelector) -> None:
        """Let a successor import what is missing; it comes out of here as a template of its own."""
        if self._successor is not None or not (missing := self._missing()):
            return
        heard, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            self._succeed(list(missing), Tell(told))
            os.close(told)
            return
        os.close(told)
        self._successor = Successor(pid, heard, set().union(*missing.values()))
        selector.register(heard, selectors.EVENT_READ, lambda _: self._hear(selector))
        selector.register(self._successor.pidfd, selectors.EVENT_READ, lambda _: self._ended(selector))

    def _missing(self) -> dict[str, set[str]]:
        """Modules that are not imported yet, with the projects that want them, if anything was learned meanwhile."""
        missing: dict[str, set[str]] = {}
        for project, seen in self.projects.items():
            now = preload.stamp(project)
            if now != seen:
                self.projects[project] = now
                for name in [*self._pinned, *import_history.read(project)]:
                    if self._preload.wants(name) and self._preload.table.allows(name):
                        missing.setdefault(name, set()).add(project)
        return missing

    def _hear(self, selector: selectors.BaseSelector) -> None:
        found = self._successor
        assert found is not None
        if not found.hear():
            selector.unregister(found.heard)
        elif found.ready:
            self._taken_over(gone=False)

    def _ended(self, selector: selectors.BaseSelector) -> None:
        """If it never took over, everything goes on, without what it has died of."""
        found, self._successor = self._successor, None
        assert found is not None
        while found.hear():
            pass
        for fd in (found.pidfd, found.heard):
            if fd in selector.get_map():
                selector.unregister(fd)
        for name, why in found.close().items():
            self._preload.never[self._preload.table.package(name) or name] = f"{name}: {why}"
            self.projects = dict.fromkeys(self.projects, 0)
        self.grow(selector)

    def worth_waiting_for(self, project: str, since: float) -> bool:
        """Whether a kernel of the project that has waited since then had better wait for the successor."""
        return self._successor is not None and self._successor.worth_waiting_for(project, since)

    @property
    def importing(self) -> str:
        """What is being imported now; empty when nothing is."""
        return self._successor.importing if self._successor is not None and not self._successor.ready else ""

    def end(self, *, only_if_it_hangs: bool = False) -> None:
        """End a successor that has not taken over."""
        found = self._successor
        if found is not None and not found.ready and (found.hangs() or not only_if_it_hangs):
            found.end()

    def forget(self) -> None:
        """In a child: close what is the template's."""
        if self._successor is not None:
            os.close(self._successor.pidfd)
            os.close(self._successor.heard)
            self._successor = None
