"""`nbops azure status`: what there is in the workspace, and what costs money while nobody uses it."""

from __future__ import annotations

import json

import click

from notebooks_lib.cli import output


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def status(as_json: bool) -> int:
    """Show what there is in the workspace, and what of it costs money while nobody uses it.

    Computes, endpoints and schedules of everybody, and the jobs that nbops submitted and that have not ended. The mark
    in the first column: nbops made it.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure import http_pipeline, rest_client, workspace, workspace_inventory

    place = workspace.find_workspace(settings.here())
    items = workspace_inventory.list_items(rest_client.resource_manager(http_pipeline.QUICK), place)
    costly = sum(bool(item.idle_cost) for item in items)
    if as_json:
        click.echo(json.dumps({"workspace": vars(place), "items": [vars(item) for item in items]}))
        return 0
    rows = [("*" if item.by_nbops else "", item.kind, item.name, item.state, item.idle_cost) for item in items]
    output.table(("", "kind", "name", "state", "costs while idle"), rows)
    click.echo(f"{costly} of {len(items)} cost money while nobody uses them, beside what is stored", err=True)
    return 0
