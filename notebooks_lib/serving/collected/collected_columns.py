"""The columns of a table of collected requests: the union of all rows, each of one type that holds all of its values.

Names of inputs stay as they are, so that a model can be trained on them; where one is ours too, ours gets a prefix.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets.column_kinds import EXACT, parse_number
from notebooks_lib.text_values import MISSING

if TYPE_CHECKING:
    import pyarrow as pa

OWN = ("request_id", "row", "time", "slot", "version")
"""What each row has beside inputs and prediction."""
PREDICTION = "prediction"
PREFIX = "nbops_"

Row = Mapping[str, Any]


@dataclass
class CollectedColumn:
    """What was found in one column."""

    found: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    """The versions of the model whose requests had it."""

    def see(self, value: object, version: str) -> None:
        """Take a value into account."""
        self.found.add(_kind(value))
        self.versions.add(version)

    @property
    def type(self) -> str:
        """One of "boolean", "integer", "number" and "text"; all that is no plain value is text, as JSON."""
        found = self.found - {"missing"}
        texts = {"number as text", "missing as text"}
        if not found:
            return "number"
        if found == {"boolean"}:
            return "boolean"
        if found <= {"integer", "large integer"}:
            return "integer"
        if found <= {"integer", "number", *texts} and not found <= texts:
            return "number"
        return "text"

    @property
    def mixed(self) -> bool:
        """Whether values of several kinds are all text now."""
        groups = {"number as text": "text", "missing as text": "text", "large integer": "integer", "huge": "integer"}
        return self.type == "text" and len({groups.get(kind, kind) for kind in self.found - {"missing"}}) > 1

    @property
    def numbers_as_text(self) -> bool:
        """Whether all of its texts are numbers, as of requests that came as CSV."""
        return self.type == "text" and "number as text" in self.found <= {
            "number as text",
            "missing as text",
            "missing",
        }

    def convert(self, value: object) -> object:
        """Return a value in the column's type."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        kind = self.type
        if kind == "text":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if kind == "number":
            number = parse_number(value.strip()) if isinstance(value, str) else value
            return None if number is None else float(number)  # type: ignore[arg-type]
        return value


def _kind(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) <= EXACT else "large integer" if -(2**63) <= value < 2**63 else "huge"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        text = value.strip()
        return "missing as text" if text in MISSING else "number as text" if parse_number(text) is not None else "text"
    return "nested"


@dataclass
class CollectedColumns:
    """The columns of inputs and predictions, in the order in which they came up."""

    inputs: dict[str, CollectedColumn] = field(default_factory=dict)
    predictions: dict[str, CollectedColumn] = field(default_factory=dict)
    versions: set[str] = field(default_factory=set)

    def see(self, inputs: Iterable[Row], predictions: Iterable[Row], version: str) -> None:
        """Take the rows of a request into account."""
        self.versions.add(version)
        for columns, rows in ((self.inputs, inputs), (self.predictions, predictions)):
            for row in rows:
                for name, value in row.items():
                    columns.setdefault(name, CollectedColumn()).see(value, version)

    def own_name(self, name: str) -> str:
        """Return what a column of ours is called beside these inputs."""
        while name in self.inputs:
            name = PREFIX + name
        return name

    def changed(self) -> dict[str, list[str]]:
        """Return the inputs that not all versions had, with the versions that had them."""
        return {name: sorted(of.versions) for name, of in self.inputs.items() if of.versions != self.versions}

    def remarks(self) -> list[str]:
        """Return what a reader of the table should know of its columns."""
        several = {**self.inputs, **{self.own_name(name): column for name, column in self.predictions.items()}}
        lines = [
            f"column {name!r} has values of several kinds: all are text" for name, of in several.items() if of.mixed
        ]
        lines += [
            f"column {name!r} has nested values: they are text, as JSON"
            for name, of in several.items()
            if "nested" in of.found and not of.mixed
        ]
        lines += [
            f"column {name!r} has numbers as text, as requests in CSV have: -o FILE.csv lets `data add` read numbers"
            for name, of in self.inputs.items()
            if of.numbers_as_text
        ]
        lines += [
            f"input {name!r} came with version {', '.join(versions)} only" for name, versions in self.changed().items()
        ]
        renamed = [name for name in (*OWN, *self.predictions) if name in self.inputs]
        return lines + [f"{name!r} is an input: ours is {self.own_name(name)!r}" for name in renamed]

    def schema(self, labels: Iterable[pa.Field], *, training: bool) -> pa.Schema:
        """Return the types of the table: with `training` inputs and labels only."""
        import pyarrow as pa

        types = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
        own = {"row": pa.int64(), "time": pa.timestamp("us", tz="UTC")}
        fields = [] if training else [(self.own_name(name), own.get(name, pa.string())) for name in OWN]
        fields += [(name, types[column.type]) for name, column in self.inputs.items()]
        if not training:
            fields += [(self.own_name(name), types[column.type]) for name, column in self.predictions.items()]
        return pa.schema([*(pa.field(*each) for each in fields), *labels])


def input_row(row: object) -> Row:
    """Return a row with names; those of a list are its places, as Azure's collector has them."""
    if isinstance(row, dict):
        return row
    return {str(place): item for place, item in enumerate(row if isinstance(row, list) else [row])}


def prediction_row(row: object) -> Row:
    """Return the predictions of a row, as "prediction" or "prediction.NAME"."""
    if not isinstance(row, dict):
        return {PREDICTION: row}
    return {name if name == PREDICTION else f"{PREDICTION}.{name}": value for name, value in row.items()}
