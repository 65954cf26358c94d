"""`nbops data newer`: whether a dataset has versions that the champion of a model has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import out_file
from notebooks_lib.stages import STAGES


@click.command()
@click.argument("name")
@click.option("--than-champion", "model", required=True, metavar="MODEL", help="The registered model.")
@click.option(
    "--stage", type=click.Choice(STAGES), default=STAGES[-1], show_default=True, help="Whose champion is meant."
)
@out_file.option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def newer(name: str, model: str, stage: str, out: Path | None, as_json: bool) -> None:
    """Show whether dataset NAME has versions that the champion of MODEL was not trained on.

    The versions are those on this machine and in the Azure ML workspace, if one is named. Without a champion, or such a
    model, the answer is yes. The exit code is 0 for both answers; "newer" in the JSON object is true or false.
    """
    from notebooks_lib import settings
    from notebooks_lib.models.unseen_data import find_unseen

    found = find_unseen(name, model, settings.here(), stage=stage)
    content = found.as_json()
    out_file.write(out, content)
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    click.echo(f"{found.newest} is newer" if found.newer else f"nothing newer than {found.newest}")
    facts = (("because", found.reason), ("new", ", ".join(found.unseen)), ("where", found.where))
    for label, value in facts:
        if value:
            click.echo(f"  {label:<8}  {safe_text.printable(value)}")
