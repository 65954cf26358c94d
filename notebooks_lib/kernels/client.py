"""Asks a template for a kernel, and starts the template when there is none. Linux only; `Unavailable` says why not."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from notebooks_lib.kernels import template_path, wire
from notebooks_lib.kernels.preferences import Preferences
from notebooks_lib.kernels.process import ForkedProcess

LAUNCHERS = ("ipykernel_launcher", "ipykernel")
START_TIMEOUT = 30.0
FORK_TIMEOUT = 15.0
"""Seconds; a template that takes longer is no help."""
FAILED_FOR = (5.0, 30.0, 300.0)
"""Seconds for which a template is not tried again that did not start: once, twice, more often in a row."""
SOCKET_PATH_LIMIT = 95
"""Bytes; a Unix socket has room for 107, and templates that leave add their number."""
PASSING = (
    *("PYTEST_", "NBOPS_", "JPY_", "JUPYTER_", "SSH_", "XDG_SESSION_", "TERM_", "TMUX", "VSCODE_", "KITTY_", "ITERM_"),
    *("GITHUB_", "RUNNER_", "CI_", "BUILD_", "AGENT_", "SYSTEM_"),
)
PASSING_NAMES = frozenset(
    [
        *("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "IPYNB_FILE"),
        *("MLFLOW_EXPERIMENT_NAME", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "_MLFLOW_SERVER_ARTIFACT_ROOT"),
        *("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"),
        *(
            "IPYTHONDIR",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "TERM",
            "GIT_DIR",
            "COLUMNS",
            "LINES",
            "WINDOWID",
            "DISPLAY",
            "COLORTERM",
        ),
        *("TERM_PROGRAM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER", "MAKEFLAGS"),
        *("MAKELEVEL", "MFLAGS"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
    ]
)
"""Variables that differ from kernel to kernel and that no library reads while it is imported, or that the kernel sets
right after its fork. By any other difference of the environment, another template is chosen."""


class Unavailable(Exception):
    """There is no warm kernel to be had, for this reason; an ordinary one does the same."""


@dataclass(frozen=True)
class Request:
    """A kernel that is wanted: its command from the kernelspec, its environment, folder and streams."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    independent: bool = False
    """Outlives the process that asks for it."""
    stdin: Any = None
    stdout: Any = None
    stderr: Any = None


def fork(request: Request, preferences: Preferences) -> ForkedProcess:
    """A running kernel, forked from the template that fits the request; the template is started on first use.

    Raises Unavailable.
    """
    interpreter, arguments = _split(request)
    home = runtime_folder()
    environment = {name: value for name, value in request.environment.items() if not _passing(name)}
    key = _key(interpreter, environment, preferences)
    path = home / key
    for _ in range(3):
        connection = _connect(path) or _start(path, interpreter, environment, preferences)
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(connection.close)
            fds, pipes = _streams(request, cleaning)
            connection.settimeout(FORK_TIMEOUT)
            try:
                wire.send(connection, _message(request, arguments, preferences), fds)
                answer, received = wire.receive(connection)
                if "pid" in answer:
                    wire.send(connection, {"op": "go"})  # to the kernel itself, which waits for it
            except (OSError, EOFError) as error:
                if isinstance(error, TimeoutError):
                    path.unlink(missing_ok=True)  # it leaves when it wakes; the next caller starts another one
                    raise Unavailable(f"the template did not answer within {FORK_TIMEOUT:g} s") from error
                continue  # it has just left
            if "stale" in answer:
                continue
            if "refused" in answer:
                raise Unavailable(str(answer["refused"]))
            cleaning.pop_all()
            for fd in fds:
                os.close(fd)
            return ForkedProcess(answer["pid"], received[0], connection, pipes)
    raise Unavailable("templates left one after the other")


def templates() -> list[tuple[Path, dict[str, Any]]]:
    """Each running template of this user: its socket and what it says of itself."""
    found = []
    for path in sorted(runtime_folder().iterdir()):
        if path.suffix == "":
            _, _, leaving = path.name.partition("-")
            if (answer := ask(path, "status")) is not None:
                found.append((path, answer))
            elif leaving and not Path(f"/proc/{leaving}").exists():
                path.unlink(missing_ok=True)  # it was killed
    return found


