"""Writes a profile to an MLflow run, with a plot, and links it from the model version. It measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from notebooks_lib.serving.profile.grid import milliseconds
from notebooks_lib.serving.profile.recommending import HEADROOM, Recommendation
from notebooks_lib.serving.profile.results import Profile, Trial
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store

EXPERIMENT = "profile"
FOLDER = "profile"
PLOT = f"{FOLDER}/profile.png"
WIDE = 5.0
"""Inches of a batch size's panel."""


@dataclass(frozen=True)
class Kept:
    """Where a profile is."""

    run_id: str = ""
    url: str = ""
    """Where a person sees the run."""
    plot: str = ""
    """Address of the image."""


def write(
    store: Store, profile: Profile, content: Mapping[str, Any], advised: Recommendation, version: Version | None
) -> Kept:
    """Keep `content` as JSON and the plot as an image, as a run.

    The version's tag is written last: it names a run that is complete.
    """
    from notebooks_lib.tracking import provenance

    here, client = store.settings, store.client
    tags = provenance.source_tags("nbops profile", provenance.git(here.root), provenance.lock_sha256(here.layout))
    del tags[Tag.NOTEBOOK]
    tags |= {"mlflow.source.type": "LOCAL", Tag.PROFILE_MODEL: profile.model}
    if profile.version:
        tags[Tag.PROFILE_VERSION] = profile.version
    experiment = store.experiment_id(EXPERIMENT)
    name = f"{profile.model} {profile.version}".strip()
    run = client.create_run(experiment, tags=tags, run_name=name[-100:])
    run_id = str(run.info.run_id)
    wanted = {"rate": profile.target.rate, "p95_ms": 1000 * profile.target.p95, "batch": advised.batch}
    for key, value in {**wanted, **profile.grid.as_json()}.items():
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
    client.log_figure(run_id, draw(profile), PLOT)
    client.set_terminated(run_id, status="FINISHED")
    client.set_tag(run_id, Tag.END, "FINISHED")
    if version is not None:
        client.set_model_version_tag(version.model, version.version, Tag.PROFILE_RUN, run_id)
    return Kept(run_id, store.run_url(run_id, experiment), f"{run.info.artifact_uri.rstrip('/')}/{PLOT}")


def draw(profile: Profile) -> Figure:
    """The p95 against the rate: a panel for each batch size, a line for each number of CPUs, a point for each
    concurrency, a cross for arrivals; and the target."""
    from matplotlib.figure import Figure

    batches = profile.grid.batches
    figure = Figure(figsize=(WIDE * len(batches), 4.2), layout="constrained")
    panels = figure.subplots(1, len(batches), squeeze=False, sharey=True)[0]
    target = profile.target
    for axes, batch in zip(panels, batches, strict=True):
        for trial in _whole(profile):
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
        wanted = f"wanted: p95 of at most {milliseconds(target.p95)}"
        axes.axhline(1000 * target.p95, color="grey", linewidth=0.8, linestyle="--", label=wanted)
        if batch == batches[0]:
            least = f"wanted: {target.rate / HEADROOM:.3g}/s, of which {100 * HEADROOM:.0f} % are counted on"
            axes.axvline(target.rate / HEADROOM, color="grey", linewidth=0.8, linestyle=":", label=least)
        axes.set(xlabel="requests a second", yscale="log")
        axes.margins(x=0.08)
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(_some)
        axes.set_title(f"{batch} row{'' if batch == 1 else 's'} a request", fontsize=10)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("p95, ms")
    name = PurePath(profile.model).name + (f" version {profile.version}" if profile.version else "")
    title = f"{name}: points are clients that ask again once answered (their number beside), crosses arrivals at a rate"
    figure.suptitle(title, fontsize=10)
    return figure


def _some(value: float, _: object) -> str:
    """Labels between the powers of ten: 2 and 5."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _whole(profile: Profile) -> Sequence[Trial]:
    """The trials that the whole grid was driven in: with the most memory."""
    most = profile.grid.memories[-1]
    return [trial for trial in profile.trials if trial.memory_gib == most and trial.cells]
