"""The table of places that `--on` may name. Add a scheme here; what it connects to obeys `executors.Executor`."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors, pinned_versions
from notebooks_lib.azure.project_files import compute_names
from notebooks_lib.sweeps import executors
from notebooks_lib.sweeps.executors import ComputeTarget, Session

if TYPE_CHECKING:
    from notebooks_lib.sweeps.azure.job_executor import JobExecutor
    from notebooks_lib.sweeps.dask.dask_executor import DaskExecutor
    from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask


@dataclass(frozen=True)
class Scheme:
    """A scheme of `--on`, such as `dask://`, and how to read an address of this scheme."""

    form: str
    """How it is written, for people."""
    read: Callable[[str, Path | None], ComputeTarget[Any, Any] | None]
    """Returns the place that a text and a job file name, or None if the text has another form. Raises UsageError where
    packages are missing."""
    takes_job_file: bool = False
    """True if trials are jobs, which a file describes."""


def _local(on: str, _: Path | None) -> ComputeTarget[Any, Any] | None:
    return executors.LOCAL if on == executors.LOCAL.on else None


_DASK = re.compile(r"dask://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})/?")


def _dask(on: str, _: Path | None) -> ComputeTarget[Any, Any] | None:
    match = _DASK.fullmatch(on)
    if match is None or not 0 < int(match["port"]) < 2**16:
        return None
    if importlib.util.find_spec("distributed") is None:
        pin = f"distributed=={pinned_versions.pins('dask')['distributed']}"
        raise errors.UsageError(f"--on {on}: Dask is not installed: pip install '{pin}', here and on the workers")
    return ComputeTarget(on, partial(_connect_dask, f"tcp://{match['host']}:{match['port']}"))


def _connect_dask(address: str, work: Callable[[TrialTask], TrialOutcome], session: Session) -> DaskExecutor:
    from notebooks_lib.sweeps.dask import dask_executor

    return dask_executor.connect(address, work, session)


def _azureml(on: str, job_file: Path | None) -> ComputeTarget[Any, Any] | None:
    try:
        compute_names.compute_name(on)
    except errors.UsageError:
        return None
    return ComputeTarget(on, partial(_connect_azureml, on, job_file))


def _connect_azureml(
    on: str, job_file: Path | None, work: Callable[[TrialTask], TrialOutcome], session: Session
) -> JobExecutor:
    from notebooks_lib.sweeps.azure import job_executor

    return job_executor.connect(on, job_file, session)  # the job itself calls what `work` calls


SCHEMES: Mapping[str, Scheme] = {
    "local": Scheme("local", _local),
    "dask": Scheme("dask://HOST:PORT", _dask),
    "azureml": Scheme(compute_names.FORMS, _azureml, takes_job_file=True),
}
"""The word before the first colon -> the kind of place."""


def find_compute_target(on: str, job_file: Path | None = None) -> ComputeTarget[Any, Any]:
    """Return where trials run, as `--on` names it; `job_file` describes their jobs.

    Raise UsageError for an unknown name or address, or when a required package is missing.
    """
    scheme = SCHEMES.get(on.partition(":")[0])
    place = scheme.read(on, job_file) if scheme is not None else None
    if place is None or scheme is None:
        *others, last = (scheme.form for scheme in SCHEMES.values())
        meant = compute_names.likely_meant(on)
        raise errors.UsageError(f"--on {on!r}: found no such place, allowed {', '.join(others)}, {last}{meant}")
    if job_file is not None and not scheme.takes_job_file:
        raise errors.UsageError(f"--job describes jobs, and trials on {on} are not jobs: leave it out")
    return place
