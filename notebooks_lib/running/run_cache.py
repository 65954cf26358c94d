"""Earlier runs that make a new one unnecessary: FINISHED, of the same source fingerprint, with unchanged data.

The source fingerprint covers code, parameters, environment and the project's modules. It does not cover the data, which
are known only after a run. So each dataset that an earlier run used must still be the one that the notebook would get:
the newest version of that name, or a version that code or parameters name (`sales@3`). Of one that is not on this
machine, the workspace says which content it has. Data that a notebook reads by
itself, from a file or an address, are not known; such a run counts although they may have changed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from notebooks_lib.datasets import version_lookup
from notebooks_lib.datasets.dataset_store import DatasetStore
from notebooks_lib.datasets.run_datasets import parse_tag
from notebooks_lib.errors import DatasetError
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owned_run import RunStart
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, translate_store_errors


class RunCache:
    """The FINISHED runs of one notebook's code, in one experiment or in the whole store. The store is searched once."""

    def __init__(self, store: Store, notebook: Notebook, experiment_id: str | None = None) -> None:
        self._settings = store.settings
        self._notebook = notebook
        self._runs: dict[str, list[RunInfo]] = {}
        condition = f"tags.`{Tag.CODE_SHA256}` = '{notebook.code_sha256}' AND tags.`{Tag.END}` = 'FINISHED'"
        with translate_store_errors(store):
            runs = query.search(store, condition, None if experiment_id is None else [experiment_id])
        for run in map(query.run_info, runs):
            if run.ended and not run.superseded:
                self._runs.setdefault(run.tags.get(Tag.SOURCE_FINGERPRINT, ""), []).append(run)

    def find(self, source_fingerprint: str, parameters: Mapping[str, object], folder: PurePosixPath) -> RunInfo | None:
        """Return the newest run with this fingerprint and the same data, of a notebook in this folder; or None.

        `folder` is the path from the project's root.
        """
        text = version_mentions(self._notebook, parameters)
        runs = self._runs.get(source_fingerprint, ()) if source_fingerprint else ()
        here = (run for run in runs if ran_in(run, folder))
        return next((run for run in here if has_same_data(run, text, self._settings)), None)


def ran_in(run: RunInfo, folder: PurePosixPath) -> bool:
    """Return whether a run is of a notebook in this folder: a copy elsewhere has other files beside it."""
    notebook = run.tags.get(Tag.NOTEBOOK)
    return notebook is None or PurePosixPath(notebook).parent == folder


def version_mentions(notebook: Notebook, parameters: Mapping[str, object]) -> str:
    """Return code and parameters as one text, to search for names of dataset versions such as sales@3."""
    code = "\n".join(cell.source for cell in notebook.code_cells)
    return f"{code}\n{list(parameters.values())!r}"


def has_same_data(run: RunInfo, text: str, settings: Settings) -> bool:
    """Return True if a new run would read the same dataset versions as `run` did.

    An older version counts only if `text`, the new run's code and parameters, names it as NAME@VERSION.
    """
    return all(_is_current(value, text, settings) for value in run.datasets.values())


def _is_current(tag: str, text: str, settings: Settings) -> bool:
    try:
        name, version, fingerprint = parse_tag(tag)
        store = version_lookup.project_store(settings)
        versions = store.versions(name)
        if not versions and version_lookup.source_of(name, settings) is not None:
            return True  # of scikit-learn, which has one version
        if version not in versions[-1:] and not re.search(rf"(?<![\w-]){re.escape(name)}@{version}(?!\w)", text):
            return False
        if version in versions:
            return store.metadata(name, version).fingerprint == fingerprint
        workspace = version_lookup.workspace_store(settings)
        return workspace is None or _fingerprint(workspace, name, version) == fingerprint  # type: ignore[arg-type]
    except DatasetError:
        return False


@functools.cache  # a version never changes, and a sweep looks for many runs
def _fingerprint(workspace: DatasetStore, name: str, version: int) -> str:
    return workspace.metadata(name, version).fingerprint


def find_earlier_run(store: Store, notebook: Notebook, start: RunStart) -> RunInfo | None:
    """Return an earlier run of the same experiment, code, parameters and data as `start`; None if there is none."""
    with translate_store_errors(store):
        experiment_id = start.experiment_id
        if experiment_id is None:
            experiment = store.client.get_experiment_by_name(start.experiment)
            if experiment is None:
                return None
            experiment_id = experiment.experiment_id
    folder = PurePosixPath(start.notebook).parent
    return RunCache(store, notebook, experiment_id).find(start.source_fingerprint, start.parameters, folder)
