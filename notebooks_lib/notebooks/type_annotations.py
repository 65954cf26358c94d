"""Annotations, read from their syntax tree as parameter types; an unknown one accepts any value. Nothing is imported.

Understood, also in quotes and with any module before the name (`typing.`, `t.`):

    int float bool str list dict tuple set frozenset, list[int], dict[str, float], tuple[int, ...], tuple[int, str]
    Optional[X]   X | None   Union[X, Y]   Literal["a", "b"]   SecretStr   Final[X]
    Annotated[float, ...] with Gt/Ge/Lt/Le/Interval (annotated_types), Field(gt=, ge=, lt=, le=) (pydantic),
        ">0, <=1" or ">0 and <=1" (comparisons), "1..10" (both ends included, either may be missing), (1, 10) or
        "[1, 10]" (both included), "(0, 1]" (as mathematics writes it), range(1, 10) (end excluded)
    PositiveInt and its seven siblings (pydantic)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.container_types import CollectionType, MappingType, UnionType
from notebooks_lib.notebooks.parameter_types import (
    BoolType,
    LiteralType,
    NoneType,
    NumberBounds,
    NumberType,
    ParameterType,
    SecretType,
    TextType,
)

_ITEMS = {
    **dict.fromkeys(("list", "List", "Sequence", "MutableSequence", "Collection", "Iterable"), "list"),
    **dict.fromkeys(("set", "Set", "AbstractSet", "MutableSet"), "set"),
    **dict.fromkeys(("frozenset", "FrozenSet"), "frozenset"),
}
_TABLES = {"dict", "Dict", "Mapping", "MutableMapping"}
_TUPLES = {"tuple", "Tuple"}
_SIGNED = {
    "Positive": NumberBounds(gt=0),
    "Negative": NumberBounds(lt=0),
    "NonPositive": NumberBounds(le=0),
    "NonNegative": NumberBounds(ge=0),
}
_PLAIN: dict[str, ParameterType] = {
    "int": NumberType("int"),
    "float": NumberType("float"),
    "bool": BoolType(),
    "str": TextType(),
    "None": NoneType(),
    "NoneType": NoneType(),
    "SecretStr": SecretType(),
    **{f"{sign}Int": NumberType("int", bounds) for sign, bounds in _SIGNED.items()},
    **{f"{sign}Float": NumberType("float", bounds) for sign, bounds in _SIGNED.items()},
    **{name: CollectionType(collection) for name, collection in _ITEMS.items()},
    **dict.fromkeys(_TUPLES, CollectionType("tuple")),
    **dict.fromkeys(_TABLES, MappingType()),
}
_INTERVAL = re.compile(r"\s*([\[(])\s*([^,;\s]*)\s*[,;]\s*([^,;\s]*)\s*([\])])\s*")
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")
_SIDES = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}


def read_annotation(node: ast.expr | None) -> ParameterType:
    """Return the type that an annotation stands for; for an unknown annotation, any value. Raises no error."""
    try:
        return ParameterType() if node is None else _kind(node)
    except RecursionError:
        return ParameterType()


def type_of_default(value: object) -> ParameterType:
    """Infer the type of a parameter without annotation from its default.

    A default that is an int or a float allows both. A default such as None, which shows no type, allows any value.
    """
    match value:
        case bool():
            return BoolType()
        case int() | float():
            return NumberType()
        case str():
            return TextType()
        case list():
            return CollectionType("list")
        case tuple():
            return CollectionType("tuple")
        case set():
            return CollectionType("set")
        case dict():
            return MappingType()
    return ParameterType()


def make_optional(kind: ParameterType) -> ParameterType:
    """Return the union of the type and None."""
    return _either([kind, NoneType()])


def _kind(node: ast.expr) -> ParameterType:
    match node:
        case ast.Constant(value=None):
            return NoneType()
        case ast.Constant(value=str() as text):
            return _quoted(text)
        case ast.Name() | ast.Attribute():
            return _PLAIN.get(_last(node), ParameterType())
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([_kind(left), _kind(right)])
        case ast.Subscript(value=value, slice=inner):
            return _subscripted(_last(value), inner.elts if isinstance(inner, ast.Tuple) else [inner])
    return ParameterType()


def _quoted(text: str) -> ParameterType:
    try:
        return _kind(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError):
        return ParameterType()


def _subscripted(name: str, arguments: Sequence[ast.expr]) -> ParameterType:
    if name == "Literal":
        plain = all(isinstance(argument, ast.Constant | ast.UnaryOp) for argument in arguments)
        try:
            return (
                LiteralType(tuple(map(expressions.read_literal, arguments))) if plain and arguments else ParameterType()
            )
        except expressions.NotConstant:  # a member of an enum
            return ParameterType()
    if not arguments:
        return _PLAIN.get(name, ParameterType())
    if name == "Annotated":
        bounds = NumberBounds()
        for argument in arguments[1:]:
            bounds = bounds.narrowed(_bounds(argument))
        return _kind(arguments[0]).bounded(bounds)
    if name == "Optional":
        return _either([_kind(arguments[0]), NoneType()])
    if name == "Union":
        return _either([_kind(argument) for argument in arguments])
    if name in ("Final", "ClassVar", "Required"):
        return _kind(arguments[0])
    if name in _ITEMS:
        return CollectionType(_ITEMS[name], (_kind(arguments[0]),))
    if name in _TUPLES:
        if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is Ellipsis:
            return CollectionType("tuple", (_kind(arguments[0]),))
        return CollectionType("tuple", tuple(_kind(argument) for argument in arguments), fixed=True)
    if name in _TABLES and len(arguments) == 2:
        return MappingType(_kind(arguments[0]), _kind(arguments[1]))
    return _PLAIN.get(name, ParameterType())


def _either(options: Sequence[ParameterType]) -> ParameterType:
    flat: list[ParameterType] = []
    for option in options:
        flat.extend(option.options if isinstance(option, UnionType) else [option])
    if any(type(option) is ParameterType for option in flat):
        return ParameterType()  # an unknown member may accept anything
    if any(isinstance(option, SecretType) for option in flat):
        return SecretType()
    return UnionType(tuple(dict.fromkeys(flat))) if len(set(flat)) > 1 else flat[0]


def _bounds(node: ast.expr) -> NumberBounds:
    """Return the bounds in one item of an Annotated's metadata; no bounds if it states none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return read_bounds(node.value)
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        return NumberBounds(ge=_number(node.elts[0]), le=_number(node.elts[1]))
    if not isinstance(node, ast.Call):
        return NumberBounds()
    name = _last(node.func)
    numbers = [_number(argument) for argument in node.args]
    if name == "range" and 1 <= len(numbers) <= 2:
        return NumberBounds(ge=0 if len(numbers) == 1 else numbers[0], lt=numbers[-1])
    if name in ("Gt", "Ge", "Lt", "Le") and len(numbers) == 1:
        return NumberBounds(**{name.lower(): numbers[0]})
    if name in ("Gt", "Ge", "Lt", "Le", "Interval", "Field"):
        sides = {word.arg: _number(word.value) for word in node.keywords if word.arg}
        return NumberBounds(**{side: sides[side] for side in ("gt", "ge", "lt", "le") if side in sides})
    return NumberBounds()


def read_bounds(text: str) -> NumberBounds:
    """Return the bounds that a text such as ">0, <=1" states; no bounds if it states none."""
    try:
        interval = _INTERVAL.fullmatch(text)
        if interval:
            sides = {"ge" if interval[1] == "[" else "gt": _read(interval[2])}
            sides["le" if interval[4] == "]" else "lt"] = _read(interval[3])
            return NumberBounds(**sides)
        low, dots, high = text.partition("..")
        if dots:
            return NumberBounds(ge=_read(low), le=_read(high))
        sides = {}
        for part in re.split(r",|\band\b", text):
            comparison = _BOUND.fullmatch(part)
            if comparison is None:
                return NumberBounds()  # a text about something else
            sides[_SIDES[comparison[1]]] = _read(comparison[2])
        return NumberBounds(**sides)
    except ValueError:
        return NumberBounds()


def _read(text: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _number(node: ast.expr) -> float | None:
    try:
        value = expressions.read_literal(node)
    except expressions.NotConstant:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _last(node: ast.expr) -> str:
    return expressions.dotted(node).rpartition(".")[2]
