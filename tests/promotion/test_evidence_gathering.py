"""What cannot put rows in order is refused before the holdout is asked, wherever the fault lies."""

from __future__ import annotations

import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.errors import UsageError
from notebooks_lib.promotion import evidence_gathering


def days(project, name: str = "days", *, group: str | None = None, **columns):
    frame = pd.DataFrame({"id": range(200), "day": pd.Timestamp("2024-01-01"), "y": 1.0})
    frame["day"] += pd.to_timedelta(frame["id"], unit="D")
    frame = frame.assign(shop=frame["id"] % 50, said="mon", open=frame["id"] % 2 == 0, **columns)
    frame.to_csv(project.root / "t.csv", index=False)
    return datasets.add(project.root / "t.csv", name, project, target="y", key="id", group=group)


def test_dates_and_numbers_without_gaps_put_rows_in_order(empty_project):
    data = days(empty_project)
    assert data.columns["day"] == "time"
    for column in ("day", "id", "shop"):
        evidence_gathering.check_time_order(column, data, empty_project)


@pytest.mark.parametrize(("column", "kind"), [("said", "text"), ("open", "boolean")])
def test_a_column_without_an_order_is_refused(column, kind, empty_project):
    with pytest.raises(UsageError, match=f"order_by='{column}': this column of days@1 is {kind}"):
        evidence_gathering.check_time_order(column, days(empty_project), empty_project)


def test_a_gap_is_refused_also_where_only_the_holdout_has_one(empty_project):
    whole = days(empty_project)
    known = {*whole.train.frame["id"], *whole.validation.frame["id"]}
    when = pd.Series(range(200), dtype=float).where(lambda day: day.isin(known))
    gaps = days(empty_project, when=when)
    assert not any(part.frame["when"].isna().any() for part in (gaps.train, gaps.validation))
    with pytest.raises(UsageError, match=f"{gaps.rows_held_out} of 200 rows of days@2 have no value in it"):
        evidence_gathering.check_time_order("when", gaps, empty_project)


def test_groups_and_an_order_are_refused_together(empty_project):
    with pytest.raises(UsageError, match="order_by='day': days@1 has the group column 'shop'; rows of a group belong"):
        evidence_gathering.check_time_order("day", days(empty_project, group="shop"), empty_project)
