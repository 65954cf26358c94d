"""The parameters of a notebook: read from the tagged cell with `ast`; given values are checked against them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from notebooks_lib import errors
from notebooks_lib.notebooks import cell_code, expressions, parameter_types, type_annotations
from notebooks_lib.notebooks.cell_code import Assignment
from notebooks_lib.notebooks.document import INJECTED_TAG, Notebook
from notebooks_lib.notebooks.parameter_types import ParameterType
from notebooks_lib.old_names import forwarding

_KEPT = "_schema"
"""Where a notebook keeps its schema, as it does its cached properties: many rules ask for it."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Parameter:
    """A parameter: one name that the parameters cell assigns."""

    name: str
    annotation: str = ""
    """As written, without quotes; empty if there is none."""
    default: object = None
    """The literal; None when `computed` or `required`. For a secret, the environment variable that holds it."""
    default_source: str = ""
    """The default as written."""
    computed: bool = False
    """True if the default is not a literal, and so known only when the notebook runs."""
    required: bool = False
    """True if the parameter has an annotation only, and no default."""
    help: str = ""
    """The trailing comment."""
    kind: ParameterType = field(default_factory=ParameterType)
    """The allowed values."""

    @property
    def secret(self) -> bool:
        """True if the value comes from an environment variable and is never shown."""
        return isinstance(self.kind, parameter_types.SecretType)

    def problem(self, value: object) -> str:
        """Return why `value` is not allowed, in one line that names the parameter; empty if it is allowed."""
        try:
            self.kind.check(value)
        except parameter_types.Mismatch as mismatch:
            return f"{self.name}{mismatch.path}: {mismatch}"
        return ""


@dataclass(frozen=True)
class Schema:
    """The parameters of a notebook. If there is no readable parameters cell, `problem` gives the reason."""

    parameters: tuple[Parameter, ...] = ()
    notebook: str = ""
    problem: str = ""

    def find(self, name: str) -> Parameter | None:
        """Return the parameter of that name, or None."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def without_required(self, names: Collection[str]) -> Schema:
        """Return the schema with none of these parameters required: their values come from elsewhere."""
        relaxed = (replace(each, required=each.required and each.name not in names) for each in self.parameters)
        return replace(self, parameters=tuple(relaxed))

    @property
    def defaults(self) -> dict[str, object]:
        """The defaults that are literals; computed defaults and secrets are left out."""
        literal = (item for item in self.parameters if not (item.computed or item.required or item.secret))
        return {parameter.name: parameter.default for parameter in literal}

    @property
    def secrets(self) -> dict[str, str]:
        """The name of each secret parameter -> the environment variable that holds its value."""
        secrets = (parameter for parameter in self.parameters if parameter.secret and _names_variable(parameter))
        return {parameter.name: str(parameter.default) for parameter in secrets}

    def check(
        self, overrides: Mapping[str, object], *, notebook: str = "", environ: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return the `overrides`, each converted to its parameter's type. Raises ParameterError with all problems.

        If `environ` is given, it must hold the secrets. `notebook` is the name in the message.
        """
        values, problems = self.examine(overrides)
        problems += missing_secrets(self, environ) if environ is not None else []
        if problems:
            raise errors.ParameterError(notebook or self.notebook or "notebook", problems)
        return values

    def examine(
        self, overrides: Mapping[str, object], *, refused: Collection[str] = ()
    ) -> tuple[dict[str, object], list[str]]:
        """Return the values that are valid, and a line for each problem.

        `refused` are names whose text could not be read; they do not count as missing.
        """
        values: dict[str, object] = {}
        problems: list[str] = []
        if self.problem and overrides:
            return {}, [f"{', '.join(map(str, overrides))}: {self.problem}"]
        names = [parameter.name for parameter in self.parameters]
        for name, value in overrides.items():
            parameter = self.find(name)
            if parameter is None:
                problems.append(errors.unknown("parameter", str(name), names))
            elif parameter.secret:
                problems.append(
                    f"{name}: found a value (not shown), allowed none: it is a secret; "
                    f"set the environment variable {self.secrets.get(name, '(its default names none)')} instead"
                )
            else:
                try:
                    values[name] = parameter_types.check_writable(parameter.kind.check(value))
                except parameter_types.Mismatch as mismatch:
                    problems.append(f"{name}{mismatch.path}: {mismatch}")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in (*overrides, *refused):
                problems.append(
                    f"{parameter.name}: found no value, allowed {parameter.kind.allowed}; it has no default"
                )
        return values, problems


def read_schema(notebook: Notebook) -> Schema:
    """Return the parameters that the cell tagged `parameters` assigns at its top level. Raises no error."""
    schema: Schema | None = vars(notebook).get(_KEPT)
    if schema is None:
        schema = vars(notebook)[_KEPT] = _read_schema(notebook)
    return schema


