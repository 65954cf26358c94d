"""`nbops doctor`: show the settings in force, and find problems."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(as_json: bool) -> int:
    """Show the settings in force, check what a run needs, and close runs whose owner is gone.

    Exit code 1 when there is a problem.
    """
    from notebooks_lib import settings
    from notebooks_lib.cli import terminal
    from notebooks_lib.release import journal
    from notebooks_lib.running import doctor

    here = settings.here()
    if as_json:
        findings = list(doctor.examine(here))
        left = [journal.describe(each) for each in journal.unfinished(here)]
        told = {"settings": doctor.in_force(here), "findings": [vars(found) for found in findings], "unfinished": left}
        click.echo(json.dumps(told))
        return int(not all(found.ok for found in findings))
    terminal.table(
        ("setting", "value"), [(name, value or "(default)") for name, value in doctor.in_force(here).items()]
    )
    click.echo()
    wrong = 0
    for found in doctor.examine(here):
        mark = click.style("ok   ", fg="green") if found.ok else click.style("FAULT", fg="red")
        click.echo(f"{mark}  {found.what}: {found.detail}")
        if not found.ok:
            wrong += 1
            click.echo(f"       -> {found.advice}")
    for each in journal.unfinished(here):
        click.echo(f"{click.style('note ', fg='yellow')}  unfinished: {journal.describe(each)}")
        click.echo("       -> if nobody is at it: the next nbops promote --live or nbops rollback mends it")
    click.echo("all well" if not wrong else f"{wrong} fault(s)")
    return int(wrong > 0)
