"""The template process: it has the libraries imported, and forks a kernel whenever one is asked for.

Started by path with one argument, a JSON object; never imported. It speaks `wire` on a Unix socket, one connection a
kernel: the request and its three streams come in, the kernel's pid and pidfd go out, and at its end the exit code.
It leaves when it was idle for long, when its files changed, or when its successor knows more; kernels that still run
keep it until they end, for it is their parent.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
SIBLINGS = (
    *("wire", "memory", "watching", "pools", "leftovers", "rehearsal", "preload", "growth", "family", "ending"),
    *("child", "deferred"),
)


LOOK_EVERY = 5.0
"""Seconds between two looks, when nobody asks for anything, at whether there is a reason to leave."""


def _sibling(name: str):  # type: ignore[no-untyped-def]
    """A module beside this file, outside every package: no project's path is ever needed."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"_nbops_{name}", os.path.join(HERE, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


wire, memory, watching, pools, _, _, preload, growth, family, ending, child, deferred = map(_sibling, SIBLINGS)


class Forked(BaseException):
    """Raised in the child, so that nothing of the template is left on its stack."""

    def __init__(
        self,
        template: int,
        connection: socket.socket,
        request: dict[str, Any],
        fds: list[int],
        report: int,
        client_pidfd: int | None,
    ) -> None:
        self.template = template
        self.connection = connection
        self.request = request
        self.fds = fds
        self.report = report
        self.client_pidfd = client_pidfd


