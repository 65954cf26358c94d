"""Learning is all or nothing: a run that fails, or a metric that is not there each time, leaves the file as it was."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable

import pytest

from notebooks_lib import errors
from notebooks_lib.review.band_learning import BandLearning, find_problems, learn_bands
from notebooks_lib.review.metric_bands import MetricBand, bands_file, read_bands
from notebooks_lib.review.metric_verification import verify_notebook
from notebooks_lib.review.repeated_runs import RepeatedNotebook
from notebooks_lib.run_result import Failure, RunResult
from notebooks_lib.running.plan import NotebookPlanner, Plan
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store
from tests.notebooks.building import code, write

Metrics = Callable[[int, int], dict[str, float]]


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([{"a": 1.0}, {"a": 2.0}], []),
        ([{}, {}], ["nothing to learn"]),
        ([{"a": 1.0, "b": 1.0}, {"a": 1.0}], ["b: logged in 1 of 2 runs"]),
        ([{"a": math.nan}, {"a": math.inf}], ["a: no finite number in 2 of 2 runs"]),
    ],
)
def test_a_metric_must_be_a_number_in_every_run(runs: list[dict[str, float]], words: list[str]) -> None:
    problems = find_problems(runs)
    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


class Runner:
    """Stands in for a kernel: returns the metrics that a function of the seed and the number of the run gives."""

    def __init__(self, metrics: Metrics, failing: int | None = None) -> None:
        self.plans: list[Plan] = []
        self._metrics = metrics
        self._failing = failing

    def __call__(self, plan: Plan, store: Store) -> RunResult:
        number = len(self.plans)
        self.plans.append(plan)
        if number == self._failing:
            failure = Failure("interrupt", "Interrupted", "the runner was asked to stop")
            return RunResult(None, "KILLED", plan.notebook.path, failure=failure)
        metrics = self._metrics(int(str(plan.overrides.get("seed", -1))), number)
        return RunResult(None, "FINISHED", plan.notebook.path, metrics, seconds=2.0, peak_memory_mb=100.0 + number)


def repeated(project: Settings, runner: Runner, parameters: str = "seed: int = 3") -> RepeatedNotebook:
    path = write(project.root / "n.ipynb", code(parameters, "parameters"), code("import numpy, json\nimport yaml as y"))
    return RepeatedNotebook(NotebookPlanner(path, project), runner)


pytestmark = pytest.mark.tracking


def test_each_run_has_another_seed_and_the_first_is_run_twice(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 50.0 + seed, "n": 4.0, "luck": float(number)})
    learned = learn_bands(repeated(project, runner), repeats=4)
    assert [plan.overrides["seed"] for plan in runner.plans] == [3, 3, 4, 5, 6]
    assert {(plan.start.tags or {})[Tag.VERIFY] for plan in runner.plans if plan.start} == {"learn"}
    assert learned.unsettled == ("luck",)
    bands = read_bands(learned.file)
    assert bands is not None
    assert bands.metrics["n"] == MetricBand(4.0, 0.0, 4)
    assert bands.metrics["rmse"] == MetricBand(54.5, pytest.approx(1.290994), 4)
    assert bands.versions.keys() == {"python", "numpy", "PyYAML"}
    assert (bands.seconds, bands.peak_memory_mb) == (2.0, 104)
    assert json.loads(json.dumps(learned.as_json()))["status"] == "learned"

    again = learn_bands(repeated(project, Runner(lambda seed, number: {"rmse": 1.0})), repeats=3)
    assert again.before is not None
    assert again.before.metrics.keys() == {"rmse", "n", "luck"}


def test_without_a_seed_it_is_run_as_often(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 50.0 + number})
    learned = learn_bands(repeated(project, runner, "alpha: float = 1.0"), repeats=3)
    assert [plan.overrides for plan in runner.plans] == [{}] * 3
    assert learned.bands is not None
    assert learned.bands.metrics == {"rmse": MetricBand(51.0, 1.0, 3)}


def test_a_verification_takes_seeds_that_were_not_learned_and_another_on_the_next_day(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 50.0 + seed % 3})
    notebook = repeated(project, runner, "seed: Annotated[int, '>=0, <=9'] = 0")
    learn_bands(notebook, repeats=4)
    runner.plans.clear()
    seeds = [verify_notebook(notebook, runs=2, day=day).seeds for day in range(4)]
    assert seeds == [(4, 5), (6, 7), (8, 9), (4, 5)]
    verification = verify_notebook(notebook, runs=1, day=0)
    assert verification.status == "verified"
    assert verification.notes == ("2.0 s a run, 2.0 s when learned; at most 108 MB of memory, 104 MB when learned",)
    with pytest.raises(errors.UsageError, match="allows 6 values beside those that were learned, 7 are needed"):
        verify_notebook(notebook, runs=7, day=0)


def test_what_differs_is_a_note(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 50.0})
    notebook = repeated(project, runner)
    learned = learn_bands(notebook, repeats=3)
    text = learned.file.read_text().replace('"python" = "', '"gone" = "1.0"\n"python" = "0.')
    learned.file.write_text(text.replace("[notes]", '[datasets]\n"sales" = "sales@1#0123456789"\n\n[notes]'))
    notes = verify_notebook(notebook, runs=1, day=0).notes
    assert "gone is not installed here, 1.0 when learned" in notes
    assert "dataset sales: not used here, sales@1#01234567 when learned" in notes


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        (Runner(lambda seed, number: {"rmse": 1.0}, failing=2), None),
        (Runner(lambda seed, number: {"rmse": math.nan if number else 1.0}), "no finite number in 3 of 3"),
        (Runner(lambda seed, number: {}), "nothing to learn"),
    ],
    ids=["interrupted", "not finite", "no metric"],
)
def test_what_goes_wrong_leaves_the_file_as_it_was(project: Settings, runner: Runner, words: str | None) -> None:
    learn_bands(repeated(project, Runner(lambda seed, number: {"rmse": 7.0})), repeats=3)
    before = bands_file(project.root / "n.ipynb").read_bytes()
    learned: BandLearning = learn_bands(repeated(project, runner), repeats=3)
    assert learned.bands is None
    assert learned.file.read_bytes() == before
    assert (learned.failed is None) == (words is not None)
    assert len(learned.runs) == (3 if learned.failed else 4), "nothing is run after a failure"
    assert words is None or words in learned.problems[0]


def test_a_module_that_changes_meanwhile_is_noticed(project: Settings) -> None:
    helper = project.root / "helper.py"
    helper.write_text("x = 1\n")

    def metrics(seed: int, number: int) -> dict[str, float]:
        helper.write_text(f"x = {number} * 1000\n")
        return {"rmse": 1.0}

    path = write(project.root / "n.ipynb", code("import helper\nhelper.x"))
    learned = learn_bands(RepeatedNotebook(NotebookPlanner(path, project), Runner(metrics)), repeats=3)
    assert "changed meanwhile" in learned.problems[0]
    assert not learned.file.exists()


def test_nothing_is_run_where_it_could_not_succeed(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 1.0})
    with pytest.raises(errors.UsageError, match="allows 2 values, 4 are needed"):
        learn_bands(repeated(project, runner, "seed: Literal[1, 2] = 1"), repeats=3)
    with pytest.raises(errors.UsageError, match="learn the bands first"):
        verify_notebook(repeated(project, runner), runs=1, day=0)
    bands_file(project.root / "n.ipynb").write_text("format = 2")
    with pytest.raises(errors.UsageError, match="update nbops"):
        learn_bands(repeated(project, runner), repeats=3)
    assert runner.plans == []


def test_bands_of_another_source_are_stale_and_nothing_is_run(project: Settings) -> None:
    runner = Runner(lambda seed, number: {"rmse": 1.0})
    learn_bands(repeated(project, runner), repeats=3)
    runner.plans.clear()
    verification = verify_notebook(repeated(project, runner, "seed: int = 3\nalpha: float = 1.0"), runs=1, day=0)
    assert verification.status == "stale"
    assert runner.plans == []
    assert verification == dataclasses.replace(verification, runs=(), verdicts=())
