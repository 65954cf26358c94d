"""The template process: it has the libraries imported, and forks a kernel whenever one is asked for.

Started by path with one argument, a JSON object; never imported. It speaks `wire` on a Unix socket, one connection a
kernel: the request and its three streams come in, the kernel's pid and pidfd go out, and at its end the exit code.
It leaves when it was idle for long, when its files changed, or when nothing can be forked from it any more; kernels
that still run keep it until they end, for it is their parent.
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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]


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


wire = _sibling("wire")
memory = _sibling("memory")
preload = _sibling("preload")
child = _sibling("child")
deferred = _sibling("deferred")


PATIENCE = 10.0
"""Seconds for which a kernel waits for modules that are being imported; they would cost it the same."""


@dataclass
class _Kernel:
    pid: int
    pidfd: int
    report: int
    client: socket.socket | None
    client_pidfd: int | None
    memory: str
    told: bytes = b""


class Forked(BaseException):
    """Raised in the child, so that nothing of the template is left on its stack."""

    def __init__(self, request: dict[str, Any], fds: list[int], report: int, client_pidfd: int | None) -> None:
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
        self.config = config
        self.preload = preload.Preload(dict.fromkeys(config["never"], "forbidden by the settings"), deferred.Deferred)
        self.queue: list[str] = []
        self.kernels: dict[int, _Kernel] = {}
        self.connections: set[socket.socket] = set()
        self.listener: socket.socket | None = None
        self.selector = selectors.DefaultSelector()
        self.used = time.monotonic()
        self.forks = 0
        self.projects = {config["memory"]}
        self.importing = ""
        self.signals: dict[int, object] = {}

    def start(self, ready: int) -> None:
        """Import, listen, and say so."""
        gc.disable()
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as every kernel does
        telemetry = os.environ.get("MLFLOW_DISABLE_TELEMETRY")
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it would start a thread at import
        self.preload.start()
        for name in ("template", "wire", "memory", "preload", "child", "deferred"):
            self.preload.watch(os.path.join(HERE, f"{name}.py"))
        modules, never = memory.read(self.config["memory"])
        self.preload.never.update(never)
        self._blame()
        for name in [*self.config["pinned"], *modules]:
            self._import(name)
        self._imported()
        if telemetry is None:
            del os.environ["MLFLOW_DISABLE_TELEMETRY"]
        else:
            os.environ["MLFLOW_DISABLE_TELEMETRY"] = telemetry
        self.preload.settle()
        self.signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
        if self.preload.unfit:
            memory.add(self.config["memory"], [], self.preload.unfit)
            os.write(ready, json.dumps({"unfit": self.preload.unfit}).encode())
            sys.exit(3)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(128)
        listener.setblocking(False)
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        os.write(ready, b"{}")
        os.close(ready)

    def serve(self) -> None:
        """Answer until there is no more reason to be. Raises Forked in every child."""
        while self.listener is not None or self.kernels:
            for key, _ in self.selector.select(0 if self.queue else 5.0):
                try:
                    key.data(key.fileobj)
                except Exception:  # noqa: BLE001  # told in the log; the kernels that run need their parent
                    traceback.print_exc()
                break  # one at a time: an answer may have closed what the others are about
            else:
                self._grow() if self.queue else self._look()

    def _look(self) -> None:
        long_idle = not self.kernels and time.monotonic() - self.used > self.idle
        if self.listener is not None and (long_idle or not self._ours() or self.preload.stale()):
            self._retire()

    def _ours(self) -> bool:
        """Whether the socket's file is still there: who removes it wants us gone."""
        return os.path.exists(self.path)

    def _retire(self) -> None:
        """Fork no more; the next caller starts another template."""
        if self.listener is None:
            return
        self.selector.unregister(self.listener)
        self.listener.close()
        self.listener = None
        self.queue.clear()
        try:
            os.unlink(self.path)
        except OSError:
            pass

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
        self.used = time.monotonic()
        try:
            if request.get("op") == "fork":
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
            "modules": len(sys.modules),
            "kernels": [kernel.pid for kernel in self.kernels.values()],
            "forks": self.forks,
            "idle": self.idle,
            "never": {name: why for name, why in self.preload.never.items() if name not in preload.NEVER},
            "python": sys.executable,
            "waiting": len(self.queue),
        }
        wire.send(connection, told)
        connection.close()

    def _fork(self, connection: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        for path in request["watch"]:
            self.preload.watch(path)
        until = time.monotonic() + PATIENCE
        while self.queue and time.monotonic() < until:
            self._grow()  # so that the second run of a notebook finds what the first had to import
        changed = self.preload.stale()
        if changed is not None or self.preload.unfit or threading.active_count() > 1:
            self._retire()
            wire.send(connection, {"stale": changed or "something in it is not fit to be forked"})
            connection.close()
            return
        hidden = child.hidden(request, self.preload.tops)
        if hidden is not None:
            wire.send(connection, {"refused": f"{hidden} stands before an installed package of that name"})
            connection.close()
            return
        report, written = os.pipe()
        client_pidfd = None if request["independent"] else _pidfd(wire.peer(connection)[0])
        pid = os.fork()
        if pid == 0:
            try:
                os.close(report)
                self._forget(connection)
            except BaseException:  # noqa: BLE001  # whatever it is: a child must never go on as a second template
                traceback.print_exc()
                os._exit(1)
            raise Forked(request, fds, written, client_pidfd)
        self.forks += 1
        os.close(written)
        os.set_blocking(report, False)
        kernel = _Kernel(pid, os.pidfd_open(pid), report, connection, client_pidfd, request["memory"])
        self.kernels[pid] = kernel
        self.selector.register(kernel.pidfd, selectors.EVENT_READ, lambda _: self._ended(kernel))
        self.selector.register(report, selectors.EVENT_READ, lambda _: self._hear(kernel))
        if client_pidfd is not None:
            self.selector.register(client_pidfd, selectors.EVENT_READ, lambda _: self._abandoned(kernel))
        try:
            wire.send(connection, {"pid": pid}, [kernel.pidfd])
        except OSError:
            self._abandoned(kernel)
        if request["memory"] not in self.projects:
            self.projects.add(request["memory"])
            self._plan(memory.read(request["memory"])[0])

    def _forget(self, connection: socket.socket) -> None:
        """In the child: close all that is the template's."""
        connection.close()
        if self.listener is not None:
            self.listener.close()
        self.selector.close()
        for kernel in self.kernels.values():
            os.close(kernel.pidfd)
            if kernel.report >= 0:
                os.close(kernel.report)
            if kernel.client is not None:
                kernel.client.close()
            if kernel.client_pidfd is not None:
                os.close(kernel.client_pidfd)

    def _hear(self, kernel: _Kernel) -> None:
        """What a kernel tells at its end: the modules that it had to import itself."""
        try:
            data = os.read(kernel.report, 2**16)
        except BlockingIOError:
            return
        kernel.told += data
        if data:
            return
        self.selector.unregister(kernel.report)
        os.close(kernel.report)
        kernel.report = -1
        try:
            names = [str(name) for name in json.loads(kernel.told)]
        except ValueError:
            return  # it was killed before it could say
        if names:
            memory.add(kernel.memory, names, {})
            self._plan(names)

    def _plan(self, names: list[str]) -> None:
        if self.listener is not None:
            self.queue += [name for name in names if name not in sys.modules and name not in self.queue]

    def _grow(self) -> None:
        """Import one of the modules that kernels had to import themselves; between two requests."""
        self._import(self.queue.pop(0))
        if self.preload.unfit:
            memory.add(self.config["memory"], [], self.preload.unfit)
            self._retire()
        if not self.queue:
            self._imported()
            self.preload.settle()

    def _import(self, name: str) -> None:
        """Import one module, with a note of it on the disk: an import can take the whole process with it."""
        top = name.partition(".")[0]
        if top != self.importing:
            self.importing = top
            with open(f"{self.path}.importing", "w", encoding="utf-8") as file:
                file.write(top)
        self.preload.add(name)

    def _imported(self) -> None:
        self.importing = ""
        try:
            os.unlink(f"{self.path}.importing")
        except OSError:
            pass

    def _blame(self) -> None:
        """Never again import what a template before this one did not survive."""
        try:
            with open(f"{self.path}.importing", encoding="utf-8") as file:
                top = file.read()
        except OSError:
            return
        if top:
            self.preload.never[top] = "a template ended while it imported it"
            memory.add(self.config["memory"], [], {top: self.preload.never[top]})

    def _ended(self, kernel: _Kernel) -> None:
        try:
            _, status = os.waitpid(kernel.pid, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            code = 255
        if kernel.report >= 0:
            self._drain(kernel)
        if kernel.client is not None:
            try:
                wire.send(kernel.client, {"exit": code})
            except OSError:
                pass
            kernel.client.close()
        self.selector.unregister(kernel.pidfd)
        os.close(kernel.pidfd)
        if kernel.client_pidfd is not None:
            self.selector.unregister(kernel.client_pidfd)
            os.close(kernel.client_pidfd)
        del self.kernels[kernel.pid]
        self.used = time.monotonic()

    def _drain(self, kernel: _Kernel) -> None:
        """Hear the rest; a process that the kernel left behind may hold the pipe open for ever."""
        for _ in range(64):
            if kernel.report < 0:
                return
            self._hear(kernel)
        if kernel.report >= 0:
            self.selector.unregister(kernel.report)
            os.close(kernel.report)

    def _abandoned(self, kernel: _Kernel) -> None:
        """Whoever wanted the kernel is gone: so is the kernel, with all that it started."""
        for pid in _descendants(kernel.pid):
            _kill(os.kill, pid)
        _kill(os.killpg, kernel.pid)
        _kill(os.kill, kernel.pid)
        if kernel.client_pidfd is not None:
            self.selector.unregister(kernel.client_pidfd)
            os.close(kernel.client_pidfd)
            kernel.client_pidfd = None


def _descendants(pid: int) -> list[int]:
    """What a process has started, and what that has."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return [*found, *(further for child_pid in found for further in _descendants(child_pid))]


def _kill(send: Callable[[int, int], None], pid: int) -> None:
    try:
        send(pid, signal.SIGKILL)
    except OSError:
        pass


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def main() -> int:
    """Go into the background, import, serve; a child comes out of here as an ordinary kernel."""
    ready = int(sys.argv[2])
    if os.fork():
        os._exit(0)  # nobody's child: who started it need not wait for it
    os.setsid()
    os.chdir("/")
    template = Template(json.loads(sys.argv[1]))
    try:
        template.start(ready)
        template.serve()
    except Forked as forked:
        found = forked
    else:
        return 0
    signals, known, environment = template.signals, set(sys.modules), template.preload.environment
    base, plugins = template.preload.base, template.preload.deferred
    third_party = template.preload.third_party
    del template
    child.become(found, signals, environment)
    child.load(plugins)
    return int(child.run(found, base, lambda: third_party(known)))


if __name__ == "__main__":
    sys.exit(main())
