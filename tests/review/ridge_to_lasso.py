"""The pull request that the documentation shows: a project on `main`, and a branch that changes six things at once.

`test_whole_review.py` reviews it with real runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, write

ROOT = Path(__file__).parents[2]
NOTEBOOK = "experimentation/diabetes_ridge.ipynb"
HELPERS = "experimentation/helpers.py"
RERUN = "experimentation/compare_runs.ipynb"

TITLE = md("# Does shrinking the coefficients beat the mean?", id="title")
SETUP = """import numpy as np
import pandas as pd
from helpers import rmse
from sklearn.linear_model import {model}
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from notebooks_lib import datasets, tracking

run = tracking.run()
data = datasets.load(dataset)
train, validation = data.train, data.validation"""
BASELINE = (
    md("## Baseline\nThe mean of the training rows.", id="about-baseline"),
    code("baseline = np.full(len(validation.y), train.y.mean())\nrmse(validation.y, baseline)", id="baseline"),
)
ABOUT_MODEL = md("## Model\nLeast squares with a penalty; `alpha` is its strength.", id="about-model")
MODEL = """model = make_pipeline(StandardScaler(), {model})
model.fit(train.X, train.y)
predicted = model.predict(validation.X)
pd.Series(model[-1].coef_, train.X.columns).plot.barh(title="Weights");"""
ABOUT_FIGURE = md("## Errors\nLook for misses that all go one way.", id="about-figure")
FIGURE = """axis = pd.Series(predicted - validation.y).plot.hist(title="Errors")
axis.set_xlabel("predicted - observed score");"""
RECORD = """run.log_params({parameters})
run.log({{"rmse": rmse(validation.y, predicted), "mae": mean_absolute_error(validation.y, predicted)}})
run.log_model(model, example=train.X)"""
BASE_HELPER = """import numpy as np


def rmse(truth, predicted):
    return float(((truth - predicted) ** 2).mean() ** 0.5)
"""
HEAD_HELPER = """import numpy as np


def rmse(truth, predicted):
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))
"""


def _parameters(line: str) -> dict[str, Any]:
    return code(f'dataset: str = "diabetes@1"\n{line}', "parameters", id="parameters")


BASE = (
    TITLE,
    _parameters("alpha: float = 1.0  # strength of the penalty"),
    code(SETUP.format(model="Ridge"), id="setup"),
    *BASELINE,
    ABOUT_MODEL,
    code(MODEL.format(model="Ridge(alpha=alpha)"), id="model"),
    code(RECORD.format(parameters='{"alpha": alpha}'), id="record"),
)
HEAD = (
    TITLE,
    _parameters("strength: float = 1.0  # of the penalty"),
    code(SETUP.format(model="Lasso"), id="setup"),
    ABOUT_MODEL,
    code(MODEL.format(model="Lasso(alpha=strength)"), id="model"),
    *BASELINE,
    ABOUT_FIGURE,
    code(FIGURE, id="figure"),
    code(RECORD.format(parameters='{"strength": strength}'), id="record"),
)


def make_pull_request(root: Path) -> None:
    """Make the project, with its branch checked out. No cell has run yet."""
    make_repository(root)
    (root / "production").mkdir()
    (root / "production" / "settings.toml").write_text('[project]\nname = "diabetes"\n')
    (root / ".gitignore").write_text(".nbops/\n")
    shutil.copy(ROOT / "requirements.lock", root)
    rerun = code("1 + 1", id="sum")
    for branch, cells, helper, count in (("main", BASE, BASE_HELPER, 1), ("lasso", HEAD, HEAD_HELPER, 7)):
        if branch != "main":
            git(root, "switch", "--quiet", "-c", branch)
        write(root / NOTEBOOK, *cells)
        (root / HELPERS).write_text(helper)
        output = {"output_type": "execute_result", "execution_count": count, "metadata": {}}
        outputs = [{**output, "data": {"text/plain": str(count + 1)}}]
        write(root / RERUN, md("# How do the runs compare?"), rerun | {"outputs": outputs, "execution_count": count})
        commit(root, branch)
