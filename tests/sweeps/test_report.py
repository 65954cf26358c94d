"""What remains of a sweep: its tables are whole, its page is safe and says what it leaves out, its plots are right."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notebooks_lib import errors
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import formatting, page, plots, report, scales
from notebooks_lib.sweeps.records import Goal, SweepResult, Trial, TrialState
from notebooks_lib.tracking import store as store_module
from notebooks_lib.tracking.store import Store

PARENT = "ab" * 16
URL = "http://127.0.0.1:5000/#/experiments/1/runs/"


def trial(number: int, state: TrialState = "finished", value: float | None = None, **more: Any) -> Trial:
    values = more.pop("values", {"alpha": 10.0 ** (number % 5 - 3), "seed": number})
    metrics = {} if value is None else {"rmse": value, "mae": value / 2}
    return Trial(number, values, state, value, metrics, f"{number:032x}", 1.5, **more)


def sweep(*trials: Trial, goal: Goal | None = Goal("rmse"), **more: Any) -> SweepResult:  # noqa: B008
    return dataclasses.replace(SweepResult(PARENT, URL + PARENT, "FINISHED", goal, trials, len(trials), 83.0), **more)


def finished(*values: float | None, goal: Goal | None = Goal("rmse")) -> SweepResult:  # noqa: B008
    return sweep(*(trial(number, "finished", value) for number, value in enumerate(values)), goal=goal)


MIXED = sweep(
    trial(0, "finished", 3.0),
    trial(1, "failed", reason="cell 3 (fit()): ValueError: no"),
    trial(2, "finished", math.nan),
    trial(3, "pruned", 9.0, reason="at step 4"),
    trial(4, "skipped", 2.0),
    trial(5, "killed", reason="SIGKILL"),
    trial(6, "finished", 5.0),
    trial(7, "finished", None),
    trial(8, "finished", -math.inf),
    trial(9, "pruned"),
)


# Who is best


def test_nan_and_infinity_are_never_best() -> None:
    assert MIXED.best is not None
    assert [t.number for t in formatting.ranked(MIXED)] == [MIXED.best.number, 0, 6] == [4, 0, 6]
    higher = dataclasses.replace(MIXED, goal=Goal("rmse", "max"))
    assert higher.best is not None
    assert [t.number for t in formatting.ranked(higher)] == [higher.best.number, 0, 4] == [6, 0, 4]
    assert finished(math.nan, math.inf).best is None
    assert finished(2.0, sys.float_info.max, goal=Goal("rmse", "max")).best == trial(0, "finished", 2.0)
    assert formatting.ranked(finished(1.0, 1.0))[0] == finished(1.0, 1.0).best
    assert formatting.ranked(finished(1.0, 2.0, goal=None)) == []


# Tables


def test_the_csv_holds_every_trial_and_everything_about_it(tmp_path: Path) -> None:
    odd = {"text": 'a,"b"\nc', "list": [1, 2], "none": None, "flag": True, "state": "shadow", "broken": "\udc80"}
    result = sweep(trial(0, "finished", 1 / 3), trial(1, "failed", values=odd, reason="why, not"))
    report.write_tables(result, tmp_path)
    first, second = csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text("utf-8")))
    assert list(first) == [
        *("number", "state", "params.alpha", "params.seed", "params.text", "params.list", "params.none"),
        *("params.flag", "params.state", "params.broken", "value", "metrics.mae", "metrics.rmse"),
        *("run_id", "seconds", "reason"),
    ]
    assert float(first["value"]) == float(first["metrics.rmse"]) == 1 / 3
    assert first["params.alpha"] == "0.001"
    assert first["params.text"] == ""
    assert (second["state"], second["params.state"], second["reason"]) == ("failed", "shadow", "why, not")
    assert second["params.text"] == odd["text"]
    assert json.loads(second["params.list"]) == [1, 2]
    assert second["run_id"] == f"{1:032x}"


def test_the_json_is_json_to_every_reader(tmp_path: Path) -> None:
    report.write_tables(MIXED, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads((tmp_path / "trials.json").read_text("utf-8"), parse_constant=refuse)
    assert [t["number"] for t in read["trials"]] == list(range(10))
    assert read["best"] == 4
    assert read["goal"] == {"metric": "rmse", "direction": "min"}
    assert read["counts"] == {"finished": 5, "skipped": 1, "running": 0, "pruned": 2, "failed": 1, "killed": 1}
    assert read["trials"][2]["value"] is None
    assert read["trials"][2]["metrics"] == {"rmse": None, "mae": None}
    assert read["trials"][0]["values"] == {"alpha": 0.001, "seed": 0}


# The terminal's end


def test_the_summary_has_the_five_best_and_says_why_others_failed() -> None:
    trials = [trial(n, "finished", float(10 + (n * 7) % 20)) for n in range(20)]
    trials += [trial(n, "failed", reason="ValueError: no") for n in range(20, 23)] + [trial(23, "killed", reason="OOM")]
    lines = report.summary(sweep(*trials, total=30), width=110).splitlines()
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
    assert lines[7:] == ["    3 x  failed: ValueError: no", "    1 x  killed: OOM"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_keeps_to_its_width(width: int) -> None:
    values = {f"parameter_{n}": "long\n" * 20 for n in range(15)}
    trials = [trial(n, "finished", n / 3, values=values) for n in range(9)]
    trials += [trial(n, "failed", values=values, reason=f"{n}\x1b[31m" + "very long " * 50) for n in range(9, 20)]
    text = report.summary(sweep(*trials), width=width)
    assert all(len(line) <= width and line.isprintable() for line in text.splitlines())
    assert "and 8 other reasons" in text


def test_a_summary_without_a_best_says_why() -> None:
    assert "no trial finished with a finite value of rmse" in report.summary(sweep(trial(0, "failed")))
    assert "--metric" in report.summary(finished(1.0, 2.0, goal=None))


# The page


class _Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for name, attrs in self.tags if name == tag and attribute in attrs]


def rendered(result: SweepResult) -> str:
    return page.render(result, "n", [], lambda run_id: URL + run_id)


def test_the_page_shows_the_best_hundred_and_the_first_hundred_failures_and_says_so() -> None:
    trials = [trial(n, "finished", float(10_000 - n)) for n in range(9_000)]
    trials += [trial(n, "failed", reason="no") for n in range(9_000, 10_000)]
    text = rendered(sweep(*trials))
    assert "This table shows 100 of 9000 trials that finished with a finite value of rmse" in text
    assert "the first 100 of 1000" in text
    best, failed = (re.findall(r"<tr[^>]*><td[^>]*>(\d+)</td>", part) for part in text.split("Trials that failed"))
    assert best == [str(n) for n in range(8_999, 8_899, -1)]
    assert failed == [str(n) for n in range(9_000, 9_100)]
    assert re.findall(r"<tr class=first><td[^>]*>(\d+)</td>", text) == ["8999"]
    assert text.count("<tr class=first>") == 1


def test_the_page_tells_a_stranger_what_there_is() -> None:
    words = " ".join(" ".join(_Read(rendered(MIXED)).words).split())
    assert "It ran one notebook with 10 of 10 sets of parameters (trials): 5 finished, 1 skipped, 2 pruned" in words
    assert "Best rmse (lower is better): 2 in trial 4, with alpha = 10, seed = 4" in words
    assert "Pruned: stopped early" in words
    assert "Trials that were pruned This table shows all 2." in words
    assert "ValueError: no" in words
    assert "trials.csv" in words


def test_runs_are_links_and_nothing_is_fetched_from_elsewhere() -> None:
    read = _Read(rendered(MIXED))
    links = read.all("a", "href")
    assert URL + PARENT in links
    assert {URL + f"{n:032x}" for n in (0, 1, 4, 5, 6)} <= set(links)
    assert not [tag for tag, _ in read.tags if tag in ("script", "link", "iframe")]
    assert "url(" not in rendered(MIXED)


def test_what_others_wrote_cannot_become_part_of_the_page() -> None:
    evil = "<script>alert(1)</script>\"'>"
    bad = Trial(0, {evil: evil}, "finished", 1.0, {evil: 2.0, evil + "2": 1.0}, evil, 1.0)
    worse = Trial(1, {evil: evil}, "failed", reason=evil, run_id=evil)
    result = dataclasses.replace(sweep(bad, worse, goal=Goal(evil)), url=evil, run_id=evil)
    drawing = page.Plot("title", "hint", None, evil)
    read = _Read(page.render(result, evil, [drawing], lambda run_id: evil + run_id))
    assert "script" not in {tag for tag, _ in read.tags}
    assert "<script>" in " ".join(read.words)


def test_a_page_of_nothing_is_a_page() -> None:
    assert "No metric was named" in rendered(finished(1.0, 2.0, goal=None))
    assert "there is no best one" in rendered(sweep(trial(0, "failed")))
    assert "0 of 5" in rendered(sweep(total=5))


# Plots


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
@pytest.mark.parametrize("draw", [plots.optimisation_history, plots.parallel_coordinates])
def test_whatever_the_values_are_a_plot_is_drawn_without_a_warning(name: str, draw: Any) -> None:
    assert plots.why_not(NASTY[name]) == ""
    assert report._png(draw(NASTY[name])).startswith(b"\x89PNG")


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
def test_where_nothing_can_be_drawn_there_is_a_reason(result: SweepResult, why: str) -> None:
    assert why in plots.why_not(result)


def points(axes: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The marks of a plot by their labels."""
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


