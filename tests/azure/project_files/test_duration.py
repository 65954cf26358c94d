"""Durations as Azure writes them."""

from __future__ import annotations

import pytest

from notebooks_lib.azure.project_files.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT2M", 120), ("PT1H30M", 5400), ("P1DT1S", 86401), ("PT2.5S", 2), ("120", None), ("", None), (None, None)],
)
def test_a_duration_is_read_in_seconds(text: str | None, seconds: int | None) -> None:
    assert parse_duration(text) == seconds
