"""The list of values of one parameter, as `--grid` and `choice(...)` take it. Pure.

Commas separate values, except inside brackets or quotes. Each value is read as `-p NAME=VALUE` reads it; a value in
quotes is the text between them. A JSON or Python list may replace the whole text. For parameters that take whole
numbers but no text, `1..5` means 1 to 5, and `1..9..2` every second number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from notebooks_lib.notebooks import expressions, parameter_types, parameter_values
from notebooks_lib.notebooks.container_types import UnionType
from notebooks_lib.notebooks.parameter_types import ParameterType, short_repr

MAX_VALUES = 100_000
"""Most values of one parameter. They are held and checked one by one; combinations are not."""

_RANGE = re.compile(r"([+-]?[0-9]{1,18})\.\.([+-]?[0-9]{1,18})(?:\.\.([+-]?[0-9]{1,18}))?")
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'"


class InvalidSearchSpace(Exception):
    """The values or distribution of a parameter are not valid. The message says what was found and what is allowed."""


def read_values(written: object, kind: ParameterType) -> tuple[object, ...]:
    """Return the values in a text or list, checked against the type `kind`.

    Raise InvalidSearchSpace when a value does not fit or is there twice, or when there are none or too many.
    """
    values: list[object] = []
    mismatches: list[str] = []
    for item in _items(written, kind):
        if len(values) + len(mismatches) >= MAX_VALUES:
            raise InvalidSearchSpace(
                f"found more than {MAX_VALUES:,} values, allowed at most that many for one parameter"
            )
        try:
            values.append(kind.check(item()))
        except parameter_types.Mismatch as mismatch:
            mismatches.append(f"{mismatch.path}: {mismatch}".removeprefix(": "))
        except RecursionError:
            mismatches.append("found a value that holds itself, or is nested too deeply")
    if mismatches:
        raise InvalidSearchSpace(mismatches[0] + (f" (and {len(mismatches) - 1} more)" if len(mismatches) > 1 else ""))
    if not values:
        raise InvalidSearchSpace("found an empty list, allowed one value or more")
    sources: set[str] = set()
    for value in values:
        source = expressions.write_literal(value)  # 1, 1.0 and True compare equal, but are different values
        if source in sources:
            raise InvalidSearchSpace(f"found {short_repr(value)} twice, allowed once; take one out")
        sources.add(source)
    return tuple(values)


def split_at_commas(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes, and strip the pieces."""
    pieces: list[str] = []
    depth, quote, previous, start = 0, "", "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[place - 1] != "\\" else quote
        elif character in _QUOTES and (not previous or previous in ",:" + _OPENING):  # else it is an apostrophe
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            pieces.append(text[start:place])
            start = place + 1
        previous = previous if character.isspace() else character
    if depth or quote:  # unclosed brackets are ordinary characters
        return [piece.strip() for piece in text.split(",")]
    return [piece.strip() for piece in [*pieces, text[start:]]]


def _items(written: object, kind: ParameterType) -> Iterator[Callable[[], object]]:
    """Yield a function for each value, which returns it or raises Mismatch: so one wrong value does not hide the
    others."""
    if isinstance(written, list | tuple):
        yield from _listed(written, kind)
        return
    if not isinstance(written, str):
        raise InvalidSearchSpace(
            f"found {short_repr(written)} ({type(written).__name__}), allowed a list of values, or a text as '1..5'"
        )
    text = str.__str__(written).strip()
    if not text:
        raise InvalidSearchSpace("found no values, allowed one or more, with commas between them")
    if text.startswith("["):
        try:
            listed = expressions.read_text(text)
        except expressions.NotConstant:
            listed = None
        if isinstance(listed, list):
            yield from _listed(listed, kind)
            return
        if text.endswith("]") and len(split_at_commas(text)) == 1 and _accepts(kind, text):
            # Probably ["a","b"] without quotes around it: the shell has removed the inner ones.
            raise InvalidSearchSpace(
                f'found {short_repr(text)}, allowed a JSON list; quote all of it for the shell, as \'NAME=["a", "b"]\''
            )
    for piece in split_at_commas(text):
        yield from _piece(piece, kind)


def _listed(items: Sequence[object], kind: ParameterType) -> Iterator[Callable[[], object]]:
    if items and _accepts(kind, items) and not any(_accepts(kind, item) for item in items):
        raise InvalidSearchSpace(f"found one list, {short_repr(items)}, allowed several; write [[...], [...]]")
    for item in items:
        yield partial(parameter_values.settle, item, kind)


def _piece(piece: str, kind: ParameterType) -> Iterator[Callable[[], object]]:
    if not piece:
        raise InvalidSearchSpace('found nothing between two commas, allowed a value; write "" for an empty text')
    if piece[0] in _QUOTES and piece[-1] == piece[0] and len(piece) > 1:
        try:
            text = expressions.read_text(piece)
        except expressions.NotConstant:
            text = None
        if isinstance(text, str):
            yield partial(str, text)
            return
    if ".." in piece and takes_whole_numbers(kind) and not _accepts(kind, piece):
        for number in _range(piece):
            yield partial(int, number)
        return
    yield partial(kind.read, piece)


def _range(piece: str) -> range:
    match = _RANGE.fullmatch(piece)
    form = "a range is FIRST..LAST or FIRST..LAST..STEP, in whole numbers"
    if match is None:
        raise InvalidSearchSpace(f"found {short_repr(piece)}: {form}")
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step == 0 or (last - first) * step < 0:
        down = f"; write {first}..{last}..{-abs(step) or -1} to count down" if first > last else ""
        raise InvalidSearchSpace(f"found {short_repr(piece)}, which holds no number: {form}{down}")
    count = (last - first) // step + 1  # len(range) fails beyond 2**63
    if count > MAX_VALUES:
        raise InvalidSearchSpace(f"found {count:,} values in {piece}, allowed at most {MAX_VALUES:,} for one parameter")
    return range(first, last + (1 if step > 0 else -1), step)


def _accepts(kind: ParameterType, value: object) -> bool:
    try:
        kind.check(value)
    except parameter_types.Mismatch:
        return False
    return type(kind) is not ParameterType


def takes_whole_numbers(kind: ParameterType) -> bool:
    """Return whether a parameter of this type can take a whole number."""
    if isinstance(kind, UnionType):
        return any(takes_whole_numbers(option) for option in kind.options)
    if isinstance(kind, parameter_types.LiteralType):
        return any(isinstance(value, int) and not isinstance(value, bool) for value in kind.values)
    return type(kind) is ParameterType or isinstance(kind, parameter_types.NumberType)


@dataclass(frozen=True)
class ParameterGrid:
    """All combinations of a few lists of values."""

    axes: Mapping[str, tuple[object, ...]]

    @property
    def size(self) -> int:
        """The number of combinations."""
        return math.prod(map(len, self.axes.values()))

    def at(self, number: int) -> dict[str, object]:
        """Return the combination with this number, from 0. The last parameter varies fastest."""
        if not 0 <= number < self.size:
            raise IndexError(number)
        chosen = {}
        for name in reversed(list(self.axes)):
            number, place = divmod(number, len(self.axes[name]))
            chosen[name] = self.axes[name][place]
        return {name: chosen[name] for name in self.axes}

    @property
    def described(self) -> dict[str, str]:
        """Parameter name -> its values as text for `--grid`."""
        return {name: expressions.write_literal(list(listed)) for name, listed in self.axes.items()}
