"""Levels of the loggers of other libraries, for as long as what they say is of no use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loggers(*loggers: str, level: int = logging.WARNING) -> Iterator[None]:
    """Suppress log messages of other libraries below `level`, within the block."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, old in before.items():
            logging.getLogger(name).setLevel(old)
