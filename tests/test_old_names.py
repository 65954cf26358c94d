"""Scripts of version 0.1 find what has moved, under its old name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from notebooks_lib import datasets, old_names


@pytest.mark.parametrize("old", sorted(old_names.MODULES))
def test_an_old_name_of_a_module_is_the_module(old: str) -> None:
    new = importlib.import_module(f"notebooks_lib.{old_names.MODULES[old]}")
    spec = new.__spec__
    with pytest.deprecated_call(match="now; see docs/api.md"):
        sys.modules.pop(f"notebooks_lib.{old}", None)
        found = importlib.import_module(f"notebooks_lib.{old}")
    assert found is new
    assert new.__spec__ is spec


@pytest.mark.parametrize("module", sorted(old_names.MEMBERS))
def test_an_old_name_of_a_function_is_the_function(module: str) -> None:
    for old, new in old_names.MEMBERS[module].items():
        home, _, member = new.rpartition(".")
        with pytest.deprecated_call(match=f"{old} is .* now"):
            found = getattr(importlib.import_module(f"notebooks_lib.{module}"), old)
        assert found is getattr(importlib.import_module(f"notebooks_lib.{home}"), member)


def test_what_never_was_is_still_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="notebooks_lib.tracking.nothing"):
        importlib.import_module("notebooks_lib.tracking.nothing")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        importlib.import_module("notebooks_lib.promotion.model_scoring").nothing  # noqa: B018


def test_datasets_are_found_where_notebooks_of_version_0_1_look() -> None:
    from notebooks_lib.tracking import datasets as old  # type: ignore[attr-defined]

    assert old.load is datasets.load
    with pytest.deprecated_call():
        assert callable(old.mlflow_dataset)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_import_of_a_notebook_that_came_with_version_0_1_works() -> None:
    code = """
from notebooks_lib import metric_names
from notebooks_lib import tracking
from notebooks_lib.promotion import compare
from notebooks_lib.promotion.deciding.metric import gain
from notebooks_lib.promotion.gate import Gate
from notebooks_lib.records import Tag
from notebooks_lib.tracking import datasets
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import connect
"""
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["metric_names"].parse("rmse") == ("rmse", "min")
    assert names["Tag"].NOTEBOOK == "nbops.notebook"
    assert names["compare"].rank([], "rmse", "min").tables == ()
