"""The contestants of `trials`, each in a process of its own: python -m benchmarks.contestants NAME FOLDER TRIALS JOBS.

FOLDER is a project with the notebook and a store. What was measured goes to FOLDER/measured.json. Only what happens
between two looks at the clock counts: imports and a round of warming up come before, for every contestant but those
that are measured from outside, as whole commands.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

NOTEBOOK = "trial.ipynb"
WARMING = 1e6
"""The value of rounds that are not measured."""
Run = Callable[[Path, float], None]


def alphas(trials: int) -> list[float]:
    """The values that are gone through: the same for all, no two alike."""
    return [round(0.01 * 1.3**place, 6) for place in range(trials)]


def output(folder: Path, alpha: float) -> Path:
    return folder / "out" / f"{alpha}.ipynb"


def with_papermill(folder: Path, alpha: float) -> None:
    import papermill

    target = str(output(folder, alpha))
    papermill.execute_notebook(str(folder / NOTEBOOK), target, parameters={"alpha": alpha}, progress_bar=False)


def with_ploomber(folder: Path, alpha: float) -> None:
    from ploomber_engine import execute_notebook

    target = output(folder, alpha)
    execute_notebook(folder / NOTEBOOK, target, parameters={"alpha": alpha}, progress_bar=False, verbose=False)


def in_process(folder: Path, alpha: float) -> None:
    """The cells, and nothing else: no notebook is written, nothing is kept apart."""
    cells = json.loads((folder / NOTEBOOK).read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names["alpha"] = alpha


def warmed(run: Run, folder: Path) -> None:
    """Import what the contestant needs. Those who run the cells in their own process have run them once, too."""
    if run is with_papermill:
        import papermill.clientwrap  # noqa: F401
    else:
        run(folder, WARMING)


def one_at_a_time(run: Run, folder: Path, trials: int, *, warm: bool) -> dict[str, Any]:
    if warm:
        warmed(run, folder)
    with clock() as outcome:
        for alpha in alphas(trials):
            run(folder, alpha)
    return outcome


_alone: tuple[Run, Path]


def several(run: Run, folder: Path, trials: int, jobs: int, *, warm: bool) -> dict[str, Any]:
    """In `jobs` processes, which are there and have their imports before the clock starts."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(jobs + 1)
    with ProcessPoolExecutor(jobs, context, _begin, (run, folder, warm, ready)) as pool:
        if warm:
            there = [pool.submit(time.sleep, 0.5) for _ in range(jobs)]
            ready.wait(120)
            for future in there:
                future.result()
        with clock() as outcome:
            list(pool.map(_next, alphas(trials)))
    return outcome


def _begin(run: Run, folder: Path, warm: bool, ready: Any) -> None:  # noqa: FBT001  # as the pool hands it over
    global _alone
    _alone = run, folder
    if warm:
        warmed(run, folder)
        ready.wait(120)


def _next(alpha: float) -> None:
    run, folder = _alone
    run(folder, alpha)


def ours(folder: Path, trials: int, jobs: int, *, warm: bool) -> dict[str, Any]:
    """A sweep by the Python API, all of it: the parent run, the trials, the tables and plots at the end."""
    from notebooks_lib import settings
    from notebooks_lib.running.plan import NotebookPlanner
    from notebooks_lib.sweeps import executors, search_space, sweep
    from notebooks_lib.sweeps.executors import TrialLimits
    from notebooks_lib.sweeps.goal import Goal
    from notebooks_lib.sweeps.sweep_request import SweepRequest
    from notebooks_lib.tracking import store

    here = settings.load(folder, {})
    connected = store.connect(here)

    def request(values: Sequence[float], experiment: str | None) -> SweepRequest:
        source = NotebookPlanner(folder / NOTEBOOK, here, experiment=experiment)
        domain = search_space.read_search_space(source.schema, grid=[f"alpha={','.join(map(str, values))}"])
        limits = TrialLimits(environment=executors.thread_limits(jobs, {}))
        return SweepRequest(source, domain, Goal("rmse", "min"), jobs=jobs, limits=limits)

    for _ in range(2 if warm else 0):  # what the first kernels had to import is in the template for the second
        sweep.run_sweep(request(alphas(jobs), "warming"), connected)
    with clock() as outcome:
        result = sweep.run_sweep(request(alphas(trials), None), connected)
    return {**outcome, "parent": result.run_id, "before_the_report": result.seconds}


@contextmanager
def clock() -> Iterator[dict[str, Any]]:
    """Measure the block: its time, and the processor time of the whole machine, for kernels are nobody's children."""
    before = psutil.cpu_times()
    outcome: dict[str, Any] = {}
    began = time.perf_counter()
    yield outcome
    outcome["seconds"] = time.perf_counter() - began
    after = psutil.cpu_times()
    outcome["cpu"] = sum(getattr(after, kind) - getattr(before, kind) for kind in ("user", "system"))


RUNS: dict[str, Run] = {"papermill": with_papermill, "ploomber": with_ploomber, "in-process": in_process}


def main() -> None:
    name, folder, trials, jobs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    warm = sys.argv[5] == "warm"
    logging.disable(logging.WARNING)
    if name == "ours":
        outcome = ours(folder, trials, jobs, warm=warm)
    elif jobs == 1:
        outcome = one_at_a_time(RUNS[name], folder, trials, warm=warm)
    else:
        outcome = several(RUNS[name], folder, trials, jobs, warm=warm)
    (folder / "measured.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    from benchmarks import contestants  # ploomber-engine replaces __main__: workers must find functions elsewhere

    contestants.main()
