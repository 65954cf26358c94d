"""The fixtures of promotion's tests: a release begins with a decision; and other machines, which change stages too."""

from collections.abc import Callable, Iterator

import pytest

from tests.promotion.conftest import endpoints, gate, houses, trials  # noqa: F401
from tests.release import machines
from tests.serving.conftest import light  # noqa: F401


@pytest.fixture(scope="session")
def all_machines() -> Iterator[machines.Machines]:
    """The server that starts machines."""
    with machines.running() as running:
        yield running


@pytest.fixture
def start(all_machines: machines.Machines) -> Iterator[Callable[..., machines.Machine]]:
    """Starts processes on other machines for one test."""
    yield all_machines.start
    all_machines.close()
