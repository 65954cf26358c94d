"""What a review says in one sentence, as JSON and as an exit code."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from notebooks_lib.notebooks.document import parse
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.notebook_review import (
    FigureChange,
    Gain,
    HelperChange,
    MetricChange,
    NotebookReview,
    ParameterChange,
    Review,
    RunProblem,
    SourceProof,
)
from tests.notebooks.building import code, raw

CELLS = ([code("x = 1", id="a")], [code("x = 2", id="a"), code("y", id="b")])
BASE, HEAD = (parse(Path("q.ipynb"), json.dumps(raw(*cells)).encode()) for cells in CELLS)
DIFF = compare_notebooks(BASE, HEAD)
WORSE = MetricChange("rmse", 1.0, 2.0, Gain(-1.0, -1.5, -0.5, "worse", "79 validation rows"))
CHANGED = NotebookReview("q.ipynb", diff=DIFF)


def review(*notebooks: NotebookReview) -> Review:
    return Review("origin/main", "b" * 40, "h" * 40, dirty=False, notebooks=notebooks)


def test_one_sentence_says_what_changed() -> None:
    assert CHANGED.summary == "1 cell edited, 1 added"
    renamed = ParameterChange("renamed", "strength", "alpha", "strength")
    default = ParameterChange("default", "seed", "0", "1")
    helper = HelperChange("lib/helpers.py", "edited", "-x\n+y\n")
    assert replace(CHANGED, parameters=(renamed, default), helpers=(helper,)).summary == (
        "1 cell edited, 1 added; parameter `alpha` is now `strength`; parameter `seed` default changed; "
        "changed through `lib/helpers.py`"
    )
    helpers = (HelperChange("a.py", "now used", ""), helper, HelperChange("b.py", "no longer used", ""))
    assert replace(CHANGED, helpers=helpers).summary == (
        "1 cell edited, 1 added; now used: `a.py`; no longer used: `b.py`; changed through `lib/helpers.py`"
    )
    empty = replace(DIFF.base, cells=())
    assert NotebookReview("q.ipynb", state="added", diff=compare_notebooks(empty, empty)).summary == "no cells"
    assert NotebookReview("q.ipynb", problem="q.ipynb: is no JSON").summary == "q.ipynb: is no JSON"


def test_a_worse_metric_is_an_answer_and_a_failed_notebook_is_not() -> None:
    assert review(replace(CHANGED, metrics=(WORSE,))).exit_code == 0
    failed = replace(CHANGED, run_problems=(RunProblem("head", None, "no kernel starts"),))
    assert review(failed).exit_code == 1
    assert (
        review(replace(CHANGED, run_problems=(RunProblem("base", None, "its lock does not install"),))).exit_code == 0
    )


def test_json_has_all_of_it() -> None:
    figure = FigureChange(1, "b", None, b"png")
    undefined = MetricChange("r2", math.nan, None, no_gain_because="another dataset")
    content = review(replace(CHANGED, metrics=(WORSE, undefined), figures=(figure,))).as_json()
    again = json.loads(json.dumps(content, allow_nan=False))
    assert (again["worse"], again["failed"]) == (True, False)
    (entry,) = again["notebooks"]
    assert entry["metrics"][0]["gain"]["verdict"] == "worse"
    assert entry["metrics"][1]["base"] is None
    assert len(entry["figures"][0]["head"]) == 64
    assert [cell["changes"] for cell in entry["cells"]] == [["edited"], ["added"]]


def test_the_source_is_exact_only_with_a_run_and_without_a_difference() -> None:
    assert not SourceProof().exact
    assert SourceProof("r1").exact
    assert not SourceProof("r1", differences=("the work tree was not clean",)).exact
