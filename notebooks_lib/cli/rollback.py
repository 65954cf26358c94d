"""`nbops rollback`: the version that was champion before serves again and bears the mark."""

from __future__ import annotations

import json
import sys

import click


@click.command()
@click.argument("model")
@click.option("--stage", default="prod", show_default=True, help="Where to go back.")
@click.option("--to", "version", metavar="VERSION", help="Go to this version, not to the one before.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def command(model: str, stage: str, version: str | None, reason: str, as_json: bool) -> int:
    """Let the version of MODEL that was champion before serve again, and move the mark back to it.

    It must first predict here what it predicted when it was registered; if it does not, nothing moves. What is taken
    back is not promoted again by itself. Exit code 1: it could not be done, 2: there is nothing to go back to.
    """
    from notebooks_lib import settings
    from notebooks_lib.cli import show
    from notebooks_lib.promotion.releasing.rollback import rollback

    here = settings.here()
    show.refuse_nothing(here)
    done = rollback(here, model, stage=stage, to=version, reason=reason)
    if as_json:
        told: dict[str, object] = {
            "model": model,
            "stage": stage,
            "version": done.version.version,
            "before": done.before.version,
        }
        told |= {"mended": done.mended, "endpoint": done.status.as_json()}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
        return 0
    if done.mended:
        click.echo(f"first: {done.mended}")
    click.echo(
        click.style(f"{model} version {done.version.version} is champion of {stage} again", fg="green", bold=True)
    )
    click.echo(f"  instead of  version {done.before.version}, which is not promoted again by itself")
    click.echo(f"  verified    {done.rows} golden predictions, in this process and through the endpoint")
    click.echo(f"  endpoint    {done.status.address} ({done.status.state}, version {done.status.version})")
    if done.status.curl:
        click.echo(f"  try it      {done.status.curl}")
    where = "" if stage == "prod" else f" --stage {stage}"
    click.echo(f"  take back   nbops rollback {model}{where} --to {done.before.version}")
    return 0
