"""What Hypothesis sends to an endpoint: requests that are right, nearly right, and nothing of the kind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CELLS = JSON | st.floats(-10, 10) | st.sampled_from(["1", "2026-01-01", "Graz"])
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["age", "bmi", "bp", "rooms", "city", "new", "x"]), CELLS, max_size=5) | JSON,
    max_size=3,
)
SPLIT = st.fixed_dictionaries(
    {"columns": JSON | st.just(["age", "bmi", "bp"]), "data": st.lists(st.lists(CELLS, min_size=3, max_size=3)) | JSON},
    optional={"index": JSON},
)
BODIES = st.one_of(
    JSON,
    st.dictionaries(
        st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "input_data", "params", "x"]),
        st.one_of(JSON, ROWS, SPLIT, st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=3)),
        min_size=1,
        max_size=2,
    ),
)

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


def mostly(*good: Any, or_else: Any) -> Any:
    """One of the good ones in nine of ten cases."""
    return st.integers(0, 9).flatmap(lambda place: or_else if place == 7 else st.sampled_from(good))


CONTENT_TYPES = mostly("application/json", "application/json; charset=utf-8", "text/csv", or_else=TEXT)
NUMBERS = st.floats(-9, 9) | st.integers(-9, 9) | st.sampled_from([None, "1", True, 10**400, -0.0])
NEARLY = st.lists(st.fixed_dictionaries(dict.fromkeys(("age", "bmi", "bp"), NUMBERS)), min_size=1, max_size=4)
FORMS = st.sampled_from(["dataframe_records", "instances", "inputs", "input_data"])
CSV = st.lists(
    st.lists(st.sampled_from(["age", "bmi", "bp", "1", "-2.5", "", "x", '"', "nan"]), max_size=4), max_size=4
)
CONTENT = st.one_of(
    st.builds(lambda key, rows: json.dumps({key: rows}).encode(), FORMS, NEARLY),
    st.builds(
        lambda rows: json.dumps({"dataframe_split": {"columns": ["age", "bmi", "bp"], "data": rows}}).encode(),
        st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=4),
    ),
    BODIES.map(lambda body: json.dumps(body).encode()),
    BODIES.map(lambda body: json.dumps(body).encode()[:-1]),
    st.binary(max_size=200),
    CSV.map(lambda rows: "\n".join(",".join(row) for row in rows).encode()),
)
"""Bodies, as bytes."""
