"""The processes of a distributed job: which one this is, what the others report, and how they run the notebook.

Rank 0 owns the run. Every other rank runs the same notebook without tracking; its executed notebook is kept in the run
as ranks/N.ipynb, beside ranks/N.json, which says how it ended. Where the job began anew, or runs a second notebook,
the files of the second attempt are N-2.ipynb and N-2.json: Azure ML overwrites no file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure import workspace
from notebooks_lib.run_result import Failure, RunResult, RunStatus
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owned_run import artifact_repository
from notebooks_lib.tracking.store import Store, translate_store_errors

FOLDER = "ranks"
LOOK = 2.0
"""Seconds between two looks of rank 0 at what the others report."""
WAIT = 300.0
"""Seconds that rank 0, once it is done, waits for the others."""
WAIT_FAILED = 5.0
"""Seconds that a rank 0 that failed waits: often another rank died before it, and its report comes after the error."""
PAUSES = (2.0, 10.0, 30.0)
"""Seconds before a rank tries again to report its end."""
_REPORT = re.compile(r"(\d+)(?:-\d+)?\.json")
_TRACKING = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_TOKEN")
"""Variables by which a notebook would write into the job's run."""


@dataclass(frozen=True)
class Rank:
    """One process of a distributed job."""

    index: int
    size: int
    serves: bool = False
    """True for a parameter server of TensorFlow, which ends when the service says so."""
    servers: int = 0
    """How many of the last ranks are parameter servers."""


def find_rank(environ: Mapping[str, str]) -> Rank | None:
    """Return which process this is, by the variables of MPI, PyTorch or TensorFlow; None if the job has but one."""
    for index, size in _INDEX_AND_SIZE:
        if environ.get(index, "").isdecimal() and environ.get(size, "").isdecimal():
            return Rank(int(environ[index]), int(environ[size])) if int(environ[size]) > 1 else None
    try:
        config = json.loads(environ.get("TF_CONFIG") or "{}")
        task, cluster = config["task"], config["cluster"]
        tasks = [(kind, number) for kind in _TASKS for number in range(len(cluster.get(kind) or ()))]
        index_of_task = tasks.index((task["type"], int(task["index"])))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    servers = len(cluster.get("ps") or ())
    return Rank(index_of_task, len(tasks), task["type"] == "ps", servers) if len(tasks) > 1 else None


_INDEX_AND_SIZE = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("RANK", "WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),  # of Intel MPI and MPICH
)
_TASKS = ("chief", "master", "worker", "evaluator", "ps")
"""Tasks of TensorFlow in the order of their ranks: the first one owns the run."""


def run_other_rank(
    plan: Plan, rank: Rank, store: Store, run_id: str, *, pauses: Sequence[float] = PAUSES, **options: Any
) -> RunResult:
    """Run the notebook without tracking, and report to the run how it ended. What it logs to MLflow is thrown away.

    A notebook that could not be run at all is reported as well, before the error is raised.
    """
    with tempfile.TemporaryDirectory(prefix="nbops-rank-") as scratch:
        output = Path(scratch) / "executed.ipynb"
        try:
            with untracked(Path(scratch) / "mlruns", store.uri):
                made = dataclasses.replace(plan, start=None)
                result = run_notebook(made, **{**options, "output": output, "html": False})
        except Exception as error:
            failure = Failure("start", type(error).__name__, errors.reason(error))
            _report(store, run_id, rank, output, "FAILED", failure, pauses)
            raise
        _report(store, run_id, rank, output, result.status, result.failure, pauses)
    return result


def _report(
    store: Store,
    run_id: str,
    rank: Rank,
    executed: Path,
    status: RunStatus,
    failure: Failure | None,
    pauses: Sequence[float],
) -> None:
    """Write into the run how a rank ended, and its executed notebook; a store that does not take it is asked again."""
    content = {"status": status, "failure": failure and vars(failure), "serves": rank.serves}
    for pause in (*pauses, None):
        try:
            repository = artifact_repository(store, run_id)
            name = _free_name(rank.index, {Path(entry.path).stem for entry in repository.list_artifacts(FOLDER)})
            with tempfile.TemporaryDirectory() as folder:
                if executed.exists():
                    shutil.copyfile(executed, Path(folder) / f"{name}.ipynb")
                (Path(folder) / f"{name}.json").write_text(json.dumps(content), "utf-8")
                repository.log_artifacts(folder, FOLDER)
            return
        except Exception:  # whatever a store raises: rank 0 would wait, and then not know how this rank ended
            if pause is None:
                raise
            time.sleep(pause)


def _free_name(rank: int, taken: set[str]) -> str:
    """Return the name of a rank's files, without ending, that no earlier attempt has used."""
    names = (f"{rank}-{attempt}" if attempt > 1 else str(rank) for attempt in itertools.count(1))
    return next(name for name in names if name not in taken)


