"""Every time zone of Azure is a place of the IANA database, and whoever writes such a place is told Azure's name."""

from __future__ import annotations

import warnings
from zoneinfo import ZoneInfo

import pytest

from notebooks_lib.azure.project_files import time_zones


@pytest.mark.proof
def test_the_names_are_those_of_the_sdk() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml.constants import TimeZone

    assert set(time_zones.IANA_NAMES) == {zone.value for zone in TimeZone}


def test_every_zone_is_known_in_whatever_case() -> None:
    assert all(isinstance(time_zones.zone(name.upper()), ZoneInfo) for name in time_zones.IANA_NAMES)
    assert time_zones.zone("Europe/Berlin") is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Europe/Berlin", "W. Europe Standard Time"),
        ("Europe/Madrid", "Romance Standard Time"),  # another place, with the same time all year
        ("US/Pacific", "Pacific Standard Time"),
        ("W. Europe Standart Time", "W. Europe Standard Time"),
        ("../etc/passwd", ""),
        ("Mars/Phobos", ""),
    ],
)
def test_the_name_that_was_meant_is_proposed(written: str, meant: str) -> None:
    assert time_zones.proposal(written) == meant
