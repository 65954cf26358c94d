"""`nbops endpoint`: every subcommand refuses an endpoint that is not there, in one line."""

from __future__ import annotations

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect

SUBCOMMANDS = (
    ["start"],
    ["stop"],
    ["status"],
    ["invoke"],
    ["deploy", "--version", "1"],
    ["logs"],
    ["traffic", "blue=100"],
    ["mirror", "green=10"],
    ["delete-slot", "green"],
)


@pytest.mark.tracking
@pytest.mark.parametrize("arguments", SUBCOMMANDS, ids=" ".join)
def test_an_unknown_endpoint_is_refused_in_one_line(
    arguments: list[str], project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(project)
    subcommand, *rest = arguments
    assert program.run(["endpoint", subcommand, "nothing", *rest]) == 2
    error = capsys.readouterr().err
    assert "'nothing'" in error
    assert len(error.splitlines()) == 1


def test_a_request_and_the_example_are_not_sent_at_once(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["endpoint", "invoke", "any", "--data", "{}", "--example"]) == 2
    assert "either --data or --example" in capsys.readouterr().err
