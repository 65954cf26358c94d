"""`nbops rollback`: make the previous champion serve again."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from notebooks_lib.release.rollback import Restored


@click.command()
@click.argument("model")
@click.option("--stage", default="prod", show_default=True, help="The stage to roll back.")
@click.option("--to", "version", metavar="VERSION", help="Return to this version instead of the previous one.")
@click.option("--reason", default="", help="The reason, kept in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(model: str, stage: str, version: str | None, reason: str, as_json: bool) -> int:
    """Make the previous champion of MODEL serve again, and move the champion mark back to it.

    It must first give the same predictions on this machine as when it was registered; otherwise nothing moves. The
    replaced version is withdrawn: it is never promoted automatically. After an interrupted promotion, only that
    promotion is undone. Exit code: 1 it failed, 2 there is no version to go back to.
    """
    from notebooks_lib import settings
    from notebooks_lib.cli import output
    from notebooks_lib.release.rollback import rollback

    output.show_endpoint_progress()
    project = settings.existing()
    done = rollback(project, model, stage=stage, to=version, reason=reason)
    if as_json:
        content: dict[str, object] = {
            "model": model,
            "stage": stage,
            "version": done.version.version if done.version else None,
            "before": done.before.version if done.before else None,
            "mended": done.mended.text if done.mended else "",
            "further": done.further,
            "monitor": done.monitor,
            "endpoint": done.status.as_json() if done.status else None,
        }
        sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
        return 0
    if done.mended is not None:
        click.echo(f"first: {done.mended.text}")
    _print(done, model, stage)
    return 0


def _print(done: Restored, model: str, stage: str) -> None:
    state = f"version {done.version.version} is champion of {stage}" if done.version else f"has no champion in {stage}"
    state += " again" if done.before else ""
    click.echo(click.style(f"{model} {state}", fg="green", bold=True))
    facts = []
    if done.before is not None:
        facts += [
            ("instead of", f"version {done.before.version}, which is not promoted again by itself"),
            ("verified", f"{done.rows} golden predictions, in this process and through the endpoint"),
        ]
    elif done.mended is not None:
        facts.append(("done", "this was the way back: nothing else was moved"))
        if done.mended.outcome == "undone":
            facts.append(
                ("not barred", f"version {done.mended.version}: a later nbops promote --live may take it again")
            )
    status = done.status
    if status is not None:
        serving = f", version {status.version}" if status.version else ""
        facts.append(("endpoint", f"{status.address} ({status.state}{serving})"))
        if status.curl:
            facts.append(("try it", status.curl))
    if done.monitor:
        facts.append(("monitor", done.monitor))
    if done.further:
        facts.append(("further", f"{done.further} goes back one more"))
    if done.before is not None:
        where = "" if stage == "prod" else f" --stage {stage}"
        facts.append(("take back", f"nbops rollback {model}{where} --to {done.before.version}"))
    for name, text in facts:
        click.echo(f"  {name:<11} {text}")
