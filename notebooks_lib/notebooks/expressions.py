"""Read Python expressions without running them: literals (also written), constant expressions, imported names.

Nothing is evaluated: an expression outside a short list of forms is NotConstant.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping

Names = Mapping[str, object]

_ENVIRON = {"os.environ.get", "os.getenv", "environ.get", "getenv"}
_CONVERSIONS: dict[int, Callable[[object], str]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}
_SAFE_FORMAT = re.compile(r"[^0-9]*(0?[0-9]{0,3})?[^0-9]*([0-9]{0,2})?[^0-9]*")


class NotConstant(Exception):
    """The value of an expression cannot be known without running it."""


def read_literal(node: ast.AST) -> object:
    """Return the value of a literal, as `ast.literal_eval` does, or of `float("inf")`.

    Raises NotConstant for any other expression.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            number = read_literal(operand)
            if isinstance(number, int | float | complex) and not isinstance(number, bool):
                return -number if isinstance(node.op, ast.USub) else +number
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=ast.Constant(value=complex() as right)):
            real = read_literal(left)
            if isinstance(real, int | float) and not isinstance(real, bool):
                return real + right if isinstance(node.op, ast.Add) else real - right
        case ast.List(elts=items):
            return [read_literal(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(read_literal(item) for item in items)
        case ast.Set(elts=items):
            return _hashed(lambda: {read_literal(item) for item in items})
        case ast.Dict(keys=keys, values=values):
            plain_keys = [key for key in keys if key is not None]
            if len(plain_keys) == len(keys):
                pairs = zip(plain_keys, values, strict=True)
                return _hashed(lambda: {read_literal(key): read_literal(value) for key, value in pairs})
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as text)], keywords=[]):
            try:
                return float(text)
            except ValueError:
                pass
        case ast.Call(func=ast.Name(id="set"), args=[], keywords=[]):
            return set()
    raise NotConstant


def read_text(text: str) -> object:
    """Return the value of a text that is a Python or JSON literal. Raises NotConstant for any other text."""
    try:
        return read_literal(ast.parse(text.strip(), mode="eval").body)
    except (NotConstant, SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NotConstant from None


def write_literal(value: object) -> str:
    """Return the value as Python source that `read_literal` reads back; sets are written in sorted order.

    Raises NotConstant for a value that cannot be written as a literal.
    """
    if value is None or isinstance(value, bool):
        return repr(value)
    for plain in (int, complex, str, bytes):
        if isinstance(value, plain):
            return plain.__repr__(value)  # not repr(): a subclass (np.float64, IntEnum) shows itself otherwise
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if math.isfinite(value) else f'float("{text}")'
    if isinstance(value, list):
        return "[" + ", ".join(map(write_literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(write_literal, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(write_literal, value))) + "}" if value else "set()"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{write_literal(key)}: {write_literal(item)}" for key, item in value.items()) + "}"
    raise NotConstant


def evaluate(node: ast.AST, names: Names, environ: Mapping[str, str] | None = None) -> object:
    """Return the value of a simple constant expression. Raises NotConstant for any other expression.

    Understood are literals, `names` with their values, f-strings, `+`, `or`, `x if y else z`, `str()`, and, if
    `environ` is given, `os.environ` and `os.getenv`.
    """
    try:
        return _evaluate(node, names, environ)
    except RecursionError:
        raise NotConstant from None


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a name or a chain of attributes; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _evaluate(node: ast.AST, names: Names, environ: Mapping[str, str] | None) -> object:
    match node:
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _evaluate(left, names, environ), _evaluate(right, names, environ)
            if isinstance(first, str) and isinstance(second, str):
                return first + second
            if isinstance(first, int | float) and isinstance(second, int | float):
                return first + second
        case ast.JoinedStr(values=parts):
            return "".join(str(_evaluate(part, names, environ)) for part in parts)
        case ast.FormattedValue(value=value, conversion=conversion, format_spec=spec):
            content = _evaluate(value, names, environ)
            form = "" if spec is None else str(_evaluate(spec, names, environ))
            if isinstance(content, str | int | float | None) and _SAFE_FORMAT.fullmatch(form):
                convert = _CONVERSIONS.get(conversion)
                try:
                    return format(convert(content) if convert else content, form)
                except (ValueError, TypeError, OverflowError):
                    pass
        case ast.BoolOp(op=operator, values=values):
            result = None
            for value in values:
                result = _evaluate(value, names, environ)
                if bool(result) == isinstance(operator, ast.Or):
                    break
            return result
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _evaluate(body if _evaluate(test, names, environ) else orelse, names, environ)
        case ast.Call(func=ast.Name(id="str"), args=[argument], keywords=[]):
            content = _evaluate(argument, names, environ)
            if isinstance(content, str | int | float | None):
                return str(content)
        case ast.Call(func=func, args=[key, *rest], keywords=[]) if dotted(func) in _ENVIRON and len(rest) < 2:
            variable = _evaluate(key, names, environ)
            if environ is not None and isinstance(variable, str):
                if variable in environ:
                    return environ[variable]
                return _evaluate(rest[0], names, environ) if rest else None
        case ast.Subscript(value=value, slice=key) if dotted(value) in ("os.environ", "environ"):
            variable = _evaluate(key, names, environ)
            if environ is not None and isinstance(variable, str) and variable in environ:
                return environ[variable]
    return read_literal(node)


def _hashed(make: Callable[[], object]) -> object:
    try:
        return make()
    except TypeError:  # a list or dict as a key
        raise NotConstant from None


def imported_names(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Map each imported name to its full path: `mf` -> "mlflow", `set_experiment` -> "mlflow.set_experiment"."""
    imported: dict[str, str] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    imported[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return imported


def imported_path(node: ast.AST, imported: Mapping[str, str]) -> str:
    """Return the full dotted path of a name or attribute; empty if the name was not imported."""
    first, dot, rest = dotted(node).partition(".")
    return imported[first] + dot + rest if first in imported else ""
