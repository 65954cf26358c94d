"""Foreign names on a terminal move no cursor and change no colour."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from notebooks_lib.cli import output
from notebooks_lib.run_result import Failure, RunResult

NAME = "a\x1b[31m[/x]\u202en"


def test_a_path_is_shown_without_escapes() -> None:
    assert output.path(Path("/x") / f"{NAME}.ipynb") == r"/x/a\x1b[31m[/x]\u202en.ipynb"


def test_a_title_is_shown_without_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with output.CellProgress(NAME) as progress:
        progress.opened("r1", "")
    assert capsys.readouterr().err == "a\\x1b[31m[/x]\\u202en: run r1\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.CellProgress(NAME) as progress:
        progress.cell(0, 3)
    assert "\x1b[31m[/x]" not in capsys.readouterr().err


def test_table_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "value"), [("a", 1.5), ("long name", 22.25)])
    assert click.unstyle(capsys.readouterr().out) == "name       value\na            1.5\nlong name  22.25\n"


def test_an_error_that_lists_a_thousand_values_fits_a_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for message in ("unknown label", "unknown label: " + "1.5, " * 1000):
        failure = Failure("error", "ValueError", message, 3, "fit()")
        output.run_result(RunResult(None, "FAILED", tmp_path / "none.ipynb", failure=failure))
    short, long = (line for line in capsys.readouterr().out.splitlines() if "reason" in line)
    assert short == "  reason    cell 3 (fit()): ValueError: unknown label"
    assert len(long) < 1100
    assert long.endswith("… (all of it: in the notebook)")
