"""`nbops history`: show the ledger of a model and unfinished changes."""

from __future__ import annotations

import json
import sys

import click


@click.command()
@click.argument("model")
@click.option("--stage", help="Only this stage: dev, test or prod.")
@click.option(
    "-n", "lines", default=30, show_default=True, type=click.IntRange(1), help="Number of entries, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all entries.")
def command(model: str, stage: str | None, lines: int, as_json: bool) -> None:
    """Show every change of a champion mark or of traffic of MODEL: when, who, where, from, to and why."""
    from notebooks_lib import settings
    from notebooks_lib.cli import output
    from notebooks_lib.models import registry
    from notebooks_lib.release import journal, rollout, stage_lock
    from notebooks_lib.serving.endpoint import check_name
    from notebooks_lib.tracking import ledger
    from notebooks_lib.tracking.store import connect

    project = settings.existing()
    rollout.check_stages(project, [stage] if stage else [])
    store = connect(project)
    entries = ledger.read_entries(store, check_name("model", model), stage)
    if not entries and model not in registry.models(store):
        registry.get(store, model, "1")  # raises and names the existing models
    unfinished = [
        change for change in stage_lock.unfinished_changes(project, model) if stage in (None, change.change.stage)
    ]
    if as_json:
        content = {
            "model": model,
            "entries": [change.as_json() for change in entries],
            "unfinished": [journal.describe(change) for change in unfinished],
        }
        sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
        return
    if entries:
        rows = [
            (
                change.when[:19].replace("T", " "),
                change.stage,
                change.what,
                change.before or "-",
                change.after or "-",
                change.who,
                change.run[:8],
                change.reason,
            )
            for change in entries[:lines]
        ]
        output.table(("when (UTC)", "stage", "what", "from", "to", "who", "decision", "why"), rows)
    else:
        click.echo(f"nothing of {model} has moved yet")
    if len(entries) > lines:
        click.echo(f"and {len(entries) - lines} older; -n {len(entries)} or --json shows them")
    for change in unfinished:
        click.echo(f"unfinished: {journal.describe(change)}; {journal.recovery_hint(change)}")
