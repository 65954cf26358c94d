"""Bytes in, bytes out: the quick reader of JSON reads what Python's reads, or leaves it to that."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError, from_json, to_json

from notebooks_lib.serving.inference import predict_quickly


class Echo:
    """Answers with what it was asked."""

    quick = True

    def answer_quickly(self, payload: Any) -> Any:
        return payload["x"]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


DIGITS = st.text("0123456789", min_size=1, max_size=30)
WRITTEN = st.builds(
    lambda sign, whole, part, power: f"{sign}{whole.lstrip('0') or '0'}{part}{power}",
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(lambda digits: "." + digits),
    st.just("") | st.integers(-400, 400).map(lambda power: f"e{power}"),
)


@given(numbers=st.lists(WRITTEN, min_size=1, max_size=5))
def test_numbers_are_read_as_python_reads_them(numbers: list[str]) -> None:
    text = f"[{','.join(numbers)}]"
    assert same(from_json(text), json.loads(text)), text


@given(value=st.lists(st.floats() | st.integers(-(2**63), 2**63) | st.text(max_size=5)))
def test_what_is_written_is_read_back_and_what_json_has_not_is_null(value: list[Any]) -> None:
    try:
        text = to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:  # half of a surrogate pair
        assert any(isinstance(item, str) for item in value)
        return
    finite = [None if isinstance(item, float) and not math.isfinite(item) else item for item in value]
    assert same(json.loads(text), finite)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"5", b'{"x": "\\ud800"}', b'\xef\xbb\xbf{"x": 1}', b"[" * 9999])
def test_what_it_does_not_read_is_left_to_the_other_way(body: bytes) -> None:
    assert predict_quickly(Echo(), body) is None  # type: ignore[arg-type]


def test_an_answer_is_json() -> None:
    asked: Any = Echo()
    assert (
        predict_quickly(asked, b'{"x": [1.5, NaN, Infinity, 2, "a", true]}')
        == b'{"predictions":[1.5,null,null,2,"a",true]}'
    )
