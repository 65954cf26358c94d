"""Useless trials go the real way: a notebook fits and logs, `nbops sweep` runs it, `nbops promote` decides.

The target is twice one column and noise. The champion knows that column alone; each trial adds columns of pure noise,
so it is worse on new rows, which is checked on 100,000 of them. Whoever promotes one is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine

CELLS = (
    """columns: str = "x0"  # to fit on
seed: int = 0  # adds noise columns at random; 0: none
data: str = ""  # which
""",
    """import random
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.compose import make_column_transformer
from notebooks_lib import datasets, tracking
run = tracking.run()
rows = datasets.load(data)
""",
    """noise = random.Random(seed).sample([f"x{i}" for i in range(1, 13)], 4) if seed else []
chosen = make_column_transformer(("passthrough", [*columns.split(","), *noise]))
model = make_pipeline(chosen, LinearRegression()).fit(rows.train.X, rows.train.y)
rmse = float(np.sqrt(np.mean((rows.validation.y - model.predict(rows.validation.X)) ** 2)))
""",
    'run.log({"rmse": rmse})\nrun.log_model(model, example=rows.validation.X.head())\n',
)


@dataclass
class RealWay:
    """What was decided of the winners of real sweeps."""

    sweeps: int
    trials: int
    rows: tuple[int, int]
    """Of the smallest and the largest holdout."""
    validation: int
    """Winners that had a smaller RMSE than the champion on the validation rows."""
    holdout: int
    """That had one on the holdout, too."""
    promoted: int
    worse: int
    """That are worse on new rows."""


def measure(sweeps: int, trials: int) -> RealWay:
    """In a project of its own, which is gone afterwards. Raises when a command fails."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "production").mkdir()
        (root / "production" / "settings.toml").write_text(
            '[project]\nname = "useless"\n[kernels]\nidle_minutes = 0.2\n'
        )
        (root / "production" / "promote.ipynb").write_bytes((machine.ROOT / "production/promote.ipynb").read_bytes())
        notebook = _notebook(root / "fit.ipynb")
        outcomes = [_one(root, notebook, number, trials) for number in range(1, sweeps + 1)]
    rows = [outcome["rows"] for outcome in outcomes]
    sums = {name: sum(outcome[name] for outcome in outcomes) for name in ("validation", "holdout", "promoted", "worse")}
    return RealWay(sweeps, trials, (min(rows), max(rows)), **sums)


def _one(root: Path, notebook: Path, number: int, trials: int) -> dict[str, Any]:
    from notebooks_lib import settings
    from notebooks_lib.models import champions, registry
    from notebooks_lib.tracking import store

    name, here = f"noise{number}", settings.load(root, {})
    _write(root / f"{name}.csv", number)
    _nbops(root, "data", "add", f"{name}.csv", "--name", name, "--target", "y")
    first = json.loads(_nbops(root, "run", str(notebook), "-p", f"data={name}", "--experiment", name, "--json"))
    connected = store.connect(here)
    champion = registry.register(connected, name, first["run_id"])
    champions.mark_champion(connected, champion, reason="knows the one column that counts")
    swept = (
        "--grid",
        f"seed=1..{trials}",
        "-p",
        f"data={name}",
        "--experiment",
        f"{name}-swept",
        "--jobs",
        "1",
        "--json",
    )
    _nbops(root, "sweep", str(notebook), *swept)
    about = (f"experiment={name}-swept", f"model_name={name}", f"dataset={name}")
    answer = json.loads(_nbops(root, "promote", "--json", *(word for outcome in about for word in ("-p", outcome))))
    decision = answer["decision"]
    winner, old = decision["challenger"], decision["champion"]
    mine, theirs = (_validation(connected, side["run_id"]) for side in (winner, old))
    return {
        "rows": winner["rows"],
        "validation": mine < theirs,
        "holdout": winner["score"] < old["score"],
        "promoted": decision["answer"] == "promote",
        "worse": _truly(connected, winner["run_id"]) > _truly(connected, old["run_id"]),
    }


def _validation(store: Any, run_id: str) -> float:
    return float(store.client.get_run(run_id).data.metrics["rmse"])


def _truly(store: Any, run_id: str) -> float:
    import numpy as np

    from notebooks_lib.models import logged_models

    frame = _frame(0, 100_000)
    predictions = logged_models.load(logged_models.model_of_run(store, run_id).source).predict(frame.drop(columns="y"))
    return float(np.sqrt(np.mean((frame["y"] - predictions) ** 2)))


def _frame(seed: int, rows: int) -> Any:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng([7, seed])
    frame = pd.DataFrame(random.normal(size=(rows, 13)), columns=[f"x{i}" for i in range(13)])
    return frame.assign(y=2 * frame["x0"] + random.normal(size=rows))


def _write(path: Path, seed: int) -> None:
    _frame(seed, 400).round(6).to_csv(path, index=False)


def _notebook(path: Path) -> Path:
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell("# Does noise help?"), *(new_code_cell(source) for source in CELLS)]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return path


def _nbops(root: Path, *words: str) -> str:
    command: Sequence[str] = (sys.executable, "-m", "notebooks_lib", *words)
    where = machine.environment(PYTHONPATH=str(machine.ROOT))
    done = subprocess.run(command, cwd=root, env=where, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"nbops {words[0]}: {done.stdout[-500:]} {done.stderr[-1500:]}")
    return done.stdout
