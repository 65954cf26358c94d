"""Owns the file of a study: a journal of lines, to which one process appends, and which any kill leaves readable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from notebooks_lib import errors
from notebooks_lib.sweeps.records import Goal
from notebooks_lib.sweeps.search_space import Grid, Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study

_NAME = "sweep"  # Hyperband divides trials into brackets by the study's name
_ASKED = "nbops.asked"  # on the study: what it was started for


class _NoLock:
    """The sweep itself is locked; Optuna's own lock would outlive a kill and then cost half a minute."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_study(path: Path, domain: Space | Grid, goal: Goal, pruner: BasePruner) -> Study:
    """The study in that file, made if there is none. Raises UsageError if it is that of another sweep."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.CRITICAL + 1)
    asked = _digest(domain, goal)
    try:
        _mend(path)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, _NoLock()))),
            study_name=_NAME,
            direction="maximize" if goal.direction == "max" else "minimize",
            pruner=pruner,
            load_if_exists=True,
        )
        if _ASKED not in study.user_attrs:
            study.set_user_attr(_ASKED, asked)
        before = study.user_attrs[_ASKED]
    except Exception as error:
        raise errors.TrackingError(
            f"{path}: found no study that can be read or written ({errors.reason(error)}); "
            "start a new sweep, or mend the file"
        ) from error
    if before != asked:
        raise errors.UsageError(
            f"{path}: found a study of other parameters, values, metric or direction; a sweep is resumed as it was "
            "started: start a new one instead"
        )
    return study


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full disk, or a file that was taken away, becomes a TrackingError that names the file."""
    try:
        yield
    except OSError as error:
        raise errors.TrackingError(f"{path}: the study cannot be written: {errors.reason(error)}") from error


def _digest(domain: Space | Grid, goal: Goal) -> str:
    """What makes results of one session of use to the next."""
    said: list[Any] = [goal.metric, goal.direction, *domain.described.items()]
    if isinstance(domain, Space):
        said += [dimension.kind.allowed for dimension in domain.dimensions.values()]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _mend(path: Path) -> None:
    """Cut off what a kill in the middle of a write has left: a line without its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
