"""Report a profile: the notes beside its figures, its plot, and the MLflow run that keeps both. It measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from notebooks_lib.serving.profile.profile_plan import GIB, Machine, milliseconds
from notebooks_lib.serving.profile.recommendation import HEADROOM, Recommendation
from notebooks_lib.serving.profile.resource_limits import MEANS
from notebooks_lib.serving.profile.results import CLOSE, LimitTrial, LoadPoint, Profile
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store

BUSY = 0.1
"""Share of the machine's cores that others may use before a note says so."""
FEW = 100
"""Requests below which a p99 is nearly the slowest one."""


def profile_notes(trials: Sequence[LimitTrial], machine: Machine, advised: Sequence[Recommendation]) -> list[str]:
    """Return the notes to show with a profile's figures, a sentence each, the most important first."""
    return [
        *_cpu(trials),
        *_memory(trials),
        *_unused(trials),
        *_shared(trials),
        *_busy(trials, machine),
        *_few(trials),
        "each client of a closed loop waits for its answer before it asks again; arrivals do not wait, and their "
        "times count from when they were due",
        f"a CPU is a core of this machine ({machine.processor}); another processor is faster or slower",
        *_azure(advised),
    ]


def _cpu(trials: Sequence[LimitTrial]) -> Iterator[str]:
    served = [trial for trial in trials if trial.cells]
    for means in dict.fromkeys(trial.cpu_by for trial in served):
        which = sorted({trial.cpus for trial in served if trial.cpu_by == means})
        yield f"{_listed(which)} CPU: {MEANS[means]}"
    for trial in served:
        if trial.cpu_by != "nothing" and not trial.held:
            most = max(cell.cpu for cell in trial.cells)
            yield (
                f"{trial.cpus:g} CPU was not held: the server used {most:.2f} cores, over {CLOSE:g} times as much: "
                "its figures are left out of the recommendation"
            )


def _memory(trials: Sequence[LimitTrial]) -> Iterator[str]:
    for means in dict.fromkeys(trial.memory_by for trial in trials):
        which = sorted({trial.memory_gib for trial in trials if trial.memory_by == means})
        yield f"{_listed(which)} GiB: {MEANS[means]}"
    peak = max((trial.peak for trial in trials), default=0)
    if peak:
        yield f"the server held {peak / GIB:.2f} GiB of memory at most (VmHWM, shared libraries included)"
    yield from dict.fromkeys(trial.told for trial in trials if trial.told)


def _unused(trials: Sequence[LimitTrial]) -> Iterator[str]:
    """Note when more CPUs were of no use: the server neither used them nor waited for them."""
    ready: dict[float, float] = {}
    for trial in trials:
        several = [cell.cpu + cell.lost for cell in trial.cells if cell.concurrency > 1]
        if several and trial.held:
            ready[trial.cpus] = max(*several, ready.get(trial.cpus, 0.0))
    for fewer, more in pairwise(sorted(ready)):
        if 0 < ready[more] <= CLOSE * fewer:
            yield (
                f"of {more:g} CPU the server had use for {ready[more]:.1f}, however many asked at once: more than "
                f"{fewer:g} CPU makes it no faster, more instances do"
            )
            return


def _shared(trials: Sequence[LimitTrial]) -> Iterator[str]:
    together = [(trial.cpus, cell) for trial in trials for cell in trial.cells if cell.shared]
    if together:
        which = sorted({cpus for cpus, _ in together})
        most = max(cell.client for _, cell in together)
        yield (
            f"at {_listed(which)} CPU the client had no cores of its own: it took up to {most:.2f} of the server's, "
            "so that the server alone is a little faster"
        )


def _busy(trials: Sequence[LimitTrial], machine: Machine) -> Iterator[str]:
    cells = _cells(trials)
    starved = sorted({trial.cpus for trial in trials if trial.starved})
    if starved:
        yield (
            f"other processes took up to {max(cell.lost for cell in cells):.1f} cores from the server "
            f"({_listed(starved)} CPU): it needs no more than is said here, and perhaps less; try again when "
            "the machine is idle"
        )
    most = max((cell.others for cell in cells), default=0.0)
    if most > BUSY * machine.cpus and not starved:
        yield f"the machine was busy: other processes used up to {most:.1f} of its {machine.cpus:g} cores meanwhile"


def _few(trials: Sequence[LimitTrial]) -> Iterator[str]:
    cells = _cells(trials)
    few = [cell for cell in cells if cell.requests < FEW]
    if few:
        yield f"{len(few)} of {len(cells)} combinations had fewer than {FEW} answers; --seconds makes it more"


def _azure(advised: Sequence[Recommendation]) -> Iterator[str]:
    if any(recommendation.azure for recommendation in advised):
        yield "for production Azure advises more than three instances, whatever one of them can do"
    warned = sorted(
        {instance.name for recommendation in advised for instance in recommendation.azure if instance.caution}
    )
    if warned:
        yield f"{', '.join(warned)}: Azure warns that it may be too small for bigger models"


def _cells(trials: Sequence[LimitTrial]) -> list[LoadPoint]:
    return [cell for trial in trials for cell in (*trial.cells, *([trial.checked] if trial.checked else []))]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


