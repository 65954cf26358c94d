"""The types of parameters: each checks a value, and reads one from the text of a command line."""

from __future__ import annotations

import json
import numbers
import os
import re
from dataclasses import dataclass, field, replace

from notebooks_lib.notebooks import expressions


class Mismatch(Exception):
    """A value is not allowed. The message says what was found and what is allowed."""

    def __init__(self, value: object, allowed: str, hint: str = "", path: str = "") -> None:
        self.value, self.allowed, self.hint, self.path = value, allowed, hint, path
        hint = f"; {hint}" if hint else ""
        super().__init__(f"found {short_repr(value)} ({type(value).__name__}), allowed {allowed}{hint}")

    def inside(self, step: str) -> Mismatch:
        """Return the same mismatch with `step`, the place in the container such as `[2]`, put before its path."""
        return Mismatch(self.value, self.allowed, self.hint, step + self.path)


def short_repr(value: object, width: int = 60) -> str:
    """Return the `repr` of a value, shortened to `width` characters."""
    try:
        text = repr(value[: width + 1] if isinstance(value, str | bytes | list | tuple) else value)
    except (ValueError, RecursionError):  # an int of thousands of digits; a list in itself
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= width else text[: width - 3] + "..."


def check_writable(value: object) -> object:
    """Return the value if it can be written as UTF-8. Raises Mismatch for a lone surrogate, as from a cut emoji."""
    try:
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError:
        raise Mismatch(ascii(value), "text without halves of characters (lone surrogates)") from None
    except (ValueError, RecursionError, TypeError):
        pass  # `check` has judged it already
    return value


def plain_number(text: str) -> bool:
    """Return whether a text can only mean a number; `0042`, `1E5` and `0x1F` may also be codes."""
    return _PLAIN_NUMBER.fullmatch(text) is not None


_PLAIN_NUMBER = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9_]*)(?:\.[0-9_]*(?:[eE][-+]?[0-9]+)?)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)"
)


