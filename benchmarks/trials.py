"""How long a tracked trial takes: ours, papermill, ploomber-engine, and a plain loop in one process as the limit.

python -m benchmarks.trials [--repeats 3] [--trials 32] [--slow-trials 8]

Every contestant runs benchmarks/trial.ipynb, each in a project and a store of its own; the store's schema is there
before, with SQLite's write-ahead log on for all. A time counts only when each trial left a FINISHED run with its
parameter, the right metric and a model. Of slow contestants fewer trials are run; all times are for one trial.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from benchmarks import contestants, machine
from benchmarks.measuring import Failed, Rounds, shown, table, times

LIMIT = "a loop in one process, the limit"
REFERENCE = "papermill, one at a time"
EXPERIMENT = "trials"
TIMEOUT = 600


@dataclass(frozen=True)
class Contestant:
    """One row."""

    name: str
    """As of contestants.py; "nbops" is the command."""
    jobs: int
    slow: bool = False
    whole: bool = False
    """Measured from outside, as a whole process."""
    cold: bool = False
    """With no template running, and none ever started for the project."""


def rows(jobs: int) -> dict[str, Contestant]:
    """All contestants, by what a person calls them."""
    return {
        REFERENCE: Contestant("papermill", 1, slow=True),
        f"papermill, {jobs} processes": Contestant("papermill", jobs, slow=True),
        "ploomber-engine, one at a time": Contestant("ploomber", 1),
        f"ploomber-engine, {jobs} processes": Contestant("ploomber", jobs),
        LIMIT: Contestant("in-process", 1),
        f"nbops sweep, {jobs} jobs, template running": Contestant("ours", jobs),
        f"ploomber-engine, {jobs} processes, whole command": Contestant("ploomber", jobs, whole=True),
        "`nbops sweep`, whole command, template running": Contestant("nbops", jobs, whole=True),
        "`nbops sweep`, whole command, from nothing": Contestant("nbops", jobs, whole=True, cold=True),
    }


class Bench:
    """The folders of one run of this benchmark."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.warm = scratch / "warm"
        self.warm.mkdir(mode=0o700)
        self.base = scratch / "base"
        self.rmse: dict[float, float] = {}
        """The metric of each value, as the first contestant had it: all have the same."""
        self.details: dict[str, list[dict[str, float]]] = {}
        project(self.base)
        code = "import sys; from benchmarks import trials; trials.migrate(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(self.base)], env=machine.environment(), check=True)

    def measure(self, row: str, contestant: Contestant, trials: int) -> float:
        """Seconds for each trial of a contestant. Raises Failed when a result is not there."""
        folder = self._project(contestant)
        environment = self._environment(contestant, folder)
        if contestant.name == "nbops":
            grid = f"alpha={','.join(map(str, contestants.alphas(trials)))}"
            options = ["--metric", "rmse:min", "--jobs", str(contestant.jobs), "--json"]
            command = [str(machine.BIN / "nbops"), "sweep", contestants.NOTEBOOK, "--grid", grid, *options]
        else:
            arguments = [contestant.name, str(folder), str(trials), str(contestant.jobs)]
            command = [
                sys.executable,
                "-m",
                "benchmarks.contestants",
                *arguments,
                "cold" if contestant.whole else "warm",
            ]
        began = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done after {TIMEOUT} s") from error
        finally:
            if contestant.cold:
                stop_templates(environment)
        whole = time.perf_counter() - began
        if done.returncode != 0:
            raise Failed(f"exit code {done.returncode}: {' '.join(done.stderr.split())[-800:]}")
        if contestant.name == "nbops":
            measured = {"parent": json.loads(done.stdout)["run_id"]}
        else:
            measured = json.loads((folder / "measured.json").read_text())
        kernels = check(folder, trials, measured.get("parent"), self.rmse)
        if contestant.name in ("nbops", "ours") and not contestant.cold and kernels != {"warm": trials}:
            raise Failed(f"not all kernels were warm: {kernels}")
        seconds = whole if contestant.whole else measured["seconds"]
        self.details.setdefault(row, []).append(
            {name: value / trials for name, value in measured.items() if isinstance(value, float)}
        )
        return float(seconds) / trials

    def _project(self, contestant: Contestant) -> Path:
        """A fresh project, in the same place for each round: a template knows projects by their place."""
        folder = self.scratch / f"{contestant.name}-{contestant.jobs}{'-cold' * contestant.cold}"
        shutil.rmtree(folder, ignore_errors=True)
        project(folder)
        shutil.copytree(self.base / ".nbops", folder / ".nbops")
        with closing(sqlite3.connect(folder / ".nbops" / "mlflow.db")) as database, database:
            place = (folder / ".nbops" / "artifacts" / EXPERIMENT).as_uri()
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (place, EXPERIMENT))
        return folder

    def _environment(self, contestant: Contestant, folder: Path) -> dict[str, str]:
        home = self.warm
        if contestant.cold:
            home = folder / "cold"
            home.mkdir(mode=0o700)
        own = {
            "IPYTHONDIR": str(self.scratch / "ipython"),
            "XDG_RUNTIME_DIR": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        if contestant.name not in ("ours", "nbops"):
            own["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / '.nbops' / 'mlflow.db'}"
            own["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
        if contestant.name == "ploomber":
            if not (machine.PACKAGES / "ploomber_engine").is_dir():
                raise Failed("MISSING: ploomber-engine is not installed; `make bench` installs it")
            own["PYTHONPATH"] = str(machine.PACKAGES)
        return machine.environment(**own)


def project(folder: Path) -> None:
    """A project with the notebook and nothing else."""
    (folder / "production").mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / "production" / "settings.toml").write_text(f'[tracking]\nexperiment = "{EXPERIMENT}"\n')
    shutil.copy(machine.ROOT / "benchmarks" / contestants.NOTEBOOK, folder)


def migrate(root: str) -> None:
    """Bring the store of a project to MLflow's newest schema, and make the experiment."""
    from notebooks_lib import settings
    from notebooks_lib.tracking import store

    store.connect(settings.load(Path(root), {})).experiment_id(EXPERIMENT)


def check(folder: Path, trials: int, parent: str | None, known: dict[float, float]) -> dict[str, int]:
    """How many runs had which kind of kernel (ours say it). Raises Failed unless all that was asked for is there."""
    query = """
        SELECT runs.run_uuid, runs.status, params.value, latest_metrics.value, logged_models.artifact_location,
               parent.value, ended.value, kernel.value
        FROM runs JOIN params ON params.run_uuid = runs.run_uuid AND params.key = 'alpha'
        LEFT JOIN latest_metrics ON latest_metrics.run_uuid = runs.run_uuid AND latest_metrics.key = 'rmse'
        LEFT JOIN logged_models ON logged_models.source_run_id = runs.run_uuid
        LEFT JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId'
        LEFT JOIN tags AS ended ON ended.run_uuid = runs.run_uuid AND ended.key = 'nbops.end'
        LEFT JOIN tags AS kernel ON kernel.run_uuid = runs.run_uuid AND kernel.key = 'nbops.kernel'
    """
    with closing(sqlite3.connect(folder / ".nbops" / "mlflow.db")) as database:
        found = database.execute(query).fetchall()
    seen: dict[float, float] = {}
    kernels: dict[str, int] = {}
    for run, status, alpha, rmse, model, of, ended, kernel in found:
        if float(alpha) == contestants.WARMING or of != parent:
            continue
        if status != "FINISHED" or (parent is not None and ended != "FINISHED"):
            raise Failed(f"run {run} is {status}{', but was not ended by its owner' * (status == 'FINISHED')}")
        if rmse is None or model is None or not Path(unquote(urlsplit(model).path), "MLmodel").is_file():
            raise Failed(f"run {run} has no {'metric' if rmse is None else 'model'}")
        if abs(rmse - known.setdefault(float(alpha), rmse)) > 1e-9:
            raise Failed(f"run {run} has rmse {rmse} for alpha {alpha}, another contestant {known[float(alpha)]}")
        seen[float(alpha)] = rmse
        kernels[kernel] = kernels.get(kernel, 0) + 1
    if sorted(seen) != contestants.alphas(trials):
        raise Failed(f"{len(seen)} of {trials} trials are in the store")
    return kernels


def stop_templates(environment: dict[str, str]) -> None:
    """End the templates of one environment; they leave once their last kernel has."""
    code = """
from notebooks_lib.kernels import template_manager
for path, _ in template_manager.templates():
    template_manager.ask(path, "stop")
"""
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)


def report(rounds: Rounds, bench: Bench, jobs: int, trials: int, slow_trials: int) -> str:
    """The table in Markdown."""
    cores = {row: contestant.jobs for row, contestant in rows(jobs).items()}

    def more(row: str) -> list[object]:
        beside = rounds.ratio(row, LIMIT)
        cpu = [detail["cpu"] for detail in bench.details[row] if "cpu" in detail]
        return [
            times(rounds.ratio(REFERENCE, row)),
            times(None if beside is None else cores[row] * beside),
            shown(statistics.median(cpu)) if cpu and not rows(jobs)[row].whole else "",
        ]

    header = ["contestant", "s a trial", "range", "papermill / this", "cores × time / limit", "CPU s a trial"]
    return (
        f"{trials} trials, of papermill {slow_trials}; {rounds.count} rounds in turn; medians, of the ratios as well. "
        f"Whole commands are divided by their trials, too.\n\n{table(header, rounds.rows(more))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--slow-trials", type=int, default=8)
    parser.add_argument("--only", default="", help="only rows that hold this text")
    given = parser.parse_args()
    print("## Tracked trials\n")
    jobs = min(2, os.cpu_count() or 1)
    machine.compiled()
    with tempfile.TemporaryDirectory(prefix="nbops-bench-") as scratch:
        bench = Bench(Path(scratch))
        rounds = Rounds()
        chosen = {row: contestant for row, contestant in rows(jobs).items() if given.only in row}

        def measure(row: str, contestant: Contestant) -> float:
            seconds = bench.measure(row, contestant, given.slow_trials if contestant.slow else given.trials)
            print(f"  {row}: {shown(seconds)} s a trial", file=sys.stderr, flush=True)
            return seconds

        contestants_of: dict[str, Callable[[], float]] = {
            row: partial(measure, row, one) for row, one in chosen.items()
        }
        try:
            for _ in range(given.repeats):
                rounds.round(contestants_of)
        finally:
            stop_templates(machine.environment(XDG_RUNTIME_DIR=str(bench.warm)))
        print(report(rounds, bench, jobs, given.trials, given.slow_trials))


if __name__ == "__main__":
    main()
