"""Datasets on disk: FOLDER/NAME/VERSION/{table.parquet, dataset.toml}, written once as a whole, and never changed.

A version with a fresh holdout has `retired.parquet` as well: the digests of rows that may not be in it any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import tomllib
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError, reason

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

TABLE = "table.parquet"
RECORD = "dataset.toml"
RETIRED = "retired.parquet"
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_BUILDING = ".adding-"
_STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Record:
    """The content of dataset.toml: one version of a dataset."""

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
    def split_by(self) -> str:
        """What assigns rows to parts, in words."""
        return self.time or self.decided_by or "the whole row"


def names(folder: Path) -> list[str]:
    """Return the datasets in a data folder."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if is_name(entry.name) and numbers(folder, entry.name))


def is_name(text: str) -> bool:
    """Return whether `text` can be a dataset's name: it is a folder, and part of a tag's key."""
    return _NAME.fullmatch(text) is not None


def numbers(folder: Path, name: str) -> list[int]:
    """Return the versions of a dataset, oldest first; empty when there is none of this name."""
    return sorted(number for number in _taken(folder / name) if (folder / name / str(number) / RECORD).is_file())


def read_record(folder: Path, name: str, version: int) -> Record:
    """Return the record of a version. Raises DatasetError when the file cannot be read or is incomplete."""
    path = folder / name / str(version) / RECORD
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        columns = {column["name"]: column["kind"] for column in content.pop("columns")}
        chosen = content.pop("said", None)
        return Record(columns=columns, said=None if chosen is None else tuple(chosen), **content)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is not a dataset's record: {reason(error)}; {_restore(name)}") from error


def read_table(folder: Path, name: str, version: int) -> pa.Table:
    """Return the stored table. Raises DatasetError when the file is missing or damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / name / str(version) / TABLE
    try:
        return parquet.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: cannot be read: {reason(error)}; {_restore(name)}") from error


def read_retired(folder: Path, name: str, version: int, record: Record) -> np.ndarray[Any, Any] | None:
    """Return the digests (n, 2) that left the holdout. Raises DatasetError when they are not what was written."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    if record.retired is None:
        return None
    path = folder / name / str(version) / RETIRED
    try:
        table = parquet.read_table(path, partitioning=None)
        digests = np.column_stack([table[column].to_numpy() for column in ("high", "low")]).astype(np.uint64)
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise DatasetError(f"{path}: cannot be read: {reason(error)}; {_restore(name)}") from error
    if retired_sha256(digests) != record.retired:
        raise DatasetError(f"{path}: is not what was written; versions are immutable: {_restore(name)}")
    return digests


def retired_sha256(digests: np.ndarray[Any, Any]) -> str:
    """Return the value of `Record.retired` for these digests, in whatever order."""
    import numpy as np

    ordered = digests[np.lexsort((digests[:, 1], digests[:, 0]))]
    return hashlib.sha256(ordered.astype(">u8").tobytes()).hexdigest()


def changed(folder: Path, name: str, version: int, actual: str, recorded: str) -> DatasetError:
    """Return the error for a version whose content is no longer what was added."""
    return DatasetError(
        f"{folder / name / str(version)}: the content has changed since it was added (fingerprint {actual[:12]}, "
        f"recorded {recorded[:12]}); versions are immutable: {_restore(name)}"
    )


def write(
    folder: Path,
    name: str,
    version: int,
    table: pa.Table,
    record: Record,
    *,
    retired: np.ndarray[Any, Any] | None = None,
) -> bool:
    """Store a version as a whole or not at all. Return False when another process took the number first.

    It is built in a folder of its own and renamed, which is atomic. Raises DatasetError when the disk refuses.
    """
    home = folder / name
    building = home / f"{_BUILDING}{uuid.uuid4().hex}"
    try:
        building.mkdir(parents=True)
        _write_table(building / TABLE, table)
        if retired is not None:
            _write_table(building / RETIRED, _digests(retired))
        _write_text(building / RECORD, _toml(record))
        try:
            building.rename(home / str(version))
        except OSError:
            if (home / str(version)).exists():
                return False
            raise
        _sweep(home)
        return True
    except OSError as error:
        raise DatasetError(
            f"{home / str(version)}: cannot be written, nothing was added: {error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        _remove_if_empty(home)


def next_number(folder: Path, name: str) -> int:
    """Return the number of the next version; a number that a folder ever had is not used again."""
    return max(_taken(folder / name), default=0) + 1


def _taken(home: Path) -> list[int]:
    if not home.is_dir():
        return []
    return [int(entry.name) for entry in home.iterdir() if entry.name.isdecimal() and entry.name.isascii()]


def _write_table(path: Path, table: pa.Table) -> None:
    from pyarrow import parquet

    with path.open("wb") as file:
        parquet.write_table(table.replace_schema_metadata(None), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())


def _digests(digests: np.ndarray[Any, Any]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: digests[:, place].astype("<u8") for place, name in enumerate(("high", "low"))})


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _toml(record: Record) -> str:
    lines = ["# Written by `nbops data add`. A version is immutable: change nothing here, add a new version."]
    for name, value in asdict(record).items():
        if value is not None and name != "columns":
            lines.append(f"{name} = {_literal(value)}")
    columns = "".join(f"    {{ name = {_literal(n)}, kind = {_literal(k)} }},\n" for n, k in record.columns.items())
    return "\n".join(lines) + f"\ncolumns = [\n{columns}]\n"


def _literal(value: Any) -> str:
    # JSON's strings and numbers are valid TOML, except that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _sweep(home: Path) -> None:
    """Remove what killed processes left half built, once it is too old to belong to a running one."""
    for left in home.glob(f"{_BUILDING}*"):
        with suppress(OSError):  # its owner finished meanwhile
            if left.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _remove_if_empty(home: Path) -> None:
    with suppress(OSError):  # not empty, or not there
        home.rmdir()


def _restore(name: str) -> str:
    return f"restore it (from git or a backup), or add the file anew as the next version of {name}"
