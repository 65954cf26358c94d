"""`nbops azure status`: what there is in the workspace, and what costs money while nobody uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from notebooks_lib.cli import output
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.settings import Settings


@click.command()
@click.option("--stage", type=click.Choice(STAGES), help="Show the workspace of this stage's endpoints.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def status(stage: str | None, as_json: bool) -> int:
    """Show what there is in the workspace, and what of it costs money while nobody uses it.

    Computes, endpoints and schedules of everybody, and the jobs that nbops submitted and that have not ended. The mark
    in the first column: nbops made it.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.client import http_pipeline, rest_client, workspace
    from notebooks_lib.azure.infrastructure import workspace_inventory

    here = settings.here()
    place = _of_stage(here, stage) if stage else workspace.find_workspace(here)
    items = workspace_inventory.list_items(rest_client.resource_manager(http_pipeline.QUICK), place)
    costly = sum(bool(item.idle_cost) for item in items)
    if as_json:
        click.echo(json.dumps({"workspace": vars(place), "items": [vars(item) for item in items]}))
        return 0
    rows = [("*" if item.by_nbops else "", item.kind, item.name, item.state, item.idle_cost) for item in items]
    output.table(("", "kind", "name", "state", "costs while idle"), rows)
    click.echo(f"{costly} of {len(items)} cost money while nobody uses them, beside what is stored", err=True)
    return 0


def _of_stage(here: Settings, stage: str) -> Workspace:
    from notebooks_lib import errors
    from notebooks_lib.azure.client import workspace

    if here.stages.of(stage).target == "local":
        raise errors.UsageError(
            f"the endpoints of stage {stage} are on this machine: nbops endpoint list, or set"
            f' endpoint = "azureml:NAME" under [stages.{stage}]'
        )
    return workspace.stage_workspace(here, stage)
