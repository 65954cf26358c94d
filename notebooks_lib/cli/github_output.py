"""What a step of a GitHub workflow hands on: outputs for the steps after it, and a summary for people."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

VARIABLE = "GITHUB_OUTPUT"
SUMMARY = "GITHUB_STEP_SUMMARY"


def write(values: Mapping[str, str]) -> None:
    """Add values to the file that GitHub names, if it names one. A line says where that fails: the work is done."""
    _append(VARIABLE, "".join(f"{name}={value}\n" for name, value in values.items()), "later steps get no outputs")


@contextlib.contextmanager
def summary(url: str) -> Iterator[None]:
    """Take what the block prints for the summary that GitHub shows, with a link to the run; else print nothing."""
    from notebooks_lib.review import markdown_text

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    link = f"\n[The run with its card]({url})\n" if url.startswith("https://") else ""
    block = markdown_text.fence(markdown_text.lines(click.unstyle(text.getvalue()).splitlines()), "text")
    _append(SUMMARY, f"{block}\n{link}", "the summary lacks the decision")


def _append(variable: str, text: str, without: str) -> None:
    file = os.environ.get(variable)
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.write(text)
    except OSError as error:
        reason = error.strerror or str(error)
        click.echo(f"{variable}: {file} cannot be written ({reason}); {without}", err=True)
