"""Each step of the pairing has a case that only this step pairs; ids are hints, texts decide."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.notebooks.cell_pairing import count_words, likeness, longest_increasing, pair_cells
from notebooks_lib.notebooks.document import NotebookCell


def cells(*texts: str | tuple[str | None, str]) -> list[NotebookCell]:
    """Code cells: (id, text), or a text without an id."""
    pairs = [(None, text) if isinstance(text, str) else text for text in texts]
    return [NotebookCell(index, "code", text, id=name) for index, (name, text) in enumerate(pairs)]


LOAD = "table = read_table('sales.csv', columns=names)"
MODEL = "model = Ridge(alpha=alpha).fit(table, target)"
PLOT = "figure = plot_errors(model, table, target)"


@pytest.mark.parametrize(
    ("base", "head", "pairs"),
    [
        pytest.param([("a", "x"), ("b", "x")], [("b", "x"), ("a", "x")], [(0, 1), (1, 0)], id="same id and same text"),
        pytest.param([("a", LOAD), ("b", MODEL)], [("c", LOAD), ("d", MODEL)], [(0, 0), (1, 1)], id="new ids"),
        pytest.param([("a", LOAD), ("b", MODEL)], [("b", LOAD), ("a", MODEL)], [(0, 0), (1, 1)], id="exchanged ids"),
        pytest.param(["", LOAD, ""], ["", "", LOAD, ""], [(0, 0), (1, 2), (2, 3)], id="same text in order"),
        pytest.param([LOAD, MODEL, PLOT], [PLOT, LOAD, MODEL], [(0, 1), (1, 2), (2, 0)], id="same text anywhere"),
        pytest.param(
            [("a", MODEL), LOAD, PLOT],
            [LOAD, PLOT, ("a", "model = Lasso(strength).fit(rows, answers)")],
            [(0, 2), (1, 0), (2, 1)],
            id="same id and some likeness",
        ),
        pytest.param(
            [LOAD, MODEL, PLOT], [LOAD, MODEL.replace("Ridge", "Lasso"), PLOT], [(0, 0), (1, 1), (2, 2)], id="same gap"
        ),
        pytest.param(
            [MODEL, LOAD, PLOT], [LOAD, PLOT, MODEL.replace("Ridge", "Lasso")], [(0, 2), (1, 0), (2, 1)], id="anywhere"
        ),
        pytest.param(["f(w, x, y)", LOAD, MODEL], [LOAD, MODEL, "f(w, x, z)"], [(1, 0), (2, 1)], id="too few words"),
        pytest.param(
            ["f(a, b, c, d, e)", LOAD, MODEL],
            [LOAD, MODEL, "f(a, b, c, d, g, h, i)"],
            [(1, 0), (2, 1)],
            id="too little likeness",
        ),
        pytest.param(
            ["s", LOAD, "", MODEL, "", "t"],
            ["u", "", LOAD, "", MODEL, "", "v"],
            [(1, 2), (2, 3), (3, 4), (4, 5)],
            id="texts that occur once lead",
        ),
        pytest.param(
            ["run(a, b)", "run(a, c)", "run(a, d)"],
            ["run(a, d, e)", "run(a, c, f)"],
            [(0, 0), (1, 1)],
            id="order in a gap",
        ),
        pytest.param(
            [LOAD, ("a", "1"), PLOT], [LOAD, ("a", "two"), PLOT], [(0, 0), (1, 1), (2, 2)], id="id in the gap"
        ),
        pytest.param([("a", "1"), LOAD], [LOAD, ("a", "two")], [(1, 0)], id="same id, unlike, elsewhere"),
        pytest.param([LOAD, "1", PLOT], [LOAD, "two", PLOT], [(0, 0), (2, 2)], id="unlike cells"),
        pytest.param([("a", "a b c"), ("a", "d e f g h")], [("a", "d e i j k")], [], id="an id that two cells have"),
    ],
)
def test_cells_that_are_one(base, head, pairs):
    assert pair_cells(cells(*base), cells(*head)) == pairs


def test_likeness_counts_words_as_often_as_they_occur():
    assert likeness(count_words("a a b"), count_words("a b b")) == pytest.approx(4 / 6)
    assert likeness(count_words("x = f(1)"), count_words("x=f( 1 )")) == 1
    assert likeness(count_words(""), count_words("")) == 0
    assert likeness(count_words("数据集很大"), count_words("数据集很小")) == pytest.approx(0.8), (
        "no spaces between words"
    )


@given(st.lists(st.integers(0, 8), unique=True))
def test_a_longest_increasing_run_is_one(order):
    pairs = list(enumerate(order))
    run = longest_increasing(pairs)
    assert run == sorted(run)
    assert [head for _, head in run] == sorted(head for _, head in run)
    best = [0] * len(order)
    for place, value in enumerate(order):
        best[place] = 1 + max((best[before] for before in range(place) if order[before] < value), default=0)
    assert len(run) == max(best, default=0)


SOURCES = st.sampled_from(["", "x", "y", LOAD, MODEL, PLOT, f"{LOAD}\n{MODEL}", f"{MODEL}\n{PLOT}", f"{LOAD}\n{PLOT}"])
IDS = st.sampled_from([None, "a", "b", "c", "d"])


@given(st.lists(st.tuples(IDS, SOURCES), max_size=12), st.lists(st.tuples(IDS, SOURCES), max_size=12))
def test_no_cell_is_in_two_pairs_and_equal_cells_are_not_left_over(base, head):
    before, after = cells(*base), cells(*head)
    pairs = pair_cells(before, after)
    assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    left = {cell.source for cell in before} - {before[one].source for one, _ in pairs}
    assert not left & ({cell.source for cell in after} - {after[other].source for _, other in pairs})


@given(st.lists(st.tuples(IDS, SOURCES), max_size=12))
def test_a_notebook_is_paired_with_itself_cell_by_cell(texts):
    cell_list = cells(*texts)
    assert pair_cells(cell_list, cell_list) == [(index, index) for index in range(len(cell_list))]
    anonymous = cells(*(text for _, text in texts))
    assert pair_cells(cell_list, anonymous) == [(index, index) for index in range(len(cell_list))]


@pytest.mark.parametrize("text", ["", "same", "word{} of many words in cell {}"])
def test_thousands_of_cells_take_no_more_than_a_moment(text):
    base = cells(*(text.format(number, number) for number in range(2000)))
    head = cells(*(text.format(number, -number) for number in range(3000, 1000, -1)))
    began = time.process_time()
    pair_cells(base, head)
    assert time.process_time() - began < 5
