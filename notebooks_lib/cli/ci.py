"""`nbops ci`: run the steps of a pull request here, as the workflow does."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import ci_plan, output
from notebooks_lib.cli.ci_plan import PlannedStep
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.project_root import find_root
from notebooks_lib.review import base_checkout

GRACE = 30.0
"""Seconds that a step has to end when it is interrupted."""


@click.command()
@click.argument("base", default="", metavar="[BASE]")
def command(base: str) -> int:
    """Run the steps of a pull request here: check, test, notebooks and review, as the workflow does.

    BASE is a revision that the review compares with. Default: the default branch.

    A step is a target of the project's Makefile. Without a Makefile, `nbops check .`, `pytest` and `nbops review` are
    run, so this works in any git repository with notebooks. A step that has nothing to run is listed as left out. All
    steps are run, even after one has failed.

    Exit code: 0 all passed; 1 a step failed; 2 usage error, and nothing was run;
    130 interrupted.
    """
    root, no_base = _find(base)
    steps = ci_plan.plan_steps(root, base, no_base=no_base)
    rows = [_run(step, root) for step in steps]
    click.echo("")
    output.table(("step", "command", "time", "verdict"), rows)
    failed = [str(row[0]) for row in rows if str(row[3]).startswith("FAILED")]
    passed = sum(row[3] == "passed" for row in rows)
    counts = f"{passed} passed, {len(failed)} failed, {len(rows) - passed - len(failed)} left out"
    click.echo(f"nbops ci: {counts}{': ' + ', '.join(failed) if failed else ''}")
    return int(bool(failed))


def _find(base: str) -> tuple[Path, str]:
    """Return the folder whose steps are run, and why nothing can be compared with, if so.

    Raises UsageError for a base that is not there or shares no history.
    """
    try:
        repository = GitRepository.find(Path.cwd())
    except errors.UsageError as error:
        if base:
            raise
        return find_root(Path.cwd()), f"{error}"
    root = find_root(Path.cwd(), fallback=repository.root)
    try:
        repository.merge_base(base or repository.default_branch(), "HEAD")
    except errors.UsageError as error:
        if base:
            raise
        return root, f"{error}"
    return root, ""


def _run(step: PlannedStep, root: Path) -> tuple[str, str, str, str]:
    """Run a step, unless it is left out; return its row of the table."""
    if step.left_out:
        return step.name, "", "", f"left out: {safe_text.printable(step.left_out)}"
    words = shlex.join(step.command)
    click.secho(f"\n{step.name}: {words}", bold=True)
    start = time.monotonic()
    code = _call(step.arguments, root)
    verdict = "passed" if code == 0 else f"FAILED (signal {-code})" if code < 0 else f"FAILED (exit code {code})"
    return step.name, words, f"{time.monotonic() - start:.1f} s", verdict


def _call(arguments: list[str], root: Path) -> int:
    """Run a step to its end; return its exit code. Interrupted, all its processes get one signal and time to end."""
    with (
        base_checkout.interrupted_by_signals(),
        subprocess.Popen(arguments, cwd=root, start_new_session=True) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGINT)
                process.wait(GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