def test_the_best_so_far_rises_where_higher_is_better() -> None:
    axes = plots.optimisation_history(finished(0.1, 0.5, 0.3, 0.7, goal=Goal("r2", "max"))).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.5, 0.7, 0.7]


def test_a_few_diverged_trials_do_not_press_the_others_flat() -> None:
    result = many(40, lambda n: {"a": n}, lambda n: 1e30 if n == 7 else 50.0 + n % 10)
    axes = plots.optimisation_history(result).axes[0]
    assert axes.get_ylim()[1] < 70
    assert axes.get_yscale() == "linear"
    assert points(axes)["above what is shown (1)"][:, 0].tolist() == [7]


def test_a_history_over_decades_is_logarithmic() -> None:
    assert plots.optimisation_history(finished(*(10.0**-n for n in range(9)))).axes[0].get_yscale() == "log"
    assert plots.optimisation_history(finished(*(10.0**-n - 0.5 for n in range(9)))).axes[0].get_yscale() == "linear"


def test_ten_thousand_trials_are_drawn_with_the_best_among_the_lines() -> None:
    rng = random.Random(1)
    result = many(10_000, lambda n: {"a": rng.random(), "b": n % 3}, lambda _: rng.gauss(50, 5))
    assert len(points(plots.optimisation_history(result).axes[0])["finished"]) > 9_900
    axes = plots.parallel_coordinates(result).axes[0]
    assert "the best 1000 trials and 1000 of the other 9000 that finished" in axes.texts[-1].get_text()
    best = result.best
    assert best is not None
    segments = axes.collections[0].get_segments()
    assert len(segments) == plots.LINES
    assert axes.lines[0].get_color() == plots.BEST
    assert axes.lines[0].get_xydata().tolist() == segments[-1].tolist(), "the best is drawn last, and again in red"
    ends = sorted(segment[-1][1] for segment in segments)
    assert (ends[0], ends[-1]) == (0, 1), "the worst is there too"


