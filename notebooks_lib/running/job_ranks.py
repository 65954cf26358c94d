"""The processes of a distributed job: which one this is, what the others report, and how they run the notebook.

Rank 0 owns the run. Every other rank runs the same notebook without tracking; its executed notebook is kept in the run
as ranks/N.ipynb, beside ranks/N.json, which says how it ended. If the job is started again, or runs a second notebook,
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
from notebooks_lib.azure.client import workspace
from notebooks_lib.run_result import Failure, RunResult, RunStatus
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owned_run import artifact_repository
from notebooks_lib.tracking.store import Store, translate_store_errors

FOLDER = "ranks"
LOOK = 2.0
"""Seconds after which rank 0 reads the reports of the others again."""
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
    is_parameter_server: bool = False
    """True for a parameter server of TensorFlow, which runs until the service stops it."""
    servers: int = 0
    """The number of parameter servers, which have the highest ranks."""


def find_rank(environ: Mapping[str, str]) -> Rank | None:
    """Return this process's rank from the variables of MPI, PyTorch or TensorFlow; None if it is the only process."""
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
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="nbops-rank-") as scratch:
        output = Path(scratch) / "executed.ipynb"
        try:
            with untracked(Path(scratch) / "mlruns", store.uri):
                made = dataclasses.replace(plan, start=None)
                result = run_notebook(made, **{**options, "output": output, "html": False})
        except Exception as error:
            failure = Failure("start", type(error).__name__, errors.reason(error))
            _report(store, run_id, rank, output, _content(started, "FAILED", failure), pauses)
            raise
        _report(store, run_id, rank, output, _content(started, result.status, result.failure), pauses)
    return result


def _content(started: float, status: RunStatus, failure: Failure | None) -> dict[str, object]:
    """Return what a rank reports; `started` is in seconds since 1970."""
    return {"status": status, "failure": failure and vars(failure), "started": started}


def _report(
    store: Store,
    run_id: str,
    rank: Rank,
    executed: Path,
    content: Mapping[str, object],
    pauses: Sequence[float],
) -> None:
    """Write into the run how a rank ended, and its executed notebook. Try again if the store does not accept it."""
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

    Reports that are there at the block's start may be of ranks that were faster than rank 0. They do not count if
    they are of an earlier attempt: if their process started nearer to the rank 0 of that one than to this rank 0.
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
        self._earlier: set[str] = set()
        """Files that were there at the block's start, and may be of an earlier attempt."""
        self._old: set[str] = set()
        """Those of them that are."""
        self._not_before = 0.0
        """Seconds since 1970; processes that started before it are of an earlier attempt."""
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="nbops-ranks", daemon=True)

    def __enter__(self) -> OtherRanks:
        with translate_store_errors(self._store):
            client, now = self._store.client, time.time()
            if before := client.get_run(self._run_id).data.tags.get(Tag.RANK_0_STARTED):
                there = artifact_repository(self._store, self._run_id).list_artifacts(FOLDER)
                self._earlier = {entry.path for entry in there}
                self._not_before = (float(before) + now) / 2
            client.set_tag(self._run_id, Tag.RANK_0_STARTED, str(now))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()

    def failure(self) -> Failure | None:
        """Return the failure of the first other rank that has reported one. To be stopped or pruned is none."""
        failures = (failure for _, failure in sorted(self._reports.items()) if failure is not None)
        return next((failure for failure in failures if failure.kind not in ("interrupt", "pruned")), None)

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
                match = _REPORT.fullmatch(name)
                if match is None or entry.path in self._old or (rank := int(match[1])) in self._reports:
                    continue
                report = json.loads(Path(repository.download_artifacts(f"{FOLDER}/{name}", scratch)).read_text("utf-8"))
                if entry.path in self._earlier and report.get("started", 0.0) < self._not_before:
                    self._old.add(entry.path)
                else:
                    self._reports[rank] = _failure(rank, report)


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
