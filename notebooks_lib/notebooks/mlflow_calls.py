"""Calls in a notebook that name an MLflow experiment or tracking store, or start a run. MLflow is not imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.parameter_schema import read_schema

_OURS = {"notebooks_lib.run", "notebooks_lib.tracking.run", "notebooks_lib.active_run.run"}
_EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class MLflowCall:
    """A call or assignment in a notebook that names an MLflow experiment or store, or starts a run."""

    cell: int
    """Index of the cell, from 0."""
    line: int
    """Line in the cell, from 1."""
    value: str | None
    """The name that it gives; None if it gives none, or if that is not known before the run."""
    known: bool
    """True if `value` is what the notebook will use; None then means that it gives no name."""
    function: str = "set_experiment"
    """"set_experiment", "run" (tracking.run), "start_run", "set_tracking_uri", or the environment variable set."""
    by_id: bool = False
    """The value is an experiment id, not a name."""
    certain: bool = True
    """True if the call is always run: not in a branch, function or loop."""

    @property
    def sets_store(self) -> bool:
        """True if this call sets the tracking URI."""
        return self.function in ("set_tracking_uri", _URI_VARIABLE)


def tracking_uri_calls(
    notebook: Notebook, values: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> list[MLflowCall]:
    """Return the calls that set a tracking URI, in the order of the code.

    Their arguments are computed with the parameters `values` and the environment variables `environ`.
    """
    return [call for call in find_calls(notebook, values, environ) if call.sets_store]


def find_calls(
    notebook: Notebook, values: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> list[MLflowCall]:
    """Return all calls that concern MLflow, in the order of the code; none for a notebook that is not Python.

    `values` are the parameters: the arguments of the calls are computed with them and with `environ`.
    """
    return MLflowCalls(notebook, environ).calls(values)


class MLflowCalls:
    """The MLflow calls of one notebook, found once, to be evaluated with different parameters."""

    def __init__(self, notebook: Notebook, environ: Mapping[str, str] | None = None) -> None:
        self._notebook = notebook
        self._environ = environ
        self._assigned: tuple[_Part, ...] = ()
        self._places: list[tuple[int, ast.Call | ast.Assign, frozenset[str]]] = []
        trees = [(cell.index, cell.code.tree) for cell in notebook.python_cells if cell.code.tree]
        self._imported = expressions.imported_names(tree for _, tree in trees)
        if not any(path.partition(".")[0] in ("mlflow", "os", "notebooks_lib") for path in self._imported.values()):
            return
        self._places = [
            (index, node, hidden)
            for index, tree in trees
            for node, hidden in _visit(tree, frozenset())
            if isinstance(node, ast.Call | ast.Assign)
        ]
        if environ is not None:
            # A variable that the notebook sets no longer has the value that the kernel started with.
            changed = {key for _, node, _ in self._places for key, _ in _environment(node, self._imported)}
            self._environ = {key: value for key, value in environ.items() if key not in changed}
        self._places = [place for place in self._places if any(True for _ in _named(place[1], self._imported))]
        self._certain = {id(node) for _, tree in trees for node in _always(tree.body)}
        self._assigned = _assigned(notebook)

    def calls(self, values: Mapping[str, object]) -> list[MLflowCall]:
        """Return the calls with the argument values that they have when the notebook runs with these parameters."""
        if not self._places:
            return []
        names = _constants(self._notebook, self._assigned, values, self._environ)
        calls = []
        for index, node, hidden in self._places:
            visible = {name: value for name, value in names.items() if name not in hidden} if hidden else names
            for function, expression, by_id in _named(node, self._imported):
                value, known = _value(expression, visible, self._environ)
                calls.append(MLflowCall(index, node.lineno, value, known, function, by_id, id(node) in self._certain))
        return sorted(calls, key=lambda call: (call.cell, call.line))


def _always(statements: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements outside branches, loops and functions, and the expressions of expression statements."""
    for statement in statements:
        yield statement
        if isinstance(statement, ast.Expr):
            yield statement.value
        elif isinstance(statement, ast.With):
            yield from _always(statement.body)


def _value(
    expression: ast.expr | None, names: Mapping[str, object], environ: Mapping[str, str] | None
) -> tuple[str | None, bool]:
    if expression is None:
        return None, True
    if isinstance(expression, ast.Starred):
        return None, False
    try:
        value = expressions.evaluate(expression, names, environ)
    except expressions.NotConstant:
        return None, False
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return (value, True) if value is None or isinstance(value, str) else (None, False)


