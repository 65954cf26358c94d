"""Figures are taken in turn, and a contestant that fails has none."""

from __future__ import annotations

import pytest

from benchmarks.measuring import Failed, Rounds, shown, table, times


def fail():
    raise Failed("3 of 8 trials are in the store")


def test_rounds_go_in_turn_and_ratios_are_taken_round_by_round():
    order = []
    figures = {"slow": iter([10.0, 40.0, 12.0]), "fast": iter([1.0, 4.0, 2.0])}

    def measure(name):
        order.append(name)
        return next(figures[name])

    rounds = Rounds()
    for _ in range(3):
        rounds.round({name: lambda name=name: measure(name) for name in figures})
    assert order == ["slow", "fast"] * 3
    assert rounds.count == 3
    assert rounds.median("slow") == "12.0"
    assert rounds.range("fast") == "1.00–4.00"
    assert rounds.ratio("slow", "fast") == 10.0  # of 10, 10 and 6; the medians' would be 6
    assert rounds.ratio("slow", "absent") is None


def test_one_that_fails_is_missing_for_good_and_says_why():
    rounds = Rounds()
    rounds.round({"good": lambda: 1.0, "bad": lambda: 2.0})
    rounds.round({"good": lambda: 1.0, "bad": fail})
    rounds.round({"good": lambda: 1.0, "bad": lambda: 2.0})
    assert rounds.taken == {"good": [1.0, 1.0, 1.0]}
    rows = rounds.rows(lambda name: [times(rounds.ratio(name, "good"))])
    assert rows == [["good", "1.00", "1.00–1.00", "1.00"], ["bad", "**3 of 8 trials are in the store**"]]
    assert table(["who", "s", "range", "ratio"], rows).splitlines() == [
        "| who | s | range | ratio |",
        "| --- | ---: | ---: | ---: |",
        "| good | 1.00 | 1.00–1.00 | 1.00 |",
        "| bad | **3 of 8 trials are in the store** |  |  |",
    ]


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        Rounds().round({"broken": lambda: 1 / 0})


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (0.04567, "0.046"),
        (0.9996, "1.00"),
        (4.2, "4.20"),
        (9.996, "10.0"),
        (31.44, "31.4"),
        (99.96, "100"),
        (184, "184"),
    ],
)
def test_figures_have_three_digits(figure, expected):
    assert shown(figure) == expected
