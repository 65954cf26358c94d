"""Profile a model: find it, measure it under limits, recommend a size, and keep both."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import NbopsError, UsageError, reason
from notebooks_lib.serving.profile import profile_report, recommendation
from notebooks_lib.serving.profile.load_grid import LoadGrid, LoadTarget, Machine
from notebooks_lib.serving.profile.measurement import LoadBench
from notebooks_lib.serving.profile.profile_report import ProfileRun, profile_notes
from notebooks_lib.serving.profile.recommendation import HEADROOM, MEMORY_FILL, Recommendation, recommend
from notebooks_lib.serving.profile.results import Profile
from notebooks_lib.settings import Settings

if TYPE_CHECKING:
    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class ProfileOutcome:
    """The outcome of a profile."""

    profile: Profile
    advised: tuple[Recommendation, ...]
    """One for each batch size; the first is the one that the target is about."""
    notes: tuple[str, ...]
    kept: ProfileRun = field(default_factory=ProfileRun)
    fault: str = ""
    """Why it could not be recorded; empty when it is."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops profile --json` prints."""
        return {
            **profile_content(self.profile, self.advised, self.notes),
            **asdict(self.kept),
            "fault": self.fault,
        }


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
    """Measure `model`, a registered name or the folder of a model, and record the result as an MLflow run.

    `data` is a request to repeat rows of; without it the model's own example. Nothing is kept when it is cut short.
    Raises UsageError for what cannot be profiled, ModelError or EndpointError when the model does not serve at all.
    """
    folder = model_folder(model, version, stage)

    from notebooks_lib.tracking.store import answering, connect

    store = connect(settings)
    with answering(store):
        store.experiment_id(profile_report.EXPERIMENT)  # before the minutes that would be lost if it cannot be had
    with ExitStack() as stack:
        if folder is None:
            registered = find_version(store, model, version, stage)
            folder = stack.enter_context(fetch_model(registered))
        if data is None:
            check_example(folder.folder)
        began, when = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        trials = LoadBench(folder.folder, target, data, settings.endpoint, tell).run(grid)
    measured = Profile(
        model=folder.name,
        version=folder.version.version if folder.version else "",
        target=target,
        grid=grid,
        machine=machine,
        trials=trials,
        when=when,
        seconds=time.monotonic() - began,
    )
    known = recommendation.instance_types()
    advised = tuple(recommend(trials, target, batch, known) for batch in grid.batches)
    remarks = tuple(profile_notes(trials, machine, advised))
    outcome = ProfileOutcome(measured, advised, remarks)
    try:
        with answering(store):
            kept = profile_report.write_profile(
                store, measured, profile_content(measured, advised, remarks), advised[0], folder.version
            )
    except NbopsError as error:  # minutes of measuring are not thrown away with it
        return replace(outcome, fault=str(error))
    return replace(outcome, kept=kept)


def profile_content(measured: Profile, advised: tuple[Recommendation, ...], remarks: tuple[str, ...]) -> dict[str, Any]:
    """Return what is recorded as JSON."""
    return {
        **measured.as_json(),
        "headroom": HEADROOM,
        "memory_fill": MEMORY_FILL,
        "recommendations": [each.as_json() for each in advised],
        "notes": list(remarks),
    }


@dataclass(frozen=True)
class ProfiledModel:
    """A model to profile."""

    name: str
    """Registered name, or the folder as it was given."""
    folder: Path
    version: Version | None = None
    """None for a folder."""


def model_folder(text: str, version: str | None, stage: str | None) -> ProfiledModel | None:
    """Return the model when `text` is its folder; None when it can only be a registered name.

    Raises UsageError when it is a folder of something else, or a version is asked of a folder.
    """
    path = Path(text)
    if not (path / "MLmodel").is_file():
        if path.is_dir() or "/" in text:
            raise UsageError(
                f"{text}: holds no MLmodel file; expected the folder of an MLflow model, or a model's name"
            )
        return None
    if version is not None or stage is not None:
        raise UsageError(f"{text} is a folder, which has no versions; leave --version and --stage out")
    return ProfiledModel(text, path.resolve())


def find_version(store: Store, name: str, version: str | None, stage: str | None) -> Version:
    """Return a version of the registered model: the one asked for, or the champion. Raises UsageError or
    UnknownNameError.
    """
    from notebooks_lib.models import champions, registry

    if version is not None and stage is not None:
        raise UsageError("give --version or --stage, not both")
    if version is not None:
        return registry.get(store, name, version)
    known = registry.versions(store, name)
    if not known:
        registry.get(store, name, "1")  # says which models and versions there are
    champion = champions.champion(store, name, stage or champions.PROD)
    if champion is None:
        where = f" in {stage}" if stage else ""
        raise UsageError(f"model {name!r} has no champion{where} yet; say which version: --version {known[0].version}")
    return champion


def check_example(folder: Path) -> None:
    """Raise UsageError when a model was logged without an example, so that there is no request to send."""
    import yaml

    try:
        described = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
        example = (described.get("saved_input_example_info") or {}).get("serving_input_path")
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{folder / 'MLmodel'}: cannot be read: {reason(error)}") from error
    if not example:
        raise UsageError("the model was logged without an example; give a request of your own with --data @FILE")


@contextmanager
def fetch_model(version: Version) -> Iterator[ProfiledModel]:
    """Yield the version's files: in place, when they are on this machine, else as a copy for the length of the
    block.
    """
    from notebooks_lib.models import model_files

    here = Path(version.source.removeprefix("file://"))
    if (here / "MLmodel").is_file():
        yield ProfiledModel(version.model, here, version)
        return
    with tempfile.TemporaryDirectory(prefix="nbops-profile-") as scratch:
        yield ProfiledModel(version.model, model_files.download(version.source, Path(scratch)), version)
