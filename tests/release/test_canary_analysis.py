"""When a canary ends badly, from counts alone; and which settings of one make sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from notebooks_lib.errors import PromotionError, SettingsError
from notebooks_lib.release.canary_analysis import CanaryResult, CanaryWatch, judge
from notebooks_lib.release.golden import Golden
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.request_counts import RequestCounter, RequestCounts
from notebooks_lib.settings import Settings, load
from notebooks_lib.settings.sections import CanaryStep, Stage
from tests.serving.memory_endpoint import InMemoryEndpoint

POLICY = Stage()


def counts(good: int, *, bad: int = 0, seconds: float = 0.01) -> RequestCounts:
    tally = RequestCounter("a")
    for _ in range(good):
        tally.answered(200, seconds)
    for _ in range(bad):
        tally.answered(500, seconds)
    return tally.counts()


OLD = counts(500)


@pytest.mark.parametrize(
    ("new", "old", "over", "wrong"),
    [
        (counts(200), OLD, True, ""),
        (RequestCounts(), RequestCounts(), False, ""),
        (counts(198, bad=2), OLD, True, ""),
        (counts(197, bad=3), OLD, True, "3 of 200 requests failed, more than 1 %, beside 0 of 500 of the champion's"),
        (counts(197, bad=3), counts(200), True, ""),
        (counts(90, bad=10), counts(100), False, "10 of 100 requests"),
        (replace(counts(160), requests=200, refused=40), counts(500), True, "40 of 200 requests were refused"),
        (replace(counts(160), requests=200, refused=40), replace(OLD, requests=600, refused=100), True, ""),
        (counts(1, bad=4), OLD, False, ""),
        (counts(0, bad=5), OLD, False, "5 of 5 requests"),
        (counts(190, bad=10), counts(450, bad=50), True, ""),
        (counts(200, seconds=0.1), OLD, True, "its p95 is"),
        (counts(200, seconds=0.025), OLD, True, ""),
        (counts(200, seconds=0.1), counts(200, seconds=0.08), True, ""),
        (counts(99, seconds=9.0), OLD, False, ""),
        (counts(100, seconds=9.0), OLD, False, "its p95 is"),
        (counts(200, seconds=9.0), counts(19), True, ""),
        (replace(RequestCounts(), mirrored=100, mirror_failed=2), OLD, True, "2 of 100"),
        (replace(RequestCounts(), mirrored=9, rows_compared=9, rows_misshapen=1), OLD, False, "another form"),
        (replace(RequestCounts(), mirrored=9, rows_compared=9, rows_different=9, peaks=((3, 0.5),)), OLD, True, ""),
    ],
)
def test_what_is_wrong_is_known_as_soon_as_it_is_sure(
    new: RequestCounts, old: RequestCounts, over: bool, wrong: str
) -> None:
    found = judge(new, old, POLICY, over=over)
    assert found.startswith(wrong) if wrong != "another form" else wrong in found
    assert bool(found) == bool(wrong)


def test_a_slow_version_that_makes_the_old_one_slow_too_is_found_out() -> None:
    slow = counts(200, seconds=0.3)
    assert judge(slow, slow, POLICY) == ""
    assert judge(slow, slow, POLICY, before=counts(19)) == ""
    assert "p95 is" in judge(slow, slow, POLICY, before=OLD)


def test_what_was_seen_says_how_much_of_it_was_our_own() -> None:
    new = replace(counts(40), probes=30, rows_compared=40, rows_different=3, peaks=((7, 0.25),))
    text = str(CanaryResult(new, OLD, seconds=4.2))
    assert "40 requests in 4 s, 30 of them ours: 0 failed, 0 refused" in text
    assert "3 of 40 predictions differ, by 0.25 at most" in text


def test_a_champion_that_gets_few_requests_is_known_from_before() -> None:
    new, old = counts(180, bad=20), counts(20)
    assert judge(new, old, POLICY) == ""
    assert "20 of 200 requests failed" in judge(new, old, POLICY, before=OLD)


def test_predictions_are_held_against_the_champions_where_the_settings_say_how_far() -> None:
    seen = replace(RequestCounts(), mirrored=100, rows_compared=100, rows_different=11, peaks=((3, 0.5),))
    assert judge(seen, OLD, Stage(max_different=0.11, max_difference=0.5)) == ""
    assert "11 of 100 predictions differ" in judge(seen, OLD, Stage(max_different=0.1))
    assert judge(seen, OLD, Stage(max_different=0.1), over=False) == ""
    assert "differs from the champion's by 0.5, more than 0.4" in judge(
        seen, OLD, Stage(max_difference=0.4), over=False
    )


def test_chance_condemns_one_in_a_hundred_at_most() -> None:
    random, condemned = np.random.default_rng(0), 0
    for _ in range(100):
        new, old = (np.cumsum(random.random(400) < 0.2) for _ in range(2))
        looks = [
            (RequestCounts(asked, int(new[asked - 1])), RequestCounts(asked, int(old[asked - 1])))
            for asked in range(20, 401, 20)
        ]
        condemned += any(judge(*look, POLICY, over=look[0].requests == 400) for look in looks)
    assert condemned <= 1


@pytest.mark.parametrize("step", [{}, {"traffic": 10}, {"requests": 5}, {"traffic": 10, "mirror": 10, "requests": 5}])
def test_a_step_has_a_share_and_an_end(step: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        CanaryStep(**step)


def test_a_misspelt_key_of_a_stage_is_told_the_known_ones(empty_project: Settings) -> None:
    file = empty_project.layout.settings_file
    for text, near in (
        ("[stages.dev]\nempty_afterwards = true", "empty_after"),
        ("[stages.prod]\ncanary = [{traffik = 10, requests = 5}]", "traffic"),
        ("[stages.staging]\napproval = true", "unknown key 'staging'"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=near):
            load(empty_project.root, {})
    file.write_text('[stages]\ndefault = ["dev", "prod"]\n[stages.prod]\nendpoint = "live-{model}"')
    found = load(empty_project.root, {}).stages
    assert (found.default, found.endpoint("prod", "m"), found.endpoint("dev", "m")) == (
        ("dev", "prod"),
        "live-m",
        "m-dev",
    )
    assert load(empty_project.root, {"NBOPS_STAGES_DEFAULT": "dev, test"}).stages.default == ("dev", "test")


class LateEndpoint(InMemoryEndpoint):
    """Its figures come late: until then it counts the test requests that name a slot, and no copies."""

    looks = 3
    """How often the counts are looked at before the figures come."""

    def counts(self, since: Mapping[str, RequestCounts] | None = None) -> dict[str, RequestCounts]:
        exact = super().counts(since)
        self.looks -= since is not None
        if self.looks < 0:
            return exact
        late = {slot: replace(each, mirrored=0, rows_compared=0) for slot, each in exact.items()}
        return {slot: replace(each, unconfirmed=each.requests) for slot, each in late.items()}


@pytest.fixture
def late(tmp_path: Path, light: dict[str, Path]) -> LateEndpoint:
    endpoint = LateEndpoint("houses", tmp_path)
    endpoint.can = EndpointCapabilities(counts_late=180)
    for slot in ("blue", "green"):
        endpoint.deploy(slot, ServedVersion.in_folder(light["double"], version=slot), traffic=slot == "blue")
    return endpoint


def watched(endpoint: LateEndpoint, step: CanaryStep, **stage: float) -> CanaryResult:
    request = {"dataframe_records": [{"x": 2.0}]}
    golden = Golden(((request, [4.0]),))
    endpoint.set_traffic({"blue": 100 - step.traffic, "green": step.traffic}, mirror={"green": step.mirror})
    watch = CanaryWatch(
        endpoint,
        "green",
        "blue",
        goldens={"green": golden, "blue": golden},
        tolerance=1e-6,
        probing=Probing(quiet=0.0, look_every=0.01),
    )
    return watch.until_done(step, Stage(max_latency_ratio=1000, **stage))


def test_a_step_ends_only_with_the_figures_of_its_requests(late: LateEndpoint) -> None:
    result = watched(late, CanaryStep(traffic=10, requests=5))
    assert late.looks < 0
    assert (result.new.requests, result.new.unconfirmed) == (5, 0)


def test_copies_that_are_counted_late_are_not_sent_again_and_again(late: LateEndpoint) -> None:
    late.looks = 50
    result = watched(late, CanaryStep(mirror=50, requests=4))
    assert result.new.requests == 4, "those that name the slot are enough"
    assert result.new.mirrored == pytest.approx(2, abs=1)


def test_figures_that_never_come_fail_the_step(late: LateEndpoint) -> None:
    late.looks = 10**9
    with pytest.raises(PromotionError, match="only 0 of 5 requests were seen"):
        watched(late, CanaryStep(traffic=10, requests=5), wait_minutes=0.01)
