"""The fixtures of promotion's tests: a release begins with a decision."""

from tests.promotion.conftest import endpoints, gate, houses, trials  # noqa: F401
from tests.serving.conftest import light  # noqa: F401
