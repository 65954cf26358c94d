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
    from notebooks_lib.cli import terminal
    from notebooks_lib.models import registry
    from notebooks_lib.release import journal, rollout
    from notebooks_lib.serving.endpoint_state import check_name
    from notebooks_lib.tracking import ledger
    from notebooks_lib.tracking.store import connect

    here = settings.here()
    terminal.refuse_nothing(here)
    rollout.check_stages(here, [stage] if stage else [])
    store = connect(here)
    entries = ledger.read(store, check_name("model", model), stage)
    if not entries and model not in registry.models(store):
        registry.get(store, model, "1")  # raises and names the existing models
    left = [each for each in journal.unfinished(here, model) if stage in (None, each.change["stage"])]
    if as_json:
        told = {
            "model": model,
            "entries": [each.as_json() for each in entries],
            "unfinished": [journal.describe(each) for each in left],
        }
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    if entries:
        rows = [
            (
                each.when[:19].replace("T", " "),
                each.stage,
                each.what,
                each.before or "-",
                each.after or "-",
                each.who,
                each.run[:8],
                each.reason,
            )
            for each in entries[:lines]
        ]
        terminal.table(("when (UTC)", "stage", "what", "from", "to", "who", "decision", "why"), rows)
    else:
        click.echo(f"nothing of {model} has moved yet")
    if len(entries) > lines:
        click.echo(f"and {len(entries) - lines} older; -n {len(entries)} or --json shows them")
    for each in left:
        click.echo(f"unfinished: {journal.describe(each)}; {journal.recovery_hint(each)}")
