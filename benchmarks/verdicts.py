"""How often `nbops review` calls equally good models better or worse: notebooks, commits, runs and the command itself.

python -m benchmarks.verdicts [--pairs 400] [--clear 40] [--notebooks 20] [--seed 29]

Each pair is a notebook whose model a commit changes. Its dataset is drawn from a known law with independent standard
normal features, and a model is the true coefficients moved by a known distance, so that a metric's true value depends
on that distance alone. In an equal pair the commit changes the direction and not the distance: the two models answer
differently and are exactly as good. In a clear pair it changes the distance. Pull requests of some notebooks each are
reviewed with `nbops review --json`, and verdicts are counted. The first has its runs made by `--run`; of the others one
process makes the runs of a side, which is quicker, and the review finds them in the store.

Markdown on standard output; exit code 1 when more equal pairs are called different than chance explains, or a clear one
is not called rightly. The seed is fixed and no figure is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat import v4
from scipy import stats

from benchmarks import machine
from benchmarks.measuring import table
from notebooks_lib import settings
from notebooks_lib.datasets import ingest
from notebooks_lib.running.plan import make_plan
from notebooks_lib.running.runner import run_notebook

NBOPS = str(machine.BIN / "nbops")
ROWS, FEATURES = 1000, 12
SMALL = 0.4
LARGE = {"LinearRegression": 1.0, "LogisticRegression": 3.0}
"""Distances from the true coefficients, whose length is 2. Where a model is far off, one row may carry its error."""
EQUAL = "no difference found"
VERDICTS = ("better", "worse", EQUAL)
METRICS = {
    "LinearRegression": 'mean_squared_error(y, p) ** 0.5, "mae": mean_absolute_error(y, p), "r2": r2_score(y, p)',
    "LogisticRegression": 'brier_score_loss(y, p), "roc_auc": roc_auc_score(y, p), "log_loss": log_loss(y, p)',
}
PREDICTED = {
    "LinearRegression": "model.predict(data.validation.X)",
    "LogisticRegression": "model.predict_proba(data.validation.X)[:, 1]",
}
PARAMETERS = """
dataset: str = "{dataset}@1"
distance: float = {distance}
direction: int = {direction}
"""
MODEL = """
import numpy as np
from sklearn.linear_model import {model}

from notebooks_lib import datasets, tracking

run = tracking.run("{dataset}")
data = datasets.load(dataset)
truth = np.zeros(data.train.X.shape[1])
truth[0] = 2.0
away = np.random.default_rng([29, direction]).normal(size=len(truth))
away[0] = 0.0
model = {model}().fit(data.train.X, data.train.y)
model.coef_ = np.reshape(truth + distance * away / np.linalg.norm(away), model.coef_.shape)
model.intercept_ = np.zeros_like(model.intercept_)
"""
RECORD = """
from sklearn.metrics import *

y = data.validation.y
p = {predicted}
run.log({{"{first}": {metrics}}})
run.log_dataset(data)
run.log_model(model, example=data.train.X)
"""


@dataclass(frozen=True)
class Pair:
    """What a commit does to one notebook, and the verdict that its metrics deserve."""

    number: int
    model: str
    base: tuple[float, int]
    head: tuple[float, int]
    """Distance from the truth, and the seed of the direction."""
    deserved: str

    @property
    def name(self) -> str:
        return f"pair_{self.number}"

    def notebook(self, distance: float, direction: int) -> nbformat.NotebookNode:
        values: dict[str, Any] = {"dataset": self.name, "model": self.model}
        values |= {"distance": distance, "direction": direction, "metrics": METRICS[self.model]}
        values["predicted"] = PREDICTED[self.model]
        values |= {"first": "rmse" if self.model == "LinearRegression" else "brier"}
        cells = [v4.new_code_cell(text.strip().format(**values)) for text in (PARAMETERS, MODEL, RECORD)]
        for name, cell in zip(("parameters", "model", "record"), cells, strict=True):
            cell["id"] = name
        cells[0].metadata["tags"] = ["parameters"]
        return v4.new_notebook(cells=[v4.new_markdown_cell(f"# Pair {self.number}", id="title"), *cells])


def pairs(equal: int, clear: int) -> Iterator[Pair]:
    """Equal ones first; both kinds of model in turn."""
    for number in range(equal + clear):
        model = list(METRICS)[number % 2]
        first, second = 2 * number, 2 * number + 1
        if number < equal:
            yield Pair(number, model, (SMALL, first), (SMALL, second), EQUAL)
        elif number % 4 < 2:
            yield Pair(number, model, (LARGE[model], first), (SMALL, second), "better")
        else:
            yield Pair(number, model, (SMALL, first), (LARGE[model], second), "worse")


def draw(pair: Pair, seed: int) -> str:
    """A table from the law whose truth the notebook knows, as CSV."""
    random = np.random.default_rng([seed, pair.number])
    features = random.normal(size=(ROWS, FEATURES))
    line = 2.0 * features[:, 0]
    if pair.model == "LinearRegression":
        target = line + random.normal(size=ROWS)
    else:
        target = (random.random(ROWS) < 1 / (1 + np.exp(-line))).astype(int)
    header = ",".join([*(f"x{place}" for place in range(FEATURES)), "y"])
    return "\n".join([header, *(",".join(map(repr, map(float, row))) for row in np.column_stack([features, target]))])


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody."""
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def run_all(folder: str) -> None:
    """Run the notebooks of a project, as `nbops run` does it."""
    os.chdir(folder)
    project = settings.load(Path.cwd(), os.environ)
    for notebook in sorted(Path("experimentation").glob("*.ipynb")):
        result = run_notebook(make_plan(notebook, project), html=False)
        if result.status != "FINISHED":
            raise SystemExit(f"{notebook.name}: {result.failure}")


