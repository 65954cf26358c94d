"""Puts together what answers HTTP from the settings of an endpoint, for its server and for a profile of one."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import safe_text

if TYPE_CHECKING:
    import asyncio

    import uvicorn

    from notebooks_lib.serving.app import App, RequestLimits
    from notebooks_lib.serving.requests import AccessLog

SHORTAGE_EVERY = 60.0
"""Seconds between two lines that say that the system lacks files or memory for another connection."""
GRACE = 5
"""Seconds in which a server that ends answers what it was asked."""


def access_log(options: Mapping[str, Any], path: Path) -> AccessLog | None:
    """Where each request leaves a line, if the settings say so."""
    from notebooks_lib.serving.requests import AccessLog

    return AccessLog(path) if options["access_log"] else None


def limits(options: Mapping[str, Any]) -> RequestLimits:
    """What the settings let one request take."""
    from notebooks_lib.serving.app import RequestLimits

    return RequestLimits(
        options["body_limit"], options["concurrency"], timeout=options["timeout"], read_timeout=options["read_timeout"]
    )


def tcp(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A socket to listen at. The protocol is named, or asyncio leaves Nagle on."""
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def web(app: App) -> uvicorn.Config:
    """How an application is served; from now on the log goes to the standard error."""
    import uvicorn

    from notebooks_lib.serving import connections

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    logging.getLogger().handlers[0].setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    bounds = connections.limits_of_this_process()
    return uvicorn.Config(
        app,
        http=connections.bounded(bounds),
        backlog=connections.backlog(bounds.connections),
        proxy_headers=False,  # anybody can send them
        log_config=None,
        access_log=False,  # ours says more
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )


class LogFormatter(logging.Formatter):
    """Lines of the log: what a request or a model brings makes no line of its own, and no escape of a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        head, *rest = super().format(record).split("\n")
        if record.exc_info or record.stack_info:
            return "\n    ".join(safe_text.printable(line) for line in (head, *rest))
        return safe_text.printable("\n".join((head, *rest)))


def run(server: uvicorn.Server, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in the event loop that the server wants: uvloop's where it is installed."""
    import asyncio

    from notebooks_lib.serving import connections

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(_handle)
        sweeping = asyncio.create_task(connections.sweep(server.server_state.connections))
        try:
            await work
        finally:
            sweeping.cancel()

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(bounded())


_last_shortage = 0.0


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the loop could not handle; a lack of files, which comes a thousand times a second, once a minute."""
    global _last_shortage
    error = context.get("exception")
    if isinstance(error, OSError) and "accept" in str(context.get("message", "")):
        now = loop.time()
        if not _last_shortage or now - _last_shortage > SHORTAGE_EVERY:
            _last_shortage = now
            logging.getLogger("nbops.endpoint").error("no connection can be accepted: %s", error)
        return
    loop.default_exception_handler(context)
