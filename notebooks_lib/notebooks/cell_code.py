"""The code of a cell, read as Python but never run: IPython lines are replaced, and assignments keep their comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from notebooks_lib import errors

# Cell magics whose body is still Python that runs in the notebook's own namespace.
PYTHON_BODIES = {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun"}

OTHER_LANGUAGE = re.compile(r"\s*%(?:md|md-sandbox|sql|scala|r|sh|fs)\b")
"""How a cell in another language begins on Databricks, with one percent sign."""
_ONLY_OTHER_LANGUAGE = re.compile(r"\s*%(?:md\b|(?:sql|scala|r|sh|fs)[ \t]*(?:\n|$))")

# One token of Python, as far as needed to find where a statement starts. Strings first: they may contain the others.
_TOKEN = re.compile(
    r"""
    (?P<string>\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<skip>\#[^\n]*|\\\n|[^\n"'\#\\()\[\]{}]+)
    |(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<newline>\n)|(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_INDENT = re.compile(r"[ \t]+(?=\S)")
_PROMPTS = re.compile(r"^(?:>>>|\.\.\.)(?: |$)")
_NUMBERED_PROMPTS = re.compile(r"^(?:In \[\d+\]: |\s*\.{3,}: ?)")
_CELL_MAGIC = re.compile(r"%%(\w+)?")
_LINE_MAGIC = re.compile(r"(?P<indent>[ \t]*)(?:[%!?]|[\w.*]+(?:\[[^\]\n]*\][\w.*]*)*\?{1,2}[\s;]*$)")
_AUTOMAGIC = re.compile(
    r"(?P<indent>[ \t]*)(?:cd|ls|ll|la|lx|pwd|mkdir|rmdir|cp|mv|rm|cat|less|more|man|clear|pip|conda|mamba|uv"
    r"|micromamba|time|timeit|prun|run|load_ext|reload_ext|env|set_env|matplotlib|pylab|who|whos|reset|history|hist|autoreload"
    r"|automagic|config|debug|pdb|store|writefile|xmode|precision|tb|bookmark|dirs|pushd|popd|alias|unalias|lsmagic|pycat)"
    r"(?:[ \t]+(?![-=,&^|*/+<>!)\].:;]\s|==|[-+*/|&^]=|(?:is|not|in|and|or|if|for|else)\b)(?P<rest>\S.*))?"
)
"""A magic without its percent sign, which IPython accepts where the line is neither assignment nor expression."""
_TIMED = re.compile(r"(?P<indent>[ \t]*)%time[ \t]+(?P<code>[^-\s].*)")
_ENV = re.compile(r"(?P<indent>[ \t]*)%(?:set_)?env[ \t]+(?P<key>\w+)(?:[ \t]*=[ \t]*|[ \t]+)(?P<value>.+)")
_ASSIGNED = re.compile(r"(?P<target>[ \t]*[^\W\d][\w\s,.]*?)\s*=\s*(?P<sign>[!%])(?P<command>.+)")
_TYPE_COMMENT = re.compile(r"type:\s*(?!ignore\b)(?P<type>[\w.]+(?:\[.*?\](?=\s|$))?)\s*(?P<help>.*)")
_IGNORED = re.compile(r"type:\s*ignore(\[[^\]]{0,99}\])?\s*")


@dataclass(frozen=True)
class CellCode:
    """A code cell as Python: its syntax tree, or the error."""

    text: str
    """Python with as many lines as the cell; IPython lines are replaced."""
    tree: ast.Module | None
    error: str = ""
    """Why the cell is not Python; empty if `tree` is there."""
    line: int = 1
    """The line of that error in the cell, from 1."""
    magics: tuple[tuple[int, str], ...] = ()
    """The IPython lines: number in the cell, from 1, and text."""


def read_code(source: str) -> CellCode:
    """Parse the source of a code cell. Never raises: for source that is not Python, `error` says why."""
    plain = _parse(source)
    if plain.tree is not None:
        return plain
    # Only a cell that is not plain Python is read line by line.
    text, magics = _to_python(source)
    if not magics and text == source:
        return plain
    parsed = _parse(text)
    if _ONLY_OTHER_LANGUAGE.match(source) or (parsed.tree is None and OTHER_LANGUAGE.match(source)):
        lines = source.split("\n")
        written = tuple((number, line) for number, line in enumerate(lines, 1) if line.strip())
        return CellCode("\n" * (len(lines) - 1), ast.Module([], []), magics=written)
    return CellCode(text, parsed.tree, parsed.error, parsed.line, magics)


def _parse(text: str) -> CellCode:
    try:
        with warnings.catch_warnings():
            # Narrow on purpose: if another thread leaves the filter behind, it hides no other warnings.
            warnings.filterwarnings("ignore", module="nbops cell")
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            tree = compile(text, "nbops cell", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        return CellCode(text, None, error.msg or "invalid syntax", error.lineno or 1)
    except (ValueError, OverflowError) as error:  # null bytes, lone surrogates, numbers too long
        return CellCode(text, None, errors.reason(error))
    except (RecursionError, MemoryError):
        return CellCode(text, None, "too deeply nested to be read")
    return CellCode(text, tree)


def _to_python(source: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    lines = source.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if match := _INDENT.match(lines[first]):  # IPython removes this indent, and no other, from each line that has it
        lines = [line.removeprefix(match[0]) for line in lines]
        source = "\n".join(lines)
    for prompts in (_PROMPTS, _NUMBERED_PROMPTS):
        if prompts.match(lines[first]):  # pasted from a session
            lines = [prompts.sub("", line, count=1) for line in lines]
            source = "\n".join(lines)
    magics: list[tuple[int, str]] = []
    while cell_magic := _CELL_MAGIC.match(lines[first]):  # `%%capture` may stand over `%%sh`
        if cell_magic[1] not in PYTHON_BODIES:
            magics += [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
            return "\n" * (len(lines) - 1), tuple(magics)
        magics.append((first + 1, lines[first]))
        lines[first] = ""
        source = "\n".join(lines)
        first = next((number for number, line in enumerate(lines) if line.strip()), first)

    out: list[str] = []
    position, number = 0, 1
    while position < len(source):
        end = source.find("\n", position)
        line = source[position : end if end >= 0 else len(source)]
        if (replacement := _replaced(line)) is not None:
            shell_lines = [line]
            while shell_lines[-1].endswith("\\") and end >= 0:  # a shell line goes on after a backslash
                start, end = end + 1, source.find("\n", end + 1)
                shell_lines.append(source[start : end if end >= 0 else len(source)])
            magics.append((number, " ".join(part.rstrip("\\").strip() for part in shell_lines)))
            out.append(replacement + "\n" * (len(shell_lines) - (end < 0)))
            position = end + 1 if end >= 0 else len(source)
            number += len(shell_lines)
            continue
        end = _statement_end(source, position)
        out.append(source[position:end])
        number += source.count("\n", position, end)
        position = end
    return "".join(out), tuple(magics)


def _replaced(line: str) -> str | None:
    """Return the Python for an IPython line, or None if the line is Python."""
    if match := _TIMED.fullmatch(line):
        return f"{match['indent']}{match['code']}"
    if match := _ENV.fullmatch(line):
        value = match["value"].strip()
        shown = "get_ipython()" if "{" in value or "$" in value else repr(value)
        return f"{match['indent']}import os; os.environ[{match['key']!r}] = {shown}"
    if match := _LINE_MAGIC.match(line) or _AUTOMAGIC.fullmatch(line):
        return f"{match['indent']}pass"
    if match := _ASSIGNED.fullmatch(line):
        method = "getoutput" if match["sign"] == "!" else "run_line_magic"
        return f"{match['target']} = get_ipython().{method}({match['command'].strip()!r})"
    return None


def is_automagic(line: str) -> bool:
    """Return whether IPython may take a line for a magic without its percent sign, such as `pwd`."""
    return _AUTOMAGIC.fullmatch(line) is not None


def _statement_end(source: str, position: int) -> int:
    """Return the end of the logical line that starts at `position`: after a newline outside strings and brackets."""
    depth = 0
    while match := _TOKEN.match(source, position):
        position = match.end()
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "newline" and depth == 0:
            break
    return position


@dataclass(frozen=True)
class Assignment:
    """One assignment of a name at the top level of a cell."""

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
    """Return the names that a statement overwrites; not those whose new value is computed from their old one."""
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
