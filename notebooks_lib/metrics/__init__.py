"""Metrics: what they measure, their direction, and how they change when rows are left out. Pure."""

from notebooks_lib.metrics.builtin import DIRECTIONS, parse
from notebooks_lib.metrics.metric import Metric, gain

__all__ = ["DIRECTIONS", "Metric", "gain", "parse"]
