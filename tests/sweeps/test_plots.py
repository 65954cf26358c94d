"""The plots show every trial at its position, whatever the values are."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notebooks_lib.sweeps import plots
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import SweepResult
from tests.sweeps.results import MIXED, finished, sweep, trial


def many(count: int, values: Callable[[int], dict[str, object]], value: Callable[[int], float | None]) -> SweepResult:
    return sweep(*(trial(n, "finished", value(n), values=values(n)) for n in range(count)))


ODD = [
    *(None, True, False, 1, 1.0, "1", "", math.nan, math.inf, -math.inf, 10**400, [1, 2]),
    *("$x_$ {a} \\frac", "日本語 😀", "long " * 100, "a\nb\x1b[31m"),
]


NASTY = {
    "two": finished(1.0, 2.0),
    "equal": finished(*[5.0] * 20),
    "zero": finished(*[0.0] * 20),
    "mixed states": MIXED,
    "mixed values": many(
        64, lambda n: {"x": ODD[n % 16], "$y$" * 30: ODD[n * 7 % 16], **({"z": n} if n % 3 else {})}, float
    ),
    "fifteen parameters": many(40, lambda n: {f"parameter_{k}": math.sin(n * k) for k in range(15)}, float),
    "no parameters": many(5, lambda _: {}, float),
    "outliers": many(80, lambda n: {"a": n}, lambda n: 1e99 if n % 20 == 3 else math.inf if n % 20 == 7 else n % 9),
    "far apart": many(30, lambda n: {"a": 10.0 ** (n - 15)}, lambda n: 10.0 ** (7 * (n - 15))),
    "tiny": many(30, lambda n: {"a": 5e-324 * n}, lambda n: 1e-320 * (n + 1)),
    "nearly equal": many(30, lambda n: {"a": 1 + 1e-15 * n}, lambda n: 1e6 + 1e-9 * n),
    "negative": many(30, lambda n: {"a": -n}, lambda n: -float(n)),
    "odd metric": dataclasses.replace(finished(1.0, 2.0), goal=Goal("日本語 $\\frac{" + "m" * 200)),
    "resumed": sweep(trial(5000, "finished", 1.0), trial(9000, "skipped", 2.0)),
}


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("draw", [plots.optimisation_history, plots.slices])
def test_plots_are_drawn_without_warnings_for_any_values(name: str, draw: Any) -> None:
    assert plots.undrawable_reason(NASTY[name]) == ""
    assert plots._png(draw(NASTY[name])).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (finished(1.0, 2.0, goal=None), "no goal"),
        (sweep(), "fewer than two"),
        (finished(1.0), "fewer than two"),
        (finished(1.0, math.nan, None, math.inf), "fewer than two"),
        (sweep(trial(0, "failed"), trial(1, "failed"), trial(2, "pruned", 1.0)), "fewer than two"),
        (finished(-1e300, 1.0, 2.0), "too large"),
    ],
)
def test_without_a_plot_there_is_a_reason(result: SweepResult, why: str) -> None:
    assert why in plots.undrawable_reason(result)


def points(axes: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return the marks of a plot by label."""
    return {mark.get_label(): np.asarray(mark.get_offsets()) for mark in axes.collections}


def test_the_history_shows_each_trial_at_its_number_and_value() -> None:
    axes = plots.optimisation_history(MIXED).axes[0]
    marks = points(axes)
    assert marks["finished"].tolist() == [[0, 3], [6, 5]]
    assert marks["finished in an earlier run"].tolist() == [[4, 2]]
    assert marks["best"].tolist() == [[4, 2]]
    assert marks["above what is shown (1)"][:, 0].tolist() == [3], "a pruned trial far above those that finished"
    assert marks["failed or killed (2)"][:, 0].tolist() == [1, 5]
    assert marks["pruned, without a value (1)"][:, 0].tolist() == [9]
    assert marks["finished, without a value (3)"][:, 0].tolist() == [2, 7, 8]
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[0, 3], [4, 2], [9, 2]]
    assert "lower is better" in axes.get_ylabel()


def test_the_best_so_far_rises_when_higher_is_better() -> None:
    axes = plots.optimisation_history(finished(0.1, 0.5, 0.3, 0.7, goal=Goal("r2", "max"))).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.5, 0.7, 0.7]


