"""What a store of datasets promises, and the metadata of one version. It opens no file and no connection.

`disk_store` and `bundled_tables` keep these promises, and `loader.STORES` chooses between stores. Nothing else knows
where versions are kept. How often a holdout has decided is not the store's to know: that count lies in the tracking
store (`holdout_budget`), which everybody who can use the rows shares.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notebooks_lib.errors import UsageError, reason

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from notebooks_lib.datasets.hashing import Digests

_NAME = re.compile(r"[a-z0-9_-]{1,64}")


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
        """The column that assigns a row to a part; None when the whole row does."""
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
        """A description of what assigns rows to parts, for people."""
        return self.time or self.decided_by or "the whole row"

    @classmethod
    def from_toml(cls, text: str) -> Metadata:
        """Return the metadata that `to_toml` wrote.

        Raises ValueError for a text that is incomplete or no TOML, UsageError for one of a newer nbops.
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


@dataclass(frozen=True, eq=False)
class VersionContent:
    """The content of one version in a store: its table and its metadata."""

    metadata: Metadata
    table: pa.Table
    """All rows, as `hashing.normalise` returns them."""
    retired: np.ndarray[Any, Any] | None = None
    """Digests (n, 2) of what left the holdout; None when nothing did."""
    digests: Digests | None = None
    """The digests of the rows, where they are known already; None: to be computed from the table."""


class DatasetSource(Protocol):
    """A source of dataset versions, for reading only.

    A version never changes: reading it again gives the same content, or raises DatasetError. It is seen whole or not at
    all, also while another process adds it, and after that process was killed.
    """

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""

    def versions(self, name: str) -> list[int]:
        """Return the numbers of a dataset's versions, oldest first; empty when there is no such dataset."""

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata of a version, without reading its rows.

        Raises DatasetError when it is gone, damaged, or written by a newer nbops. The message says how to go on.
        """

    def read(self, name: str, version: int) -> VersionContent:
        """Return a version with all of its rows, the holdout's too. Only `loader.open_table` calls it.

        Raises DatasetError when something is gone, cannot be read, or cannot be fetched. It need not compare the rows
        with the fingerprint: `loader.open_table` does, for every store.
        """

    def origin(self, name: str) -> str:
        """Return a short description of where a dataset comes from, for `nbops data list`."""

    def location(self, name: str, version: int) -> str:
        """Return the place of a version, such as its folder, for error messages."""


class DatasetStore(DatasetSource, Protocol):
    """A source of dataset versions to which new versions can be added."""

    @property
    def folder(self) -> Path | None:
        """The folder to copy to another machine so that it can read the versions; None when no copy is needed."""

    def next_version(self, name: str) -> int:
        """Return the number for the next version of a dataset. A number is never used twice."""

    def retired(self, name: str, version: int) -> np.ndarray[Any, Any] | None:
        """Return the digests (n, 2) of the rows that left a version's holdout, without reading rows; None if none did.

        Raises DatasetError when they are gone or cannot be read.
        """

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Store a version whole and return True; return False, and store nothing, when its number is taken.

        Of several processes that add the same number at once, exactly one gets True; its version survives a power cut.
        A process that is killed meanwhile leaves no version, and the number stays free. Raises DatasetError when the
        store refuses; then nothing was added.
        """


def is_name(text: str) -> bool:
    """Return True if `text` can be a dataset's name, which becomes a folder and part of a tag's key."""
    return _NAME.fullmatch(text) is not None


def remedy(name: str) -> str:
    """Return advice for messages: how to repair a damaged version of dataset `name`."""
    return f"restore it (from git or a backup), or add the file anew as the next version of {name}"


def _literal(value: Any) -> str:
    # JSON's strings and numbers are valid TOML, except that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
