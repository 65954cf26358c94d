"""Reads a YAML file into plain values, remembers the line of each key, and finds what is wrong with the YAML itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from notebooks_lib import regular_file
from notebooks_lib.azure.project_files.file_faults import FileFault, KeyPath, last_key

MOST_CHARACTERS = 200_000
MOST_VALUES = 10_000
"""More is no description of a job or a machine; aliases can make millions out of a few lines."""
DEEPEST = 30


@dataclass(frozen=True)
class YamlFile:
    """The content of a file: its text, its values, and the line of each key, counted from 1."""

    path: Path
    text: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def fault(self, path: KeyPath, text: str) -> FileFault:
        """Return a fault of a key; a key that is missing is reported where the key above it stands."""
        known = next((path[:size] for size in range(len(path), 0, -1) if path[:size] in self.lines), ())
        return FileFault(self.path, self.lines.get(known, 1), last_key(path), text)


class _Wrong(Exception):
    """Reading cannot go on."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.text = text


def read(path: Path) -> tuple[YamlFile | None, list[FileFault]]:
    """Return the content of a file and the faults of its YAML; None if it cannot be read to its end."""
    try:
        text = regular_file.read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None, [FileFault(path, 1, "", "is not UTF-8 text: save it as UTF-8")]
    except OSError as error:
        return None, [FileFault(path, 1, "", f"cannot be read: {error.strerror}")]
    try:
        reader = _Reader(path, text)
        values = reader.values()
    except _Wrong as wrong:
        return None, [FileFault(path, wrong.line, "", wrong.text)]
    return YamlFile(path, text, values, reader.lines), reader.faults


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise _Wrong(1, f"has {len(text):,} characters, {MOST_CHARACTERS:,} is the most: is it the right file?")
        self.path = path
        self.text = text
        self.lines: dict[KeyPath, int] = {}
        self.faults: list[FileFault] = []
        self._count = 0
        self._merged: set[int] = set()
        self._loader: Any = None

    def values(self) -> dict[str, Any]:
        try:
            self._loader = yaml.SafeLoader(self.text)
            node = self._loader.get_single_node()
            if node is None:
                raise _Wrong(1, "is empty: write at least one key, or delete the file, so that the defaults hold")
            if not isinstance(node, yaml.MappingNode):
                raise _Wrong(node.start_mark.line + 1, "holds no keys: write lines such as `key: value`")
            return self._mapping(node, ())
        except yaml.YAMLError as error:
            raise _Wrong(*self._syntax(error)) from None
        except RecursionError:
            raise _Wrong(1, f"is nested more than {DEEPEST} deep, or refers to itself: take brackets out") from None

    def _syntax(self, error: yaml.YAMLError) -> tuple[int, str]:
        if isinstance(error, yaml.reader.ReaderError):
            line = self.text.count("\n", 0, error.position) + 1
            return line, f"has a character that YAML does not allow (number {error.character}): take it out"
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line + 1 if mark else 1
        problem = str(getattr(error, "problem", "") or error)
        if "'\\t'" in problem:
            return line, "is indented with a tab: use spaces"
        if "single document" in str(getattr(error, "context", "")):
            return line, "begins a second document with `---`: write one document a file"
        return line, f"is no YAML here ({problem}): check indentation, quotes and colons"

    def _value(self, node: Any, path: KeyPath) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        if len(path) > DEEPEST:
            raise _Wrong(line, f"is nested more than {DEEPEST} deep, or refers to itself: take an alias (`*name`) out")
        if self._count > MOST_VALUES:
            raise _Wrong(line, f"holds more than {MOST_VALUES:,} values: take aliases (`*name`) out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[*path, index] = item.start_mark.line + 1
                items.append(self._value(item, (*path, index)))
            return items
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        if id(node) not in self._merged:  # an alias leads here again
            for name, lines in self._repeated(node):
                self._fault((*path, name), lines[1], f"is given twice, first in line {lines[0]}: take one out")
            self._loader.flatten_mapping(node)
            self._merged.add(id(node))
        values = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._fault(path, line, "has a list or a mapping as a key: write a name, and quote what begins with {")
                continue
            if key.tag != "tag:yaml.org,2002:str":
                self._fault((*path, key.value), line, f'this key is no text to YAML: write "{key.value}" in quotes')
            inner = (*path, key.value)
            self.lines[inner] = line
            values[key.value] = self._value(value, inner)
        return values

    def _repeated(self, node: Any) -> Iterator[tuple[str, list[int]]]:
        places: dict[str, list[int]] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                places.setdefault(key.value, []).append(key.start_mark.line + 1)
        return ((name, lines) for name, lines in places.items() if len(lines) > 1)

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        quoted = f'write it in quotes: "{node.value}"' if len(node.value) < 60 else "write it in quotes"
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._fault(path, line, f"YAML cannot read this value as {_kind(node.tag)}: {quoted}")
            return str(node.value)
        if isinstance(value, int | float) and not isinstance(value, bool) and str(value) != node.value:
            self._fault(path, line, f'is {value} to YAML: write {value}, or "{node.value}" in quotes')
        if value is None or isinstance(value, str | int | float):
            return value
        if isinstance(value, datetime):  # `end_time: 2027-01-31T06:00:00`, which Azure takes, too
            return str(node.value)
        self._fault(path, line, f"is {_kind(node.tag)} to YAML: {quoted}")
        return str(node.value)

    def _fault(self, path: KeyPath, line: int, text: str) -> None:
        self.faults.append(FileFault(self.path, line, last_key(path), text))


def _kind(tag: str) -> str:
    name = re.split(r"[:,!]", tag)[-1]
    return {"timestamp": "a date", "int": "a number", "float": "a number", "binary": "binary"}.get(name, f"`{name}`")
