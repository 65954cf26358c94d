"""Keeps the cells of a notebook together and in order under nbval; pytest-randomly shuffles all else."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort nbval's items by notebook and cell; leave others where they are, in front."""
    items.sort(key=lambda item: (str(item.path), item.cell_num) if hasattr(item, "cell_num") else ("", 0))