def test_a_few_diverged_trials_do_not_flatten_the_others() -> None:
    result = many(40, lambda n: {"a": n}, lambda n: 1e30 if n == 7 else 50.0 + n % 10)
    axes = plots.optimisation_history(result).axes[0]
    assert axes.get_ylim()[1] < 70
    assert axes.get_yscale() == "linear"
    assert points(axes)["above what is shown (1)"][:, 0].tolist() == [7]


def test_a_history_over_decades_is_logarithmic() -> None:
    assert plots.optimisation_history(finished(*(10.0**-n for n in range(9)))).axes[0].get_yscale() == "log"
    assert plots.optimisation_history(finished(*(10.0**-n - 0.5 for n in range(9)))).axes[0].get_yscale() == "linear"


def test_ten_thousand_trials_are_drawn() -> None:
    rng = random.Random(1)
    result = many(10_000, lambda n: {"a": rng.random(), "b": n % 3}, lambda _: rng.gauss(50, 5))
    assert len(points(plots.optimisation_history(result).axes[0])["finished"]) > 9_900
    panels = plots.slices(result).axes
    assert [len(axes.lines[0].get_xdata()) for axes in panels] == [10_000, 10_000]


def test_a_slice_shows_each_trial_at_its_value_and_its_result() -> None:
    rows = [(0.01, "ridge", 10.0), (0.1, "lasso", 20.0), (1.0, "ridge", 30.0)]
    result = many(3, lambda n: {"alpha": rows[n][0], "model": rows[n][1]}, lambda n: rows[n][2])
    figure = plots.slices(result)
    alpha, model = figure.axes
    assert (alpha.get_title(), alpha.get_xscale(), model.get_title()) == ("alpha", "log", "model")
    assert alpha.lines[0].get_xydata().tolist() == [[0.01, 10], [0.1, 20], [1, 30]]
    assert model.lines[0].get_xydata().tolist() == [[1, 10], [0, 20], [1, 30]]
    assert [label.get_text() for label in model.get_xticklabels()] == ["lasso", "ridge"]
    assert alpha.lines[1].get_xydata().tolist() == [[0.01, 10]], "the star is the best"
    assert "lower is better" in figure.get_suptitle()


def test_slices_leave_out_a_few_diverged_trials_and_share_one_scale() -> None:
    result = many(40, lambda n: {"a": n, "b": -n}, lambda n: 1e30 if n == 7 else 50.0 + n % 10)
    one, other = plots.slices(result).axes
    assert one.get_ylim() == other.get_ylim()
    assert max(one.lines[0].get_ydata()) == one.get_ylim()[1] < 70


def test_an_axis_is_logarithmic_from_two_decades_on() -> None:
    assert plots.Scale.of([0.01, 0.1, 1.0]).log
    assert not plots.Scale.of([0.011, 0.1, 1.0]).log
    assert not plots.Scale.of([0.0, 0.1, 1000.0]).log
    assert not plots.Scale.of([-1.0, 1000.0]).log


def test_values_other_than_numbers_get_one_position_for_each_text() -> None:
    def placed(*values: object) -> tuple[list[float], list[str]]:
        axes = plots.slices(many(len(values), lambda n: {"a": values[n]}, float)).axes[0]
        return axes.lines[0].get_xdata().tolist(), [label.get_text() for label in axes.get_xticklabels()]

    assert placed(3, 10, None, 5)[0] == [0, 2, 3, 1], "numbers go first, what is missing last"
    assert placed(True, False) == ([1, 0], ["False", "True"])
    assert placed("1", 1, True)[0] == [1, 0, 2], "a text that looks like a number is none"
    places, labels = placed(*(f"name {n}" for n in range(500)))
    assert len(set(places)) == 500
    assert len(labels) <= plots.LABELS
    assert all(len(label) <= plots.LABEL_ROOM for label in labels)


def test_drawing_changes_no_global_settings_and_imports_stay_light() -> None:
    code = (
        "import sys\n"
        "from notebooks_lib.sweeps import formatting, plots, report\n"
        "from notebooks_lib.cli import live_table\n"
        "heavy = {'matplotlib', 'numpy', 'mlflow', 'pandas', 'rich', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from tests.sweeps.results import MIXED\n"
        "import matplotlib; before = str(list(dict.items(matplotlib.rcParams)))\n"
        "plots.optimisation_history(MIXED); plots.slices(MIXED)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert before == str(list(dict.items(matplotlib.rcParams)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