@contextlib.contextmanager
def untracked(elsewhere: Path, tracking_uri: str) -> Iterator[None]:
    """Let notebooks in this block log to a folder of their own, which nobody reads.

    They still find the datasets of the workspace to which the job, at `tracking_uri`, belongs.
    """
    before = dict(os.environ)
    for name in _TRACKING:
        os.environ.pop(name, None)
    if tracking_uri.startswith("azureml:"):
        os.environ.update(workspace.of_tracking_uri(tracking_uri).variables)
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = elsewhere.as_uri()
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class OtherRanks:
    """The reports of the other ranks, which a thread of rank 0 reads for the length of a block.

    If the run had an owner before, the reports that are there at the block's start are of its attempt: they do not
    count. In a run that has none yet, they may be of ranks that were faster than rank 0.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        rank: Rank,
        *,
        wait_seconds: float = WAIT,
        wait_failed: float = WAIT_FAILED,
        look: float = LOOK,
    ) -> None:
        self._store, self._run_id = store, run_id
        self._awaited = set(range(1, rank.size - rank.servers))
        self._wait, self._wait_failed, self._interval = wait_seconds, wait_failed, look
        self._reports: dict[int, Failure | None] = {}
        self._old: set[str] = set()
        """Files of an earlier attempt."""
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="nbops-ranks", daemon=True)

    def __enter__(self) -> OtherRanks:
        with translate_store_errors(self._store):
            if Tag.OWNER_PID in self._store.client.get_run(self._run_id).data.tags:
                there = artifact_repository(self._store, self._run_id).list_artifacts(FOLDER)
                self._old = {entry.path for entry in there}
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()

    def failure(self) -> Failure | None:
        """Return the failure of the first other rank that has reported one. To be asked to stop is none."""
        failures = (failure for _, failure in sorted(self._reports.items()) if failure is not None)
        return next((failure for failure in failures if failure.kind != "interrupt"), None)

    def end(self, status: RunStatus, interrupted: Callable[[], object]) -> Failure | None:
        """Return why the job fails although, or because, rank 0 has ended with `status`; None if it does not.

        If rank 0 is done, it waits for the others, but not for parameter servers. If it failed, it waits a little. A
        rank 0 that is done while another rank was asked to stop, or has not reported when rank 0 is asked to stop, is
        interrupted like them: the notebook has not run to its end everywhere.
        """
        waits = {"FINISHED": self._wait, "FAILED": self._wait_failed}
        deadline = time.monotonic() + waits.get(status, 0)
        while True:
            try:
                self._read()
            except Exception as error:  # noqa: BLE001 - whatever a store raises: nobody knows whether the others are done
                if status != "FAILED" and time.monotonic() > deadline:
                    return Failure("error", "RanksUnknown", f"the other ranks cannot be asked: {errors.reason(error)}")
            missing = self._awaited - self._reports.keys()
            stopped = {rank for rank, failure in self._reports.items() if failure is not None}
            if (failure := self.failure()) or status not in waits:
                return failure
            if status == "FINISHED" and (stopped or (missing and interrupted())):
                return _interrupted(stopped | missing)
            if interrupted() or not missing:
                return None
            if time.monotonic() > deadline:
                if status == "FAILED":
                    return None
                text = f"rank {_listed(missing)} did not report its end within {self._wait:g} s of rank 0's"
                return Failure("error", "RankMissing", text)
            time.sleep(min(self._interval, 0.5))

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            with contextlib.suppress(Exception):  # it is read again, at the latest when rank 0 ends
                self._read()

    def _read(self) -> None:
        with self._lock, tempfile.TemporaryDirectory() as scratch:
            repository = artifact_repository(self._store, self._run_id)
            for entry in repository.list_artifacts(FOLDER):
                name = Path(entry.path).name
                if entry.path in self._old or not (found := _REPORT.fullmatch(name)):
                    continue
                if (rank := int(found[1])) not in self._reports:
                    file = Path(repository.download_artifacts(f"{FOLDER}/{name}", scratch))
                    self._reports[rank] = _failure(rank, json.loads(file.read_text("utf-8")))


def _failure(rank: int, report: Mapping[str, Any]) -> Failure | None:
    """Return the failure of a rank; its kind is "interrupt" for one that was asked to stop."""
    content = report.get("failure")
    if not content:
        return None
    failure = Failure(**content)
    return dataclasses.replace(failure, message=f"rank {rank}: {failure.message}")


def _interrupted(ranks: Iterable[int]) -> Failure:
    """Return the failure of a rank 0 that is done while these ranks are not, because the job was asked to stop."""
    text = f"the job was asked to stop before rank {_listed(ranks)} had run the notebook to its end"
    return Failure("interrupt", "Interrupted", text)


def _listed(ranks: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(ranks)))
