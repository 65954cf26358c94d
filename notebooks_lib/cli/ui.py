"""`nbops ui`: open MLflow's pages on this project's runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import click


@click.command()
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
def command(port: int) -> int:
    """Open MLflow's pages on the runs and models of this project, at http://127.0.0.1:PORT, until Ctrl-C."""
    from notebooks_lib import settings
    from notebooks_lib.review.store_trust import connect_unless_chosen_by_branch
    from notebooks_lib.tracking import quiet_mlflow_server

    here = settings.existing()
    connected = connect_unless_chosen_by_branch(here)
    if not connected.local:
        click.echo(f"the runs are kept at {connected.shown}; open that store's own pages")
        return 0
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise click.UsageError(f"port {port} is taken; try: nbops ui --port {port % 65535 + 1}")
    click.echo(f"http://127.0.0.1:{port}  (ready in a few seconds; Ctrl-C ends it)")
    sys.stdout.flush()
    arguments = quiet_mlflow_server.command(connected, port)
    environment = quiet_mlflow_server.environment(os.environ)
    if os.name == "posix":  # the server replaces this process, so that ending the process ends the server
        os.execve(arguments[0], arguments, environment)
    return subprocess.call(arguments, env=environment)
