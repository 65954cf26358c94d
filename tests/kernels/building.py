"""Kernels for tests, as any Jupyter client starts them: cold ones and warm ones, with their own templates."""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from notebooks_lib.kernels import provisioner, template_manager
from notebooks_lib.kernels.kernelspec_managers import ColdSpecs, WarmSpecs

SPECS = [str(Path(sys.prefix) / "share" / "jupyter" / "kernels")]
SECONDS = 60.0


def wait(what: str, answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until there is an answer; bounded, and it says what it waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = answer()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def marked(text: str) -> list[int]:
    """Processes, this one aside, whose environment holds the text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if text.encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return [pid for pid in found if alive(pid)]


@contextlib.contextmanager
def own_templates() -> Iterator[Path]:
    """Templates and memories of one's own; afterwards no process of them is left, by whatever way it went."""
    with tempfile.TemporaryDirectory(prefix="nbk-", dir="/tmp") as folder:
        home = Path(folder)
        changed = {"XDG_RUNTIME_DIR": str(home / "run"), "XDG_CACHE_HOME": str(home / "cache")}
        before = {name: os.environ.get(name) for name in changed}
        for path in changed.values():
            Path(path).mkdir(mode=0o700)
        os.environ.update(changed)
        try:
            yield home
        finally:
            if (home / "run" / "nbops").is_dir():
                for path, _ in template_manager.templates():
                    template_manager.ask(path, "stop")
            left = marked(folder)
            with contextlib.suppress(AssertionError):
                wait("the end of the templates", lambda: not any(map(alive, left)))
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextlib.contextmanager
def reasons_for_cold_kernels() -> Iterator[list[str]]:
    """Collect why kernels are ordinary ones; the provisioner warns of the first only."""
    reasons: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: reasons.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(provisioner.__name__)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield reasons
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@dataclass
class Done:
    """What came of one cell."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What the last expression showed."""
        return str(self.data[-1]["text/plain"])


class Kernel:
    """One kernel and a client of it, to be used with `with`."""

    def __init__(
        self, folder: Path, *, warm: bool, env: dict[str, str] | None = None, specs: list[str] | None = None
    ) -> None:
        self._private = tempfile.TemporaryDirectory(prefix="nbk-", dir="/tmp")
        manager = WarmSpecs if warm else ColdSpecs
        self.manager = KernelManager(
            kernel_name="python3",
            connection_file=f"{self._private.name}/k.json",
            transport="ipc",
            kernel_spec_manager=manager(kernel_dirs=specs or SPECS, ensure_native_kernel=specs is None),
        )
        dropped = ("PYTEST_", "MLFLOW_", "NBOPS_", "JUPYTER_", "KMP_")  # threadpoolctl sets KMP_ here, too
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        self.env |= {"MLFLOW_DISABLE_TELEMETRY": "true", "IPYTHONDIR": f"{self._private.name}/ipython", **(env or {})}
        self.folder = folder
        self.channels: Any = None
        self.facts: dict[str, str] = {}

    def __enter__(self) -> Kernel:
        with reasons_for_cold_kernels() as self.reasons:
            self.manager.start_kernel(env=self.env, cwd=str(self.folder))
        self.process = self.manager.provisioner.process
        self.connect()
        return self

    def connect(self) -> None:
        if self.channels is not None:
            self.channels.stop_channels()
        self.channels = self.manager.client()
        self.channels.start_channels()
        try:
            self.channels.wait_for_ready(timeout=SECONDS)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        self.channels.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        self._private.cleanup()

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def warm(self) -> bool:
        return bool(getattr(self.manager.provisioner, "warm", False))

    def run(self, code: str, *, answer: str | None = None, during: Callable[[], None] | None = None) -> Done:
        """Run one cell; `answer` is typed when it asks, `during` is called when it has begun."""
        client = self.channels
        sent = client.execute(code, allow_stdin=answer is not None)
        done, until, begun, replied = Done(), time.monotonic() + SECONDS, False, False
        while True:
            assert time.monotonic() < until, f"no end of {code!r}"
            if answer is not None:
                with contextlib.suppress(queue.Empty):
                    client.get_stdin_msg(timeout=0.01)
                    client.input(answer)
            if not replied:
                with contextlib.suppress(queue.Empty):
                    reply = client.get_shell_msg(timeout=0.001)
                    replied = reply["parent_header"].get("msg_id") == sent
            if replied and done.status:
                break
            try:
                message = client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            done.messages.append(message)
            if kind == "execute_input" and during is not None and not begun:
                begun = True
                time.sleep(0.2)
                during()
            elif kind == "stream":
                setattr(done, content["name"], getattr(done, content["name"]) + content["text"])
            elif kind in ("execute_result", "display_data"):
                done.data.append(content["data"])
            elif kind == "error":
                done.error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                done.status = "error" if done.error else "ok"
        return done

    def value(self, expression: str, before: str = "") -> Any:
        """The value of an expression of plain values."""
        done = self.run(f"{before}\nprint('<<' + repr(({expression})) + '>>', end='')")
        assert done.error == "", (done.error, done.stdout, done.stderr)
        return ast.literal_eval(done.stdout.partition("<<")[2].rpartition(">>")[0])

    def ask(self, channel: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of the reply to a request."""
        message = self.channels.session.msg(kind, content)
        getattr(self.channels, f"{channel}_channel").send(message)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                reply = getattr(self.channels, f"get_{channel}_msg")(timeout=1)
                if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                    return dict(reply["content"])
        raise AssertionError(f"no answer to {kind}")

    def shut_down(self) -> int:
        """Ask it to end; its exit code."""
        self.ask("control", "shutdown_request", {"restart": False})
        return int(self.process.wait(20))