def test_a_line_crosses_each_axis_at_its_value_and_ends_at_the_goal() -> None:
    rows = [(0.01, "ridge", 10.0), (0.1, "lasso", 20.0), (1.0, "ridge", 30.0)]
    result = many(3, lambda n: {"alpha": rows[n][0], "model": rows[n][1]}, lambda n: rows[n][2])
    axes = plots.parallel_coordinates(result).axes[0]
    lines = [segment.tolist() for segment in axes.collections[0].get_segments()][::-1]
    wanted = [[[0, 0], [1, 1], [2, 0]], [[0, 0.5], [1, 0], [2, 0.5]], [[0, 1], [1, 1], [2, 1]]]
    assert np.allclose(lines, wanted, atol=0.01)
    texts = [text.get_text() for text in axes.texts]
    assert {"alpha\n(log)", "model", "rmse", "0.01", "0.1", "1", "lasso", "ridge", "10", "30"} <= set(texts)


def test_an_axis_is_logarithmic_from_two_decades_on() -> None:
    assert scales.axis_of("a", [0.01, 0.1, 1.0]).log
    assert not scales.axis_of("a", [0.011, 0.1, 1.0]).log
    assert not scales.axis_of("a", [0.0, 0.1, 1000.0]).log
    assert not scales.axis_of("a", [-1.0, 1000.0]).log
    assert scales.axis_of("a", [1, 10, 100]).places == pytest.approx([0, 0.5, 1])