def _read_schema(notebook: Notebook) -> Schema:
    name = str(notebook.path)
    cell = notebook.parameters_cell
    if not notebook.is_python:
        return Schema((), name, f"parameters are read from Python notebooks only, this one is {notebook.language}")
    if cell is None:
        return Schema((), name, "the notebook has no cell tagged `parameters`; tag the code cell that assigns them")
    tree = cell.code.tree
    if tree is None:
        reason = f"cell {cell.index}, tagged `parameters`, is not Python: line {cell.code.line}: {cell.code.error}"
        return Schema((), name, reason)
    # Of several assignments to one name the last one counts, as in Python.
    by_name = {assignment.name: _parameter(assignment) for assignment in cell_code.read_assignments(cell.code)}
    return Schema(tuple(by_name.values()), name)


def missing_secrets(schema: Schema, environ: Mapping[str, str]) -> list[str]:
    """Return a line for each secret whose environment variable is not in `environ`, or that names no variable."""
    lines = []
    for parameter in schema.parameters:
        if parameter.secret and not _names_variable(parameter):
            lines.append(f"{parameter.name}: {SECRET_DEFAULT}")
        elif parameter.secret and not environ.get(str(parameter.default)):
            lines.append(f"{parameter.name}: found nothing in the environment variable {parameter.default}; set it")
    return lines


def read_injected(notebook: Notebook) -> dict[str, object]:
    """Return the values in the cell that an earlier run injected. They take precedence over the parameters cell."""
    start = notebook.parameters_cell.index if notebook.parameters_cell else -1
    injected: dict[str, object] = {}
    for cell in notebook.python_cells:
        if cell.index > start and INJECTED_TAG in cell.tags:
            for assignment in cell_code.read_assignments(cell.code):
                try:
                    value = assignment.value
                    injected[assignment.name] = None if value is None else expressions.read_literal(value)
                except expressions.NotConstant:
                    continue
    return injected


def find_reassigned(notebook: Notebook, overridden: Collection[str]) -> list[str]:
    """Return a message for each of the `overridden` parameters that a later cell always overwrites.

    Allowed are values computed from the old one (`path = Path(path)`), and assignments in branches, loops or functions.
    """
    start = notebook.parameters_cell.index if notebook.parameters_cell else -1
    return [
        f"{name}: cell {cell.index} assigns it again ({ast.unparse(statement).splitlines()[0][:60]}), so the given "
        "value would not be used there: take that line out, or leave the parameter out"
        for cell in notebook.python_cells
        if cell.index > start and INJECTED_TAG not in cell.tags
        for statement in cell_code.unconditional_statements(cell.code)
        for name in cell_code.replaced_names(statement)
        if name in overridden
    ]


class ParameterRow(NamedTuple):
    """A parameter as `--help-notebook` shows it; all fields are texts for display."""

    name: str
    type: str
    default: str
    allowed: str
    """Choices or range; empty if every value of the type is allowed."""
    help: str


def describe(schema: Schema) -> tuple[ParameterRow, ...]:
    """Return a row for each parameter of the schema, for display; if there are none, `schema.problem` says why."""
    return tuple(
        ParameterRow(parameter.name, _type(parameter), _default(parameter), parameter.kind.limits, parameter.help)
        for parameter in schema.parameters
    )


SECRET_DEFAULT = "the default of a secret must be the name of an environment variable, in quotes"


def _names_variable(parameter: Parameter) -> bool:
    return isinstance(parameter.default, str) and _VARIABLE.fullmatch(parameter.default) is not None


def _parameter(assignment: Assignment) -> Parameter:
    name, annotation, value = assignment.name, assignment.annotation, assignment.value
    kind = type_annotations.read_annotation(annotation)
    written = ast.unparse(annotation) if annotation is not None else ""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        written = annotation.value
    parameter = Parameter(name, written, default_source=assignment.source, help=assignment.comment, kind=kind)
    if value is None and not assignment.source:
        return replace(parameter, required=True)
    match value:
        case ast.Call(func=func, args=[argument], keywords=[]) if expressions.dotted(func).endswith("SecretStr"):
            value = argument if parameter.secret else value  # SecretStr("VARIABLE") means the same as "VARIABLE"
    try:
        default = expressions.read_literal(value) if value is not None else None
    except (expressions.NotConstant, RecursionError):
        value = default = None
    if value is None:
        return replace(parameter, computed=True)
    if annotation is None:
        kind = type_annotations.type_of_default(default)
    elif default is None and not parameter.secret:
        kind = type_annotations.make_optional(kind)  # `x: int = None` means `int | None`
    return replace(parameter, default=default, kind=kind)


def _type(parameter: Parameter) -> str:
    kind = parameter.kind
    if type(kind) is ParameterType:
        return parameter.annotation or "any"
    return kind.name


def _default(parameter: Parameter) -> str:
    computed, written = parameter.computed, parameter.default_source
    # A default over several lines may hold comments; the value is shown without them.
    source = (
        expressions.write_literal(parameter.default) if "\n" in written and not computed else " ".join(written.split())
    )
    source = source if len(source) <= 60 else source[:57] + "..."
    if parameter.secret:
        # A default that names no variable may be the secret itself.
        return f"from environment variable {parameter.default}" if _names_variable(parameter) else "(names no variable)"
    if parameter.required:
        return "(must be given)"
    return f"{source} (computed)" if computed else source


__getattr__ = forwarding(__name__)
