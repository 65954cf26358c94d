"""The shape of JSON from a file: what is missing, of another kind or of another format is named."""

from __future__ import annotations

import pytest

from notebooks_lib.json_shape import expect_format, expect_keys


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "slots.blue is list, expected an object"),
        ({}, "'slots.blue.port' is missing"),
        ({"port": "5"}, "'slots.blue.port' is str, expected int or float"),
        ({"port": True}, "'slots.blue.port' is bool, expected int or float"),
    ],
)
def test_a_value_of_another_kind_is_named(content: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        expect_keys(content, {"port": (int, float)}, "slots.blue.")


def test_content_with_the_keys_is_accepted_with_others_beside() -> None:
    expect_keys({"port": 5, "more": None}, {"port": int})


@pytest.mark.parametrize("found", [3, "2", True, None])
def test_an_unknown_format_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match=f"written in format {found!r}, this nbops reads 2"):
        expect_format({"format": found}, (1, 2))


def test_content_without_a_format_has_the_one_that_did_not_name_it() -> None:
    expect_format({}, (1, 2), unnamed=1)
    with pytest.raises(ValueError, match="format None"):
        expect_format({}, (1, 2))
