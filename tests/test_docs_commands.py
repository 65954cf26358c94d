"""Each command line of nbops on a page for people is one that nbops takes: its names and options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt

from notebooks_lib.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_LINE = re.compile(r"^(?:\$ )?nbops (?P<rest>[a-z-]+(?: .*)?)$", re.MULTILINE)
_AFTER = re.compile(r"\s+#.*|\s(?:\||&&|;|>).*")
"""A remark, or what takes the output."""


def _lines(page: str) -> Iterator[str]:
    """Yield the command lines of the code blocks of a page, without `nbops`."""
    for token in MarkdownIt("commonmark").parse(page):
        if token.type in ("fence", "code_block"):
            yield from (_AFTER.sub("", match["rest"]) for match in _LINE.finditer(token.content.replace("\\\n", " ")))


def _refusal(line: str) -> str:
    """Return what nbops has against a command line; empty if it takes it. Nothing is run."""
    command: click.Command = main.command
    context, words = click.Context(command), shlex.split(line)
    try:
        while isinstance(command, click.Group) and words:
            name, found, words = command.resolve_command(context, words)
            assert found is not None
            context, command = click.Context(found, parent=context, info_name=name), found
        command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return f"{line}: {error.format_message()}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nbops_takes_the_commands_of_a_page(page: Path) -> None:
    assert [refusal for line in _lines(page.read_text("utf-8")) if (refusal := _refusal(line))] == []


def test_a_command_that_is_not_there_is_found() -> None:
    assert len(list(_lines("    nbops run a.ipynb --on azureml:cpu  # as a job\n\n```\n$ nbops ui\n```\n"))) == 2
    assert "--no-such" in _refusal("azure schedule apply --no-such")
    assert "cancel" in _refusal("azure jobs cancel x")
