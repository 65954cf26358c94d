"""Removes what throw-away projects made in a workspace, also after a process that was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from notebooks_lib import errors, process_identity
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.cli.throwaway_project import ThrowawayProject
from notebooks_lib.settings import Settings


def note(settings: Settings, project: ThrowawayProject) -> Path:
    """Write down, before anything is made, that a project exists; the file is removed with what it made."""
    file = _folder(settings) / f"{project.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    owner = {"pid": os.getpid(), "born": process_identity.birth()}
    file.write_text(json.dumps({**vars(project.workspace), **owner}), "utf-8")
    return file


def left_behind(settings: Settings) -> Iterator[tuple[str, Workspace, Path]]:
    """Yield name and workspace of projects whose process was killed, with the file that says so."""
    for file in sorted(_folder(settings).glob("*.json")):
        try:
            noted = json.loads(file.read_text("utf-8"))
            place = Workspace(noted["subscription"], noted["resource_group"], noted["name"])
            if process_identity.alive(noted["pid"], noted["born"]):
                continue
        except (OSError, ValueError, KeyError, TypeError):
            file.unlink(missing_ok=True)
            continue
        yield file.stem, place, file


def remove(project: ThrowawayProject) -> list[str]:
    """Remove what a project made in its workspace, and return what is left, each with the reason.

    The files of its dataset and the records of its jobs stay: they cost next to nothing.
    """
    client, workspace, name = rest_client.resource_manager(), project.workspace, project.name
    steps: dict[str, Callable[[], object]] = {
        f"endpoint {project.endpoint}": lambda: online_endpoint.delete_endpoint(client, workspace, project.endpoint),
        f"jobs of {name}": lambda: _cancel_jobs(client, workspace, name),
        f"model {name}": lambda: _remove_model(project.settings, name),
        f"data asset {project.dataset}": lambda: data_asset.archive_asset(client, workspace, project.dataset),
        f"runs of experiment {name}": lambda: _remove_runs(project.settings, name),
    }
    left = []
    for what, remove_it in steps.items():
        try:
            remove_it()
        except Exception as error:  # noqa: BLE001 - MLflow's own, too: the other steps are to come
            left.append(f"{what}: {errors.reason(error)}")
    return left


def _cancel_jobs(client: RestClient, workspace: Workspace, experiment: str) -> None:
    for job in jobs.list_jobs(client, workspace):
        if job.experiment == experiment and not job.ended:
            jobs.cancel(client, workspace, job.name)


def _remove_model(settings: Settings, name: str) -> None:
    from notebooks_lib.models import registry
    from notebooks_lib.tracking.store import connect

    registry.delete_model(connect(settings), name)


def _remove_runs(settings: Settings, name: str) -> None:
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import connect, translate_store_errors

    store = connect(settings)
    with translate_store_errors(store):
        experiment = store.client.get_experiment_by_name(name)
        for run in query.search(store, "", [experiment.experiment_id]) if experiment else ():
            store.client.delete_run(run.info.run_id)


def _folder(settings: Settings) -> Path:
    return settings.root / ".nbops" / "azure" / "verify"
