"""The simulation counts what it says; the figures themselves are taken by `make proof`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import planted, promotion, rare, turns, useless
from notebooks_lib.promotion.selftest import tables


def test_the_bar_is_exceeded_once_in_a_million_cells():
    assert planted.limit() == 149
    assert planted.least(4000) == 2994


def test_a_cell_is_counted():
    found = planted.count(planted.real_table("rmse", 90), seed=1, repeats=100)
    assert 0.3 < found.strict < 0.7
    assert found.gate <= found.interval < 0.2
    assert found.ok
    far = planted.count(planted.real_table("rmse", 90, gain=15.0), seed=1, repeats=30)
    assert far.gate > 0.9
    assert not far.ok


def test_groups_and_time_are_left_out_as_such():
    for cell in (planted.grouped(25), planted.in_time(150, 0.6)):
        _, truth, _, _, more = cell.draw(np.random.default_rng(0))
        assert all(len(values) == len(truth.values) for values in more.values())
        found = planted.count(cell, seed=1, repeats=100)
        assert found.interval < found.ignoring


def test_useless_trials_are_no_better_than_the_champion():
    champion, errors = useless.pool(20)
    assert (errors**2).mean(axis=0) == pytest.approx((champion**2).mean())
    assert np.ptp(np.corrcoef(champion, errors, rowvar=False)[0, 1:]) > 0.05  # real, and unlike each other
    assert len(champion) == len(tables()["diabetes"].truth.values)


def test_tables_are_written_between_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- power -->\nold\n<!-- /power -->\nafter\n")
    promotion._write(page, {"power": "| 80.0 |"})
    assert page.read_text() == "before\n<!-- power -->\n\n| 80.0 |\n\n<!-- /power -->\nafter\n"
    with pytest.raises(SystemExit, match="no place for 'sweeps'"):
        promotion._write(page, {"sweeps": ""})


def test_the_page_has_a_place_for_every_table():
    text = (promotion.Path(__file__).parents[2] / "docs" / promotion.PAGE).read_text()
    for name in ("verdict", "nulls", "rare", "sweeps", "sequences", "power", "dependent", "hard", "real"):
        assert f"<!-- {name} -->" in text
        assert f"<!-- /{name} -->" in text


def test_cells_of_few_rows_hold_equal_models():
    """On one large holdout of each the two are equal but for chance."""
    random = np.random.default_rng(0)
    for cell in rare.cells():
        metric, truth, new, old, _ = cell.draw(random)
        assert metric.task == "classification"
        assert len(new.values) == len(old.values) == len(truth.values)
    for name in ("f1", "auc"):
        metric, truth, new, old, _ = rare.patients(name, 4000, 0.3, 40_000).draw(random)
        assert metric.score(truth, new) == pytest.approx(metric.score(truth, old), abs=0.02)


def test_ten_in_turn_are_as_good_as_the_champion():
    found = turns.ten("auc", 300, repeats=12, seed=1)
    assert found.strict > 0.5
    assert found.gate <= found.uncorrected
