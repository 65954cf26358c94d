"""`nbops doctor`: show the settings in force, and check everything that a run needs, with advice for each fault."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, pinned_versions, safe_text
from notebooks_lib.errors import AzureError, SettingsError, TrackingError
from notebooks_lib.health_check import HealthCheck
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.release.journal import Journal
    from notebooks_lib.settings import Settings

LEAST_DISK_GB = 1.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(as_json: bool) -> int:
    """Show the settings in force, check what a run needs, and end runs whose owner is gone.

    Exit code 1 when there is a problem.
    """
    from notebooks_lib import settings
    from notebooks_lib.cli import output
    from notebooks_lib.release import journal

    project = settings.here()
    if as_json:
        findings = list(examine(project))
        unfinished = [journal.describe(change) for change in _unfinished(project)]
        content = {
            "settings": in_force(project),
            "findings": [vars(finding) for finding in findings],
            "unfinished": unfinished,
        }
        click.echo(json.dumps(content))
        return int(not all(finding.ok for finding in findings))
    output.table(("setting", "value"), [(name, value or "(default)") for name, value in in_force(project).items()])
    click.echo()
    wrong = 0
    for finding in examine(project):
        mark = click.style("ok   ", fg="green") if finding.ok else click.style("FAULT", fg="red")
        click.echo(f"{mark}  {finding.what}: {finding.detail}")
        if not finding.ok:
            wrong += 1
            click.echo(f"       -> {finding.advice}")
    for change in _unfinished(project):
        click.echo(f"{click.style('note ', fg='yellow')}  unfinished: {journal.describe(change)}")
        click.echo("       -> unless it is still running: the next nbops promote --live or nbops rollback mends it")
    click.echo("all well" if not wrong else output.counted(wrong, "fault"))
    return int(wrong > 0)


def _unfinished(settings: Settings) -> list[Journal]:
    """Return the changes that have not ended, as far as the store answers: `examine` says if it does not."""
    from notebooks_lib.release import change_storage

    try:
        return change_storage.unfinished_changes(settings)
    except (TrackingError, AzureError):
        return []


def examine(settings: Settings) -> Iterator[HealthCheck]:
    """Check Python, packages, disk, kernel, Azure, tracking store and runs left open, one after the other."""
    yield _python()
    yield _packages(settings)
    yield _disk(settings)
    yield _kernel(settings)
    workspace, tracks_there = _workspace(settings)
    checks: list[HealthCheck] = []
    if workspace is not None:
        from notebooks_lib.azure.checks import workspace_checks

        checks = list(workspace_checks.examine(workspace))
        yield from checks
    signed_in = not checks or checks[0].ok
    if signed_in and any(settings.stages.of(stage).target == "azureml" for stage in STAGES):
        from notebooks_lib.azure.checks import stage_checks

        yield from stage_checks.examine(settings, workspace)
    well = all(check.ok for check in checks)
    if tracks_there and not well:
        return  # MLflow would only fail in more words
    if workspace is not None and well:
        from notebooks_lib.azure.checks import project_checks

        yield from project_checks.examine(workspace, settings.root, os.environ)
    tracking = _tracking(settings)
    yield tracking
    if tracking.ok:
        yield _left_open(settings)


def _python() -> HealthCheck:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return HealthCheck("python", sys.version_info >= (3, 11), f"{version} at {sys.prefix}", "use Python 3.11 or newer")


def _packages(settings: Settings) -> HealthCheck:
    """Compare the packages that this project pins with those installed."""
    pins = _pins(settings)
    wrong = []
    for name, version in pins.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != version:
            wrong.append(f"{name} {installed} instead of {version}")
    return HealthCheck("packages", not wrong, "; ".join(wrong) or f"{len(pins)} pins hold", "make setup")


def _pins(settings: Settings) -> dict[str, str]:
    try:
        project = tomllib.loads((settings.root / "pyproject.toml").read_text())
        return pinned_versions.parse_pins(project["project"]["dependencies"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):  # another project: the pins of nbops itself
        return pinned_versions.pins()


def _disk(settings: Settings) -> HealthCheck:
    folder = settings.layout.state if settings.layout.state.is_dir() else settings.root
    free = shutil.disk_usage(folder).free / 2**30
    return HealthCheck(
        "disk", free >= LEAST_DISK_GB, f"{free:.1f} GB free under {folder}", "make room: runs keep their artifacts here"
    )


def _kernel(settings: Settings) -> HealthCheck:
    """Run one cell in a `python3` kernel, as a run does."""
    from nbformat.v4 import new_code_cell, new_notebook

    from notebooks_lib.running.engine import Execution, execute
    from notebooks_lib.running.executed_notebook_writer import ExecutedNotebook

    notebook = new_notebook(cells=[new_code_cell("assert True")])
    advice = f"{sys.executable} -m ipykernel install --sys-prefix"
    with tempfile.TemporaryDirectory() as scratch:
        execution = Execution(ExecutedNotebook(Path(scratch) / "kernel.ipynb"), {}, settings.root / "kernel.ipynb")
        try:
            execute(notebook, {}, execution, "python3")
        except Exception as error:  # noqa: BLE001  # whatever a broken kernel raises
            return HealthCheck("kernel", False, f"python3: {error}", advice)
    failed = execution.start_failure or (execution.died and "it died") or (execution.error and str(execution.error))
    kind = "warm" if execution.warm else "cold"
    return HealthCheck("kernel", not failed, f"python3 {failed or f'runs a cell in a {kind} kernel'}", advice)


def _workspace(settings: Settings) -> tuple[Workspace | None, bool]:
    """Return the Azure ML workspace that the project names, if any, and whether it tracks there."""
    from notebooks_lib.azure.client import workspace
    from notebooks_lib.tracking import store

    try:
        uri = store.uri_of_variables(settings.root) or settings.tracking.uri
    except SettingsError:
        uri = ""  # `_tracking` reports it
    if uri.startswith("azureml:") and "://" in uri:
        return workspace.of_tracking_uri(uri), True
    named = workspace.project_workspace(settings)
    return named, named is not None and uri.startswith("azureml")


def _tracking(settings: Settings) -> HealthCheck:
    from notebooks_lib.tracking import query, store

    try:
        connected = store.connect(settings)
        count = len(query.experiments(connected))
        models = "with" if connected.has_logged_models else "without"
    except Exception as error:  # noqa: BLE001  # a server, a database, a sign-in or a network: shown as it is
        return HealthCheck("tracking", False, safe_text.masked(_cause(error)), _tracking_advice(settings, error))
    return HealthCheck("tracking", True, f"{connected.shown}: {count} experiments, {models} MLflow 3's logged models")


def _cause(error: Exception) -> str:
    return error.cause if isinstance(error, errors.AzureError) else str(error)


def _tracking_advice(settings: Settings, error: Exception) -> str:
    """Return what to do about a store that does not answer: about its database file, or about the way to it."""
    from notebooks_lib.tracking import sqlite, store

    if isinstance(error, errors.AzureError):
        return error.step
    if isinstance(error, SettingsError) or not sqlite.is_sqlite(store.tracking_uri(settings)):
        return "check [tracking] uri in production/settings.toml, the network and your sign-in"
    if fault := errors.machine_fault(error):  # "what is wrong: what to do"
        return fault.rpartition(": ")[2]
    return f"make {settings.layout.state} a writable folder, or set [tracking] uri to another place"


def _left_open(settings: Settings) -> HealthCheck:
    from notebooks_lib.tracking import orphan_runs, store

    closed = orphan_runs.close_left_behind(store.connect(settings))
    detail = f"closed as KILLED, their owners are gone: {', '.join(closed)}" if closed else "none"
    return HealthCheck("runs left open", True, detail)


def in_force(settings: Settings) -> dict[str, str]:
    """Return all settings as section.key -> value, and the paths of the project and its settings file."""
    flat = {"root": str(settings.root), "settings file": _or_none(settings.layout.settings_file)}
    sections = settings.model_dump(exclude={"root": True, "promotion": {"models"}})
    sections |= {f"stages.{name}": sections["stages"].pop(name) for name in STAGES}
    for section, values in sections.items():
        flat |= {f"{section}.{key}": str(value) for key, value in values.items()}
    for name, overrides in settings.promotion.models.items():
        overridden = overrides.model_dump(exclude_unset=True)
        flat |= {f"promotion.models.{name}.{key}": str(value) for key, value in overridden.items()}
    return {key: safe_text.masked(value) for key, value in flat.items()}


def _or_none(file: Path) -> str:
    return str(file) if file.is_file() else f"none ({file} would be read)"
