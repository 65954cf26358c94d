"""The metadata of one version of a dataset."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from notebooks_lib.errors import UsageError, reason


@dataclass(frozen=True)
class Metadata:
    """The metadata of one version of a dataset: all that is recorded besides its rows."""

    fingerprint: str
    rows: int
    columns: Mapping[str, str]
    """Kind of each column, in order."""
    validation_share: float
    holdout_share: float
    parts: int
    """Number of the algorithm that splits it."""
    target: str | None = None
    key: str | None = None
    group: str | None = None
    description: str = ""
    source: str = ""
    """Name of the file it came from."""
    created: str = ""
    """UTC, ISO 8601."""
    retired: str | None = None
    """sha256 of the digests of rows, keys or groups that left the holdout; None when none did."""
    time: str | None = None
    """The column by whose order rows fall into parts, the holdout last."""
    validation_from: str | None = None
    """The first time that is validation, as text; set by the first version."""
    holdout_from: str | None = None
    """The first time that is holdout."""
    said: tuple[str, ...] | None = None
    """Columns whose kind the user chose; None when none."""

    @property
    def decided_by(self) -> str | None:
        """The column whose value assigns a row to a part; None when the whole row does."""
        return self.group or self.key

    @property
    def features(self) -> tuple[str, ...]:
        """All columns except target, key and group."""
        return tuple(column for column in self.columns if column not in (self.target, self.key, self.group))

    @property
    def roles(self) -> dict[str, str]:
        """Role -> column, for the roles that the dataset has: target, key, group, time."""
        columns = {"target": self.target, "key": self.key, "group": self.group, "time": self.time}
        return {role: column for role, column in columns.items() if column is not None}

    @property
    def split_by(self) -> str:
        """What assigns rows to parts, for messages: the time, group or key column, or "the whole row"."""
        return self.time or self.decided_by or "the whole row"

    @classmethod
    def from_toml(cls, text: str) -> Metadata:
        """Return the metadata from the text that `to_toml` wrote.

        Raises ValueError for a text that is incomplete or not TOML, UsageError for a text from a newer nbops.
        """
        content = tomllib.loads(text)
        newer = sorted(content.keys() - {field.name for field in fields(cls)})
        if newer:
            raise UsageError(f"has the key(s) {', '.join(newer)}, which a newer nbops wrote; update nbops to read it")
        try:
            columns = {column["name"]: column["kind"] for column in content.pop("columns")}
            chosen = content.pop("said", None)
            return cls(columns=columns, said=None if chosen is None else tuple(chosen), **content)
        except (KeyError, TypeError) as error:
            raise ValueError(reason(error)) from error

    def to_toml(self) -> str:
        """Return the metadata as the text of a dataset.toml."""
        lines = ["# Written by `nbops data add`. A version is immutable: change nothing here, add a new version."]
        for name, value in asdict(self).items():
            if value is not None and name != "columns":
                lines.append(f"{name} = {_literal(value)}")
        columns = "".join(f"    {{ name = {_literal(n)}, kind = {_literal(k)} }},\n" for n, k in self.columns.items())
        return "\n".join(lines) + f"\ncolumns = [\n{columns}]\n"


def _literal(value: Any) -> str:
    # JSON's strings and numbers are valid TOML, except that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