class Template:
    """One listening socket and the kernels forked so far."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.pid = os.getpid()
        self.path = config["socket"]
        self.idle = float(config["idle"])
        never = dict.fromkeys(config["never"], "forbidden by the settings")
        self.preload = preload.Preload(never, watching.Watch(), pools.Pools(), deferred.Deferred)
        self.pinned = list(config["pinned"])
        self.projects: dict[str, Any] = {config["memory"]: 0}
        """Each project's memory, and what it looked like when it was read."""
        self.growth: Any = None
        self.open = True
        """Whether it forks kernels; else it only waits for those it has."""
        self.listener: socket.socket | None = None
        self.inode: int | None = None
        self.selector = selectors.DefaultSelector()
        self.kernels = family.Kernels(self.selector, self._learned)
        self.used = time.monotonic()
        self.forks = 0
        self.signals: dict[int, object] = {}

    def start(self, ready: int) -> None:
        """Import what every kernel needs, listen, and say so."""
        gc.disable()
        self.preload.start()
        for name in ("template", *SIBLINGS):
            self.preload.watch(os.path.join(HERE, f"{name}.py"))
        self.preload.settle()
        self.signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._listen(self.path)
        os.write(ready, b"{}")
        os.close(ready)
        self._grow()

    def serve(self) -> None:
        """Answer until there is no more reason to be. Raises Forked in every child."""
        while self.open or self.kernels.running:
            for key, _ in self.selector.select(self._patience()):
                try:
                    key.data(key.fileobj)
                except Exception:  # noqa: BLE001  # told in the log; the kernels that run need their parent
                    traceback.print_exc()
                break  # one at a time: an answer may have closed what the others are about
            else:
                self._look()
        self._shut()

    def _patience(self) -> float:
        """Seconds until it has to look around."""
        if self.growth is not None and not self.growth.ready:
            return 0.2
        return min(LOOK_EVERY, max(0.1, self._idle_left()))

    def _idle_left(self) -> float:
        return self.idle - (time.monotonic() - self.used)

    def _listen(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.inode = _inode(path)
        self._attend()

    def _attend(self) -> None:
        if self.listener is not None and self.listener not in self.selector.get_map():
            self.selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def _let_wait(self) -> None:
        if self.listener is not None and self.listener in self.selector.get_map():
            self.selector.unregister(self.listener)

    def _shut(self) -> None:
        if self.listener is not None:
            self._let_wait()
            path = self.listener.getsockname()
            self.listener.close()
            self.listener = None
            if _inode(path) == self.inode:
                os.unlink(path)

    def _look(self) -> None:
        """What is to be done when nothing happens."""
        if self.growth is not None and self.growth.late():
            self._attend()
        long_idle = not self.kernels.running and self._idle_left() < 0
        if self.open and (long_idle or _inode(self.path) != self.inode or self.preload.stale()):
            self._retire()  # who removes the socket's file wants us gone

    def _retire(self) -> None:
        """Fork no more; the next caller starts another template."""
        if not self.open:
            return
        if self.growth is not None and not self.growth.ready:
            self.growth.end()
        self._shut()
        self._leave_open()

    def _leave_open(self) -> None:
        """Stay for the kernels that run, and for who asks about them."""
        self.open = False
        if self.kernels.running:
            self._listen(f"{self.path}-{os.getpid()}")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(5.0)
        if wire.peer(connection)[1] != os.getuid():
            connection.close()
            return
        try:
            request, fds = wire.receive(connection)
        except (OSError, EOFError, ValueError):
            connection.close()
            return
        try:
            if request.get("op") == "fork":
                self.used = time.monotonic()
                self.projects.setdefault(request["memory"], 0)
                if self._grow():
                    connection.close()  # the successor has it too, and will answer
                else:
                    self._fork(connection, request, fds)
            else:
                self._answer(connection, request)
        except OSError:
            connection.close()
        finally:
            if os.getpid() == self.pid:  # a child takes them with it
                for fd in fds:
                    os.close(fd)

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        if request.get("op") == "stop":
            self._retire()
        told = {
            "pid": os.getpid(),
            "open": self.open,
            "modules": len(sys.modules),
            "importing": self.growth.importing if self.growth is not None and not self.growth.ready else "",
            "kernels": sorted(self.kernels.running),
            "forks": self.forks,
            "idle": self.idle,
            "idle_left": max(0.0, self._idle_left()),
            "never": {name: why for name, why in self.preload.never.items() if name not in preload.NEVER},
            "python": sys.executable,
            "memory": sorted(self.projects),
        }
        wire.send(connection, told)
        connection.close()

    def _fork(self, connection: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        for path in request["watch"]:
            self.preload.watch(path)
        changed = self.preload.stale() if self.open else "it has left"
        if changed is not None or threading.active_count() > 1:
            self._retire()
            wire.send(connection, {"stale": changed or "a thread runs in it"})
            connection.close()
            return
        hidden = child.hidden(request, self.preload.tops)
        if request.get("protocol") != wire.PROTOCOL:
            hidden = "nbops was upgraded since this program began; start it again for warm kernels"
        if hidden is not None:
            wire.send(connection, {"refused": hidden})
            connection.close()
            return
        report, written = os.pipe()
        template = os.pidfd_open(self.pid)
        client_pidfd = None if request["independent"] else family.pidfd(wire.peer(connection)[0])
        self.preload.pools.limit(request["env"])
        try:
            pid = os.fork()
        except OSError as error:
            for fd in (report, written, template):
                os.close(fd)
            wire.send(connection, {"refused": f"no process can be forked: {error.strerror}"})
            connection.close()
            return
        if pid == 0:
            try:
                os.close(report)
                self._forget()
            except BaseException:  # noqa: BLE001  # whatever it is: a child must never go on as a second template
                traceback.print_exc()
                os._exit(1)
            raise Forked(template, connection, request, fds, written, client_pidfd)
        os.close(written)
        os.close(template)
        self.forks += 1
        self.kernels.add(pid, report, connection, client_pidfd, request["memory"])

    def _forget(self) -> None:
        """In a child: close all that is the template's."""
        self.selector.close()
        self.kernels.forget()
        if self.growth is not None:
            os.close(self.growth.pidfd)
            os.close(self.growth.heard)
            self.growth = None
        if self.listener is not None:
            self.listener.close()

    def _learned(self, project: str, names: list[str]) -> None:
        """A kernel of the project has ended, and says which modules it had to import itself."""
        self.used = time.monotonic()
        if names:
            memory.add(project, self.preload.packages, names, {})
            self._grow()

    def _missing(self) -> list[str]:
        """Modules that kernels wanted and that are not imported yet, if anything was learned since the last time."""
        names: list[str] = []
        for project, seen in self.projects.items():
            now = preload.stamp(project)
            if now != seen:
                self.projects[project] = now
                learned, never = memory.read(project, self.preload.packages)
                self.preload.never.update(never)
                names += [*self.pinned, *learned] if seen == 0 else learned
        return [name for name in dict.fromkeys(names) if name not in sys.modules and not self.preload.refuses(name)]

    def _grow(self) -> bool:
        """Let a successor import what is missing. True: there is one now, leave it all to it."""
        if self.growth is not None or not self.open or not (names := self._missing()):
            return False
        heard, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            self._succeed(names, told)
            return False
        os.close(told)
        self.growth = found = growth.Growth(pid, heard)
        self.selector.register(found.heard, selectors.EVENT_READ, self._hear)
        self.selector.register(found.pidfd, selectors.EVENT_READ, self._grown)
        self._let_wait()
        return True

    def _hear(self, heard: int) -> None:
        """What the successor says; once it is ready it has the socket, and everything is its own affair."""
        if not self.growth.hear():
            self.selector.unregister(heard)
        elif self.growth.ready and self.open and self.listener is not None:
            self._let_wait()
            self.listener.close()
            self.listener = None
            self._leave_open()

    def _grown(self, pidfd: int) -> None:
        """The successor has ended. If it never took over, everything goes on, without what it has died of."""
        found = self.growth
        while found.hear():
            pass
        for fd in (pidfd, found.heard):
            if fd in self.selector.get_map():
                self.selector.unregister(fd)
        self.growth = None
        never = found.close()
        if found.ready:
            return
        self.preload.never.update(never)
        for project in self.projects:
            if never:
                memory.add(project, self.preload.packages, [], never)
                self.projects[project] = 0
        self._attend()
        self._grow()

    def _succeed(self, names: list[str], told: int) -> None:
        """In the successor: import, and take over. It ends where it must not go on."""
        try:
            os.setsid()
            listener, self.listener = self.listener, None
            self._forget()
            self.pid = os.getpid()
            self.selector = selectors.DefaultSelector()
            self.kernels = family.Kernels(self.selector, self._learned)
            tell = _Tell(told)
            self.preload.add(names, lambda name: tell(importing=name))
            if self.preload.seen.unfit:
                tell(unfit=self.preload.seen.unfit)
                os._exit(3)
            self.preload.settle()
            self.signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
            self.listener = listener
            self._attend()
            tell(ready=True)
            os.close(told)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(4)


class _Tell:
    """Speaks to the template before, which is gone if it does not listen."""

    def __init__(self, told: int) -> None:
        self._told = told

    def __call__(self, **said: object) -> None:
        try:
            os.write(self._told, json.dumps(said).encode() + b"\n")
        except OSError:
            pass


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def main() -> int:
    """Go into the background, import, serve; a child comes out of here as an ordinary kernel."""
    ready = int(sys.argv[2])
    if os.fork():
        os._exit(0)  # nobody's child: who started it need not wait for it
    os.setsid()
    os.chdir("/")
    child.ordinary()  # whoever started it may ignore signals, or have limits of its own
    template = Template(json.loads(sys.argv[1]))
    try:
        template.start(ready)
        template.serve()
    except Forked as forked:
        found = forked
    else:
        os._exit(0)  # not by way of all that was imported: taking it apart would copy it
    kernel = child.Child(found, template.preload, template.signals)
    del template
    kernel.become()
    kernel.wait_for_client()
    return int(kernel.run())


if __name__ == "__main__":
    sys.exit(main())
