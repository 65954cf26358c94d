"""Text and kept outputs that a change left behind."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.stale_text_and_outputs import find_stale_text
from tests.notebooks.building import code, md
from tests.review.reviews import BASE, HEAD, read

ABOUT = md("The model has a strength `alpha`, and `model.fit()` fits.", id="about")
FIT = code("model = Ridge(alpha=alpha)\nmodel.fit(X, y)", id="fit")


def stale(base: list[dict[str, Any]], head: list[dict[str, Any]], *runs: Notebook) -> tuple[str, ...]:
    return find_stale_text(compare_notebooks(read("q.ipynb", *base), read("q.ipynb", *head)), *runs)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ([ABOUT, FIT], []),
        ([ABOUT, {**FIT, "source": "model = Lasso(alpha=strength)\nmodel.fit(X, y)"}], ["alpha"]),
        (
            [{**ABOUT, "source": ABOUT["source"] + " More."}, {**FIT, "source": "model = Ridge()\nmodel.fit(X, y)"}],
            ["alpha"],
        ),
        (
            [{**ABOUT, "source": "The model has a strength, and `model.fit()` fits."}, {**FIT, "source": "fit(1)"}],
            ["model"],
        ),
        ([ABOUT, {**FIT, "source": "fit(table['alpha'], 'model')"}], []),
        ([ABOUT, {**FIT, "source": "fit = 1"}], ["alpha", "model"]),
        ([md("`alpha` is gone: `model` does without.", id="new"), {**FIT, "source": "fit = 1"}], []),
        ([{**ABOUT, "source": "```\nalpha\n``` and ``alpha``"}, {**FIT, "source": "fit = 1"}], []),
    ],
)
def test_text_that_still_speaks_of_what_is_gone(head: Any, words: list[str]) -> None:
    names = ", ".join(f"`{word}`" for word in words)
    assert stale([ABOUT, FIT], head) == ((f"text in cell 0 (`about`) still mentions {names}",) if words else ())


def test_the_example_of_the_documentation() -> None:
    (line,) = find_stale_text(compare_notebooks(BASE, HEAD))
    assert line == "text in cell 3 (`about-model`) still mentions `alpha`"


def printed(text: str) -> dict[str, Any]:
    return {"outputs": [{"output_type": "stream", "name": "stdout", "text": [text]}]}


KEPT = code("table(a)", "keep_output", id="table", **printed("1 2 3"))
MADE = code("a = 1", id="a")


def test_a_kept_output_is_older_than_its_code() -> None:
    edited = {**KEPT, "source": "table(a, b)"}
    assert stale([MADE, KEPT], [MADE, edited]) == ("the kept output of cell 1 (`table`) is older than its code",)
    assert stale([MADE, KEPT], [MADE, {**edited, **printed("1 2 3 4")}]) == ()
    assert stale([MADE, {**KEPT, "outputs": []}], [MADE, {**edited, "outputs": []}]) == ()


def test_a_kept_output_that_was_right_before_and_is_not_now() -> None:
    head = [{**MADE, "source": "a = 2"}, KEPT]
    runs = {text: read("run.ipynb", MADE, {**KEPT, **printed(text)}) for text in ("1 2 3", "2 3 4", "0.31 s")}
    line = "the kept output of cell 1 (`table`) is not what its code gives now"
    assert stale([MADE, KEPT], head, runs["1 2 3"], runs["2 3 4"]) == (line,)
    assert stale([MADE, KEPT], head, runs["1 2 3"], runs["1 2 3"]) == ()
    assert stale([MADE, KEPT], head, runs["0.31 s"], runs["2 3 4"]) == (), "it varies by itself"
    assert stale([MADE, KEPT], head, read("run.ipynb"), runs["2 3 4"]) == ()


def test_outputs_in_the_file_that_changed_are_shown_with_both_texts() -> None:
    score = code("print(score)", id="score", **printed("accuracy 0.83\n"))
    again = {**score, **printed("accuracy 0.9\n")}
    edited = {**MADE, "source": "a = 2"}
    assert stale([MADE, score], [edited, again]) == (
        "the output of cell 1 (`score`) in the file is `accuracy 0.9`, before `accuracy 0.83`",
    )
    (line,) = stale([MADE, score], [edited, {**score, **printed("`" * 99)}])
    assert line.count("`") == 6, "those of the label and of the two texts"


@pytest.mark.parametrize(
    ("source", "warned"),
    [("a = 2", True), ("a = 1  # one", False), ("a = 1", False)],
)
def test_outputs_in_the_file_that_no_run_renewed_are_doubted(source: str, warned: bool) -> None:
    score = code("print(score)", id="score", **printed("accuracy 0.83\n"))
    lines = stale([MADE, score], [{**MADE, "source": source}, score])
    assert lines == (
        ("no output in the file changed, from cell 1 (`score`) on, though code did: they may be older than it",)
        if warned
        else ()
    )
    assert stale([score, MADE], [score, {**MADE, "source": source}]) == (), "the code is below the output"
