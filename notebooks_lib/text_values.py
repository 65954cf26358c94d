"""The texts that mean a missing value, true or false: in files of data, and in requests to a model."""

from __future__ import annotations

MISSING = frozenset(
    (
        *("", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "NULL", "null", "NaN", "nan", "-NaN", "-nan"),
        *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)
"""Words for a missing value in columns of numbers, times and booleans. In a column of text they are text."""
BOOLEANS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
