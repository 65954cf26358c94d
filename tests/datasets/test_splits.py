"""Train, validation and holdout: the same for the same row everywhere, whatever rows come or go."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.datasets import canonical_types, splits, table_hashing
from notebooks_lib.datasets.dataset_metadata import Metadata
from tests.datasets.test_table_hashing import FAST, ROW, table


def masks(rows: pa.Table) -> list[str]:
    parts = splits.split(table_hashing.row_digests(rows), validation_share=0.2, holdout_share=0.3)
    return [next(name for name in splits.NAMES if parts[name][row]) for row in range(len(rows))]


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=20), more=st.lists(ROW, max_size=20))
def test_adding_rows_moves_none_and_duplicates_stay_together(
    rows: list[dict[str, object]], more: list[dict[str, object]]
) -> None:
    alone = masks(table(rows))
    assert masks(table(more + rows + rows))[len(more) :] == alone + alone


@pytest.mark.parametrize(("validation", "holdout"), [(0.1, 0.2), (0.3, 0.3)])
def test_parts_have_about_their_shares(validation: float, holdout: float) -> None:
    rows = canonical_types.normalise(pa.table({"x": pa.array(range(20_000))}))
    parts = splits.split(table_hashing.row_digests(rows), validation_share=validation, holdout_share=holdout)
    assert np.mean(parts["validation"]) == pytest.approx(validation, abs=0.02)
    assert np.mean(parts["holdout"]) == pytest.approx(holdout, abs=0.02)
    assert (sum(parts[name].astype(int) for name in splits.NAMES) == 1).all()


@pytest.mark.parametrize(
    ("earlier", "later", "closed"),
    [
        (("36", "48"), ("36", "48"), True),
        (("36", "48"), ("48", "50"), True),
        (("36", "48"), ("50", "60"), True),
        (("36", "48"), ("9", "100"), False),
        (("2026-01-01", "2026-02-01"), ("2026-02-01T00:00:00", "2026-03-01"), True),
        (("2026-01-01", "2026-02-01"), ("2026-01-31", "2026-03-01"), False),
    ],
)
def test_a_holdout_by_time_may_only_move_on(earlier: tuple[str, str], later: tuple[str, str], closed: bool) -> None:
    before, after = (
        Metadata("f", 1, {}, 0.1, 0.2, "a", time="day", validation_from=cuts[0], holdout_from=cuts[1])
        for cuts in (earlier, later)
    )
    assert splits.keeps_parts(before, after) == closed
