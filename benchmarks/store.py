"""How the time of `compare` and of `promote`'s query grows with the store: 200 runs against 20,000.

python -m benchmarks.store [--repeats 9] [--few 200] [--many 20000]

One run is opened, logged to and ended as the runner does it; the others are copies of its rows, with names, times and
metrics of their own. Three stores are asked for the same: one that holds `few` runs; one that holds `many`, `few` of
them in the experiment that is asked for and the rest in a hundred others; one that holds `many` in that experiment.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.measuring import Rounds, table, times
from notebooks_lib.tracking.store import Store

EXPERIMENT = "asked"
OTHERS = 100


def stores(scratch: Path, few: int, many: int) -> dict[str, Store]:
    """The three, by what a person calls them."""
    from notebooks_lib import settings
    from notebooks_lib.tracking.store import connect

    base = connect(settings.load(scratch, {}))
    pattern = _run(base)
    mine = base.experiment_id(EXPERIMENT)
    others = [base.experiment_id(f"other {number}") for number in range(OTHERS)]

    def filled(name: str, own: int, rest: int) -> Store:
        database = scratch / f"{name}.db"
        shutil.copy(base.settings.layout.database, database)
        placed = [mine] * (own - 1) + [others[number % OTHERS] for number in range(rest)]
        random.Random(0).shuffle(placed)  # as they come in a store that several people use
        _copy(database, pattern, placed)
        return Store(f"sqlite:///{database}", base.settings)

    with closing(sqlite3.connect(base.settings.layout.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the file that is copied
    return {
        f"{few:,} runs in the store": filled("few", few, 0),
        f"{few:,} of {many:,} runs": filled("among", few, many - few),
        f"{many:,} runs in the experiment": filled("many", many, 0),
    }


def _run(store: Store) -> str:
    """A run with all that one leaves in the store."""
    from mlflow.entities import Metric

    from notebooks_lib.tags import Tag
    from notebooks_lib.tracking.owned_run import OwnedRun, RunStart

    parameters = {"dataset": "sales@2", "model": "ridge", "alpha": 0.1, "test_share": 0.2, "seed": 1, "note": ""}
    digest = uuid.uuid4().hex * 2
    tags = {Tag.DATASET_PREFIX + "sales": f"sales@2#{digest}", Tag.TRIAL: "1", "mlflow.parentRunId": uuid.uuid4().hex}
    start = RunStart(
        *(EXPERIMENT, "sales alpha=0.1", "experimentation/sales.ipynb", "Sales\n\n" + "What it is about. " * 20),
        *(parameters, digest, digest, None, tags),
        lock_sha256=digest,
    )
    owned = OwnedRun.open(store, start)
    logged = [Metric(name, 1.0, 1_700_000_000_000, 0) for name in ("rmse", "mae", "r2", "baseline_rmse", "seconds")]
    store.client.log_batch(owned.run_id, metrics=logged)
    owned.end("FINISHED", tags={Tag.KERNEL: "warm", Tag.PEAK_MEMORY: "270.8"})
    return owned.run_id


def _copy(database: Path, pattern: str, placed: list[str]) -> None:
    """A copy of the run for each experiment that is listed, a second younger than the one before."""
    chance = random.Random(1)
    copies = [(uuid.uuid4().hex, place, second, chance.random()) for second, place in enumerate(placed, 1)]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TEMP TABLE copies (id TEXT PRIMARY KEY, experiment INTEGER, second INTEGER, x REAL)")
        connection.executemany("INSERT INTO copies VALUES (?, ?, ?, ?)", copies)
        own = {
            "run_uuid": "copies.id",
            "name": "row.name || copies.second",
            "experiment_id": "copies.experiment",
            "start_time": "row.start_time + 1000 * copies.second",
            "end_time": "row.end_time + 1000 * copies.second",
        }
        score = {"run_uuid": "copies.id", "value": "row.value + copies.x"}
        fingerprint = "CASE row.key WHEN 'nbops.fingerprint.run' THEN copies.id ELSE row.value END"
        for name, changed in {
            "runs": own,
            "tags": {"run_uuid": "copies.id", "value": fingerprint},
            "params": {"run_uuid": "copies.id"},
            "metrics": score,
            "latest_metrics": score,
        }.items():
            columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")]
            chosen = ", ".join(changed.get(column, f"row.{column}") for column in columns)
            connection.execute(
                f"INSERT INTO {name} SELECT {chosen} FROM copies CROSS JOIN {name} AS row WHERE row.run_uuid = ?",
                (pattern,),
            )


def questions() -> dict[str, Callable[[Store], object]]:
    """What is asked, by what a person calls it."""
    from notebooks_lib.promotion import run_ranking
    from notebooks_lib.tracking import orphan_runs, query

    def compared(store: Store) -> object:
        return run_ranking.rank(query.promising_runs(store, EXPERIMENT, "rmse", largest=False).runs, "rmse", "min")

    return {
        "`nbops compare`": compared,
        "candidates of `nbops promote`": lambda store: query.promising_runs(store, EXPERIMENT, "rmse", largest=False),
        "the end of a run: what did it leave open?": lambda store: orphan_runs.end_children(
            store, "0" * 32, "FINISHED"
        ),
    }


def _seconds(ask: Callable[[Store], object], store: Store) -> float:
    gc.collect()  # else the rubbish of one store's question is taken away in the time of another's
    began = time.perf_counter()
    ask(store)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=20_000)
    options = parser.parse_args()
    print("## Runs in the store\n")
    with tempfile.TemporaryDirectory(prefix="nbops-bench-") as scratch:
        figures = stores(Path(scratch), options.few, options.many)
        lines = []
        for question, ask in questions().items():
            rounds = Rounds()
            for store in figures.values():
                ask(store)  # SQLAlchemy has compiled the query, and the file is in memory
            for _ in range(options.repeats):
                rounds.round({name: partial(_seconds, ask, store) for name, store in figures.items()})
            first = next(iter(figures))
            for row in rounds.rows(lambda name, rounds=rounds, first=first: [times(rounds.ratio(name, first))]):
                lines.append([question, *row])
        print(table(["what", "where", "s", "range", "against the first"], lines))


if __name__ == "__main__":
    main()
