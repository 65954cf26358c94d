"""`nbops promote`: a usage error starts nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store

ROOT = Path(__file__).parents[2]


@pytest.mark.tracking
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["metric=rmsee"], "did you mean 'rmse'?"),
        (["experiment=diabetez"], "unknown experiment 'diabetez', did you mean 'diabetes'?"),
        (["min_gain=-1"], "min_gain"),
        (["dry_run=false"], "--live"),
    ],
)
def test_a_usage_error_of_promote_starts_nothing(
    given: list[str], message: str, project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "production" / "promote.ipynb", project.root / "production")
    store.connect(project).experiment_id("diabetes")
    assert program.run(["promote", *(word for pair in given for word in ("-p", pair))]) == 2
    assert message in capsys.readouterr().err
    assert not project.layout.executed.exists()
