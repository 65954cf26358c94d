"""Output for people: tables, progress and paths, on a terminal or as plain lines. Decides nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text

if TYPE_CHECKING:
    from notebooks_lib.notebooks.document import Notebook
    from notebooks_lib.notebooks.parameter_schema import Schema
    from notebooks_lib.run_result import RunResult

LONGEST_REASON = 1000
"""Characters of an error that are printed: some list every value that they do not like."""
PLAIN_EVERY = 10.0
"""Seconds between two plain lines of progress."""


def show_endpoint_progress() -> None:
    """Show on standard error what takes long at an endpoint, as a deployment on Azure does."""
    import logging

    class ToStderr(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(safe_text.printable(record.getMessage()), err=True)

    logger = logging.getLogger("nbops.endpoint")
    if not logger.handlers:
        logger.addHandler(ToStderr())
        logger.setLevel(logging.INFO)


class CellProgress:
    """Shows on standard error which cell is running: a live line on a terminal, elsewhere a line now and then."""

    def __init__(self, title: str, *, silent: bool = False) -> None:
        self._title = safe_text.printable(title)
        self._silent = silent
        self._live: Any = None
        self._task: Any = None
        self._last_line = time.monotonic()

    def __enter__(self) -> CellProgress:
        if not self._silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Live

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._live = Live(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task(self._title, total=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def opened(self, run_id: str, url: str) -> None:
        """Print the id and address of the run, which is open now."""
        if not self._silent and self._live is None:
            click.echo(f"{self._title}: run {run_id}", err=True)

    def cell(self, index: int, total: int) -> None:
        """Show that a cell begins; `index` counts from 0."""
        if self._live is not None:
            self._live.update(self._task, completed=index, total=total)
        elif not self._silent and time.monotonic() - self._last_line >= PLAIN_EVERY:
            click.echo(f"{self._title}: {index} of {total} cells done", err=True)
            self._last_line = time.monotonic()


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], notes: Mapping[int, Sequence[str]] | None = None
) -> None:
    """Print a table with aligned columns; numbers are on the right. `notes` are lines to print below a row."""
    texts = [[_cell(value) for value in row] for row in rows]
    values = list(rows) if isinstance(rows, list) else texts
    widths = [max(len(text) for text in column) for column in zip(header, *texts, strict=True)]
    numeric = [
        bool(texts) and all(isinstance(row[i], int | float) or row[i] in ("", None) for row in values)
        for i in range(len(header))
    ]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    click.echo(click.style(line(header), bold=True))
    for number, row in enumerate(texts):
        click.echo(line(row))
        for note in (notes or {}).get(number, ()):
            click.echo(f"    {safe_text.printable(note)}")


def notebook(document: Notebook, schema: Schema) -> None:
    """Print the purpose and the parameters of a notebook, for `--help-notebook`."""
    from notebooks_lib.notebooks.parameter_schema import describe

    click.echo(click.style(safe_text.printable(document.title or document.path.stem), bold=True))
    if document.purpose:
        click.echo(f"\n{safe_text.printable_lines(document.purpose)}")
    click.echo()
    rows = [(row.name, row.type, row.default, row.allowed, row.help) for row in describe(schema)]
    if rows:
        table(("parameter", "type", "default", "allowed", "meaning"), rows)
    else:
        click.echo(schema.problem or "the cell tagged `parameters` assigns nothing")


def run_result(result: RunResult) -> None:
    """Print how a run ended, its metrics, the reason if it failed, and where to look at it."""
    colour = "green" if result.status == "FINISHED" else "red"
    early = ", stopped early by sys.exit" if result.stopped_early else ""
    when = "before, with the same fingerprint: not run again" if result.seen else f"in {result.seconds:.1f} s{early}"
    click.echo(click.style(result.status, fg=colour) + f" {when}")
    if result.metrics:
        click.echo("  metrics   " + "  ".join(f"{name} {value:.6g}" for name, value in sorted(result.metrics.items())))
    if result.failure is not None:
        click.echo(f"  reason    {safe_text.printable_lines(_shortened(str(result.failure)))}")
    if result.output is not None and result.output.exists():  # a run on another machine has it among the artifacts
        click.echo(f"  notebook  {path(result.output)}")
    if result.run_id:
        click.echo(f"  run       {result.run_id}  ({open_hint(result.url)})")


def _shortened(reason: str) -> str:
    """Return the beginning of a long error, and a note where the whole of it is."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}… (all of it: in the notebook)"


def open_hint(url: str) -> str:
    """Return advice on how to open a run's page: for a local store, `nbops ui` must run first."""
    return f"`nbops ui`, then {url}" if "//127.0.0.1:5000/" in url else url


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" and "2,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def path(value: Path) -> str:
    """Return a path relative to the current directory if possible."""
    here = Path.cwd()
    return safe_text.printable(str(value.relative_to(here) if value.is_relative_to(here) else value))


def local_path(uri: str) -> str:
    """Return the path of a file URI; any other address unchanged."""
    if not uri.startswith("file:"):
        return uri
    from urllib.request import url2pathname

    return path(Path(url2pathname(uri.removeprefix("file://"))))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else safe_text.printable(str(value))
