"""What other libraries log is suppressed within the block only."""

from __future__ import annotations

import logging

import pytest

from notebooks_lib.log_levels import quiet_loggers


def test_loggers_are_quiet_within_the_block_only(caplog: pytest.LogCaptureFixture) -> None:
    noisy = logging.getLogger("another.library")
    noisy.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="unreadable"), quiet_loggers("another.library"):
        noisy.info("of no use")
        noisy.warning("of use")
        raise ValueError("unreadable")
    noisy.info("after the block")
    assert [record.message for record in caplog.records] == ["of use", "after the block"]
