"""`nbops azure schedule`: the schedules of the workspace, and the monitors of its endpoints."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors
from notebooks_lib.cli import output
from notebooks_lib.cli.azure_infrastructure import change_lines, coloured, need_terminal, tell
from notebooks_lib.cli.command_group import CommandGroup

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.azure.schedules.schedule import Schedule

_PARALLEL = 8
_name = click.argument("name")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.group("schedule", cls=CommandGroup)
def schedule() -> None:
    """Make the schedules of production/azure/schedules, and list, switch, start and delete schedules."""


@schedule.command()
@click.option("--what-if", is_flag=True, help="Only show what would change.")
@_yes
@_as_json
def apply(what_if: bool, yes: bool, as_json: bool) -> int:
    """Give the workspace the schedules of production/azure/schedules, and the monitors of monitor.yml: show, ask, do.

    What this project made, and no longer has, is deleted. What is as its file says is left alone, and what is off stays
    off. Exit code: 0 done, nothing to do, or not wanted; 1 it failed, or there is a monitor that cannot be made: all
    else is done, and the next `apply` goes on.
    """
    from notebooks_lib import settings
    from notebooks_lib.azure.client import rest_client, workspace
    from notebooks_lib.azure.infrastructure.what_if import ResourceChange
    from notebooks_lib.release.schedule_plan import plan_schedules

    here = settings.here()
    workspace.find_workspace(here)
    if not (yes or what_if):
        need_terminal()
    plan = plan_schedules(here, rest_client.resource_manager(), os.environ)
    for line in change_lines([ResourceChange(each.kind, each.what, each.lines) for each in plan.changes]):
        click.echo(coloured(line), err=as_json)
    for note in (*plan.notes, *plan.failures):
        tell(note)
    applied = bool(plan.changes) and not what_if and (yes or click.confirm("Apply this?", err=True))
    for change in plan.changes if applied else ():
        change.carry_out(tell)
    if as_json:
        changes = [{"kind": each.kind, "what": each.what, "lines": each.lines} for each in plan.changes]
        shown = {"changes": changes, "notes": plan.notes, "failures": plan.failures, "applied": applied}
        click.echo(json.dumps(shown))
    elif applied:
        click.echo("done: nbops azure schedule list shows when each runs next")
    return 1 if plan.failures else 0


@schedule.command("list")
@_as_json
def list_(as_json: bool) -> int:
    """List the schedules and monitors of the workspace: on or off, when they run next, how they ran last.

    The mark in the first column: nbops made it. Times are in UTC.
    """
    from notebooks_lib.azure.schedules import schedule as schedules

    client, workspace = _connected(quick=True)
    found = list(schedules.list_schedules(client, workspace))
    with ThreadPoolExecutor(_PARALLEL) as pool:
        jobs = pool.map(lambda each: schedules.last_job(client, workspace, each.name), found)
        rows = [_row(each, job) for each, job in zip(found, jobs, strict=True)]
    if as_json:
        click.echo(json.dumps({"schedules": rows}))
    elif rows:
        columns = ("name", "kind", "state", "next_run", "last_run", "last_status", "last_job")
        table = [("*" if row["by_nbops"] else "", *(str(row[column] or "") for column in columns)) for row in rows]
        output.table(("", "name", "kind", "state", "next run", "last run", "its end", "job"), table)
    else:
        click.echo("no schedules yet: nbops azure schedule apply makes those of production/azure/schedules", err=True)
    return 0


def _row(schedule: Schedule, job: Any) -> dict[str, Any]:
    run = schedule.next_run(datetime.now(UTC))
    return {
        "name": schedule.name,
        "kind": schedule.kind,
        "state": "on" if schedule.enabled else "off",
        "next_run": run.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if run else None,
        "last_run": job.created[:16].replace("T", " ") if job else None,
        "last_status": job.status if job else None,
        "last_job": job.name if job else None,
        "by_nbops": any(tag.startswith("nbops.") for tag in schedule.tags),
    }


@schedule.command()
@_name
@_as_json
def on(name: str, as_json: bool) -> int:
    """Switch a schedule on; one that is on stays as it is."""
    return _switch(name, on=True, as_json=as_json)


@schedule.command()
@_name
@_as_json
def off(name: str, as_json: bool) -> int:
    """Switch a schedule off; `apply` leaves it off. One that is off stays as it is."""
    return _switch(name, on=False, as_json=as_json)


def _switch(name: str, *, on: bool, as_json: bool) -> int:
    from notebooks_lib.azure.schedules import schedule as schedules

    client, workspace = _connected()
    before = schedules.require_schedule(client, workspace, name)
    after = schedules.switch(client, workspace, before, on=on)
    state = "on" if after.enabled else "off"
    if as_json:
        click.echo(json.dumps({"name": name, "state": state, "changed": before.enabled != after.enabled}))
    else:
        click.echo(f"schedule {name} is {state}{'' if before.enabled != after.enabled else ' already'}")
    return 0


@schedule.command()
@_name
@_as_json
def now(name: str, as_json: bool) -> int:
    """Start once, now, what a schedule starts. The schedule must be on."""
    from notebooks_lib.azure.client import http_pipeline, rest_client
    from notebooks_lib.azure.schedules import schedule as schedules

    client, workspace = _connected()
    found = schedules.require_schedule(client, workspace, name)
    if not found.enabled:
        raise errors.UsageError(f"schedule {name} is off: nbops azure schedule on {name}, then now")
    once = rest_client.resource_manager(http_pipeline.HttpLimits(retries=0))
    job = schedules.start_now(once, workspace, name, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps({"name": name, "job": job}))
    else:
        click.echo(f"schedule {name} has started job {job}")
    return 0


@schedule.command()
@_name
@_yes
@_as_json
def delete(name: str, yes: bool, as_json: bool) -> int:
    """Delete a schedule, after asking; one that is gone stays gone. The jobs that it started stay.

    While its file is in production/azure, `apply` makes it again.
    """
    from notebooks_lib.azure.schedules import schedule as schedules

    client, workspace = _connected()
    if not yes:
        need_terminal()
    found = schedules.find_schedule(client, workspace, name)
    deleted = False
    if found is not None:
        tell(f"{found.kind} schedule {name} of workspace {workspace.name!r}, {'on' if found.enabled else 'off'}")
        deleted = yes or click.confirm("Delete it?", err=True)
        if deleted:
            schedules.delete_schedule(client, workspace, found)
    if as_json:
        click.echo(json.dumps({"name": name, "deleted": deleted}))
    elif deleted or found is None:
        click.echo(f"schedule {name} is {'deleted' if deleted else 'not there'}")
    return 0


def _connected(*, quick: bool = False) -> tuple[RestClient, Workspace]:
    from notebooks_lib import settings
    from notebooks_lib.azure.client import http_pipeline, rest_client, workspace

    limits = http_pipeline.QUICK if quick else http_pipeline.USUAL
    return rest_client.resource_manager(limits), workspace.find_workspace(settings.here())
