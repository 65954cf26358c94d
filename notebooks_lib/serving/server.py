"""The server process of an endpoint: loads the models, waits for the word to go, serves until it is told to stop.

`python -m notebooks_lib.serving.server FOLDER`, started and spoken to by `process.py`, line by line in JSON:

    reads   {"endpoint", "host", "port", "key", "state", "must", …}     port 0: a free one
    writes  {"pid"}                                             before the slow part
    writes  {"loaded", "port", "examples"} or {"error", "kind"}
    reads   "go"                                                the end of the input instead: nobody waits, so end
    writes  {"serving"} or {"error", "kind"}

From then on it follows the endpoint's state file (`following.py`).
A starter that dies before it said "go" thus leaves nothing behind; one that dies later leaves a server that runs
and has written down who it is.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG_LIMIT = 5 * 1024 * 1024
"""Bytes after which the log is moved to log.1, whatever the model prints."""
_LOOK_EVERY = 2.0
_GRACE = 5
_BACKLOG = 1024


def main() -> None:
    """Run as a process of its own; see the module."""
    folder = Path(sys.argv[1])
    order = json.loads(sys.stdin.readline() or "null")
    if order is None:
        return
    _leave_the_starter()
    _say({"pid": os.getpid()})
    try:
        listener = _bind(order["host"], order["port"])
        follower, app = _load(order, folder)
        port = listener.getsockname()[1]
        signature = _signed(folder, order, port)
        _say({"loaded": True, "port": port, "examples": follower.example()})
        if sys.stdin.readline().strip() != "go":
            return
        # Before anybody can connect: a server that nobody knows could never be stopped.
        signature.replace(folder / "server.json")
        listener.listen(_BACKLOG)
    except OSError as error:
        _fail(_kind(error), error)
    except Exception as error:  # noqa: BLE001 - it goes to the starter, and with its traceback to the log
        import traceback

        traceback.print_exc()
        _fail("load", error)
    else:
        # The socket listens already: whoever connects from now on is answered.
        _say({"serving": True})
        os.dup2(2, 1)
        with open(os.devnull) as nothing:  # noqa: PTH123 - a device, not a path of ours
            os.dup2(nothing.fileno(), 0)
        _serve(app, listener, folder, follower)


class _PortError(OSError):
    pass


def _leave_the_starter() -> None:
    """Go on in a child whose parent ends at once, so that nobody who cleans up after the starter finds us below it."""
    if hasattr(os, "fork") and os.fork():
        os._exit(0)


def _kind(error: OSError) -> str:
    if not isinstance(error, _PortError):
        return "os"
    return "host" if error.errno == errno.EADDRNOTAVAIL else "port"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
    if port and os.name == "posix":  # on Windows the option means that two may have the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _PortError(error.errno, f"{host}:{port}: {error.strerror}") from error
    return listener


def _load(order: Mapping[str, Any], folder: Path) -> tuple[Any, Any]:
    from notebooks_lib.serving import app, loading
    from notebooks_lib.serving.following import Follower
    from notebooks_lib.serving.slots import Slots

    loading.prepare()
    slots = Slots()
    follower = Follower(folder, slots)
    follower.load_first(order["state"], set(order["must"]))
    return follower, app.build(order["endpoint"], slots, key=order["key"] or None)


def _signed(folder: Path, order: Mapping[str, Any], port: int) -> Path:
    """Write down who is going to serve, while a full disk does no harm yet: the old server still runs."""
    import psutil

    from notebooks_lib.serving import state

    started = psutil.Process().create_time()
    own = {"pid": os.getpid(), "created": started, "host": order["host"], "port": port, "protocol": order["protocol"]}
    return state.stage(folder / "server.json", {**own, "since": time.time()})


def _serve(app: Any, listener: socket.socket, folder: Path, follower: Any) -> None:
    import logging

    import uvicorn

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_GRACE, ws="none"
        )
    )

    async def run() -> None:
        beside = [asyncio.create_task(each) for each in (_look_after(server, folder), follower.follow())]
        try:
            await server.serve(sockets=[listener])
        finally:
            for task in beside:
                task.cancel()

    asyncio.run(run())


async def _look_after(server: Any, folder: Path) -> None:
    """Keep the log within bounds, and end when the endpoint's folder is gone: nobody could stop the server any more.

    The log is copied and emptied, so that it stays the file that this process, and what it calls, write to.
    """
    path = folder / "log"
    while True:
        if not folder.is_dir():
            server.should_exit = True
        with suppress(OSError):
            if path.stat().st_size > LOG_LIMIT:
                await asyncio.to_thread(shutil.copyfile, path, path.with_name("log.1"))
                os.truncate(path, 0)
        await asyncio.sleep(_LOOK_EVERY)


def _fail(kind: str, error: Exception) -> None:
    _say({"error": str(error), "kind": kind})
    raise SystemExit(1)


def _say(message: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError, ValueError):  # the starter has gone; the input's end will say so
        print(json.dumps(message), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
