"""The parent run of a sweep: one process at a time holds it."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import parent_run


@pytest.mark.tracking
def test_only_one_process_holds_a_sweep(project: Settings) -> None:
    with (
        parent_run.held(project, "abc"),
        pytest.raises(errors.UsageError, match="sweep abc is running in another process"),
        parent_run.held(project, "abc"),
    ):
        pass
    with parent_run.held(project, "abc"), parent_run.held(project, "other"):
        pass
