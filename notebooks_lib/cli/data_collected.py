"""`nbops data collected`: what an endpoint was asked and answered, as one table."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text

if TYPE_CHECKING:
    from notebooks_lib.serving.collected.collected_data import CollectedData

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_SHOWN = 5
"""Damaged files that are printed."""


class _Since(click.ParamType[datetime]):
    """A time that has passed: "7d" ago, or an ISO time, which is UTC if it names no zone."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text, now = str(value).strip(), datetime.now(UTC)
        try:
            if match := _AGO.fullmatch(text):
                return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"found {text!r}; expected 30m, 12h, 7d, 2w, or a time such as 2026-11-23T08:00Z", param, ctx)
        if at > now:
            self.fail(f"{text} has not come yet", param, ctx)
        return at


@click.command()
@click.argument("endpoint")
@click.option("--since", type=_Since(), default="7d", show_default=True, help="30m, 12h, 7d, 2w, or an ISO time (UTC).")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write, .parquet or .csv. A Parquet file of the same endpoint is replaced.",
)
@click.option("--replace", is_flag=True, help="Replace FILE whatever it is.")
@click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE", help="The true values, CSV or Parquet; see --key."
)
@click.option("--key", metavar="COLUMN", help="The input, or request_id, by which a row finds its label.")
@click.option("--for-training", is_flag=True, help="Write inputs and labels only, each key once: for `nbops data add`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def collected(
    endpoint: str,
    since: datetime,
    output: Path,
    replace: bool,
    labels: Path | None,
    key: str | None,
    for_training: bool,
    as_json: bool,
) -> None:
    """Write what ENDPOINT collected to FILE: inputs, prediction, version, slot, time and request id, a row each.

    ENDPOINT is here or on Azure, as its stage says. Rows whose prediction got lost stay, without one. Damaged records
    are left out and counted. With --labels, rows get the true values from another file, and those without any are left
    out.
    """
    if (labels is None) != (key is None):
        raise click.UsageError("--labels and --key belong together: the file, and the column that finds a row's label")
    if for_training and labels is None:
        raise click.UsageError("--for-training needs what is to be learned: add --labels FILE --key COLUMN")
    from notebooks_lib import settings
    from notebooks_lib.serving import targets
    from notebooks_lib.serving.collected import collected_data, collected_table
    from notebooks_lib.serving.collected.collected_labels import LabelTable

    here = settings.here()
    collected_table.check_output(output, endpoint, replace=replace)
    table = LabelTable.read(labels, key) if labels is not None and key is not None else None
    opened = targets.open_collected(here, endpoint, since)
    written = collected_data.write_collected(opened, endpoint, output, since, labels=table, training=for_training)
    if as_json:
        click.echo(json.dumps(written.as_json(), ensure_ascii=False))
    else:
        _print(written)


def _print(written: CollectedData) -> None:
    from notebooks_lib.cli import output

    click.echo(
        f"{output.counted(written.rows, 'row')} of {output.counted(written.requests, 'request')}"
        f" in {output.path(Path(written.file).absolute())}"
    )
    times = [at.isoformat(timespec="seconds") for at in (written.first, written.last) if at]
    facts = [
        ("time", " to ".join(times)),
        ("slots", ", ".join(sorted(written.slots))),
        ("versions", ", ".join(sorted(written.columns.versions))),
    ]
    if (index := written.labels) is not None:
        facts.append(("labels", f"{written.labelled} rows have one, {written.unlabelled} have none and are left out"))
        more = {
            "labels of no row": index.unused,
            "duplicate labels": index.repeated,
            "labels without key": index.without_key,
        }
        more |= {"rows without any label": index.empty, "earlier rows of the same key, left out": written.earlier}
        facts += [("", f"{count} {what}") for what, count in more.items() if count]
    for label, value in facts:
        click.echo(f"  {label:<9} {safe_text.printable(value)}")
    for note in _notes(written):
        click.echo(f"note: {safe_text.printable(note)}")


def _notes(written: CollectedData) -> list[str]:
    counted = {
        "requests whose predictions were not collected: their rows have none": written.without_prediction,
        "requests with another number of predictions than rows: their rows have none": written.other_number,
        "predictions whose inputs were not collected: left out": written.predictions_alone,
        "requests that several slots answered: their rows are there for each slot": written.in_several_slots,
        "records that were delivered twice: once left out": written.repeated_records,
    }
    notes = [f"{count} {what}" for what, count in counted.items() if count] + written.columns.remarks()
    damaged = [*written.damages.files.values()]
    notes += [f"damaged, left out: {each.file}: {each.count}, as {each.first}" for each in damaged[:_SHOWN]]
    return notes + ([f"{len(damaged) - _SHOWN} more damaged files (--json names all)"] if len(damaged) > _SHOWN else [])
