"""Seconds and minutes are numbers above 0 that have an end: `nan` would wait for ever."""

from __future__ import annotations

import click
import pytest

from notebooks_lib.cli.positive_number import POSITIVE


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "x"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        POSITIVE.convert(text, None, None)


def test_a_number_is_taken() -> None:
    assert POSITIVE.convert("0.5", None, None) == 0.5


@pytest.mark.parametrize("command", ["batch run m --data a.csv -o b.csv", "azure pipeline p.yml", "run n.ipynb"])
def test_no_command_waits_without_an_end(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from notebooks_lib import __main__ as program

    assert program.run([*command.split(), "--wait-minutes", "nan"]) == 2
    assert "nan is no limit; write a number above 0" in capsys.readouterr().err
