"""What is left of a quota is told in machines of a size, before anything is made."""

from __future__ import annotations

import pytest

from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.jobs import core_quota
from notebooks_lib.azure.jobs.core_quota import CoreNeed, CoreQuota
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

QUOTA = CoreQuota({"standard_ds3_v2": ("standardDSv2Family", 4)}, {"standarddsv2family": (10, 24)})
REGION = f"/subscriptions/{emulator.SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/northeurope"


@pytest.mark.parametrize(
    ("size", "instances", "enough", "text"),
    [
        ("Standard_DS3_v2", 2, True, "8 cores of standardDSv2Family for 2 x Standard_DS3_v2, 10 of 24 are left"),
        (
            "STANDARD_DS3_V2",
            4,
            True,
            "16 cores of standardDSv2Family for 4 x STANDARD_DS3_V2, 10 of 24 are left, enough for 2",
        ),
        ("Standard_DS3_v3", 1, False, "this region has no size Standard_DS3_v3, did you mean standard_ds3_v2?"),
    ],
)
def test_the_cores_of_a_file_are_compared_with_what_is_left(size: str, instances: int, enough: bool, text: str) -> None:
    answer = core_quota.check(CoreNeed("compute/cpu.yml", size, instances), QUOTA)
    assert (answer.enough, answer.text) == (enough, f"compute/cpu.yml: {text}")


def test_less_than_one_machine_is_not_enough() -> None:
    answer = core_quota.check(
        CoreNeed("job.yml", "Standard_DS3_v2", 1), CoreQuota(QUOTA.sizes, {"standarddsv2family": (3, 24)})
    )
    assert (answer.enough, answer.text.endswith("3 of 24 are left, enough for 0")) == (False, True)


@pytest.mark.tracking
def test_of_several_quotas_of_a_family_the_least_counts(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    azure_server.put(
        f"{REGION}/vmSizes", {"list": {"value": [{"name": "Standard_F4", "family": "standardFFamily", "vCPUs": 4}]}}
    )
    usages = [
        {"name": {"value": "standardFFamily"}, "currentValue": used, "limit": limit}
        for used, limit in ((2, 50), (3, 8), (0, -1))
    ]
    azure_server.put(f"{REGION}/usages", {"list": {"value": usages}})
    quota = core_quota.read(rest_client.resource_manager(), emulator.SUBSCRIPTION, "northeurope")

    assert quota == CoreQuota({"standard_f4": ("standardFFamily", 4)}, {"standardffamily": (5, 8)})