EXPERIMENT = "profile"
FOLDER = "profile"
PLOT = f"{FOLDER}/profile.png"
WIDE = 5.0
"""Inches for the panel of one batch size."""


@dataclass(frozen=True)
class ProfileRun:
    """The MLflow run that records a profile."""

    run_id: str = ""
    url: str = ""
    """Address of the run for people."""
    plot: str = ""
    """Address of the image."""


def write_profile(
    store: Store, profile: Profile, content: Mapping[str, Any], advised: Recommendation, version: Version | None
) -> ProfileRun:
    """Record a profile as an MLflow run, with `content` as JSON and the plot as an image.

    The tag on the model version is written last, so the run that it names is complete.
    """
    from notebooks_lib.tracking import provenance

    here, client = store.settings, store.client
    tags = provenance.source_tags("nbops profile", provenance.git_state(here.root), provenance.lock_sha256(here.layout))
    del tags[Tag.NOTEBOOK]
    tags |= {"mlflow.source.type": "LOCAL", Tag.PROFILE_MODEL: profile.model}
    if profile.version:
        tags[Tag.PROFILE_VERSION] = profile.version
    experiment = store.experiment_id(EXPERIMENT)
    name = f"{profile.model} {profile.version}".strip()
    run = client.create_run(experiment, tags=tags, run_name=name[-100:])
    run_id = str(run.info.run_id)
    targets = {"rate": profile.target.rate, "p95_ms": 1000 * profile.target.p95, "batch": advised.batch}
    for key, value in {**targets, **profile.grid.as_json()}.items():
        client.log_param(run_id, key, value)
    figures = {
        "recommended_cpus": advised.cpus,
        "recommended_memory_gib": advised.memory_gib,
        "recommended_instances": advised.instances,
        "counted_rate": advised.rate,
    }
    for key, value in figures.items():
        if value is not None:
            client.log_metric(run_id, key, value)
    client.log_dict(run_id, dict(content), f"{FOLDER}/profile.json")
    client.log_figure(run_id, draw_profile(profile), PLOT)
    client.set_terminated(run_id, status="FINISHED")
    client.set_tag(run_id, Tag.END, "FINISHED")
    if version is not None:
        client.set_model_version_tag(version.model, version.version, Tag.PROFILE_RUN, run_id)
    return ProfileRun(run_id, store.run_url(run_id, experiment), f"{run.info.artifact_uri.rstrip('/')}/{PLOT}")


def draw_profile(profile: Profile) -> Figure:
    """Plot the p95 against the rate, and mark the target.

    There is a panel for each batch size, a line for each number of CPUs, a point for each concurrency, and a cross for
    random arrivals.
    """
    from matplotlib.figure import Figure

    batches = profile.grid.batches
    figure = Figure(figsize=(WIDE * len(batches), 4.2), layout="constrained")
    panels = figure.subplots(1, len(batches), squeeze=False, sharey=True)[0]
    target = profile.target
    for axes, batch in zip(panels, batches, strict=True):
        for trial in _widest_trials(profile):
            cells = [cell for cell in trial.cells if cell.batch == batch and cell.p95 is not None]
            label = f"{trial.cpus:g} CPU" + ("" if trial.held else " (not enforced)")
            times = [1000 * (c.p95 or 0) for c in cells]
            (line,) = axes.plot([c.rate for c in cells], times, "o-", markersize=4, label=label)
            came = trial.checked
            if came is not None and came.batch == batch and came.p95 is not None:
                axes.plot([came.rate], [1000 * came.p95], "x", color=line.get_color())
            for cell in cells:
                wrong = "" if cell.faultless else " errors"
                at = (cell.rate, 1000 * (cell.p95 or 0))
                axes.annotate(f"{cell.concurrency}{wrong}", at, (3, 4), textcoords="offset points", fontsize=7)
        goal = f"wanted: p95 of at most {milliseconds(target.p95)}"
        axes.axhline(1000 * target.p95, color="grey", linewidth=0.8, linestyle="--", label=goal)
        if batch == batches[0]:
            least = f"wanted: {target.rate / HEADROOM:.3g}/s, of which {100 * HEADROOM:.0f} % are counted on"
            axes.axvline(target.rate / HEADROOM, color="grey", linewidth=0.8, linestyle=":", label=least)
        axes.set(xlabel="requests a second", yscale="log")
        axes.margins(x=0.08)
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(_minor_label)
        axes.set_title(f"{batch} row{'' if batch == 1 else 's'} a request", fontsize=10)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("p95, ms")
    name = PurePath(profile.model).name + (f" version {profile.version}" if profile.version else "")
    title = f"{name}: points are clients that ask again once answered (their number beside), crosses arrivals at a rate"
    figure.suptitle(title, fontsize=10)
    return figure


def _minor_label(value: float, _: object) -> str:
    """Label 2 and 5 between the powers of ten."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _widest_trials(profile: Profile) -> Sequence[LimitTrial]:
    """Return the trials of the whole grid: those with the most memory."""
    most = profile.grid.memories[-1]
    return [trial for trial in profile.trials if trial.memory_gib == most and trial.cells]
