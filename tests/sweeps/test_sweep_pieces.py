"""The parts of a sweep by themselves: curves for the pruner, threads, which trials count as done."""

from __future__ import annotations

import threading
import time

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks import document
from notebooks_lib.running.run_cache import Seen
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import executors, parent, pruning, stopping
from notebooks_lib.sweeps.pruning import Curves
from notebooks_lib.sweeps.records import Goal, Proposal, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owner import OwnedRun, Start
from tests import building


class Strict:
    """Gives up whoever logs more than ten, and keeps what it is told."""

    total = 2

    def __init__(self) -> None:
        self.told: list[tuple[int, int, float]] = []

    def ask(self) -> Proposal | None:
        return None

    def report(self, number: int, step: int, value: float) -> bool:
        self.told.append((number, step, value))
        return value > 10

    def tell(self, number: int, state: str, value: float | None) -> None:
        raise AssertionError("it is not the curves that tell of an end")


def opened(project: Settings, name: str, **tags: str) -> OwnedRun:
    return OwnedRun.open(store.connect(project), Start("sample", name, "n.ipynb", "", {}, "", "", None, tags))


@pytest.mark.tracking
def test_each_point_of_a_curve_is_told_once_and_who_is_given_up_is_asked_to_stop(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(pruning, "LOOK_AT_LEAST_EVERY", 0.0)
    sweep = opened(project, "sweep")
    good, bad, ended = (
        opened(project, str(k), **{"mlflow.parentRunId": sweep.run_id, Tag.TRIAL: str(k)}) for k in range(3)
    )
    client = sweep.store.client
    strict = Strict()
    found = Curves(sweep.store, sweep.run_id, Goal("rmse"))
    for run in (good, bad):
        client.log_metric(run.run_id, "rmse", 5.0, step=0)
    assert not found.empty, "nothing has ended"
    found.look(strict, {0, 1})
    assert strict.told == [], "one point is a result, not a curve"
    for value, step in ((4.0, 2), (3.0, 1)):
        client.log_metric(good.run_id, "rmse", value, step=step)
    for value, step in ((20.0, 1), (1.0, 2)):
        client.log_metric(bad.run_id, "rmse", value, step=step)
    for _ in range(2):
        found.look(strict, {0, 1})
    assert sorted(strict.told) == [(0, 0, 5.0), (0, 1, 3.0), (0, 2, 4.0), (1, 0, 5.0), (1, 1, 20.0)]
    tags = query.get_run(sweep.store, bad.run_id).tags
    assert (tags[Tag.STOP], tags[Tag.STOP_STEP]) == ("pruned", "1")
    assert Tag.STOP not in query.get_run(sweep.store, good.run_id).tags

    for value, step in ((9.0, 4), (8.0, 5)):
        client.log_metric(ended.run_id, "rmse", value, step=step)
    finished = Trial(2, {}, "finished", 8.0, {"rmse": 8.0}, ended.run_id)
    assert found.finished(strict, finished) is finished
    assert strict.told[-2:] == [(2, 4, 9.0), (2, 5, 8.0)]
    pruned = found.finished(strict, Trial(1, {}, "pruned", 1.0, {"rmse": 1.0}, bad.run_id, reason="cell 3 (for …)"))
    assert (pruned.value, pruned.reason) == (20.0, "at step 1, in cell 3 (for …)"), "not of what it logged since"


@pytest.mark.tracking
def test_in_its_own_process_a_trial_learns_at_once_that_it_shall_stop(project: Settings) -> None:
    run = opened(project, "trial")
    with stopping.announced("sweep", run.store) as here:
        assert here.why(run.run_id) is None
        stopping.ask(run.store, run.run_id, "pruned", (3, 0.5))
        assert here.why(run.run_id) == "pruned"
        assert here.why("another") is None
        here.stop.set()
        assert here.why(run.run_id) == "interrupt"
    assert query.get_run(run.store, run.run_id).tags[Tag.STOP_VALUE] == "0.5"


@pytest.mark.tracking
def test_a_watch_sees_the_tag_and_ends_with_its_trial(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "LOOK_EVERY", 0.05)
    run, sweep = opened(project, "trial"), opened(project, "sweep").run_id
    watch = stopping.Watch(run.store)
    watch.begin(run.run_id, sweep)
    assert watch() is None
    stopping.ask(run.store, run.run_id, "stopped")
    until = time.monotonic() + 10
    while watch() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert watch() == "interrupt"
    over = stopping.Watch(run.store)
    over.end()
    over.begin(run.run_id, sweep)
    time.sleep(0.2)
    assert over() is None

    late = stopping.Watch(run.store)
    stopping.ask(run.store, sweep, "stopped")
    late.begin(opened(project, "opened as its sweep was stopped").run_id, sweep)
    while late() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert late() == "interrupt"
    late.end()


@pytest.mark.tracking
def test_one_process_holds_a_sweep(project: Settings) -> None:
    with (
        parent.held(project, "abc"),
        pytest.raises(errors.UsageError, match="sweep abc is going on in another process"),
        parent.held(project, "abc"),
    ):
        pass
    with parent.held(project, "abc"), parent.held(project, "other"):
        pass


@pytest.mark.tracking
def test_a_run_counts_as_seen_while_its_data_are_what_they_were(project: Settings) -> None:
    from notebooks_lib import datasets

    path = building.write(project.root / "n.ipynb", "x = datasets.load(name)", parameters="name: str = 'sales'")
    notebook = document.read(path)
    table = project.root / "sales.csv"

    def add(rows: int) -> str:
        table.write_text("key,day,units\n" + "".join(f"{k},{k % 7},{k * k}\n" for k in range(rows)))
        return datasets.tag_value(datasets.add(table, "sales", project, target="units", key="key"))

    def ran(fingerprint: str, end: str, **tags: str) -> str:
        start = Start("sample", "r", "n.ipynb", "", {}, notebook.code_sha256, fingerprint, None, tags)
        run = OwnedRun.open(store.connect(project), start)
        run.end("FINISHED" if end == "FINISHED" else "FAILED")
        return run.run_id

    def seen(fingerprint: str, **parameters: object) -> str | None:
        found = Seen(store.connect(project), notebook).find(fingerprint, parameters)
        return found.run_id if found else None

    first = add(60)
    plain, failed = ran("f1", "FINISHED"), ran("f2", "FAILED")
    used = ran("f3", "FINISHED", **{Tag.DATASET_PREFIX + "sales": first})
    assert (seen("f1"), seen("f2"), seen("f3"), seen("f4"), seen("")) == (plain, None, used, None, None)
    assert failed != plain
    newer = ran("f1", "FINISHED")
    assert seen("f1") == newer
    second = add(80)
    assert second != first
    assert seen("f3", name="sales") is None, "it would get the newer version now"
    assert seen("f3", name="sales@1") == used
    assert seen("f1") == newer
    bundle = ran("f5", "FINISHED", **{Tag.DATASET_PREFIX + "iris": "iris@1#" + "0" * 64})
    assert seen("f5") == bundle


def test_threads_begin_at_once_hand_over_what_is_raised_and_can_be_waited_for() -> None:
    pool = executors.Threads()
    gate = threading.Event()
    held = [pool.submit(gate.wait, 10) for _ in range(3)]
    broken = pool.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        broken.result(10)
    assert not any(future.done() for future in held)
    gate.set()
    pool.shutdown(wait=True)
    assert all(future.result() for future in held)


def test_kernels_share_the_cores_unless_a_person_has_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.cores, "whole", lambda: 8)
    assert set(executors.thread_limits(3, {}).values()) == {"2"}
    assert set(executors.thread_limits(16, {}).values()) == {"1"}
    assert "OMP_NUM_THREADS" not in executors.thread_limits(2, {"OMP_NUM_THREADS": "3"})


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("laptop", "allowed local or dask://HOST:PORT"),
        ("dask://host", "no such place"),
        ("dask://host:0", "no such place"),
    ],
)
def test_an_unknown_place_is_refused(on: str, message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        executors.check(on)
