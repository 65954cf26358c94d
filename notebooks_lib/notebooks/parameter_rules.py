"""Rules about the parameters of a notebook."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from notebooks_lib.notebooks import expressions, magic_effects, type_annotations
from notebooks_lib.notebooks.document import INJECTED_TAG, PARAMETERS_TAG, Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule
from notebooks_lib.notebooks.parameter_schema import SECRET_DEFAULT, read_schema
from notebooks_lib.notebooks.parameter_types import NumberBounds

_LIKE_A_RANGE = re.compile(r"[<>]|\d\s*(\.\.|-|–|to\b|,)\s*\d")
_NAMED_IN_TEXT = re.compile(r"[@{$:]([^\W\d]\w*)")
"""A name in a query or template, such as `x > @rate`."""
_SAFE_WHEN_TRUE = re.compile(r"dry_?run|preview|read_?only|no_op|simulate|(?:.+_)?dry_?run")
_SAFE_WHEN_FALSE = re.compile(
    r"(?:do_)?(?:live|publish|deploy|promote|delete|drop|overwrite|upload|send|notify|push|write|register|commit|apply"
    r"|truncate|release|rollback|go_live|for_real)(?:_\w+)?|(?:force|really|is_live)"
)


def parameters_cell(notebook: Notebook) -> Findings:
    """Yield a fault of the parameters cell: it is missing, repeated, or not the first code cell."""
    if not notebook.is_python:
        return
    tagged = [cell for cell in notebook.code_cells if PARAMETERS_TAG in cell.tags]
    first = next((cell for cell in notebook.code_cells if cell.source.strip()), None)
    if not tagged:
        yield Finding((first.index if first else 0), "no code cell is tagged `parameters`")
    elif first is not None and tagged[0].index > first.index:
        yield Finding(tagged[0].index, f"the cell tagged `parameters` stands after code (cell {first.index})")
    for cell in tagged[1:]:
        yield Finding(cell.index, f"a second cell tagged `parameters`; the first is cell {tagged[0].index}")


def unannotated(notebook: Notebook) -> Findings:
    """Yield the parameters without an annotation."""
    if names := [parameter.name for parameter in read_schema(notebook).parameters if not parameter.annotation]:
        yield Finding(_place(notebook), f"no annotation: {', '.join(names)}")


def non_literal_defaults(notebook: Notebook) -> Findings:
    """Yield parameters whose default is not a literal."""
    for parameter in read_schema(notebook).parameters:
        if parameter.required:
            yield Finding(_place(notebook), f"parameter {parameter.name!r} has no default")
        elif parameter.computed:
            yield Finding(
                _place(notebook), f"parameter {parameter.name!r} is computed: {parameter.default_source[:60]}"
            )


def ranges(notebook: Notebook) -> Findings:
    """Yield annotations with a text that looks like a range but cannot be read, so that no range is checked."""
    for parameter in read_schema(notebook).parameters:
        for text in _remarks(parameter.annotation):
            if _LIKE_A_RANGE.search(text) and type_annotations.read_bounds(text) == NumberBounds():
                yield Finding(_place(notebook), f"parameter {parameter.name!r}: the range {text!r} is not understood")


def _remarks(annotation: str) -> list[str]:
    """Return the texts among the metadata of an Annotated."""
    try:
        tree = ast.parse(annotation, mode="eval")
    except SyntaxError:
        return []
    annotated = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_annotated(node)]
    parts = [part for node in annotated if isinstance(node.slice, ast.Tuple) for part in node.slice.elts[1:]]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _is_annotated(node: ast.Subscript) -> bool:
    return expressions.dotted(node.value).rpartition(".")[2] == "Annotated"


def defaults(notebook: Notebook) -> Findings:
    """Yield defaults that would be rejected if they were given as values."""
    parameters = read_schema(notebook)
    for parameter in parameters.parameters:
        if parameter.secret and parameter.name not in parameters.secrets:
            yield Finding(_place(notebook), f"parameter {parameter.name!r}: {SECRET_DEFAULT}")
        elif not (parameter.secret or parameter.computed or parameter.required):
            problem = parameter.problem(parameter.default)
            if problem:
                yield Finding(_place(notebook), f"default of parameter {problem}")


def unread(notebook: Notebook) -> Findings:
    """Yield parameters that no cell reads.

    A notebook that may read names in hidden ways, as by `%run`, has no such findings.
    """
    schema = read_schema(notebook)
    if not schema.parameters or magic_effects.may_define_unseen_names(notebook):
        return
    words: set[str] = set(magic_effects.unread_words(notebook))
    for cell in notebook.python_cells:
        for node in cell.nodes:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                words.add(node.id)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                words.add(node.target.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.update(_NAMED_IN_TEXT.findall(node.value))
    if words & {"globals", "locals", "vars"}:
        return
    for parameter in schema.parameters:
        if parameter.name not in words:
            yield Finding(_place(notebook), f"no cell reads parameter {parameter.name!r}")


def reassigned(notebook: Notebook) -> Findings:
    """Yield assignments to a parameter outside the parameters cell, also by a loop, an import or a definition.

    Assignments in branches are allowed: `if path is None: path = newest()` only sets a value that was not given.
    """
    names = {parameter.name for parameter in read_schema(notebook).parameters}
    for cell in notebook.python_cells if names else ():
        if not {PARAMETERS_TAG, INJECTED_TAG}.intersection(cell.tags):
            for name, line in _bound(cell.code.tree.body if cell.code.tree else ()):
                if name in names:
                    yield Finding(cell.index, f"parameter {name!r} is assigned again", line, name)


def _bound(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, int]]:
    """Yield the names that statements bind in any case, with their lines."""
    for statement in statements:
        targets: list[ast.expr] = []
        match statement:
            case ast.Assign(targets=targets):
                pass
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
                targets = [target]
            case ast.For(target=target, body=body) | ast.AsyncFor(target=target, body=body):
                targets = [target]
                yield from _bound(body)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                targets = [item.optional_vars for item in items if item.optional_vars]
                yield from _bound(body)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from ((alias.asname or alias.name.partition(".")[0], statement.lineno) for alias in aliases)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, statement.lineno
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, node.lineno


def risky_defaults(notebook: Notebook) -> Findings:
    """Yield switches of a notebook in `production/`, such as `dry_run`, whose default lets it change something."""
    if not notebook.is_production:
        return
    for parameter in read_schema(notebook).parameters:
        name, default = parameter.name.lower(), parameter.default
        if not isinstance(default, bool):
            continue
        harmless = bool(_SAFE_WHEN_TRUE.fullmatch(name))
        if harmless != default and (harmless or _SAFE_WHEN_FALSE.fullmatch(name)):
            yield Finding(_place(notebook), f"parameter {parameter.name!r} is {default} by default")


def _place(notebook: Notebook) -> int:
    cell = notebook.parameters_cell
    return cell.index if cell else 0


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB005",
        "not exactly one parameters cell, first of the code",
        "Given values are injected after that cell; what stands before it does not see them.",
        "Tag the first code cell, and only that one, `parameters`.",
        parameters_cell,
        bad="""\
