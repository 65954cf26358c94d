"""What is kept of a profile, on SQLite and on an Azure ML workspace alike."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from notebooks_lib.models import registry
from notebooks_lib.serving.profile import profile_report
from notebooks_lib.serving.profile.profile_plan import LoadGrid, LoadTarget, Machine
from notebooks_lib.serving.profile.recommendation import recommend
from notebooks_lib.serving.profile.results import Profile
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store
from tests.serving.profile.test_recommendation import KNOWN, cell, trial


def measured(model: str) -> Profile:
    trials = (
        trial(0.5, cell(60, 0.05, at_once=1), cell(80, 0.15), cell(9, 0.4, batch=100, errors={"500": 2})),
        trial(1, cell(120, 0.02, at_once=1), cell(150, 0.06), checked=cell(50, 0.02, arrivals=50)),
        trial(1, cell(120, 0.02), memory=1.0, outcome="memory", told="it needs more than 1 GiB"),
    )
    grid = LoadGrid((0.5, 1.0), (1.0, 2.0), (1, 4), (1, 100), 1.0)
    return Profile(model, "1", LoadTarget(), grid, Machine(2, 8, "any"), trials, "2026-01-01T00:00:00+00:00", 12.0)


@pytest.mark.tracking
def test_a_profile_is_a_run_that_the_version_names(either_store: Store, light: dict[str, Path]) -> None:
    name = f"profiled-{uuid.uuid4().hex[:8]}"
    run = either_store.client.create_run(either_store.experiment_id(name)).info.run_id
    either_store.client.log_artifacts(run, str(light["double"]), "model")
    version = registry.register(either_store, name, run)
    profile = measured(name)
    advised = recommend(profile.trials, profile.target, 1, KNOWN)
    found = profile_report.write_profile(either_store, profile, profile.as_json(), advised, version)
    run_id = found.run_id
    assert run_id in found.url
    assert found.plot.endswith(f"{run_id}/artifacts/profile/profile.png")
    assert registry.get(either_store, name, 1).tags[Tag.PROFILE_RUN] == run_id
    kept = either_store.client.get_run(run_id)
    assert kept.data.tags[Tag.PROFILE_MODEL] == name
    assert kept.data.tags[Tag.END] == kept.info.status == "FINISHED"
    assert kept.data.metrics["recommended_cpus"] == 1.0


def test_a_profile_is_plain_values_and_a_picture(tmp_path: Path) -> None:
    profile = measured("any")
    assert json.loads(json.dumps(profile.as_json(), allow_nan=False))["trials"][1]["checked"]["arrivals"] == 50
    figure = profile_report.draw_profile(profile)
    assert [axes.get_title() for axes in figure.axes] == ["1 row a request", "100 rows a request"]
    assert figure.axes[0].get_legend_handles_labels()[1] == [
        "0.5 CPU",
        "1 CPU",
        "wanted: p95 of at most 100 ms",
        "wanted: 71.4/s, of which 70 % are counted on",
    ]
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [(line.get_xdata(), line.get_ydata()) for line in crosses] == [([50], [20.0])]
    figure.savefig(tmp_path / "any.png")
