"""Types of parameters that are made of other types: lists, tuples, sets, dicts and unions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.parameter_types import (
    Mismatch,
    NumberBounds,
    NumberType,
    ParameterType,
    TextType,
    plain_number,
    short_repr,
)


class _ContainerType(ParameterType):
    """A type whose values are written as literals; `hint` says how."""

    hint = ""

    def read(self, text: str) -> object:
        try:
            return expressions.read_text(text)
        except expressions.NotConstant:
            raise Mismatch(text, self.allowed, self.hint) from None


@dataclass(frozen=True)
class CollectionType(_ContainerType):
    """A list, tuple, set or frozenset. `items` holds one type for all items or, if `fixed`, a type for each."""

    hint = "write it as [..., ...]"
    type: str = "list"
    items: tuple[ParameterType, ...] = (ParameterType(),)
    fixed: bool = False

    @property
    def name(self) -> str:
        """The type as in an annotation; without brackets when the items may be anything."""
        inner = ", ".join(item.allowed for item in self.items)
        return self.type if self.items == (ParameterType(),) and not self.fixed else f"{self.type}[{inner}]"

    def check(self, value: object) -> object:
        """Return a new container with each item checked; the Mismatch of an item names its position."""
        sets = isinstance(value, set | frozenset) and self.type in ("set", "frozenset")
        if not sets and not isinstance(value, list | tuple):
            raise Mismatch(value, self.allowed, self.hint if isinstance(value, str) else "")
        if self.fixed and len(value) != len(self.items):  # type: ignore[arg-type]
            raise Mismatch(value, f"{self.allowed}: {len(self.items)} items")
        kinds = self.items if self.fixed else self.items * len(value)  # type: ignore[arg-type]
        checked = []
        for place, (kind, item) in enumerate(zip(kinds, value, strict=True)):  # type: ignore[call-overload]
            try:
                checked.append(kind.check(item))
            except Mismatch as mismatch:
                raise mismatch.inside(f"[{place}]") from None
        try:
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[self.type](checked)
        except TypeError:
            raise Mismatch(value, f"{self.allowed} (of items that can stand in a set)") from None

    def inner(self) -> ParameterType:
        """Return the type of the items; any value if `fixed` gives several."""
        return self.items[0] if len(self.items) == 1 else ParameterType()


@dataclass(frozen=True)
class MappingType(_ContainerType):
    """A dict, with types for its keys and values."""

    hint = 'write it as {"key": value}'
    key: ParameterType = field(default_factory=ParameterType)
    value: ParameterType = field(default_factory=ParameterType)

    @property
    def name(self) -> str:
        """The type as in an annotation; without brackets when keys and values may be anything."""
        any_item = self.key == ParameterType() and self.value == ParameterType()
        return "dict" if any_item else f"dict[{self.key.allowed}, {self.value.allowed}]"

    def check(self, value: object) -> object:
        """Return a new dict with keys and values checked; the Mismatch of a value names its key."""
        if not isinstance(value, Mapping):
            raise Mismatch(value, self.allowed, self.hint if isinstance(value, str) else "")
        checked = {}
        for key, item in value.items():
            try:
                checked[self.key.check(key)] = self.value.check(item)
            except Mismatch as mismatch:
                raise mismatch.inside(f"[{short_repr(key)}]") from None
        return checked

    def inner(self) -> ParameterType:
        """Return the type of the values; keys have none."""
        return self.value


@dataclass(frozen=True)
class UnionType(ParameterType):
    """One of several types: `Optional[X]`, `X | Y`."""

    options: tuple[ParameterType, ...] = ()

    @property
    def name(self) -> str:
        """The names of the types, joined by "or"."""
        return " or ".join(option.name for option in self.options)

    @property
    def limits(self) -> str:
        """The limits of those types that have any."""
        return "; ".join(option.limits for option in self.options if option.limits)

    @property
    def allowed(self) -> str:
        """What each type allows, joined by "or"."""
        return " or ".join(option.allowed for option in self.options)

    def check(self, value: object) -> object:
        """Return the value as the first type that accepts it. A Mismatch inside a container is preferred to others."""
        mismatches: list[Mismatch] = []
        for option in self.options:
            try:
                return option.check(value)
            except Mismatch as mismatch:
                mismatches.append(mismatch)
        deep = next((mismatch for mismatch in mismatches if mismatch.path), None)
        raise deep or Mismatch(
            value, self.allowed, next((mismatch.hint for mismatch in mismatches if mismatch.hint), "")
        )

    def read(self, text: str) -> object:
        """Return the value as the first type that reads and accepts the text. The types str and any are tried last."""
        # Text takes everything, so it comes last.
        textual = any(type(option) is TextType for option in self.options)
        for option in sorted(self.options, key=lambda option: type(option) in (TextType, ParameterType)):
            if textual and isinstance(option, NumberType) and not plain_number(text):
                continue
            try:
                return option.check(option.read(text))
            except Mismatch:
                pass
        numeric = [option for option in self.options if isinstance(option, NumberType | _ContainerType)]
        for option in numeric:
            try:
                return option.read(text)  # the right type, but a wrong value: `check` reports it
            except Mismatch:
                pass
        raise Mismatch(text, self.allowed)

    def inner(self) -> ParameterType:
        """Return the item type of the first option that has one."""
        return next((option.inner() for option in self.options if option.inner() != ParameterType()), ParameterType())

    def bounded(self, bounds: NumberBounds) -> ParameterType:
        """Return the union with every number type in it limited to `bounds`."""
        return replace(self, options=tuple(option.bounded(bounds) for option in self.options))
