"""Whoever knows `az ml` is led to the command of nbops, and no help is cut."""

from __future__ import annotations

import importlib

import click
import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.cli.command_group import AZ_ML
from notebooks_lib.cli.main import command as main

WORDS = [(group, word, ours) for group, words in AZ_ML.items() for word, ours in words.items()]


@pytest.mark.parametrize(("group", "word", "ours"), WORDS, ids=[f"{group} {word}" for group, word, _ in WORDS])
def test_a_name_of_az_ml_is_answered_with_ours(
    group: str, word: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run([*group.split()[1:], word, "x"]) == 2
    assert f"No such command '{word}'; here it is: {ours}\n" in capsys.readouterr().err


@pytest.mark.parametrize("ours", sorted({ours for _, _, ours in WORDS}))
def test_each_of_ours_is_a_command(ours: str) -> None:
    for line in ours.split(", then "):
        group: click.Command = main
        for word in line.removeprefix("nbops ").split():
            if not isinstance(group, click.Group):
                break
            found = group.get_command(click.Context(group), word)
            assert found is not None, ours
            group = found


@pytest.mark.parametrize("name", ["azure", "endpoint", "batch", "data", "kernels", "gate"])
def test_no_help_is_cut(name: str) -> None:
    group: click.Group = importlib.import_module(f"notebooks_lib.cli.{name}").command
    assert "..." not in group.get_help(click.Context(group)).replace("[ARGS]...", "")
