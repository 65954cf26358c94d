"""What a change does to the parameters of a notebook: added, removed, renamed, another default or annotation. Pure."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator

from notebooks_lib.notebooks.document import Notebook, NotebookCell
from notebooks_lib.notebooks.notebook_diff import NotebookDiff
from notebooks_lib.notebooks.parameter_schema import Parameter, Schema, describe, read_schema
from notebooks_lib.review.notebook_review import ParameterChange

_TOKEN = re.compile(r"\w+|[^\w\s]")


def find_parameter_changes(diff: NotebookDiff) -> tuple[ParameterChange, ...]:
    """Return the parameters that changed, in the order of the new parameters cell; removed ones come last.

    Empty for a new or deleted notebook, and when the parameters cell of either version cannot be read.
    """
    if not (diff.base.cells and diff.head.cells and _readable(diff.base) and _readable(diff.head)):
        return ()
    base, head = read_schema(diff.base), read_schema(diff.head)
    old_names = _renamed(diff, base, head)
    changes: list[ParameterChange] = []
    for parameter in head.parameters:
        old_name = old_names.get(parameter.name, parameter.name)
        old = base.find(old_name)
        if old is None:
            changes.append(ParameterChange("added", parameter.name, "", _shown(head, parameter)))
            continue
        if old_name != parameter.name:
            changes.append(ParameterChange("renamed", parameter.name, old_name, parameter.name))
        changes += _changes_of(parameter.name, (base, old), (head, parameter))
    gone = [old for old in base.parameters if head.find(old.name) is None and old.name not in old_names.values()]
    return (*changes, *(ParameterChange("removed", old.name, _shown(base, old), "") for old in gone))


def _readable(notebook: Notebook) -> bool:
    cell = notebook.parameters_cell
    return notebook.is_python and (cell is None or cell.code.tree is not None)


def _changes_of(name: str, base: tuple[Schema, Parameter], head: tuple[Schema, Parameter]) -> Iterator[ParameterChange]:
    (_, old), (_, new) = base, head
    if _default(old) != _default(new):
        yield ParameterChange("default", name, _shown(*base), _shown(*head))
    if old.annotation != new.annotation:
        yield ParameterChange("annotation", name, old.annotation or "none", new.annotation or "none")


def _default(parameter: Parameter) -> tuple[object, ...]:
    """Return what makes two defaults the same: the value, however it is written, or the source of a computed one."""
    value = parameter.default_source if parameter.computed else repr(parameter.default)
    return parameter.required, parameter.computed, value


def _shown(schema: Schema, parameter: Parameter) -> str:
    """Return the default as written; of a secret only the variable that holds it."""
    if parameter.secret or parameter.required:
        return next(row.default for row in describe(schema) if row.name == parameter.name)
    return " ".join(parameter.default_source.split())


def _renamed(diff: NotebookDiff, base: Schema, head: Schema) -> dict[str, str]:
    """Return new name -> old name: at the same place in the cell, and with uses that changed alike.

    Of several at that place it is the one that stands where the old one stood; of equal ones, one with the same default
    and annotation, else the nearest.
    """
    gone, come = _places(base, head), _places(head, base)
    before, after = (_surroundings(notebook, {*gone, *come}) for notebook in (diff.base, diff.head))
    renamed: dict[str, str] = {}
    for old, place in gone.items():

        def unlike(new: str, old: str = old, place: tuple[int, int] = place) -> tuple[int, bool, int]:
            return -(before[old] & after[new]).total(), not _same_type(diff, old, new), abs(come[new][1] - place[1])

        candidates = [new for new, other in come.items() if other[0] == place[0] and new not in renamed]
        new = next((new for new in sorted(candidates, key=unlike) if _uses_changed_alike(diff, old, new)), None)
        if new is not None:
            renamed[new] = old
    return renamed


def _surroundings(notebook: Notebook, names: Collection[str]) -> dict[str, Counter[tuple[str, ...]]]:
    """Return for each name what stands before and after its uses; the names themselves are left out of that."""
    surroundings: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in names}
    for cell in notebook.python_cells:
        if cell == notebook.parameters_cell:
            continue
        tokens = ["", "", *_TOKEN.findall(cell.source), ""]
        others = ["" if token in names else token for token in tokens]
        for place, token in enumerate(tokens):
            if token in names:
                surroundings[token].update([("before", *others[place - 2 : place]), ("after", others[place + 1])])
    return surroundings


def _places(schema: Schema, other: Schema) -> dict[str, tuple[int, int]]:
    """Return for each name that only `schema` has: how many names of both stand before it, and its place after them."""
    places: dict[str, tuple[int, int]] = {}
    both = since = 0
    for parameter in schema.parameters:
        if other.find(parameter.name):
            both, since = both + 1, 0
        else:
            places[parameter.name] = both, since
            since += 1
    return places


def _uses_changed_alike(diff: NotebookDiff, old: str, new: str) -> bool:
    """Return whether a cell that used the old name uses the new one instead; without uses, type and default decide."""
    pairs = [
        (_names(change.base), _names(change.head))
        for change in diff.cells
        if change.base and change.head and change.head != diff.head.parameters_cell
    ]
    if any(new in before for before, _ in pairs):
        return False  # it was the name of something else
    used = [after for before, after in pairs if old in before]
    if used:
        return any(new in after and old not in after for after in used)
    return not any(new in after for _, after in pairs) and _same_type(diff, old, new)


def _same_type(diff: NotebookDiff, old: str, new: str) -> bool:
    before, after = read_schema(diff.base).find(old), read_schema(diff.head).find(new)
    return bool(before and after and before.annotation == after.annotation and _default(before) == _default(after))


def _names(cell: NotebookCell) -> set[str]:
    return {node.id for node in cell.nodes if isinstance(node, ast.Name)}
