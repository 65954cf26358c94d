"""Request a forked kernel from the template that fits it.

Where no warm kernel can be had, `template_manager.Unavailable` says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from notebooks_lib.kernels import forkable_command, template_manager, template_path, template_protocol
from notebooks_lib.kernels.forked_process import ForkedProcess
from notebooks_lib.kernels.preferences import Preferences

ATTEMPTS = 5
"""Of a client, when a template leaves or is replaced while it is asked."""
AT_ONCE = 0.01
"""Seconds that a client's event loop may be blocked; a longer wait gets a thread."""


@dataclass(frozen=True)
class KernelRequest:
    """A request for a kernel: its command from the kernelspec, its environment, folder and streams."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    independent: bool = False
    """True if the kernel outlives the process that requests it."""
    stdin: Any = None
    stdout: Any = None
    stderr: Any = None


def fork_kernel(
    request: KernelRequest,
    preferences: Preferences,
    *,
    timeout: float = template_manager.FORK_TIMEOUT,
    protocol: int = template_protocol.PROTOCOL,
) -> ForkedProcess:
    """Return a running kernel, forked from the template that fits the request; start the template if necessary.

    It waits at most `timeout` seconds for an answer. `protocol` is the one that this process speaks. Raises
    template_manager.Unavailable when no template can fork it.
    """
    _, arguments = _split(request)
    asked = vars(_fork_request(request, arguments, preferences, protocol))
    for path, connection in _attempts(request, preferences):
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(connection.close)
            fds, pipes = _streams(request, cleaning)
            connection.settimeout(timeout)
            try:
                template_protocol.send_message(connection, {"op": "fork", **asked}, fds)
                answer, received = template_protocol.receive_message(connection)
                if "pid" in answer:
                    template_protocol.send_message(
                        connection, {"op": "go"}
                    )  # to the kernel itself, which waits for this
            except (OSError, EOFError) as error:
                if isinstance(error, TimeoutError):
                    raise _silent(path, timeout) from error
                continue  # the template has just left
            if "stale" in answer:
                continue
            if "refused" in answer:
                raise template_manager.Unavailable(str(answer["refused"]))
            cleaning.pop_all()
            for fd in fds:
                os.close(fd)
            return ForkedProcess(answer["pid"], received[0], connection, pipes)
    raise template_manager.Unavailable("templates left one after the other")


def _attempts(
    request: KernelRequest, preferences: Preferences, most: int = template_manager.MOST
) -> Iterator[tuple[Path, socket.socket]]:
    """Yield the fitting template's socket and a connection to it, ATTEMPTS times; start the template if need be."""
    interpreter, _ = _split(request)
    path, environment = _template(request, interpreter, preferences)
    for _ in range(ATTEMPTS):
        connection = template_manager.connect(path)
        yield path, connection or template_manager.start(path, interpreter, environment, preferences, most=most)


def is_ready(request: KernelRequest, preferences: Preferences) -> bool:
    """Return True if the template for this request runs and answers at once.

    Raises template_manager.Unavailable when no template can serve the request.
    """
    interpreter, _ = _split(request)
    path, _ = _template(request, interpreter, preferences)
    connection = template_manager.connect(path)
    if connection is None:
        return False
    try:
        return "ready" in _wait(connection, preferences, AT_ONCE)
    except (OSError, EOFError):
        return False


def wait_for_template(request: KernelRequest, preferences: Preferences, *, most: int = template_manager.MOST) -> None:
    """Wait until the template for this request has imported what the project uses; start it if necessary.

    Beyond `most` templates, the longest idle one is stopped. Raises template_manager.Unavailable when no template can
    serve the request.
    """
    for path, connection in _attempts(request, preferences, most):
        try:
            answer = _wait(connection, preferences, template_manager.FORK_TIMEOUT)
        except TimeoutError as error:
            raise _silent(path, template_manager.FORK_TIMEOUT) from error
        except (OSError, EOFError):
            continue  # the template has just left
        if "stale" not in answer:
            return
    raise template_manager.Unavailable("templates left one after the other")


def _wait(connection: socket.socket, preferences: Preferences, seconds: float) -> dict[str, Any]:
    """Return the template's answer, which comes once nothing is left to import for this project."""
    with connection:
        connection.settimeout(seconds)
        template_protocol.send_message(connection, {"op": "wait", "memory": preferences.memory})
        return template_protocol.receive_message(connection)[0]


