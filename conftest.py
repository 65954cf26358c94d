"""For all of pytest here: how many workers test, and the order of a notebook's cells under nbval."""

from __future__ import annotations

import pytest

from notebooks_lib import cpu_count

MOST_WORKERS = 8
"""As many as there are templates of warm kernels."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests wait for kernels and servers a third of their time."""
    return min(cpu_count.max_workers() + 1, MOST_WORKERS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort nbval's items by notebook and cell; leave others where they are, in front."""
    items.sort(key=lambda item: (str(item.path), item.cell_num) if hasattr(item, "cell_num") else ("", 0))
