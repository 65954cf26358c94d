"""Puts together what answers HTTP from the settings of an endpoint, for its server and for a profile of one."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn

    from notebooks_lib.serving.access import AccessLog
    from notebooks_lib.serving.app import App, Limits

GRACE = 5
"""Seconds in which a server that ends answers what it was asked."""


def access_log(options: Mapping[str, Any], path: Path) -> AccessLog | None:
    """Where each request leaves a line, if the settings say so."""
    from notebooks_lib.serving.access import AccessLog

    return AccessLog(path) if options["access_log"] else None


def limits(options: Mapping[str, Any]) -> Limits:
    """What the settings let one request take."""
    from notebooks_lib.serving.app import Limits

    return Limits(
        options["body_limit"], options["concurrency"], timeout=options["timeout"], read_timeout=options["read_timeout"]
    )


def tcp(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A socket to listen at. The protocol is named, or asyncio leaves Nagle on."""
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def web(app: App) -> uvicorn.Config:
    """How an application is served; from now on the log goes to the standard error."""
    import uvicorn

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # ours says more
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )


def run(config: uvicorn.Config, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in the event loop that the server wants: uvloop's where it is installed."""
    import asyncio

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(work)
