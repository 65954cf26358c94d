"""`nbops history`: show the ledger of a model and unfinished changes."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from notebooks_lib.cli import output
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.tracking.release_ledger import LedgerEntry

CHANGES = {"mark": "champion", "failed": "failed, undone"}
"""Kind of an entry -> its name for people, where the two differ."""
MOST_COLUMNS = 120
"""Widest line of a reason; on a narrower terminal, its width."""


@click.command()
@click.argument("model")
@click.option("--stage", help=f"Only this stage: one of {', '.join(STAGES)}.")
@click.option(
    "-n", "lines", default=30, show_default=True, type=click.IntRange(1), help="Number of entries, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all entries.")
def command(model: str, stage: str | None, lines: int, as_json: bool) -> None:
    """Show every change of MODEL, newest first: when, where, from which version to which, by whom, and why.

    A change is one of: champion (the version that a stage serves), traffic (the share of requests of each version),
    failed (a change was undone), waiting (for an approval), approved.
    """
    from notebooks_lib import settings
    from notebooks_lib.models import registry
    from notebooks_lib.release import change_storage, journal, rollout
    from notebooks_lib.review.store_trust import connect_unless_chosen_by_branch
    from notebooks_lib.serving.endpoint import check_name
    from notebooks_lib.tracking import release_ledger

    project = settings.existing()
    rollout.check_stages(project, [stage] if stage else [])
    store = connect_unless_chosen_by_branch(project)
    entries = release_ledger.read_entries(store, check_name("model", model), stage)
    if not entries and model not in registry.models(store):
        registry.get(store, model, "1")  # raises and names the existing models
    unfinished = [
        change
        for change in change_storage.unfinished_changes(project, model, store=store)
        if stage in (None, change.change.stage)
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
        _print(entries[:lines])
    else:
        click.echo(f"nothing of {model} has moved yet")
    if len(entries) > lines:
        click.echo(f"and {len(entries) - lines} older; -n {len(entries)} or --json shows them")
    for change in unfinished:
        click.echo(f"unfinished: {journal.describe(change)}; {journal.recovery_hint(change)}")


def _print(entries: Sequence[LedgerEntry]) -> None:
    """Print a table of the entries, and each reason below the last of the entries that share it."""
    rows = [
        (
            entry.when[:19].replace("T", " "),
            entry.stage,
            CHANGES.get(entry.what, entry.what),
            _versions(entry.before),
            _versions(entry.after),
            entry.who,
            entry.run[:8] or "-",
        )
        for entry in entries
    ]
    width = max(min(shutil.get_terminal_size().columns, MOST_COLUMNS) - 4, 20)
    reasons = {
        number: textwrap.wrap(entry.reason, width, break_on_hyphens=False)
        for number, (entry, older) in enumerate(zip(entries, (*entries[1:], None), strict=True))
        if older is None or older.reason != entry.reason
    }
    output.table(("when (UTC)", "stage", "change", "from version", "to version", "by", "decided in run"), rows, reasons)


def _versions(text: str) -> str:
    """Return a version as it is, and traffic such as "1=90,2=10" as "1 (90 %), 2 (10 %)"."""
    shares = [part.partition("=") for part in text.split(",")]
    return ", ".join(f"{version} ({share} %)" if share else version for version, _, share in shares) or "-"
