"""MLflow's own server for a local store, without the notices that it prints about itself.

`python -m notebooks_lib.tracking.quiet_mlflow_server ARGUMENTS` is `mlflow server ARGUMENTS`. Warnings and errors are
printed as MLflow prints them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

_NOTICE = "[MLflow] Security middleware enabled with default settings"
"""Printed at each start, without an option against it; it tells how to open the server to other machines."""
_DEPRECATION = "ignore:starlette.middleware.wsgi is deprecated:UserWarning"
"""MLflow imports what Starlette is going to drop; the user of its pages can do nothing about that."""


def command(store: Store, port: int) -> list[str]:
    """Return the command that serves MLflow's UI for a local store on `port` of the loopback address."""
    from notebooks_lib.tracking import sqlite

    root = sqlite.artifact_root(store.uri).as_uri()
    return [
        *(sys.executable, "-m", __name__, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", store.uri, "--registry-store-uri", store.uri, "--default-artifact-root", root),
        *("--uvicorn-opts", "--log-level warning"),
    ]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for the server process."""
    filters = [*filter(None, [inherited.get("PYTHONWARNINGS")]), _DEPRECATION]
    # MLflow's job runner is for features that are not used here, and takes ten processes.
    return {**inherited, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": ",".join(filters)}


class _WithoutNotice(io.TextIOBase):
    """Standard error without MLflow's notice. The server is a process of its own and writes past it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith(_NOTICE) else self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def main() -> None:
    """Run MLflow's server in this process, without its notices; the arguments are those of `mlflow server`."""
    from mlflow.cli import cli

    with redirect_stderr(_WithoutNotice(sys.stderr)):
        cli.main(["server", *sys.argv[1:]], prog_name="mlflow")


if __name__ == "__main__":
    main()
