"""Check the shape of JSON that an nbops wrote to a file: its keys, the kinds of their values, its format. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def expect_keys(content: Any, kinds: Mapping[str, type | tuple[type, ...]], where: str = "") -> None:
    """Raise ValueError unless `content` is an object that has these keys with values of these kinds.

    `where` precedes the key in the message.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where.rstrip('.') or 'it'} is {type(content).__name__}, expected an object")
    for key, kind in kinds.items():
        if key not in content:
            raise ValueError(f"'{where}{key}' is missing")
        if not isinstance(content[key], kind) or isinstance(content[key], bool):
            expected = " or ".join(allowed.__name__ for allowed in (kind if isinstance(kind, tuple) else (kind,)))
            raise ValueError(f"'{where}{key}' is {type(content[key]).__name__}, expected {expected}")


def expect_format(content: Mapping[str, Any], readable: Sequence[int], *, unnamed: int | None = None) -> None:
    """Raise ValueError unless `content` was written in a format that can be read, the newest of them last.

    `unnamed` is the format of content that names none; None: such content cannot be read.
    """
    version = content.get("format", unnamed)
    if isinstance(version, bool) or version not in readable:
        raise ValueError(f"written in format {version!r}, this nbops reads {readable[-1]}")