def stop() -> list[dict[str, Any]]:
    """Let every template of this user fork no more, and leave with its last kernel; what each says of itself."""
    told = [answer for path, _ in templates() if (answer := ask(path, "stop")) is not None]
    for path in runtime_folder().iterdir():
        if path.suffix == ".failed":
            path.unlink(missing_ok=True)
    return told


def ask(path: Path, op: str) -> dict[str, Any] | None:
    """The answer of the template behind a socket; None when there is none."""
    connection = _connect(path)
    if connection is None:
        return None
    with connection:
        try:
            connection.settimeout(FORK_TIMEOUT)
            wire.send(connection, {"op": op})
            return wire.receive(connection)[0]
        except (OSError, EOFError):
            return None


def runtime_folder() -> Path:
    """The folder of this user's sockets, which nobody else may enter. Raises Unavailable."""
    if not hasattr(os, "pidfd_open") or not sys.platform.startswith("linux"):
        raise Unavailable(f"not on {sys.platform}")
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    home = Path(given) / "nbops" if given and os.access(given, os.W_OK) else None
    home = home or Path(tempfile.gettempdir()) / f"nbops-kernels-{os.getuid()}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
    except OSError as error:
        raise Unavailable(f"{home} cannot be made: {error.strerror}") from error
    if not home.is_dir() or home.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unavailable(f"{home} is not a folder that only this user may enter")
    return home


def _split(request: Request) -> tuple[list[str], list[str]]:
    """Interpreter with its flags, and the arguments of the kernel."""
    command = list(request.command)
    try:
        place = command.index("-m")
    except ValueError:
        place = len(command)
    if command[place + 1 : place + 2] not in ([launcher] for launcher in LAUNCHERS):
        raise Unavailable("the kernel is not an ordinary ipykernel")
    found = shutil.which(command[0], path=request.environment.get("PATH"))
    if found is None:
        raise Unavailable(f"there is no {command[0]}")
    return [found, *command[1:place]], command[place + 2 :]


def _passing(name: str) -> bool:
    return name in PASSING_NAMES or name.startswith(PASSING)


def _key(interpreter: Sequence[str], environment: Mapping[str, str], preferences: Preferences) -> str:
    """What two kernels must have in common to be forked from one template."""
    spaces = []
    for space in ("mnt", "net", "pid", "ipc", "user", "uts", "cgroup"):
        with contextlib.suppress(OSError):
            spaces.append(str(Path(f"/proc/self/ns/{space}").readlink()))
    with contextlib.suppress(OSError):
        spaces.append(Path("/proc/self/cgroup").read_text())
    hard = [resource.getrlimit(number)[1] for number in _limits()]  # which a kernel could not raise again
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]  # of threads, settled when a program starts
    told = [
        [template_path(), list(interpreter), os.path.realpath(interpreter[0])],
        sorted(environment.items()),
        [sorted(preferences.preload), sorted(preferences.never), preferences.idle_seconds],
        [spaces, os.getuid(), os.getgid(), sorted(os.getgroups())],
        [sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0), hard, stack],
    ]
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _connect(path: Path) -> socket.socket | None:
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise Unavailable(f"the path of the socket is too long: {path}")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(os.fspath(path))
        if wire.peer(connection)[1] == os.getuid():
            return connection
    except OSError:
        pass
    connection.close()
    return None


def _start(
    path: Path, interpreter: Sequence[str], environment: Mapping[str, str], preferences: Preferences
) -> socket.socket:
    """Start the template, alone: whoever comes second waits for the first and takes its template."""
    failed = path.with_suffix(".failed")
    with _locked(path.with_suffix(".lock")):
        connection = _connect(path)
        if connection is not None:
            return connection
        times, last = _failure(failed)
        if times and time.time() - failed.stat().st_mtime < FAILED_FOR[min(times, len(FAILED_FOR)) - 1]:
            raise Unavailable(f"the template did not start a moment ago ({last})")
        path.unlink(missing_ok=True)
        problem = _launch(path, interpreter, environment, preferences)
        connection = _connect(path) if problem is None else None
        if connection is not None:
            failed.unlink(missing_ok=True)
            return connection
        failed.write_text(json.dumps([times + 1, f"{problem}; {path.with_suffix('.log')} says more"]))
    raise Unavailable(f"the template did not start: {problem}; {path.with_suffix('.log')} says more")