def _silent(path: Path, timeout: float) -> template_manager.Unavailable:
    """Remove the socket of a silent template: it leaves when it wakes up, and the next client starts another."""
    path.unlink(missing_ok=True)
    return template_manager.Unavailable(f"the template did not answer within {timeout:g} s")


def _template(
    request: KernelRequest, interpreter: Sequence[str], preferences: Preferences
) -> tuple[Path, dict[str, str]]:
    """Return the socket of the fitting template, and the environment in which it is started."""
    home = template_manager.runtime_folder()
    environment = preferences.safe_packages().environment(request.environment, request.folder)
    return home / _key(interpreter, environment, preferences), environment


def _split(request: KernelRequest) -> tuple[list[str], list[str]]:
    """Return the interpreter with its options, and the arguments of the kernel."""
    parts = forkable_command.split_command(request.command)
    if parts is None:
        raise template_manager.Unavailable(f"{request.command[0]} starts the kernel, not Python with ipykernel alone")
    (name, *options), arguments = parts
    interpreter = forkable_command.find_interpreter(name, request.environment.get("PATH"))
    if interpreter is None:
        raise template_manager.Unavailable(f"{name} is not there, or is a script, and only that knows what it sets")
    return [interpreter, *options], arguments


def _key(interpreter: Sequence[str], environment: Mapping[str, str], preferences: Preferences) -> str:
    """Return a digest of what two kernels must have in common to be forked from one template."""
    spaces = []
    for space in ("mnt", "net", "pid", "ipc", "user", "uts", "cgroup"):
        with contextlib.suppress(OSError):
            spaces.append(str(Path(f"/proc/self/ns/{space}").readlink()))
    with contextlib.suppress(OSError):
        spaces.append(Path("/proc/self/cgroup").read_text())
    hard = [resource.getrlimit(number)[1] for number in _limits()]  # which a kernel could not raise again
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]  # of threads; fixed when a program starts
    identity = [
        [template_path(), list(interpreter), os.path.realpath(interpreter[0])],
        sorted(environment.items()),
        [sorted(preferences.preload), sorted(preferences.never), preferences.idle_seconds],
        [spaces, os.getuid(), os.getgid(), sorted(os.getgroups())],
        [sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0), hard, stack],
    ]
    return hashlib.sha256(json.dumps(identity).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _streams(request: KernelRequest, cleaning: contextlib.ExitStack) -> tuple[list[int], dict[str, IO[bytes]]]:
    """Return descriptors for the kernel's three streams, and our ends of those that are pipes, as Popen does."""
    fds: list[int] = []
    pipes: dict[str, IO[bytes]] = {}

    def keep(fd: int) -> int:
        cleaning.callback(os.close, fd)
        return fd

    for number, (name, target) in enumerate(
        [("stdin", request.stdin), ("stdout", request.stdout), ("stderr", request.stderr)]
    ):
        if target == subprocess.PIPE or (target is None and name == "stdin"):
            kernel_end, own_end = os.pipe() if name == "stdin" else reversed(os.pipe())
            if target is None:  # jupyter_client gives a kernel an input that has ended
                os.close(own_end)
            else:
                pipes[name] = os.fdopen(own_end, "wb" if name == "stdin" else "rb")
                cleaning.callback(pipes[name].close)
            fds.append(keep(kernel_end))
        elif target == subprocess.DEVNULL:
            fds.append(keep(os.open(os.devnull, os.O_RDWR)))
        elif target == subprocess.STDOUT:
            fds.append(keep(os.dup(fds[1])))
        else:
            source = number if target is None else target if isinstance(target, int) else target.fileno()
            fds.append(keep(os.dup(source)))
    return fds, pipes


def _fork_request(
    request: KernelRequest, arguments: list[str], preferences: Preferences, protocol: int
) -> template_protocol.ForkRequest:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    ignored = int(status["SigIgn"], 16)
    defaults = {signal.SIGPIPE, signal.SIGXFSZ}  # Popen, too, gives these their default handlers
    return template_protocol.ForkRequest(
        argv=arguments,
        command=list(request.command),
        env=dict(request.environment),
        cwd=request.folder,
        memory=preferences.memory,
        independent=request.independent,
        umask=int(status.get("Umask", "0022"), 8),
        limits=[(number, resource.getrlimit(number)) for number in _limits()],
        ignored=[number for number in signal.valid_signals() - defaults if ignored >> (number - 1) & 1],
        watch=list(preferences.watch),
        protocol=protocol,
    )


def _limits() -> list[int]:
    return sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
