"""A stage that asks for what its endpoint cannot do is told the key, the limit and the way out."""

from __future__ import annotations

import pytest

from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities, unsupported_setting
from notebooks_lib.settings.sections import CanaryStep, Stage

MANAGED = EndpointCapabilities(
    runs_on="a managed online endpoint of Azure", most_mirrored=50, compares_mirrored=False, counts_late=180
)
KUBERNETES = EndpointCapabilities(
    runs_on="a Kubernetes online endpoint of Azure", most_mirrored=0, compares_mirrored=False, counts_late=180
)
MIRROR = CanaryStep(mirror=80, minutes=5)


@pytest.mark.parametrize(
    ("stage", "can", "problem"),
    [
        (
            Stage(canary=(MIRROR,)),
            MANAGED,
            "[stages.prod] canary: mirror = 80: a managed online endpoint of Azure mirrors at most 50 % of the requests;"
            " write 50 or less",
        ),
        (
            Stage(canary=(CanaryStep(mirror=10, minutes=5),)),
            KUBERNETES,
            "[stages.prod] canary: mirror = 10: a Kubernetes online endpoint of Azure mirrors no requests; take the step"
            " out, or give it traffic",
        ),
        (
            Stage(max_different=0.1),
            MANAGED,
            "[stages.prod] max_different: a managed online endpoint of Azure throws mirrored answers away, so that none"
            " is compared; take it out",
        ),
        (
            Stage(canary=(CanaryStep(traffic=10, minutes=1),)),
            MANAGED,
            "[stages.prod] canary: minutes = 1: a managed online endpoint of Azure counts requests up to 3 minutes late;"
            " write 3 or more",
        ),
        (
            Stage(canary=(CanaryStep(traffic=10, requests=5),), wait_minutes=2),
            MANAGED,
            "[stages.prod] wait_minutes = 2: a managed online endpoint of Azure counts requests up to 3 minutes late;"
            " write 6 or more",
        ),
        (Stage(canary=(CanaryStep(mirror=50, minutes=5), CanaryStep(traffic=10, requests=50))), MANAGED, ""),
        (Stage(canary=(MIRROR,), max_different=0.1, max_difference=0.2), EndpointCapabilities(), ""),
    ],
)
def test_the_setting_that_asks_for_too_much_is_named(stage: Stage, can: EndpointCapabilities, problem: str) -> None:
    assert unsupported_setting("prod", stage, can) == problem
