"""The server process of an endpoint: load the models, wait for "go", serve until stopped.

`python -m notebooks_lib.serving.server FOLDER`, started by `server_process.py`, which talks to it in lines of JSON:

    reads   the configuration (server_config.py)
    writes  {"pid"}                                             before the slow part
    writes  {"loaded", "port", "examples"} or {"error", "kind"}
    reads   "go"                                                end of input instead: the starter is gone, so end
    writes  {"serving"} or {"error", "kind"}

From then on it follows the endpoint's state file (`hot_reload.py`). A starter that dies before "go" leaves nothing
behind; one that dies later leaves a running server whose identity is written down.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import queue
import shutil
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from notebooks_lib import process_identity
from notebooks_lib.serving import uvicorn_setup
from notebooks_lib.serving.server_config import ServerConfig

if TYPE_CHECKING:
    from notebooks_lib.serving.access_log import AccessLog
    from notebooks_lib.serving.app import App
    from notebooks_lib.serving.data_collector import DataCollector
    from notebooks_lib.serving.hot_reload import HotReloader

LOG_LIMIT = 5 * 1024 * 1024
"""Bytes after which the log is moved to log.1, whatever the model prints."""
_LOOK_EVERY = 2.0
_FLUSH_EVERY = 0.5
_BACKLOG = 1024


class ServedEndpoint(NamedTuple):
    """The parts of the server process: application, follower of the state file, access log, collector."""

    app: App
    follower: HotReloader
    access: AccessLog | None
    collector: DataCollector | None


def main() -> None:
    """Run the server process: read the configuration from standard input, load the models, serve until stopped."""
    folder = Path(sys.argv[1])
    line = sys.stdin.readline()
    if not line:
        return
    config = ServerConfig.from_json(line)
    os.umask(0o077)  # logs and collected requests are for the owner of the endpoint only
    _detach()
    _send({"pid": os.getpid()})
    go: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_await_go, args=(go,), name="starter", daemon=True).start()
    try:
        listener = _bind(config.host, config.port)
        served = _load(config, folder)
        port = listener.getsockname()[1]
        record = _stage_record(folder, config, port)
        _send({"loaded": True, "port": port, "examples": served.follower.example()})
        if go.get() != "go":
            return
        # Before clients can connect: without this record no command could stop the server.
        record.replace(folder / "server.json")
        listener.listen(_BACKLOG)
    except OSError as error:
        _fail(_error_kind(error), error)
    except Exception as error:  # noqa: BLE001 - it goes to the starter, and with its traceback to the log
        import traceback

        traceback.print_exc()
        _fail("load", error)
    else:
        # The socket listens already: every connection from now on is answered.
        _send({"serving": True})
        os.dup2(2, 1)
        with open(os.devnull) as nothing:  # noqa: PTH123 - a device, not a path of ours
            os.dup2(nothing.fileno(), 0)
        _serve(served, listener, folder)


class _PortError(OSError):
    pass


def _detach() -> None:
    """Go on in a child process whose parent ends at once: it is no child of the starter, and is not ended with it."""
    if hasattr(os, "fork") and os.fork():
        os._exit(0)


def _await_go(go: queue.SimpleQueue[str]) -> None:
    """Pass on the line that the starter sends. When the starter dies first, end at once, even while a model loads."""
    line = sys.stdin.readline().strip()
    if not line:
        os._exit(1)
    go.put(line)


def _error_kind(error: OSError) -> str:
    if not isinstance(error, _PortError):
        return "os"
    return {errno.EADDRINUSE: "port", errno.EACCES: "rights"}.get(error.errno or 0, "host")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = uvicorn_setup.listening_socket(family)
    if port and os.name == "posix":  # on Windows the option means that two may have the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except UnicodeError as error:
        listener.close()
        raise _PortError(0, f"{host!r}: {error}") from error
    except OSError as error:
        listener.close()
        number = 0 if isinstance(error, socket.gaierror) else error.errno  # its numbers are of another kind
        raise _PortError(number, f"{host}:{port}: {error.strerror}") from error
    if os.name == "posix":
        # Connections inherit it: those that this server closes would keep its next start from the port for a minute.
        # Not before a free port was found: two servers could find the same one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _load(config: ServerConfig, folder: Path) -> ServedEndpoint:
    from notebooks_lib.serving import model_loading
    from notebooks_lib.serving.app import App
    from notebooks_lib.serving.data_collector import DataCollector
    from notebooks_lib.serving.hot_reload import HotReloader
    from notebooks_lib.serving.slots import Slots

    model_loading.prepare_process()
    slots, name, options = Slots(), config.endpoint, config.options
    follower = HotReloader(folder, slots)
    follower.load_first(config.state, set(config.must))
    access = uvicorn_setup.access_log(options, folder / "access.log")
    collector = None
    if {name, "*"} & set(options.collect):
        share, rotate = options.collect_share, options.collect_rotate
        collector = DataCollector(config.collected, name, share=share, rotate=rotate)
    limits = uvicorn_setup.request_limits(options)
    app = App(name, slots, key=config.key, hosts=options.hosts, limits=limits, access=access, collector=collector)
    return ServedEndpoint(app, follower, access, collector)


def _stage_record(folder: Path, config: ServerConfig, port: int) -> Path:
    """Write the record of this process beside its place: the old server still runs, so a full disk does no harm yet."""
    from notebooks_lib.serving import endpoint_state
    from notebooks_lib.serving.endpoint_state import ServerRecord

    own = ServerRecord(
        os.getpid(), process_identity.birth(), config.host, port, protocol=config.protocol, since=time.time()
    )
    return endpoint_state.write_draft(folder / "server.json", asdict(own))


def _serve(served: ServedEndpoint, listener: socket.socket, folder: Path) -> None:
    import logging
    import signal

    import uvicorn

    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn handles these, and raises them again when it has ended; files must still be closed then.
        signal.signal(number, lambda *_: None)
    gc.collect()
    gc.freeze()  # what is loaded stays: to scan it again would take a tenth of a second each time
    config = uvicorn_setup.uvicorn_config(served.app)
    server = uvicorn.Server(config)

    async def run() -> None:
        background = [_look_after(server, folder), served.follower.follow(), _flush(served.access)]
        tasks = [asyncio.create_task(work) for work in background]
        try:
            await server.serve(sockets=[listener])
        finally:
            for task in tasks:
                task.cancel()

    uvicorn_setup.run_in_loop(server, run())
    if served.access is not None:
        served.access.close()
    if served.collector is not None:
        served.collector.close(uvicorn_setup.GRACE - 2)
    # A model may have left threads that never end, or one of ours may still be loading another.
    logging.shutdown()
    os._exit(0)


async def _flush(access: AccessLog | None) -> None:
    while access is not None:
        await asyncio.sleep(_FLUSH_EVERY)
        access.flush()


async def _look_after(server: Any, folder: Path, log_limit: int = LOG_LIMIT) -> None:
    """Keep the log within its size, and end when the endpoint's folder is gone: nothing could stop the server any more.

    The log is copied and emptied, so that it stays the file that this process and its libraries write to.
    """
    path = folder / "log"
    while True:
        if not folder.is_dir():
            server.should_exit = True
        with suppress(OSError):
            if path.stat().st_size > log_limit:
                with suppress(OSError):  # no room, or no file left to open: these lines are lost, and the limit holds
                    await asyncio.to_thread(shutil.copyfile, path, path.with_name("log.1"))
                os.truncate(path, 0)
        await asyncio.sleep(_LOOK_EVERY)


def _fail(kind: str, error: Exception) -> None:
    _send({"error": (isinstance(error, _PortError) and error.strerror) or str(error), "kind": kind})
    raise SystemExit(1)


def _send(message: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError, ValueError):  # the starter is gone, and the end of the input ends this process
        print(json.dumps(message), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
