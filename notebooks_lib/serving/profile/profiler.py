"""Profile a model: find it, measure it under limits, recommend a size, and record the result."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import NbopsError, UsageError
from notebooks_lib.serving.profile import profile_report, recommendation
from notebooks_lib.serving.profile.load_test_grid import LoadTest
from notebooks_lib.serving.profile.profile_plan import LoadGrid, LoadTarget, Machine
from notebooks_lib.serving.profile.profile_report import ProfileRun, profile_notes
from notebooks_lib.serving.profile.recommendation import HEADROOM, MEMORY_FILL, Recommendation, recommend
from notebooks_lib.serving.profile.results import Profile
from notebooks_lib.settings import Settings

if TYPE_CHECKING:
    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class ProfileOutcome:
    """The result of a profile: measurements, recommendation, and the run that records them."""

    profile: Profile
    recommendations: tuple[Recommendation, ...]
    """One for each batch size; the first is the one that the target is about."""
    notes: tuple[str, ...]
    recorded: ProfileRun = field(default_factory=ProfileRun)
    fault: str = ""
    """Why it could not be recorded; empty when it is."""

    def content(self) -> dict[str, Any]:
        """Return the content of the recorded JSON file."""
        return {
            **self.profile.as_json(),
            "headroom": HEADROOM,
            "memory_fill": MEMORY_FILL,
            "recommendations": [asdict(recommendation) for recommendation in self.recommendations],
            "notes": list(self.notes),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops profile --json` prints."""
        return {**self.content(), **asdict(self.recorded), "fault": self.fault}


def profile_model(
    settings: Settings,
    model: str,
    *,
    version: str | None = None,
    stage: str | None = None,
    data: Mapping[str, Any] | None = None,
    target: LoadTarget,
    grid: LoadGrid,
    machine: Machine,
    tell: Callable[[str], None] = lambda _: None,
) -> ProfileOutcome:
    """Measure `model`, a registered name or a model folder, and record the result as an MLflow run.

    `version` or `stage` selects a version of a registered model; by default it is the champion of prod. `data` is a
    request whose rows are repeated; the default is the model's example. `tell` is called with lines on the progress. An
    interrupted profile records nothing. Raises UsageError when the model cannot be profiled, ModelError or
    EndpointError when it cannot be served.
    """
    is_folder = is_model_folder(model, version, stage)

    from notebooks_lib.tracking.store import connect, translate_store_errors

    store = connect(settings)
    with translate_store_errors(store):
        store.experiment_id(profile_report.EXPERIMENT)  # fail now, not after minutes of measuring
    registered = None if is_folder else find_version(store, model, version, stage)
    with model_files_of(registered.source if registered else Path(model).resolve()) as folder:
        if data is None:
            check_example(folder)
        began, when = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        trials = LoadTest(folder, target, data, settings.endpoint, tell).run(grid)
    measured = Profile(
        model=registered.model if registered else model,
        version=registered.version if registered else "",
        target=target,
        grid=grid,
        machine=machine,
        trials=trials,
        when=when,
        seconds=time.monotonic() - began,
    )
    types = recommendation.instance_types()
    recommendations = tuple(recommend(trials, target, batch, types) for batch in grid.batches)
    outcome = ProfileOutcome(measured, recommendations, tuple(profile_notes(trials, machine, recommendations)))
    try:
        with translate_store_errors(store):
            run = profile_report.write_profile(store, measured, outcome.content(), recommendations[0], registered)
    except NbopsError as error:  # minutes of measuring are not lost with it
        return replace(outcome, fault=str(error))
    return replace(outcome, recorded=run)


def is_model_folder(text: str, version: str | None, stage: str | None) -> bool:
    """Return True if `text` is a model folder, False if it can only be a registered name.

    Raises UsageError when it is a folder without a model, or when a version or stage is given for a folder.
    """
    path = Path(text)
    if not (path / "MLmodel").is_file():
        if path.is_dir() or "/" in text:
            raise UsageError(
                f"{text}: holds no MLmodel file; expected the folder of an MLflow model, or a model's name"
            )
        return False
    if version is not None or stage is not None:
        raise UsageError(f"{text} is a folder, which has no versions; leave --version and --stage out")
    return True


def find_version(store: Store, name: str, version: str | None, stage: str | None) -> Version:
    """Return the given version of a registered model, or the champion of a stage; by default the champion of prod.

    Raises UsageError when there is no champion, or when both are given; UnknownNameError for an unknown model or
    version.
    """
    from notebooks_lib.models import champions, registry

    if version is not None and stage is not None:
        raise UsageError("give --version or --stage, not both")
    if version is not None:
        return registry.get(store, name, version)
    versions = registry.versions(store, name)
    if not versions:
        registry.get(store, name, "1")  # its error lists the models and versions
    champion = champions.champion(store, name, stage or champions.PROD)
    if champion is None:
        where = f" in {stage}" if stage else ""
        raise UsageError(
            f"model {name!r} has no champion{where} yet; choose a version: --version {versions[0].version}"
        )
    return champion


def check_example(folder: Path) -> None:
    """Raise UsageError when a model was logged without an example, because then there is no request to send."""
    from notebooks_lib.models import model_folder

    described = model_folder.read_mlmodel(folder)
    if not (described.get("saved_input_example_info") or {}).get("serving_input_path"):
        raise UsageError("the model was logged without an example; give a request of your own with --data @FILE")


@contextmanager
def model_files_of(source: str | Path) -> Iterator[Path]:
    """Yield the folder of a model: itself if it is on this machine, else a copy that is deleted after the block."""
    from notebooks_lib.models import model_files

    here = model_files.local_model_folder(source)
    if here is not None and (here / "MLmodel").is_file():
        yield here
        return
    with tempfile.TemporaryDirectory(prefix="nbops-profile-") as scratch:
        yield model_files.download(source, Path(scratch))
