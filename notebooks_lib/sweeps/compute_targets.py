"""The table of places that `--on` may name. Add a scheme here; what it connects to obeys `executors.Executor`."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors, pinned_versions
from notebooks_lib.sweeps import executors
from notebooks_lib.sweeps.executors import ComputeTarget, Session

if TYPE_CHECKING:
    from notebooks_lib.sweeps.dask.dask_executor import DaskExecutor
    from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask


@dataclass(frozen=True)
class Scheme:
    """A scheme of `--on`, such as `dask://`, and how to read an address of this scheme."""

    form: str
    """How it is written, for people."""
    read: Callable[[str], ComputeTarget[Any, Any] | None]
    """Returns the place that a text names, or None if the text has another form. Raises UsageError where packages are
    missing."""


def _local(on: str) -> ComputeTarget[Any, Any] | None:
    return executors.LOCAL if on == executors.LOCAL.on else None


_DASK = re.compile(r"dask://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})/?")


def _dask(on: str) -> ComputeTarget[Any, Any] | None:
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


SCHEMES: Mapping[str, Scheme] = {
    "local": Scheme("local", _local),
    "dask": Scheme("dask://HOST:PORT", _dask),
}
"""The word before the first colon -> the kind of place."""


def find_compute_target(on: str) -> ComputeTarget[Any, Any]:
    """Return where trials run, as `--on` names it.

    Raise UsageError for an unknown name or address, or when a required package is missing.
    """
    scheme = SCHEMES.get(on.partition(":")[0])
    place = scheme.read(on) if scheme is not None else None
    if place is None:
        forms = " or ".join(scheme.form for scheme in SCHEMES.values())
        raise errors.UsageError(f"--on {on!r}: found no such executor, allowed {forms}")
    return place