def review(pairs: list[Pair], folder: Path, seed: int, *, made_by_review: bool) -> list[tuple[Pair, Counter[str]]]:
    """Each pair with how often its metrics got which verdict: one pull request in a project of its own."""
    (folder / "experimentation").mkdir(parents=True)
    (folder / "production").mkdir()
    (folder / "production" / "settings.toml").write_text('[promotion]\ntrusted_flavors = ["sklearn"]\n')
    (folder / ".gitignore").write_text(".nbops/\n/data/\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    project = settings.load(folder, {})
    for pair in pairs:
        csv = folder.parent / f"{pair.name}.csv"
        csv.write_text(draw(pair, seed))
        ingest.add(csv, pair.name, project, target="y")
    for side in ("base", "head"):
        for pair in pairs:
            nbformat.write(pair.notebook(*getattr(pair, side)), folder / "experimentation" / f"{pair.name}.ipynb")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", side)
        if not made_by_review:
            code = "import sys; from benchmarks import verdicts; verdicts.run_all(sys.argv[1])"
            subprocess.run([sys.executable, "-c", code, str(folder)], env=machine.environment(), check=True)
    command = [NBOPS, "review", "HEAD~1", *(["--run"] if made_by_review else []), "--json"]
    done = subprocess.run(command, cwd=folder, env=machine.environment(), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return list(_verdicts(json.loads(done.stdout), pairs))


def _verdicts(answer: dict[str, Any], pairs: list[Pair]) -> Iterator[tuple[Pair, Counter[str]]]:
    reviews = {Path(notebook["path"]).stem: notebook for notebook in answer["notebooks"]}
    for pair in pairs:
        metrics = reviews[pair.name]["metrics"]
        if not metrics:
            raise SystemExit(f"{pair.name} has no numbers: {json.dumps(reviews[pair.name])[:2000]}")
        yield (
            pair,
            Counter(metric["gain"]["verdict"] if metric["gain"] else metric["no_gain_because"] for metric in metrics),
        )


def main() -> int:
    """Print what became of the pairs; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400, help="equal ones")
    parser.add_argument("--clear", type=int, default=40)
    parser.add_argument("--notebooks", type=int, default=20, help="of one pull request")
    parser.add_argument("--seed", type=int, default=29)
    arguments = parser.parse_args()
    waiting = list(pairs(arguments.pairs, arguments.clear))
    counted: list[tuple[Pair, Counter[str]]] = []
    while waiting:
        some, waiting = waiting[: arguments.notebooks], waiting[arguments.notebooks :]
        with tempfile.TemporaryDirectory() as folder:
            counted += review(some, Path(folder) / "project", arguments.seed, made_by_review=not counted)
        print(f"{len(counted)} of {len(counted) + len(waiting)} pairs reviewed", file=sys.stderr, flush=True)
    return report(counted)


def report(counted: list[tuple[Pair, Counter[str]]]) -> int:
    """A row for each kind of model and pair."""
    rows, missed = [], 0
    for deserved in (EQUAL, "better", "worse"):
        for model in METRICS:
            some = [verdicts for pair, verdicts in counted if (pair.model, pair.deserved) == (model, deserved)]
            got = sum(some, Counter[str]())
            missed += deserved != EQUAL and sum(verdicts[deserved] != verdicts.total() for verdicts in some)
            without = got.total() - sum(got[verdict] for verdict in VERDICTS)
            rows.append([model, deserved, len(some), *(got[verdict] for verdict in VERDICTS), without])
    print(table(["model", "deserved", "pairs", *(f"metrics: {verdict}" for verdict in VERDICTS), "no interval"], rows))
    equal = [verdicts for pair, verdicts in counted if pair.deserved == EQUAL]
    false = sum(verdicts["better"] + verdicts["worse"] > 0 for verdicts in equal)
    limit = int(stats.binom.ppf(1 - 1e-6, len(equal), 0.05))
    print(f"\n{false} of {len(equal)} equal pairs have a metric called better or worse, at most {limit}.")
    print(f"{missed} of {len(counted) - len(equal)} clear pairs have a metric that is not called so.")
    return int(missed > 0 or false > limit)


if __name__ == "__main__":
    sys.exit(main())
