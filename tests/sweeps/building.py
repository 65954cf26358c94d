"""Schemas and domains for tests of sweeps; nothing here starts a kernel."""

from __future__ import annotations

import ast

from notebooks_lib.notebooks import type_annotations
from notebooks_lib.notebooks.parameter_schema import Parameter, Schema
from notebooks_lib.notebooks.parameter_types import ParameterType
from notebooks_lib.sweeps import search_space
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace


def kind(annotation: str) -> ParameterType:
    """Return the type of an annotation; "" is none at all."""
    return type_annotations.read_annotation(ast.parse(annotation, mode="eval").body) if annotation else ParameterType()


def schema(**annotations: str) -> Schema:
    """Return a schema of these annotations; a secret is read from TOKEN."""
    return Schema(
        tuple(
            Parameter(name, text, default="TOKEN" if text == "SecretStr" else None, kind=kind(text))
            for name, text in annotations.items()
        ),
        "built.ipynb",
    )


WIDE = schema(
    alpha="Annotated[float, '>0']",
    beta="float",
    gamma="float",
    delta="Annotated[float, '(0, 1)']",
    seed="int",
    depth="Annotated[int, '1..20']",
    width="Literal[16, 32, 64]",
    model="Literal['ridge', 'lasso']",
    name="str",
    note="str | None",
    layers="list[int]",
    shape="tuple[int, int]",
    fast="bool",
    rate="float | None",
    either="int | str",
    token="SecretStr",
    free="",
)


def grid(*texts: str) -> ParameterGrid:
    swept = search_space.read_search_space(WIDE, grid=texts).swept
    assert isinstance(swept, ParameterGrid)
    return swept


def spread(*texts: str) -> ParameterSpace:
    swept = search_space.read_search_space(WIDE, space=texts).swept
    assert isinstance(swept, ParameterSpace)
    return swept