# %%
alpha: float = 1.0
""",
        good="""\
# %% parameters
alpha: float = 1.0
# %%
print(alpha)
""",
        convention=True,
    ),
    NotebookRule(
        "NB006",
        "a parameter without annotation",
        "The annotation is the schema: it catches a wrong value before a kernel starts.",
        'Write it as `alpha: float = 1.0`, `model: Literal["a", "b"] = "a"` or the like.',
        unannotated,
        bad="""\
# %% parameters
alpha = 1.0
# %%
print(alpha)
""",
        good="""\
# %% parameters
alpha: float = 1.0
# %%
print(alpha)
""",
        convention=True,
    ),
    NotebookRule(
        "NB007",
        "a parameter that is no literal",
        "Only a literal can be shown, checked and compared without running the notebook.",
        "Give a literal default, and compute from it in a later cell.",
        non_literal_defaults,
        bad="""\
# %% parameters
alpha: float = 10 ** -3
# %%
print(alpha)
""",
        good="""\
# %% parameters
alpha: float = 0.001
# %%
print(alpha)
""",
        convention=True,
    ),
    NotebookRule(
        "NB008",
        "a default that its own annotation refuses",
        "The same value would be refused if it were given.",
        "Change the default or the annotation.",
        defaults,
        bad="""\
# %% parameters
alpha: int = "many"
# %%
print(alpha)
""",
        good="""\
# %% parameters
alpha: int = 3
# %%
print(alpha)
""",
    ),
    NotebookRule(
        "NB020",
        "a range that is not understood",
        "It looks as if values were checked, and they are not.",
        'Write ">0, <=1", "0..1", "[0, 1]" or (0, 1); docs/parameters.md lists all spellings.',
        ranges,
        bad="""\
# %% parameters
from typing import Annotated
share: Annotated[float, "0 to one, > 0?"] = 0.5
# %%
print(share)
""",
        good="""\
# %% parameters
from typing import Annotated
share: Annotated[float, ">0, <=1"] = 0.5
# %%
print(share)
""",
    ),
    NotebookRule(
        "NB022",
        "a parameter that no cell reads",
        "It can be given and is recorded, but a sweep over it compares the same run with itself.",
        "Use it, or take it out.",
        unread,
        bad="""\
# %% parameters
rate: float = 0.1
seed: int = 7
# %%
print(rate)
""",
        good="""\
# %% parameters
rate: float = 0.1
# %%
print(rate)
""",
    ),
    NotebookRule(
        "NB023",
        "in `production/`, a switch that changes something outside by default",
        "Running all cells of the notebook changes production.",
        "Let the default be harmless, as in `dry_run: bool = True`.",
        risky_defaults,
        bad="""\
# %%% production/release.ipynb
# %% parameters
dry_run: bool = False
# %%
print(dry_run)
""",
        good="""\
# %%% production/release.ipynb
# %% parameters
dry_run: bool = True
# %%
print(dry_run)
""",
        convention=True,
    ),
    NotebookRule(
        "NB031",
        "a parameter that is assigned again",
        "The given value is lost, while the run records it.",
        "Give the second value, or the variable of the loop, a name of its own.",
        reassigned,
        bad="""\
# %% parameters
alpha: float = 1.0
# %%
for alpha in (0.1, 1.0):
    print(alpha)
""",
        good="""\
# %% parameters
alpha: float = 1.0
# %%
for factor in (0.1, 1.0):
    print(factor * alpha)
""",
    ),
)
