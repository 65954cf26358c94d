"""Reads an annotation's syntax tree into a Kind; what it does not know accepts anything, and it never imports a type.

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
from notebooks_lib.notebooks.container_types import Either, Items, Table
from notebooks_lib.notebooks.parameter_types import Boolean, Bounds, Choice, Kind, Nothing, Number, Secret, Text

_ITEMS = {
    **dict.fromkeys(("list", "List", "Sequence", "MutableSequence", "Collection", "Iterable"), "list"),
    **dict.fromkeys(("set", "Set", "AbstractSet", "MutableSet"), "set"),
    **dict.fromkeys(("frozenset", "FrozenSet"), "frozenset"),
}
_TABLES = {"dict", "Dict", "Mapping", "MutableMapping"}
_TUPLES = {"tuple", "Tuple"}
_SIGNED = {"Positive": Bounds(gt=0), "Negative": Bounds(lt=0), "NonPositive": Bounds(le=0), "NonNegative": Bounds(ge=0)}
_PLAIN: dict[str, Kind] = {
    "int": Number("int"),
    "float": Number("float"),
    "bool": Boolean(),
    "str": Text(),
    "None": Nothing(),
    "NoneType": Nothing(),
    "SecretStr": Secret(),
    **{f"{sign}Int": Number("int", bounds) for sign, bounds in _SIGNED.items()},
    **{f"{sign}Float": Number("float", bounds) for sign, bounds in _SIGNED.items()},
    **{name: Items(kind) for name, kind in _ITEMS.items()},
    **dict.fromkeys(_TUPLES, Items("tuple")),
    **dict.fromkeys(_TABLES, Table()),
}
_INTERVAL = re.compile(r"\s*([\[(])\s*([^,;\s]*)\s*[,;]\s*([^,;\s]*)\s*([\])])\s*")
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")
_SIDES = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}


def kind(node: ast.expr | None) -> Kind:
    """The kind that an annotation stands for. Never raises."""
    try:
        return Kind() if node is None else _kind(node)
    except RecursionError:
        return Kind()


def of_default(value: object) -> Kind:
    """The kind of a parameter without annotation: the type of its default; any number where that is a number."""
    match value:
        case bool():
            return Boolean()
        case int() | float():
            return Number()
        case str():
            return Text()
        case list():
            return Items("list")
        case tuple():
            return Items("tuple")
        case set():
            return Items("set")
        case dict():
            return Table()
    return Kind()


def optional(kind: Kind) -> Kind:
    """The same kind, or None."""
    return _either([kind, Nothing()])


def _kind(node: ast.expr) -> Kind:
    match node:
        case ast.Constant(value=None):
            return Nothing()
        case ast.Constant(value=str() as text):
            return _quoted(text)
        case ast.Name() | ast.Attribute():
            return _PLAIN.get(_last(node), Kind())
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([_kind(left), _kind(right)])
        case ast.Subscript(value=value, slice=inner):
            return _subscripted(_last(value), inner.elts if isinstance(inner, ast.Tuple) else [inner])
    return Kind()


def _quoted(text: str) -> Kind:
    try:
        return _kind(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError):
        return Kind()


def _subscripted(name: str, arguments: Sequence[ast.expr]) -> Kind:
    if name == "Literal":
        plain = all(isinstance(argument, ast.Constant | ast.UnaryOp) for argument in arguments)
        try:
            return Choice(tuple(map(expressions.literal, arguments))) if plain and arguments else Kind()
        except expressions.NotConstant:  # a member of an enum
            return Kind()
    if not arguments:
        return _PLAIN.get(name, Kind())
    if name == "Annotated":
        bounds = Bounds()
        for argument in arguments[1:]:
            bounds = bounds.narrowed(_bounds(argument))
        return _kind(arguments[0]).bounded(bounds)
    if name == "Optional":
        return _either([_kind(arguments[0]), Nothing()])
    if name == "Union":
        return _either([_kind(argument) for argument in arguments])
    if name in ("Final", "ClassVar", "Required"):
        return _kind(arguments[0])
    if name in _ITEMS:
        return Items(_ITEMS[name], (_kind(arguments[0]),))
    if name in _TUPLES:
        if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is Ellipsis:
            return Items("tuple", (_kind(arguments[0]),))
        return Items("tuple", tuple(_kind(argument) for argument in arguments), fixed=True)
    if name in _TABLES and len(arguments) == 2:
        return Table(_kind(arguments[0]), _kind(arguments[1]))
    return _PLAIN.get(name, Kind())


def _either(options: Sequence[Kind]) -> Kind:
    flat: list[Kind] = []
    for option in options:
        flat.extend(option.options if isinstance(option, Either) else [option])
    if any(type(option) is Kind for option in flat):
        return Kind()  # one unknown member may accept anything
    if any(isinstance(option, Secret) for option in flat):
        return Secret()
    return Either(tuple(dict.fromkeys(flat))) if len(set(flat)) > 1 else flat[0]


def _bounds(node: ast.expr) -> Bounds:
    """The bounds in one piece of an Annotated's metadata; none if it is about something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return text_bounds(node.value)
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        return Bounds(ge=_number(node.elts[0]), le=_number(node.elts[1]))
    if not isinstance(node, ast.Call):
        return Bounds()
    name = _last(node.func)
    numbers = [_number(argument) for argument in node.args]
    if name == "range" and 1 <= len(numbers) <= 2:
        return Bounds(ge=0 if len(numbers) == 1 else numbers[0], lt=numbers[-1])
    if name in ("Gt", "Ge", "Lt", "Le") and len(numbers) == 1:
        return Bounds(**{name.lower(): numbers[0]})
    if name in ("Gt", "Ge", "Lt", "Le", "Interval", "Field"):
        sides = {word.arg: _number(word.value) for word in node.keywords if word.arg}
        return Bounds(**{side: sides[side] for side in ("gt", "ge", "lt", "le") if side in sides})
    return Bounds()


def text_bounds(text: str) -> Bounds:
    """The bounds that a remark states; none if it is about something else."""
    try:
        interval = _INTERVAL.fullmatch(text)
        if interval:
            sides = {"ge" if interval[1] == "[" else "gt": _read(interval[2])}
            sides["le" if interval[4] == "]" else "lt"] = _read(interval[3])
            return Bounds(**sides)
        low, dots, high = text.partition("..")
        if dots:
            return Bounds(ge=_read(low), le=_read(high))
        sides = {}
        for part in re.split(r",|\band\b", text):
            comparison = _BOUND.fullmatch(part)
            if comparison is None:
                return Bounds()  # some other remark
            sides[_SIDES[comparison[1]]] = _read(comparison[2])
        return Bounds(**sides)
    except ValueError:
        return Bounds()


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
        value = expressions.literal(node)
    except expressions.NotConstant:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _last(node: ast.expr) -> str:
    return expressions.dotted(node).rpartition(".")[2]