def test_values_that_are_no_numbers_have_a_place_each() -> None:
    axis = scales.axis_of("a", ODD)
    assert len(set(axis.places)) == len(ODD)
    ordered = [label for _, label in axis.ticks]
    assert ordered[-1] == "None"
    assert not axis.log
    assert scales.axis_of("a", [3, 10, None, 5]).places == pytest.approx([0, 2 / 3, 1, 1 / 3]), "numbers go first"
    assert scales.axis_of("a", [True, False]).ticks == [(0, "False"), (1, "True")]
    assert scales.axis_of("a", ["only"]).ticks == [(0.5, "only")]
    assert scales.axis_of("a", [7, 7]).places == [0.5, 0.5]
    crowded = scales.axis_of("a", [f"name {n}" for n in range(500)])
    assert len(crowded.ticks) == scales.TICKS
    assert len(set(crowded.places)) == 500


def test_trials_with_one_value_are_a_band_with_the_best_on_its_better_side() -> None:
    axis = scales.axis_of("a", ["x", "y"] * 100)
    for goal, sign in ((Goal("rmse"), 1), (Goal("r2", "max"), -1)):
        at_x = [sign * place for place in axis.spread(goal)[::2]]
        assert at_x == sorted(at_x)
        assert 0 < at_x[-1] - at_x[0] < 0.1
    axis = scales.axis_of("a", list(range(100)))
    assert axis.spread(Goal("rmse")) == axis.places


