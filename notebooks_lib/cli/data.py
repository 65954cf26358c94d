"""`nbops data`: versioned datasets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import output
from notebooks_lib.cli.command_group import CommandGroup
from notebooks_lib.cli.data_collected import collected
from notebooks_lib.cli.data_newer import newer
from notebooks_lib.errors import UsageError

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.datasets.workspace_transfer import Transfer
    from notebooks_lib.settings import Settings

KIND_HELP = "What a column holds where the file does not show it, as in zip=text; else number, time, boolean …"
SHORT = 12
"""Digits of a fingerprint that are shown."""
MOST_SHARES = 10
"""Classes of a target whose share is shown."""


@click.group(cls=CommandGroup)
def command() -> None:
    """List, show, add and share versioned datasets, and see which models were trained on them.

    In a notebook: `from notebooks_lib import datasets`; datasets.load("NAME@V") returns the train and validation rows.
    """


for subcommand in (collected, newer):
    command.add_command(subcommand)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_(as_json: bool) -> None:
    """List all datasets: those of the project, then the tables that ship with scikit-learn."""
    from notebooks_lib import datasets

    entries = datasets.catalog()
    if as_json:
        _json([vars(entry) for entry in entries])
        return
    rows = [
        [
            f"{entry.name}@{entry.versions[-1]}",
            len(entry.versions),
            entry.rows,
            entry.columns,
            entry.fingerprint[:SHORT],
            entry.source,
            entry.description,
        ]
        for entry in entries
    ]
    output.table(("latest", "versions", "rows", "columns", "fingerprint", "from", "description"), rows)


@command.command("show")
@click.argument("ref", metavar="NAME[@V]")
def show_(ref: str) -> None:
    """Show the columns, parts and fingerprint of a dataset, after checking its content against its metadata."""
    from notebooks_lib import datasets, settings

    project = settings.here()
    dataset = datasets.read(ref, project)
    _print(dataset)
    _print_remarks(dataset, project)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the dataset: lower-case letters, digits, '-' and '_'.")
@click.option("--target", help="The column to predict.")
@click.option("--key", help="The column that identifies each row; it alone decides the part of the row.")
@click.option("--group", help="Rows with equal values in this column stay in one part.")
@click.option("--time", help="The column that orders rows in time: the last are the holdout, for forecasts.")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help=KIND_HELP)
@click.option("--description", default="", help="What a row is, and where the data come from.")
def add(
    file: Path,
    name: str,
    target: str | None,
    key: str | None,
    group: str | None,
    time: str | None,
    kinds: tuple[str, ...],
    description: str,
) -> None:
    """Add FILE (CSV, TSV or Parquet) as the next version of a dataset.

    Options left out are as in the previous version. An unchanged table adds nothing. Each row goes to train, validation
    or holdout by its group, else by its key, else by its whole content, so the parts are the same on every machine.
    """
    from notebooks_lib import datasets, settings
    from notebooks_lib.datasets import loader

    project = settings.here()
    refs_before = {f"{entry.name}@{version}" for entry in loader.own(project) for version in entry.versions}
    added = datasets.add(
        file,
        name,
        project,
        target=target,
        key=key,
        group=group,
        time=time,
        kinds=_kinds(kinds),
        description=description,
    )
    click.echo(f"{added.ref} {'has this content already; nothing added' if added.ref in refs_before else 'added'}")
    _print(added)
    _print_remarks(added, project)
    if _may_be_committed(file):
        click.echo(f"note: git does not ignore {file.name} itself: move it out of here, or `git add .` takes its rows")


@command.command()
@click.argument("ref", metavar="NAME[@V]")
@click.option("--fresh", is_flag=True, help="Add a version with an unused holdout.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def holdout(ref: str, fresh: bool, as_json: bool) -> None:
    """Show how often the holdout of a dataset can still be used for decisions; --fresh gives it new holdout rows.

    Before --fresh, add a version with new rows (with a group column: rows of new groups). --fresh then adds one more
    version. In it, holdout rows that have been used for a decision are train or validation rows, and the holdout
    consists of the rows that no decision has used.
    """
    from notebooks_lib import settings
    from notebooks_lib.datasets import fresh_holdout, holdout_budget, loader
    from notebooks_lib.tracking.store import connect

    store = connect(settings.here())
    policy = store.settings.promotion
    new_version = fresh_holdout.make_fresh_holdout(store, ref, min_rows=policy.min_rows) if fresh else None
    dataset = new_version or loader.read(ref, store.settings)
    used = holdout_budget.count_uses(store, dataset.ref, alpha=policy.alpha, budget=policy.holdout_uses)
    remaining = max(policy.holdout_uses - used, 0)
    if as_json:
        content = {"dataset": dataset.ref, "fingerprint": dataset.fingerprint, "rows": dataset.rows_held_out}
        _json(
            {**content, "budget": policy.holdout_uses, "used": used, "left": remaining, "made": new_version is not None}
        )
        return
    if new_version is not None:
        click.echo(f"{new_version.ref} added: its holdout has never decided. Run your notebooks on it, then promote.")
    spent = f"{used} of {policy.holdout_uses} uses spent, {remaining} left"
    click.echo(f"{dataset.ref}: {dataset.rows_held_out} holdout rows, {spent}")
    if not remaining:
        which = fresh_holdout.where_fresh_rows_come_from(dataset.group)
        click.echo(f"  it decides nothing any more; add {which}, then: nbops data holdout {dataset.name} --fresh")


@command.command()
@click.argument("ref", metavar="NAME[@V]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def push(ref: str, as_json: bool) -> None:
    """Send a version to the Azure ML workspace, as a data asset of the same name and version.

    One of the same content that is there already is not sent again; other content under its number is refused.
    """
    from notebooks_lib import settings
    from notebooks_lib.datasets import workspace_transfer

    transfer = workspace_transfer.push(ref, settings.here())
    _print_transfer(transfer, "pushed to" if transfer.moved else "is already in", as_json)


@command.command()
@click.argument("ref", metavar="NAME[@V]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def pull(ref: str, as_json: bool) -> None:
    """Copy a version from the Azure ML workspace to this machine; datasets.load does so by itself, once.

    NAME alone is the workspace's latest version. One that was pulled and changed by hand is pulled again.
    """
    from notebooks_lib import settings
    from notebooks_lib.datasets import workspace_transfer

    transfer = workspace_transfer.pull(ref, settings.here())
    _print_transfer(transfer, "pulled from" if transfer.moved else "is here already, as in", as_json)


@command.command()
@click.argument("ref", metavar="NAME[@V]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def models(ref: str, as_json: bool) -> None:
    """Show which models were trained on a version of a dataset."""
    from notebooks_lib.models.dataset_lineage import trained_on

    runs = trained_on(ref)
    if as_json:
        _json([vars(model_run) for model_run in runs])
        return
    trained = [model_run for model_run in runs if model_run.has_model]
    if trained:
        rows = [
            [
                model_run.model or "(not registered)",
                model_run.version,
                model_run.run_id,
                model_run.experiment,
                model_run.status,
                "  ".join(f"{name} {value:.6g}" for name, value in sorted(model_run.metrics.items())),
            ]
            for model_run in trained
        ]
        output.table(("model", "version", "run", "experiment", "status", "metrics"), rows)
    else:
        click.echo(f"No model was trained on {ref}.")
    if len(runs) > len(trained):
        click.echo(f"{len(runs) - len(trained)} more run(s) used {ref} and left no model.")


def _print_transfer(transfer: Transfer, verb: str, as_json: bool) -> None:
    if as_json:
        _json(vars(transfer))
        return
    click.echo(f"{transfer.dataset} {verb} {transfer.workspace}")
    facts = (("fingerprint", transfer.fingerprint), ("rows", transfer.rows), ("where", transfer.location))
    for label, value in facts:
        click.echo(f"  {label:<11}  {safe_text.printable_lines(str(value))}")


def _print_remarks(dataset: Dataset, project: Settings) -> None:
    from notebooks_lib.datasets import data_quality

    for remark in data_quality.remarks(dataset, project):
        click.echo(f"note: {safe_text.printable_lines(remark)}")


def _may_be_committed(file: Path) -> bool:
    """Return whether a file lies in a repository whose git does not ignore it."""
    from notebooks_lib.git_repository import GitRepository

    try:
        return not GitRepository.find(file.parent).ignores(file)
    except UsageError:
        return False  # no repository, or no git


def _parts_by(dataset: Dataset) -> str:
    if dataset.time:
        return f"{dataset.time}, the last rows being the holdout"
    return dataset.group or dataset.key or "the whole row"


def _kinds(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.rpartition("=") for text in texts]
    for text, (column, _, kind) in zip(texts, pairs, strict=True):
        if not (column and kind):
            raise UsageError(f"--kind {text!r}: name a column and its kind, as in --kind zip=text")
    return {column: kind for column, _, kind in pairs}


def _json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def _classes(dataset: Dataset) -> str:
    """Return the shares of the target's classes; empty for a target without classes."""
    from notebooks_lib.datasets import data_quality

    shares = data_quality.class_shares(dataset)
    shown = ", ".join(f"{name} {share:.1%}" for name, share in [*shares.items()][:MOST_SHARES])
    more = f" and {len(shares) - MOST_SHARES} rarer ones" if len(shares) > MOST_SHARES else ""
    return f"{shown}{more} of train and validation" if shares else ""


def _print(dataset: Dataset) -> None:
    facts = [
        ("description", dataset.description),
        ("from", dataset.source),
        ("fingerprint", dataset.fingerprint),
        (
            "rows",
            f"{dataset.rows}: train {len(dataset.train)}, validation {len(dataset.validation)}, "
            f"holdout {dataset.rows_held_out} (read by promotion only{dataset.left})",
        ),
        ("parts by", _parts_by(dataset)),
        ("classes", _classes(dataset)),
    ]
    click.echo(click.style(dataset.ref, bold=True))
    for label, value in facts:
        if value:
            click.echo(f"  {label:<11}  {safe_text.printable_lines(value)}")
    click.echo()
    roles = {dataset.time: "time", dataset.target: "target", dataset.key: "key", dataset.group: "group"}
    rows = [[name, kind, roles.get(name, "feature")] for name, kind in dataset.columns.items()]
    output.table(("column", "kind", "role"), rows)