def _failure(path: Path) -> tuple[int, str]:
    """How often in a row a template did not start, and why at last."""
    try:
        times, why = json.loads(path.read_text())
        return int(times), str(why)
    except (OSError, ValueError, TypeError):
        return 0, ""


def _launch(
    path: Path, interpreter: Sequence[str], environment: Mapping[str, str], preferences: Preferences
) -> str | None:
    """None when it listens, else what went wrong."""
    config = {
        "socket": os.fspath(path),
        "idle": preferences.idle_seconds,
        "pinned": list(preferences.preload),
        "never": list(preferences.never),
        "memory": preferences.memory,
    }
    ready, write = os.pipe()
    with contextlib.closing(os.fdopen(ready, "rb", buffering=0)) as heard:
        try:
            with path.with_suffix(".log").open("wb") as log:
                subprocess.run(
                    [*interpreter, template_path(), json.dumps(config), str(write)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**environment, "NBOPS_KERNEL": "0" * 32},
                    cwd="/",
                    pass_fds=[write],
                    start_new_session=True,
                    timeout=START_TIMEOUT,
                    check=False,
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        finally:
            os.close(write)
        if not select.select([heard], [], [], START_TIMEOUT)[0]:
            return f"it was not ready within {START_TIMEOUT:g} s"
        said = heard.read(2**16).decode(errors="replace")
    if said == "{}":
        return None
    return said or "it ended while it was starting"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the operating system lets go of it when this process dies."""
    with path.open("w") as file:
        until = time.monotonic() + START_TIMEOUT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise Unavailable("another process has been starting a template for too long") from None
                time.sleep(0.05)
        yield


def _streams(request: Request, cleaning: contextlib.ExitStack) -> tuple[list[int], dict[str, IO[bytes]]]:
    """Descriptors for the kernel's three streams, and our ends of those that are pipes; as Popen understands them."""
    fds: list[int] = []
    pipes: dict[str, IO[bytes]] = {}

    def keep(fd: int) -> int:
        cleaning.callback(os.close, fd)
        return fd

    for number, (name, wanted) in enumerate(
        [("stdin", request.stdin), ("stdout", request.stdout), ("stderr", request.stderr)]
    ):
        if wanted == subprocess.PIPE or (wanted is None and name == "stdin"):
            theirs, ours = os.pipe() if name == "stdin" else reversed(os.pipe())
            if wanted is None:  # jupyter_client gives a kernel an input that has ended
                os.close(ours)
            else:
                pipes[name] = os.fdopen(ours, "wb" if name == "stdin" else "rb")
                cleaning.callback(pipes[name].close)
            fds.append(keep(theirs))
        elif wanted == subprocess.DEVNULL:
            fds.append(keep(os.open(os.devnull, os.O_RDWR)))
        elif wanted == subprocess.STDOUT:
            fds.append(keep(os.dup(fds[1])))
        else:
            source = number if wanted is None else wanted if isinstance(wanted, int) else wanted.fileno()
            fds.append(keep(os.dup(source)))
    return fds, pipes


def _message(request: Request, arguments: list[str], preferences: Preferences) -> dict[str, Any]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    ignored = int(status["SigIgn"], 16)
    return {
        "op": "fork",
        "argv": arguments,
        "env": dict(request.environment),
        "cwd": request.folder,
        "independent": request.independent,
        "command": list(request.command),
        "umask": int(status.get("Umask", "0022"), 8),
        "limits": [(number, resource.getrlimit(number)) for number in _limits()],
        # As Popen has it, which gives these two their own handlers.
        "ignored": [
            number
            for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}
            if ignored >> (number - 1) & 1
        ],
        "memory": preferences.memory,
        "watch": list(preferences.watch),
    }


def _limits() -> list[int]:
    return sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
