"""Build the application and its server from the settings of an endpoint, for serving and for a profile."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import safe_text

if TYPE_CHECKING:
    import asyncio

    import uvicorn

    from notebooks_lib.serving.access_log import AccessLog
    from notebooks_lib.serving.app import App, RequestLimits
    from notebooks_lib.serving.server_config import ServerOptions

SHORTAGE_EVERY = 60.0
"""Seconds between two log lines about a lack of files or memory for another connection."""
GRACE = 5
"""Seconds in which a server that ends finishes its requests."""


def access_log(options: ServerOptions, path: Path) -> AccessLog | None:
    """Open the access log; None if the settings turn it off."""
    from notebooks_lib.serving.access_log import AccessLog

    return AccessLog(path) if options.access_log else None


def request_limits(options: ServerOptions) -> RequestLimits:
    """Return how large and how long a request may be, and how many run at once, as [endpoint] in the settings says."""
    from notebooks_lib.serving.app import RequestLimits

    return RequestLimits(
        options.body_limit, options.concurrency, timeout=options.timeout, read_timeout=options.read_timeout
    )


def listening_socket(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Return a TCP socket to listen on.

    Its protocol is set, because only then does asyncio turn Nagle's algorithm off.
    """
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def uvicorn_config(app: App) -> uvicorn.Config:
    """Return uvicorn's configuration for the application. As a side effect, logging goes to standard error."""
    import uvicorn

    from notebooks_lib.serving import connection_limits

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    logging.getLogger().handlers[0].setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    bounds = connection_limits.limits_of_this_process()
    return uvicorn.Config(
        app,
        http=connection_limits.bounded(bounds),
        backlog=connection_limits.backlog(bounds.connections),
        proxy_headers=False,  # any client can send them
        log_config=None,
        access_log=False,  # ours says more
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )


class LogFormatter(logging.Formatter):
    """Formats log lines so that text from a request or a model cannot begin a new line or control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line with control characters escaped; the lines of a traceback are indented."""
        head, *rest = super().format(record).split("\n")
        if record.exc_info or record.stack_info:
            return "\n    ".join(safe_text.printable(line) for line in (head, *rest))
        return safe_text.printable("\n".join((head, *rest)))


def run_in_loop(server: uvicorn.Server, work: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine `work` in the server's event loop, which is uvloop's if that is installed."""
    import asyncio

    from notebooks_lib.serving import connection_limits

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(_handle)
        sweeping = asyncio.create_task(connection_limits.sweep(server.server_state.connections))
        try:
            await work
        finally:
            sweeping.cancel()

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(bounded())


_last_shortage = 0.0


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of the event loop; a lack of files, which occurs a thousand times a second, only once a minute."""
    global _last_shortage
    error = context.get("exception")
    if isinstance(error, OSError) and "accept" in str(context.get("message", "")):
        now = loop.time()
        if not _last_shortage or now - _last_shortage > SHORTAGE_EVERY:
            _last_shortage = now
            logging.getLogger("nbops.endpoint").error("no connection can be accepted: %s", error)
        return
    loop.default_exception_handler(context)
