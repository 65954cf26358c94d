"""Values, figures and times of trials fit in one line, and the summary fits its width."""

from __future__ import annotations

import math

import pytest

from notebooks_lib.sweeps import formatting
from tests.sweeps.results import finished, sweep, trial


def test_the_summary_shows_the_five_best_trials_and_the_reasons_of_failures() -> None:
    trials = [trial(n, "finished", float(10 + (n * 7) % 20)) for n in range(20)]
    trials += [trial(n, "failed", reason="ValueError: no") for n in range(20, 23)] + [trial(23, "killed", reason="OOM")]
    lines = formatting.summary(sweep(*trials, total=30), width=110).splitlines()
    assert lines[0] == "24 of 30 trials in 1 min 23 s: 20 finished, 3 failed, 1 killed"
    assert lines[1].split() == ["trial", "rmse", "time", "parameters", "run"]
    assert [line.split()[:2] for line in lines[2:7]] == [
        ["0", "10"],
        ["3", "11"],
        ["6", "12"],
        ["9", "13"],
        ["12", "14"],
    ]
    assert "alpha=0.001 seed=0" in lines[2]
    assert lines[2].endswith(f"{0:032x}")
    first, last = (formatting.format_parameters(trials[n].values) for n in (20, 23))
    assert lines[7:] == [f"3 trials failed: {first} and 2 more: ValueError: no", f"1 trial was killed: {last}: OOM"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_its_width(width: int) -> None:
    values = {f"parameter_{n}": "long\n" * 20 for n in range(15)}
    trials = [trial(n, "finished", n / 3, values=values) for n in range(9)]
    trials += [trial(n, "failed", values=values, reason=f"{n}\x1b[31m" + "very long " * 50) for n in range(9, 20)]
    text = formatting.summary(sweep(*trials), width=width)
    assert all(len(line) <= width and line.isprintable() for line in text.splitlines())
    assert "and 8 other reasons" in text


def test_a_summary_without_a_best_says_why() -> None:
    assert "no trial finished with a finite value of rmse" in formatting.summary(sweep(trial(0, "failed")))
    assert "--metric" in formatting.summary(finished(1.0, 2.0, goal=None))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (math.nan, "-"), (0, "0.0 s"), (1.34, "1.3 s"), (59.94, "59.9 s"), (59.96, "1 min"), (200, "3 min 20 s"),
        (3599.6, "1 h"), (7500, "2 h 5 min"), (86_399.9, "1 d"), (277_000, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert formatting.format_duration(seconds) == text


def test_a_reason_gives_the_error_before_the_cell() -> None:
    reason = formatting.format_error(
        "ValueError: no", "3", "model = fit(a_very_long_line_of_code, with_many, arguments)"
    )
    assert reason == "ValueError: no, in cell 3 (model = fit(a_very_long_line_of_code, w…)"
    assert formatting.format_error("", "3", "fit()") == "cell 3 (fit())"
    assert formatting.format_error("x" * 900, "3", "fit()").endswith("…, in cell 3 (fit())")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0.1 + 0.2, "0.3"), (10, "10"), (True, "True"), (None, "None"), ("ridge", "ridge"), ("data/a.csv", "data/a.csv"),
        ("True", "'True'"), ("1e5", "'1e5'"), ("", "''"), ("two words", "'two words'"), ("a=b", "'a=b'"),
        ("x" * 50, "x" * 23 + "…"),
    ],
)  # fmt: skip
def test_values_are_formatted_unambiguously(given: object, text: str) -> None:
    assert formatting.format_value(given) == text


def test_a_missing_figure_is_a_dash_and_nan_and_inf_stay() -> None:
    assert [formatting.format_figure(v) for v in (None, math.nan, math.inf, 55.2, 1 / 3)] == [
        "-",
        "nan",
        "inf",
        "55.2",
        "0.333333",
    ]
