"""A notebook that nobody owns: run() opens a run, running it again supersedes it, and the process's end ends it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

OPEN = "from notebooks_lib import tracking\nrun = tracking.run()"


def in_a_kernel(project: Settings, *cells: str) -> None:
    """Run the cells as a front end would, going on after errors, then shut the kernel down politely."""

    async def go() -> None:
        manager = AsyncKernelManager(kernel_name="python3")
        await manager.start_kernel(cwd=str(project.root), env=dict(os.environ))
        client: Any = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            for cell in cells:
                await client.execute_interactive(cell, timeout=60, output_hook=lambda message: None, allow_stdin=False)
        finally:
            await manager.shutdown_kernel()
            client.stop_channels()

    asyncio.run(go())


def runs(project: Settings) -> list[query.RunInfo]:
    return sorted(query.find_runs(store.connect(project), "sample", ended_only=False), key=lambda run: run.started_ms)


def test_the_last_state_is_recorded_when_the_kernel_exits(project: Settings) -> None:
    in_a_kernel(project, OPEN, "run.log({'a': 1})", "1 / 0", "run.log({'b': 2})")
    (run,) = runs(project)
    assert (run.status, run.tags[Tag.END], set(run.metrics)) == ("FINISHED", "FINISHED", {"a", "b"})
    assert run.tags["mlflow.source.type"] == "NOTEBOOK"


@pytest.mark.proof
def test_an_error_in_the_last_cell_is_the_last_state(project: Settings) -> None:
    in_a_kernel(project, OPEN, "run.log({'a': 1})", "1 / 0")
    (run,) = runs(project)
    assert (run.status, run.tags[Tag.END], run.tags[Tag.FAILURE]) == ("FAILED", "FAILED", "ZeroDivisionError")


def test_opening_again_supersedes_the_earlier_run(project: Settings) -> None:
    in_a_kernel(project, OPEN, "run.log({'a': 1})", OPEN, "run.log({'b': 1})\nimport mlflow\nmlflow.log_metric('c', 1)")
    first, second = runs(project)
    assert first.tags[Tag.SUPERSEDED_BY] == second.run_id
    assert set(second.metrics) == {"b", "c"}
    assert [run.run_id for run in query.find_runs(store.connect(project), "sample")] == [second.run_id]


@pytest.mark.proof
@pytest.mark.parametrize(("last", "status"), [("", "FINISHED"), ("raise ValueError('no')", "FAILED")])
def test_a_script_ends_its_run_too(last: str, status: str, project: Settings) -> None:
    subprocess.run(
        [sys.executable, "-c", f"{OPEN}\nrun.log({{'a': 1}})\n{last}"], cwd=project.root, capture_output=True
    )
    (run,) = runs(project)
    assert run.status == run.tags[Tag.END] == status


def test_the_repr_says_which_run_and_where(project: Settings) -> None:
    from notebooks_lib import tracking

    run = tracking.run(name="mine")
    assert "mine" in repr(run)
    assert run.id in repr(run)
    assert f'href="{run.url}"' in run._repr_html_()
