"""Find, start, ask and stop the templates of this user. Linux only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from notebooks_lib.kernels import safe_packages, template_path, template_protocol
from notebooks_lib.kernels.preferences import Preferences

START_TIMEOUT = 30.0
FAILED_FOR = (5.0, 30.0, 300.0)
"""Seconds until a template that did not start is tried again: after one failure, two, more in a row."""
SOCKET_PATH_LIMIT = 95
"""Bytes; a Unix socket has room for 107, and templates that leave append their process id."""
KEY_LENGTH = 17
FORGOTTEN = 7 * 24 * 3600.0
"""Seconds after which the log of an ended template is removed."""
MOST = 8
"""Templates of one user, which hold some hundred megabytes each. Beyond that, the longest idle one is stopped."""
FORK_TIMEOUT = 15.0
"""Seconds; with a template that takes longer an ordinary kernel is faster."""


class Unavailable(Exception):
    """No warm kernel is available. The message gives the reason. An ordinary kernel does the same work."""


def templates() -> list[tuple[Path, template_protocol.TemplateStatus]]:
    """Return each running template of this user: its socket and its status."""
    running = []
    for path in sorted(runtime_folder().iterdir()):
        if path.suffix == "":
            _, _, leaving = path.name.partition("-")
            if (answer := ask(path, "status")) is not None:
                running.append((path, answer))
            elif leaving and not Path(f"/proc/{leaving}").exists():
                path.unlink(missing_ok=True)  # it was killed
    return running


def of_this_environment(status: template_protocol.TemplateStatus) -> bool:
    """Return whether a template runs the Python of this environment; links are not followed, since they leave it."""
    return Path(status.python).parent == Path(sys.executable).parent


def stop(*, everywhere: bool = False) -> list[template_protocol.TemplateStatus]:
    """Tell the templates of this environment to fork no more, and to exit with their last kernel.

    With `everywhere`, all templates of this user. Return the status of each.
    """
    fitting = [path for path, status in templates() if everywhere or of_this_environment(status)]
    stopped = [answer for path in fitting if (answer := ask(path, "stop")) is not None]
    for path in runtime_folder().iterdir():
        if path.suffix == ".failed":
            path.unlink(missing_ok=True)
    return stopped


def ask(path: Path, op: str) -> template_protocol.TemplateStatus | None:
    """Send "status" or "stop" to the template behind a socket. Return its status, or None when there is no template."""
    connection = connect(path)
    if connection is None:
        return None
    with connection:
        try:
            connection.settimeout(FORK_TIMEOUT)
            template_protocol.send_message(connection, {"op": op})
            return template_protocol.decode(
                template_protocol.TemplateStatus, template_protocol.receive_message(connection)[0]
            )
        except (OSError, EOFError, ValueError):
            return None


def runtime_folder() -> Path:
    """Return the folder of this user's sockets, which no other user may enter.

    Raises Unavailable when the system is not Linux, or the folder cannot be made private.
    """
    if not hasattr(os, "pidfd_open") or not sys.platform.startswith("linux"):
        raise Unavailable(f"not on {sys.platform}")
    session_folder = os.environ.get("XDG_RUNTIME_DIR", "")
    home = Path(session_folder) / "nbops" if session_folder and _mine(session_folder) else None
    home = home or Path(tempfile.gettempdir()) / f"nbops-kernels-{os.getuid()}"
    if len(os.fsencode(home)) + KEY_LENGTH > SOCKET_PATH_LIMIT:
        home = Path("/tmp") / f"nbops-kernels-{os.getuid()}"  # checked below: a folder of this user alone, or refused
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        status = home.lstat()
    except OSError as error:
        raise Unavailable(f"{home} cannot be made: {error.strerror}") from error
    if not home.is_dir() or home.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Unavailable(f"{home} is not a folder that only this user may enter")
    return home


def _mine(folder: str) -> bool:
    """Return whether a folder is this user's; after `sudo` the environment names another user's."""
    try:
        return Path(folder).stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
    except OSError:
        return False


def connect(path: Path) -> socket.socket | None:
    """Connect to the template that listens on the socket `path`; return None if no template of this user does.

    Raises Unavailable when the path is too long for a socket.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise Unavailable(f"the path of the socket is too long: {path}")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(os.fspath(path))
        if template_protocol.peer_identity(connection)[1] == os.getuid():
            return connection
    except OSError:
        pass
    connection.close()
    return None


