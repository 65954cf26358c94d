"""The assignments of the parameters cell: names, expressions, annotations and comments, without their meaning."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from notebooks_lib.notebooks.magics import CellCode

_TYPE_COMMENT = re.compile(r"type:\s*(?!ignore\b)(?P<type>[\w.]+(?:\[.*?\](?=\s|$))?)\s*(?P<help>.*)")
_IGNORED = re.compile(r"type:\s*ignore(\[[^\]]{0,99}\])?\s*")


@dataclass(frozen=True)
class Assignment:
    """One name at the top level of a cell."""

    name: str
    annotation: ast.expr | None
    """Also from a type comment, `x = 1  # type: int`, which papermill reads."""
    value: ast.expr | None
    """The assigned expression; None if the name gets only a part of it, or nothing."""
    source: str
    """The text of the expression; empty if there is none."""
    comment: str


def read_assignments(code: CellCode) -> Iterator[Assignment]:
    """Yield the assignments of a cell in order; `a = b = 1` and `a, b = 1, 2` are two each."""
    comments = _comments(code.text)
    lines = code.text.encode().split(b"\n")  # once: `ast.get_source_segment` would split all the text each time
    for statement in code.tree.body if code.tree else ():
        end = statement.end_lineno or statement.lineno
        hint, comment = _split(comments.get(end) or comments.get(statement.lineno) or "")
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                yield Assignment(name, annotation, value, _source(lines, value), comment)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name, part, shown in _pairs(target, value):
                        yield Assignment(name, hint, part, _source(lines, shown), comment)
            case ast.AugAssign(target=ast.Name(id=name)):
                yield Assignment(name, None, None, _source(lines, statement), comment)


def unconditional_statements(code: CellCode) -> Iterator[ast.stmt]:
    """Yield the statements of a cell outside branches, loops and functions."""
    pending = list(code.tree.body) if code.tree else []
    while pending:
        statement = pending.pop(0)
        yield statement
        if isinstance(statement, ast.With):
            pending = [*statement.body, *pending]


def replaced_names(statement: ast.stmt) -> set[str]:
    """Return the names to which a statement gives a value that is not computed from their own."""
    targets: list[ast.expr] = []
    match statement:
        case ast.Assign():
            targets = statement.targets
        case ast.AnnAssign(value=ast.expr()) | ast.For():
            targets = [statement.target]
        case ast.With():
            targets = [item.optional_vars for item in statement.items if item.optional_vars is not None]
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
    if isinstance(statement, ast.For):
        source: ast.AST = statement.iter
    elif isinstance(statement, ast.With):
        source = ast.Tuple([item.context_expr for item in statement.items], ast.Load())
    else:
        source = getattr(statement, "value", statement)
    used = {node.id for node in ast.walk(source) if isinstance(node, ast.Name)}
    names = (node for target in targets for node in ast.walk(target))
    return {node.id for node in names if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} - used


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None, ast.expr]]:
    """Yield name, assigned expression, and expression to show; the parts of `a, b = f()` are not known."""
    if isinstance(target, ast.Name):
        yield target.id, value, value
    elif isinstance(target, ast.Tuple | ast.List):
        starred = any(isinstance(item, ast.Starred) for item in [*target.elts, *getattr(value, "elts", ())])
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts) and not starred:
            for item, part in zip(target.elts, value.elts, strict=True):
                yield from _pairs(item, part)
        else:
            names = (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
            yield from ((name, None, value) for name in names)


def _source(lines: Sequence[bytes], node: ast.expr | ast.stmt | None) -> str:
    if node is None or node.end_lineno is None:
        return ""
    part = list(lines[node.lineno - 1 : node.end_lineno])
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    return b"\n".join(part).decode()


def _comments(text: str) -> dict[int, str]:
    """Return the comments by line, without `#`. Tokens are read, because a string may contain `#`."""
    comments: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("#").strip()
    except (tokenize.TokenError, SyntaxError):
        pass  # what came before the fault still counts
    return comments


def _split(comment: str) -> tuple[ast.expr | None, str]:
    """Split a comment into its type, as a quoted annotation, and the help."""
    comment = _IGNORED.sub("", comment)
    match = _TYPE_COMMENT.fullmatch(comment)
    hint = ast.Constant(match["type"]) if match else None
    return hint, (match["help"] if match else comment).lstrip("#").strip()
