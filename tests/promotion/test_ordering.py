"""What cannot put rows in order is refused before the holdout is asked, wherever the fault lies."""

from __future__ import annotations

import pandas as pd
import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.promotion import ordering
from notebooks_lib.tracking import datasets


def days(project, name: str = "days", *, group: str | None = None, **columns):
    frame = pd.DataFrame({"id": range(200), "day": pd.Timestamp("2024-01-01"), "y": 1.0})
    frame["day"] += pd.to_timedelta(frame["id"], unit="D")
    frame = frame.assign(shop=frame["id"] % 50, said="mon", open=frame["id"] % 2 == 0, **columns)
    frame.to_csv(project.root / "t.csv", index=False)
    return datasets.add(project.root / "t.csv", name, project, target="y", key="id", group=group)


def test_groups_and_an_order_are_refused_together(empty_project):
    with pytest.raises(UsageError, match="order_by='day': days@1 has the group column 'shop'; rows of a group belong"):
        ordering.check("day", days(empty_project, group="shop"))