@dataclass(frozen=True)
class NumberBounds:
    """A range of numbers. A bound that is None does not limit."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def __str__(self) -> str:
        parts = {"> ": self.gt, ">= ": self.ge, "< ": self.lt, "<= ": self.le}
        return " and ".join(f"{sign}{bound!r}" for sign, bound in parts.items() if bound is not None)

    def allow(self, value: float) -> bool:
        """Return whether `value` lies in the range; NaN lies in no range."""
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )

    def narrowed(self, other: NumberBounds) -> NumberBounds:
        """Return the range with the bounds of both ranges. If both bound the same side, the bound of `other` counts."""
        return replace(self, **{name: bound for name, bound in vars(other).items() if bound is not None})


@dataclass(frozen=True)
class ParameterType:
    """The type of a parameter, here any value that can be written as a literal; the base class of the other types."""

    @property
    def name(self) -> str:
        """The type as written in an annotation, such as `int`."""
        return "any"

    @property
    def limits(self) -> str:
        """A description of the values allowed within the type; empty if all are."""
        return ""

    @property
    def allowed(self) -> str:
        """Name and limits together, for messages."""
        return f"{self.name} {self.limits}".strip()

    def check(self, value: object) -> object:
        """Return the value, converted to this type. Raises Mismatch if it is not allowed."""
        try:
            expressions.write_literal(value)
        except expressions.NotConstant:
            allowed = "what can be written as a literal (numbers, text, None, lists, dicts, ...)"
            raise Mismatch(value, allowed) from None
        except (ValueError, RecursionError):
            raise Mismatch(value, "a value that can be written down") from None
        return value

    def read(self, text: str) -> object:
        """Return the value of a text from the command line. Raises Mismatch if it is not of this type.

        Whether the value is in range is left to `check`.
        """
        if text.strip().lower() == "none":
            return None
        try:
            return expressions.read_text(text)
        except expressions.NotConstant:
            return text

    def inner(self) -> ParameterType:
        """Return the type of the items of a list or tuple; for other types, any value."""
        return ParameterType()

    def bounded(self, bounds: NumberBounds) -> ParameterType:
        """Return the same type, with numbers limited to `bounds`. A type without numbers is returned unchanged."""
        return self


@dataclass(frozen=True)
class NoneType(ParameterType):
    """The type whose only value is None."""

    name = "None"

    def check(self, value: object) -> object:
        """Return None. Raises Mismatch for any other value, also for "None" as text."""
        if value is not None:
            raise Mismatch(value, self.allowed)
        return None

    def read(self, text: str) -> object:
        """Return None for "none" or "null" in any case."""
        if text.strip().lower() not in ("none", "null"):
            raise Mismatch(text, self.allowed)
        return None


@dataclass(frozen=True)
class BoolType(ParameterType):
    """True or False; never a number."""

    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}  # noqa: RUF012

    name = "bool"

    def check(self, value: object) -> object:
        """Return the value. Raises Mismatch for 0 and 1, which are numbers here."""
        if not isinstance(value, bool):
            raise Mismatch(value, "bool (true or false)")
        return value

    def read(self, text: str) -> object:
        """Return the value that one of `words` stands for, in any case."""
        word = self.words.get(text.strip().lower())
        if word is None:
            raise Mismatch(text, "bool (true or false)")
        return word


@dataclass(frozen=True)
class NumberType(ParameterType):
    """The parameter types "int", "float" and "number"; the last takes both."""

    type: str = "number"
    bounds: NumberBounds = field(default_factory=NumberBounds)

    @property
    def name(self) -> str:
        """The type as written in an annotation: `int`, `float` or `number`."""
        return self.type

    @property
    def limits(self) -> str:
        """The range as text, such as "> 0 and <= 1"; empty without bounds."""
        return str(self.bounds)

    def check(self, value: object) -> object:
        """Return the number as Python's int or float. A bool is no number, and a float no int."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise Mismatch(value, self.allowed)
        number: float
        try:
            # Integral and Real: numpy's numbers become Python's, which can be written as literals.
            number = value.__int__() if isinstance(value, numbers.Integral) and self.type != "float" else float(value)
        except OverflowError:
            raise Mismatch(value, f"{self.allowed} (this is too large)") from None
        if self.type == "int" and isinstance(number, float):
            raise Mismatch(value, self.allowed, f"write {int(number)}" if number.is_integer() else "")
        if not self.bounds.allow(number):
            raise Mismatch(value, self.allowed)
        return number

    def read(self, text: str) -> object:
        """Return the number in a text; "number" reads an int where it can, else a float."""
        for convert in {"int": (int,), "float": (float,)}.get(self.type, (int, float)):
            try:
                return convert(text)
            except ValueError:
                pass
        raise Mismatch(text, self.allowed)

    def bounded(self, bounds: NumberBounds) -> ParameterType:
        """Return the type with `bounds` added to its own; on the same side, `bounds` wins."""
        return replace(self, bounds=self.bounds.narrowed(bounds))


@dataclass(frozen=True)
class TextType(ParameterType):
    """A str; a path is converted to its text."""

    name = "str"

    def check(self, value: object) -> object:
        """Return the text, or the text of a path; a subclass of str becomes a str."""
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(value, str):
            raise Mismatch(value, self.allowed, "in a YAML or JSON file, put it in quotes")
        return str.__str__(value)

    def read(self, text: str) -> object:
        """Return the text as it stands, also if it looks like a number or "none"."""
        return text


@dataclass(frozen=True)
class SecretType(ParameterType):
    """A secret from an environment variable. No value can be given for it, and none is shown."""

    name = "secret"


@dataclass(frozen=True)
class LiteralType(ParameterType):
    """One of a few values: `Literal[...]`."""

    name = "choice"
    values: tuple[object, ...] = ()

    @property
    def limits(self) -> str:
        """The choices, as they are written in a cell."""
        return ", ".join(map(short_repr, self.values))

    @property
    def allowed(self) -> str:
        """The choices as a phrase for messages."""
        return ("one of " if len(self.values) > 1 else "only ") + self.limits

    def check(self, value: object) -> object:
        """Return the choice that equals the value, of the value's own type if there is one."""
        for choice in self.values:  # 1, 1.0 and True are equal, but not the same choice
            if type(choice) is type(value) and choice == value:
                return choice
        for choice in self.values:
            near = isinstance(value, int) if isinstance(choice, float) else isinstance(value, type(choice))
            if near and not isinstance(value, bool) and choice == value:
                return choice
        raise Mismatch(value, self.allowed)

    def read(self, text: str) -> object:
        """Return the choice that is this text, else the one that is written as this literal."""
        if text in self.values:
            return text
        try:
            return self.check(expressions.read_text(text))
        except (expressions.NotConstant, Mismatch):
            raise Mismatch(text, self.allowed) from None
