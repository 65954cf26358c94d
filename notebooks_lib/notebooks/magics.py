"""IPython syntax in cells, replaced line by line with Python that `ast` can read. Nothing is run."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from notebooks_lib import errors

# Cell magics whose body is still Python that runs in the notebook's own namespace.
_PYTHON_BODIES = {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun"}

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
    r"|automagic|config|debug|pdb|store|writefile|xmode|precision|tb|bookmark|dirs|pushd|popd|alias|unalias|lsmagic)"
    r"(?:[ \t]+(?![-=,&^|*/+<>!)\].:;]\s|==|[-+*/|&^]=|(?:is|not|in|and|or|if|for|else)\b)(?P<rest>\S.*))?"
)
"""A magic without its percent sign, which IPython accepts where the line is neither assignment nor expression."""
_TIMED = re.compile(r"(?P<indent>[ \t]*)%time[ \t]+(?P<code>[^-\s].*)")
_ENV = re.compile(r"(?P<indent>[ \t]*)%(?:set_)?env[ \t]+(?P<key>\w+)(?:[ \t]*=[ \t]*|[ \t]+)(?P<value>.+)")
_ASSIGNED = re.compile(r"(?P<target>[ \t]*[^\W\d][\w\s,.]*?)\s*=\s*(?P<sign>[!%])(?P<command>.+)")


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
    """Read the source of a code cell. Never raises: where it cannot be read, `error` says why."""
    plain = _parse(source)
    if plain.tree is not None:
        return plain
    # Only a cell that is not plain Python is read line by line.
    text, magics = _to_python(source)
    if not magics and text == source:
        return plain
    parsed = _parse(text)
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
        if cell_magic[1] not in _PYTHON_BODIES:
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
            whole = [line]
            while whole[-1].endswith("\\") and end >= 0:  # a shell line goes on after a backslash
                start, end = end + 1, source.find("\n", end + 1)
                whole.append(source[start : end if end >= 0 else len(source)])
            magics.append((number, " ".join(part.rstrip("\\").strip() for part in whole)))
            out.append(replacement + "\n" * (len(whole) - (end < 0)))
            position = end + 1 if end >= 0 else len(source)
            number += len(whole)
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