def start(
    path: Path,
    interpreter: Sequence[str],
    environment: Mapping[str, str],
    preferences: Preferences,
    *,
    most: int = MOST,
) -> socket.socket:
    """Start the template at the socket `path`, and connect to it. If it runs already, only connect.

    A lock keeps two clients from starting it at once. Beyond `most` templates, the longest idle one is stopped. Raises
    Unavailable when it does not start, or failed to start a moment ago.
    """
    failed = path.with_suffix(".failed")
    with _locked(path.with_suffix(".lock")):
        connection = connect(path)
        if connection is not None:
            return connection
        times, last = _failure(failed)
        # The age is negative when the clock was set back.
        if times and 0 <= time.time() - failed.stat().st_mtime < FAILED_FOR[min(times, len(FAILED_FOR)) - 1]:
            raise Unavailable(f"the template did not start a moment ago ({last})")
        path.unlink(missing_ok=True)
        _make_room(most)
        problem = _launch(path, interpreter, environment, preferences)
        connection = connect(path) if problem is None else None
        if connection is not None:
            failed.unlink(missing_ok=True)
            return connection
        failed.write_text(json.dumps([times + 1, f"{problem}; {path.with_suffix('.log')} says more"]))
    raise Unavailable(f"the template did not start: {problem}; {path.with_suffix('.log')} says more")


def _make_room(most: int) -> None:
    """Stop the templates that have been idle longest, if there are `most`, and remove logs of ended ones."""
    running = templates()
    idle = sorted((status.idle_left, path) for path, status in running if status.open and not status.kernels)
    for _, path in idle[: max(0, len(running) + 1 - most)]:
        ask(path, "stop")
    alive = {path.stem.partition("-")[0] for path, _ in running}
    for log in runtime_folder().glob("*.log"):
        if log.stem not in alive and time.time() - log.stat().st_mtime > FORGOTTEN:
            log.unlink(missing_ok=True)  # the lock stays: a file that may be locked is never removed


def _failure(path: Path) -> tuple[int, str]:
    """Return how often in a row a template has failed to start, and the last reason."""
    try:
        times, why = json.loads(path.read_text())
        return int(times), str(why)
    except (OSError, ValueError, TypeError):
        return 0, ""


def _launch(
    path: Path, interpreter: Sequence[str], environment: Mapping[str, str], preferences: Preferences
) -> str | None:
    """Start a template process. Return None when it listens, else what went wrong."""
    config = {
        "socket": os.fspath(path),
        "idle": preferences.idle_seconds,
        "preload": list(preferences.preload),
        "never": list(preferences.never),
        "memory": preferences.memory,
    }
    ready, write = os.pipe()
    with contextlib.closing(os.fdopen(ready, "rb", buffering=0)) as output:
        try:
            with path.with_suffix(".log").open("wb") as log:
                subprocess.run(
                    [*interpreter, template_path(), json.dumps(config), str(write)],
                    input=json.dumps(safe_packages.read_table()).encode(),
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
        poll = select.poll()  # select.select refuses a process with more than 1,024 open files
        poll.register(output, select.POLLIN)
        if not poll.poll(1000 * START_TIMEOUT):
            return f"it was not ready within {START_TIMEOUT:g} s"
        report = output.read(2**16).decode(errors="replace")
    if report == "{}":
        return None
    return report or "it ended while it was starting"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the operating system releases it when this process dies."""
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
