"""A stop request is noted once, however often it is sent at a time; who insists gets KeyboardInterrupt."""

from __future__ import annotations

import signal
import time

import pytest

from notebooks_lib.running.interruption import BURST, PATIENCE, catch_signals


def test_a_burst_of_signals_is_one_request() -> None:
    """Linux sends one for each thread of a killed parent."""
    with catch_signals() as stop_reason:
        assert stop_reason() is None
        for _ in range(PATIENCE + 4):
            signal.raise_signal(signal.SIGTERM)
        assert stop_reason() == "interrupt"


def test_who_insists_is_let_out() -> None:
    with catch_signals():
        for _ in range(PATIENCE):
            signal.raise_signal(signal.SIGINT)
            time.sleep(BURST)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
