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
    from notebooks_lib.cli import output
    from notebooks_lib.release import journal
    from notebooks_lib.running import doctor

    project = settings.here()
    if as_json:
        findings = list(doctor.examine(project))
        unfinished = [journal.describe(change) for change in journal.unfinished(project)]
        content = {
            "settings": doctor.in_force(project),
            "findings": [vars(finding) for finding in findings],
            "unfinished": unfinished,
        }
        click.echo(json.dumps(content))
        return int(not all(finding.ok for finding in findings))
    output.table(
        ("setting", "value"), [(name, value or "(default)") for name, value in doctor.in_force(project).items()]
    )
    click.echo()
    wrong = 0
    for finding in doctor.examine(project):
        mark = click.style("ok   ", fg="green") if finding.ok else click.style("FAULT", fg="red")
        click.echo(f"{mark}  {finding.what}: {finding.detail}")
        if not finding.ok:
            wrong += 1
            click.echo(f"       -> {finding.advice}")
    for change in journal.unfinished(project):
        click.echo(f"{click.style('note ', fg='yellow')}  unfinished: {journal.describe(change)}")
        click.echo("       -> if nobody is at it: the next nbops promote --live or nbops rollback mends it")
    click.echo("all well" if not wrong else f"{wrong} fault(s)")
    return int(wrong > 0)
