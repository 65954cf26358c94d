"""The template process: it has the libraries imported, and forks a kernel for each request.

It is started by path with its settings as JSON and the table of packages on stdin, and never imported. It speaks
`template_protocol` on a Unix socket, one connection a kernel: the request and three streams come in; the kernel's pid
and pidfd go out, and at its end its exit code.
It leaves when it was idle for long, when its files changed, or when its successor has more modules; as the parent of
its kernels it stays until the last of them has ended.
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
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
SIBLINGS = (
    *("template_protocol", "safe_packages", "import_history", "preload_placeholders", "library_warmup", "preload"),
    *("template_successor", "kernel_supervisor", "kernel_app", "inherited_state"),
)
LOOK_EVERY = 5.0
"""Seconds between two checks of an idle template whether it has to leave."""


def _sibling(name: str):  # type: ignore[no-untyped-def]
    """Load a module beside this file without its package, so that no project's path is needed."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"_nbops_{name}", os.path.join(HERE, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


protocol, safe_packages, import_history, _, _, preload, successor, supervisor, kernel_app, inherited_state = map(
    _sibling, SIBLINGS
)


class Template:
    """The template process: its socket, its imported modules, the running kernels and its successor."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.pid = os.getpid()
        self.path = config["socket"]
        self.idle = float(config["idle"])
        never = dict.fromkeys(config["never"], "forbidden by the settings")
        table = safe_packages.SafePackages(config["table"], config["preload"], config["never"])
        self.preload = preload.Preload(table, never, inherited_state.ThreadPools())
        self.waiting: list[Any] = []
        """Requests of kernels that wait for what the successor imports."""
        self.open = True
        """True if the template still forks kernels; else it only waits for the running ones."""
        self.listener: socket.socket | None = None
        self.inode: int | None = None
        self.used = time.monotonic()
        self.forks = 0
        self.learning = successor.Learning(self.preload, config["preload"], self._become_successor, self._leave)
        self.learning.add_project(config["memory"])
        self._begin()

    def _begin(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.kernels = supervisor.KernelSupervisor(self.selector, import_history.add_to_history, self._fork_successor)
        self.signals = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def start(self, ready: int) -> None:
        """Import what every kernel needs, listen on the socket, and report readiness on the file descriptor `ready`."""
        gc.disable()
        try:
            self.preload.start()
        except preload.Unfit as reason:
            os.write(ready, str(reason).encode())
            os._exit(1)
        for name in ("template_process", *SIBLINGS):
            self.preload.watch(os.path.join(HERE, f"{name}.py"))
        self.preload.freeze()
        self._listen(self.path)
        os.write(ready, b"{}")
        os.close(ready)
        self._fork_successor()

    def serve(self) -> None:
        """Answer requests until the template stops and its last kernel has ended. Raises Forked in every child."""
        while self.open or self.kernels.running:
            for key, _ in self.selector.select(self._timeout()):
                try:
                    key.data(key.fileobj)
                except Exception:  # noqa: BLE001  # shown in the log; running kernels need their parent
                    traceback.print_exc()
                break  # one event at a time: it may have closed what the others are about
            else:
                self._check()
            self._fork_waiting()
        self._shut()

    def _timeout(self) -> float:
        """Return the seconds until the next check."""
        return 0.1 if self.waiting else min(LOOK_EVERY, max(0.1, self._idle_left()))

    def _idle_left(self) -> float:
        return self.idle - (time.monotonic() - self.used)

    def _listen(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.inode = _inode(path)
        self._attend(self.listener)

    def _attend(self, listener: socket.socket | None) -> None:
        assert listener is not None
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, self._accept)

    def _fork_successor(self) -> None:
        if self.open:
            self.learning.fork_successor(self.selector)

    def _shut(self, *, gone: bool = True) -> None:
        """Stop listening, and remove the socket's file unless another template listens there."""
        if self.listener is not None:
            self.selector.unregister(self.listener)
            path = self.listener.getsockname()
            self.listener.close()
            self.listener = None
            if gone and _inode(path) == self.inode:
                os.unlink(path)

    def _check(self) -> None:
        """End a successor that hangs, and leave when idle for long or out of date. Called when no request comes."""
        self.learning.end(only_if_it_hangs=True)
        long_idle = not self.kernels.running and self._idle_left() < 0
        if self.open and (long_idle or _inode(self.path) != self.inode or self.preload.stale()):
            self._retire()  # its socket's file was removed: it is to leave

    def _retire(self) -> None:
        """Stop forking; the next client starts another template."""
        self.learning.end()
        self._leave(gone=True)

    def _leave(self, *, gone: bool) -> None:
        """Stop forking, but stay for the running kernels and for requests for their status."""
        if not self.open:
            return
        self._shut(gone=gone)
        self.open = False
        for request in self.waiting:
            request.answer({"stale": "another template has more"})
        self.waiting.clear()
        if self.kernels.running:
            self._listen(f"{self.path}-{os.getpid()}")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(5.0)
        try:
            if protocol.peer_identity(connection)[1] != os.getuid():
                raise EOFError("another user")
            request = supervisor.ClientRequest(connection, *protocol.receive_message(connection))
        except (OSError, EOFError, ValueError):
            connection.close()
            return
        if request.op not in ("fork", "wait"):
            self._answer(request)
            return
        self.used = time.monotonic()
        self.waiting.append(request)  # before a successor is forked, which must forget it
        self.learning.add_project(request.memory)
        self._fork_successor()

    def _fork_waiting(self) -> None:
        """Fork the kernels that need not wait for the successor, and answer the clients that only waited for it."""
        for request in self.waiting[:]:
            if not self.learning.worth_waiting_for(request.memory, request.since):
                self.waiting.remove(request)
                if request.op == "wait":
                    request.answer({"ready": True})
                else:
                    self._fork(request)

    def _answer(self, request: Any) -> None:
        if request.op == "stop":
            self._retire()
        status = protocol.TemplateStatus(
            pid=os.getpid(),
            open=self.open,
            modules=len(sys.modules),
            importing=self.learning.importing,
            kernels=sorted(self.kernels.running),
            forks=self.forks,
            idle=self.idle,
            idle_left=max(0.0, self._idle_left()),
            never=dict(self.preload.never),
            python=sys.executable,
            memory=sorted(self.learning.projects),
        )
        request.answer(vars(status))

    def _fork(self, request: Any) -> None:
        kernel = request.kernel
        for path in kernel.watch:
            self.preload.watch(path)
        changed = self.preload.stale() if self.open else "it has left"
        if changed is not None or threading.active_count() > 1:
            self._retire()
            request.answer({"stale": changed or "a thread runs in it"})
            return
        problem = self.preload.find_shadowing(kernel.cwd, kernel.env.get("PYTHONPATH", ""))
        if kernel.protocol != protocol.PROTOCOL:
            problem = "nbops was upgraded since this program began; start it again for warm kernels"
        if problem is None:
            self.preload.pools.set_before_fork(kernel.env)
            problem = self.kernels.fork(request, self._forget)
        if problem is not None:
            request.answer({"refused": problem})
        else:
            self.forks += 1

    def _forget(self) -> None:
        """Close the template's descriptors; called in a child."""
        self.selector.close()
        self.kernels.forget()
        for request in self.waiting:
            request.forget()
        self.waiting.clear()
        self.learning.forget()
        if self.listener is not None:
            self.listener.close()

    def _become_successor(self, names: list[str], tell: Callable[..., None]) -> None:
        """Import the modules and take over, or end the process; called in the successor."""
        try:
            os.setsid()
            listener, self.listener = self.listener, None
            self._forget()
            self.pid = os.getpid()
            self.preload.add(names, lambda name: tell("importing", name))
            self.preload.freeze()
            self._begin()
            self._attend(listener)
            tell("ready")
        except preload.Unfit as reason:
            tell("unfit", str(reason))
            os._exit(3)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(4)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def main() -> None:
    """Run the template process in the background: import, then serve.

    A forked child then runs as an ordinary kernel.
    """
    ready = int(sys.argv[2])
    if os.fork():
        os._exit(0)  # the client that started it need not wait for it
    os.setsid()
    os.chdir("/")
    inherited_state.reset_signals_and_limits()  # the client may ignore signals, or have limits of its own
    config = {**json.loads(sys.argv[1]), "table": json.loads(sys.stdin.buffer.read())}
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)  # gets the descriptor 0
    template = Template(config)
    try:
        template.start(ready)
        template.serve()
    except supervisor.Forked as forked:
        child_request = forked
    else:
        os._exit(0)  # without taking apart what was imported, which would copy it
    imported = template.preload
    kernel = inherited_state.ChildKernel(child_request, imported, template.signals)
    del template
    kernel.reset()
    kernel.wait_for_client()
    kernel_app.run_kernel(child_request.kernel, imported, child_request.report, child_request.client_pidfd)


if __name__ == "__main__":
    main()