def _named(node: ast.AST, imported: Mapping[str, str]) -> Iterator[tuple[str, ast.expr | None, bool]]:
    """Yield function, expression and whether it is an id, for each name that the node gives to MLflow."""
    for key, value in _environment(node, imported):
        if key in (_EXPERIMENT_VARIABLE, _URI_VARIABLE):
            yield key, value, False
    if not isinstance(node, ast.Call):
        return
    path = expressions.imported_path(node.func, imported)
    words = {word.arg: word.value for word in node.keywords}
    first = node.args[0] if node.args else None
    spread = words.get(None)  # f(**settings)
    unknown = ast.Starred(spread, ast.Load()) if spread else None
    if path in _OURS:
        named = first or words.get("experiment") or unknown
        if named is not None:
            yield "run", named, False
    elif not path.startswith("mlflow."):
        return
    elif path.endswith(".set_experiment"):
        by_id = words.get("experiment_id") or (node.args[1] if len(node.args) > 1 else None)
        if by_id is not None and not _is_none(by_id):
            yield "set_experiment", by_id, True
        else:
            yield "set_experiment", first or words.get("experiment_name") or unknown, False
    elif path.endswith(".set_tracking_uri"):
        yield "set_tracking_uri", first or words.get("uri") or unknown, False
    elif path.endswith(".start_run"):
        yield "start_run", None, False


def _environment(node: ast.AST, imported: Mapping[str, str]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the environment variables that the node sets, with their values."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if (
                    isinstance(target, ast.Subscript)
                    and expressions.imported_path(target.value, imported) == "os.environ"
                ):
                    key = target.slice
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, value
        case ast.Call(func=func, args=arguments, keywords=keywords) if (
            expressions.imported_path(func, imported) == "os.environ.update"
        ):
            for argument in arguments:
                if isinstance(argument, ast.Dict):
                    for name, value in zip(argument.keys, argument.values, strict=True):
                        if isinstance(name, ast.Constant) and isinstance(name.value, str):
                            yield name.value, value
            for word in keywords:
                if word.arg:
                    yield word.arg, word.value


@dataclass(frozen=True)
class _Part:
    """The parameters cell, or all other cells."""

    statements: tuple[ast.stmt, ...]
    bound: Mapping[str, int]


def _assigned(notebook: Notebook) -> tuple[_Part, _Part]:
    parts = []
    for parameters_cell in (True, False):
        cells = [c for c in notebook.python_cells if (c is notebook.parameters_cell) == parameters_cell]
        trees = [c.code.tree for c in cells if c.code.tree]
        parts.append(_Part(tuple(statement for tree in trees for statement in tree.body), _bindings(trees)))
    return parts[0], parts[1]


def _constants(
    notebook: Notebook,
    assigned: tuple[_Part, ...],
    values: Mapping[str, object],
    environ: Mapping[str, str] | None,
) -> dict[str, object]:
    """Return names with one certain, immutable value: assigned once, at top level, from a simple expression."""
    parameters = read_schema(notebook)
    constants: dict[str, object] = {}
    # Given values are injected after the parameters cell, which therefore computes from the defaults.
    for first, part in zip((True, False), assigned, strict=True):
        bound = part.bound
        elsewhere = {name for name in bound if name in constants}
        constants = {name: value for name, value in constants.items() if name not in elsewhere}
        for statement in part.statements:
            for name, expression in _simple(statement):
                if name in elsewhere or (bound[name] != 1 and not first):
                    continue
                try:
                    value = expressions.evaluate(expression, constants, environ)
                except expressions.NotConstant:
                    constants.pop(name, None)
                    continue
                constants[name] = value
        if first:
            twice = {name for name, count in bound.items() if count > 1 and parameters.find(name) is None}
            constants = {name: value for name, value in constants.items() if name not in twice} | dict(values)
    return {n: v for n, v in constants.items() if isinstance(v, str | int | float | Path | None)}


def _simple(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value


def _bindings(trees: Iterable[ast.Module]) -> dict[str, int]:
    """Count how often each name is bound in the notebook's namespace, in any way."""
    counts: dict[str, int] = {}
    for tree in trees:
        for node, hidden in _visit(tree, frozenset()):
            for name in _bound(node):
                if name not in hidden:
                    counts[name] = counts.get(name, 0) + 1
    return counts


def _bound(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case (
            ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name)
        ):
            return [name]
        case ast.Import(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
        case ast.AugAssign(target=ast.Name(id=name)):
            return [name]  # counted twice, with its Store, so that it is never bound only once
    return []


def _visit(node: ast.AST, hidden: frozenset[str]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Yield each node with the names local to the scopes around it. With a stack, as code may nest deeply."""
    stack = [(node, hidden)]
    while stack:
        node, hidden = stack.pop()
        yield node, hidden
        inner = hidden | _locals(node) if isinstance(node, _SCOPES) else hidden
        stack.extend((child, inner) for child in reversed(list(ast.iter_child_nodes(node))))


def _locals(scope: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    shared: set[str] = set()
    for node in ast.walk(scope):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            shared.update(node.names)
        elif node is not scope:
            names.update(_bound(node))
    return frozenset(names - shared)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
