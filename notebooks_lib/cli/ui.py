"""`nbops ui`: MLflow's own pages on this project's runs."""

from __future__ import annotations

import subprocess

import click


@click.command()
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
def command(port: int) -> int:
    """Open MLflow's pages on the runs and models of this project, at http://127.0.0.1:PORT, until Ctrl-C."""
    from notebooks_lib import settings
    from notebooks_lib.tracking import store

    connected = store.connect(settings.here())
    if not connected.local:
        click.echo(f"the runs are kept at {connected.uri}; open that store's own pages")
        return 0
    click.echo(f"http://127.0.0.1:{port}  (Ctrl-C ends it)")
    arguments = store.server_command(connected, port)
    return subprocess.call(arguments)
