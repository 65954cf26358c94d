"""Runs with models, as promotion's tests make them: a review scores the same."""

from tests.promotion.conftest import houses, trials  # noqa: F401