def test_drawing_and_importing_leave_no_trace() -> None:
    code = (
        "import sys\n"
        "from notebooks_lib.sweeps import formatting, page, plots, report\n"
        "from notebooks_lib.cli import sweep_table\n"
        "heavy = {'matplotlib', 'numpy', 'mlflow', 'pandas', 'rich', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from tests.sweeps.test_report import MIXED\n"
        "import matplotlib; before = str(list(dict.items(matplotlib.rcParams)))\n"
        "plots.optimisation_history(MIXED); plots.parallel_coordinates(MIXED)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert before == str(list(dict.items(matplotlib.rcParams)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# On the parent run


@pytest.fixture
def opened(project: Settings) -> tuple[Store, SweepResult]:
    """A store, and a sweep whose parent run it holds."""
    store = store_module.connect(project)
    run = store.client.create_run(store.experiment_id("sweeps"), run_name="ridge sweep").info
    return store, dataclasses.replace(MIXED, run_id=run.run_id, url=store.run_url(run.run_id, run.experiment_id))


def artifacts(store: Store, result: SweepResult) -> set[str]:
    return {Path(found.path).name for found in store.client.list_artifacts(result.run_id, report.FOLDER)}


def read(store: Store, result: SweepResult, name: str) -> bytes:
    return Path(store.client.download_artifacts(result.run_id, f"{report.FOLDER}/{name}")).read_bytes()


@pytest.mark.tracking
def test_tables_plots_and_page_are_on_the_parent_run(opened: tuple[Store, SweepResult]) -> None:
    store, result = opened
    report.write(result, store)
    assert artifacts(store, result) == {
        *("trials.csv", "trials.json", "summary.html"),
        *("optimisation_history.png", "parallel_coordinates.png"),
    }
    text = read(store, result, "summary.html").decode("utf-8")
    assert "<h1>Sweep ridge sweep</h1>" in text
    assert f'href="{result.url}"' in text
    assert result.url.replace(result.run_id, f"{4:032x}") in text
    assert text.count("data:image/png;base64,") == 2
    assert read(store, result, "parallel_coordinates.png").startswith(b"\x89PNG")


@pytest.mark.tracking
def test_without_a_goal_there_are_tables_and_a_page_that_says_why_nothing_is_drawn(
    opened: tuple[Store, SweepResult],
) -> None:
    store, result = opened
    result = dataclasses.replace(result, goal=None)
    report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json", "summary.html"}
    assert read(store, result, "summary.html").decode().count("Not drawn: the sweep had no goal") == 2


@pytest.mark.tracking
def test_a_plot_that_cannot_be_drawn_costs_only_itself(
    opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, result = opened

    def fail(_: SweepResult) -> None:
        raise ValueError("cannot <draw>\nat all")

    monkeypatch.setattr(plots, "optimisation_history", fail)
    report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json", "summary.html", "parallel_coordinates.png"}
    assert "Not drawn: ValueError: cannot &lt;draw&gt; at all." in read(store, result, "summary.html").decode()
    (warned,) = [record.getMessage() for record in caplog.records if record.name == report.__name__]
    assert warned == f"no plot optimisation_history of sweep {result.run_id}: ValueError: cannot <draw> at all"


@pytest.mark.tracking
def test_the_tables_are_kept_before_anything_is_drawn(
    opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, result = opened

    def interrupt(_: SweepResult) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "optimisation_history", interrupt)
    with pytest.raises(KeyboardInterrupt):
        report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json"}


@pytest.mark.tracking
def test_a_page_that_cannot_be_made_is_a_warning(
    opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, result = opened
    monkeypatch.setattr(page, "render", lambda *_: 1 / 0)
    report.write(result, store)
    assert {"trials.csv", "trials.json"} <= artifacts(store, result)
    assert f"no page of sweep {result.run_id}: division by zero" in caplog.text


@pytest.mark.tracking
def test_a_store_that_takes_no_tables_is_a_tracking_error(opened: tuple[Store, SweepResult]) -> None:
    store, result = opened
    gone = dataclasses.replace(result, run_id="f" * 32)
    with pytest.raises(errors.TrackingError, match=f"the tables of sweep {gone.run_id} were not kept: .*not found"):
        report.write(gone, store)


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (math.nan, "-"), (0, "0.0 s"), (1.34, "1.3 s"), (59.94, "59.9 s"), (59.96, "1 min"), (200, "3 min 20 s"),
        (3599.6, "1 h"), (7500, "2 h 5 min"), (86_399.9, "1 d"), (277_000, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_a_reason_says_first_why_and_then_where() -> None:
    said = formatting.reason("ValueError: no", "3", "model = fit(a_very_long_line_of_code, with_many, arguments)")
    assert said == "ValueError: no, in cell 3 (model = fit(a_very_long_line_of_code, w…)"
    assert formatting.reason("", "3", "fit()") == "cell 3 (fit())"
    assert formatting.reason("x" * 900, "3", "fit()").endswith("…, in cell 3 (fit())")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0.1 + 0.2, "0.3"), (10, "10"), (True, "True"), (None, "None"), ("ridge", "ridge"), ("data/a.csv", "data/a.csv"),
        ("True", "'True'"), ("1e5", "'1e5'"), ("", "''"), ("two words", "'two words'"), ("a=b", "'a=b'"),
        ("x" * 50, "x" * 23 + "…"),
    ],
)  # fmt: skip
def test_a_value_reads_as_what_it_is(given: object, text: str) -> None:
    assert formatting.value(given) == text


def test_a_figure_that_is_none_is_a_dash_and_others_are_what_they_are() -> None:
    assert [formatting.figure(v) for v in (None, math.nan, math.inf, 55.2, 1 / 3)] == [
        "-",
        "nan",
        "inf",
        "55.2",
        "0.333333",
    ]
