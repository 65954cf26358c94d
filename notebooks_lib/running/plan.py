"""The plan of a run, made before its kernel starts: parameters, secrets, experiment, source and git state.

A run that cannot be planned raises UsageError, and nothing has been started.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.notebooks import (
    document,
    mlflow_calls,
    parameter_schema,
    project_modules,
    source_fingerprint,
    table_reads,
    warm_kernel_conflicts,
)
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import mlflow_run_redirect, provenance
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.owned_run import RunStart

LONGEST_STEM = 200
FOLDERS = ("experimentation", "production")
"""Folders of a project's own notebooks."""


@dataclass(frozen=True)
class Plan:
    """The checked plan of one run of one notebook."""

    notebook: Notebook
    settings: Settings
    overrides: Mapping[str, object]
    """The parameter values that replace the notebook's own; they are injected."""
    secrets: Mapping[str, str] = field(repr=False)
    """Parameter name -> environment variable that holds its value."""
    start: RunStart | None
    """What the tracked run starts with; None when the run is not tracked."""
    cold_because: str = ""
    """Why the notebook needs an ordinary kernel; empty when a warm one will do."""

    @property
    def secret_values(self) -> list[str]:
        """The secrets, which must not be written anywhere."""
        return [os.environ[variable] for variable in self.secrets.values()]


def make_plan(
    path: Path,
    settings: Settings,
    values: Mapping[str, object] | None = None,
    *,
    experiment: str | None = None,
    name: str | None = None,
    tracked: bool = True,
    tags: Mapping[str, str] | None = None,
) -> Plan:
    """Read the notebook, check its parameter `values`, and return the plan of one run.

    `values` have the parameters' types; `notebooks.parameter_values` converts texts. `experiment`, `name` and `tags`
    are those of the run; without `tracked` there is none. Raises UsageError when the notebook cannot be run with them.
    """
    return NotebookPlanner(path, settings, experiment=experiment, tracked=tracked).plan(values, name=name, tags=tags)


class NotebookPlanner:
    """Plans the runs of one notebook, which is read once. `plan` adds parameters, name and tags of one run.

    Notebook, git state and lock file stay as they were read. A later change of a project's module is noticed, because
    each kernel imports it again.
    """

    def __init__(self, path: Path, settings: Settings, *, experiment: str | None = None, tracked: bool = True) -> None:
        self.notebook = document.read(path)
        self.schema = parameter_schema.read_schema(self.notebook)
        self.settings = settings
        self.tracked = tracked
        self._experiment = experiment
        self._is_of_project = _of_project(self.notebook.opened, settings.root)
        self._modules = project_modules.ProjectModules(self.notebook, settings.root)
        # In a warm kernel libraries are imported already, so settings made for their import come too late.
        self._cold_because = "; ".join(warm_kernel_conflicts.find_early_settings(self.notebook, self._modules))
        if tracked:
            self._tracking_uri = stores.tracking_uri(settings)
            self._mlflow_calls = mlflow_calls.MLflowCalls(
                self.notebook, {**os.environ, "MLFLOW_TRACKING_URI": self._tracking_uri}
            )
            self._table_reads = table_reads.find_table_reads(self.notebook, self._modules)
            self._lock = provenance.lock_sha256(settings.layout)
            self.git = provenance.git_state(settings.root)

    def freeze(self) -> None:
        """Keep the present digests of the project's modules for all later plans.

        Other machines get the modules as they are now, so later changes must not count.
        """
        self._modules.freeze()

    def plan(
        self,
        values: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Plan:
        """Return the plan of one run with these parameter values, name and tags.

        Raises UsageError when the notebook cannot be run with these values.
        """
        notebook, root = self.notebook, self.settings.root
        overrides = self.schema.check(values or {}, notebook=notebook.path.name, environ=os.environ)
        if reassigned := parameter_schema.find_reassigned(notebook, overrides):
            raise errors.ParameterError(notebook.path.name, reassigned)
        if not self.tracked:
            return Plan(notebook, self.settings, overrides, self.schema.secrets, None, self._cold_because)
        # Values that an earlier run has injected count, until overrides replace its cell.
        all_values = self.schema.defaults | (overrides or parameter_schema.read_injected(notebook))
        start = dataclasses.replace(
            self.common(all_values, name=name or run_name(notebook, overrides), tags=tags),
            source_fingerprint=source_fingerprint.source_fingerprint(
                notebook, all_values, self._lock, root, self._modules.digests()
            ),
        )
        return Plan(notebook, self.settings, overrides, self.schema.secrets, start, self._cold_because)

    def common(self, parameters: Mapping[str, object], *, name: str, tags: Mapping[str, str] | None = None) -> RunStart:
        """Return the description of a run with these parameters, name and tags.

        The fingerprint of its source is left empty: the parent run of a sweep has none, others add it.
        """
        calls = self._mlflow_calls.calls(parameters)
        if self._is_of_project:
            _refuse_other_store(self.notebook, calls, self._tracking_uri)
        experiment, experiment_id = _experiment_of(calls, self._experiment, self.settings)
        return RunStart(
            experiment=experiment,
            experiment_id=experiment_id,
            name=name,
            notebook=_relative(self.notebook.opened, self.settings.root),
            description=_description(self.notebook),
            parameters=parameters,
            code_sha256=self.notebook.code_sha256,
            lock_sha256=self._lock,
            may_set_store=not self._is_of_project,
            source_fingerprint="",
            git=self.git,
            tags={**(tags or {}), Tag.OWN_READS: self._table_reads} if self._table_reads else tags,
        )


def _of_project(path: Path, root: Path) -> bool:
    """Return whether the notebook is one of the project's own; any other runs as it is."""
    return any(path.is_relative_to(root / folder) for folder in FOLDERS)


def _refuse_other_store(notebook: Notebook, calls: Sequence[mlflow_calls.MLflowCall], ours: str) -> None:
    """Raise NotebookError for a notebook that certainly sends its runs to another tracking store."""
    for call in calls:
        if not call.sets_store or not call.certain or not call.known or call.value in ("", None, ours):
            continue
        raise errors.NotebookError(
            f"{notebook.path.name}: cell {call.cell}: {mlflow_run_redirect.other_store(repr(call.value), ours)}"
        )


def _experiment_of(
    calls: Sequence[mlflow_calls.MLflowCall], option: str | None, settings: Settings
) -> tuple[str, str | None]:
    """Return the name, or else the id, of the experiment that the notebook's first run most likely uses.

    Where branches, functions and modules decide, it may be wrong; MLflow then opens a child run in the kernel.
    """
    named = None
    for call in calls:
        if call.function == "start_run":
            break  # later calls concern later runs
        if call.function in ("set_experiment", "run", "MLFLOW_EXPERIMENT_NAME"):
            named = call
    if named is None or not named.known or not named.value:
        return option or settings.experiment, None
    if option and option != named.value and named.function != "MLFLOW_EXPERIMENT_NAME":
        raise errors.UsageError(
            f"--experiment {option!r} and the notebook's own {named.value!r} (cell {named.cell}) differ: "
            "leave the option out, or give the notebook's parameter that value if it has one"
        )
    return (settings.experiment, named.value) if named.by_id else (option or named.value, None)


def executed_file(plan: Plan, run_id: str) -> Path:
    """Return the path of a run's executed notebook."""
    return plan.settings.layout.executed / executed_name(plan.notebook.path, run_id)


def executed_name(notebook: Path, run_id: str) -> str:
    """Return the file name of a run's executed notebook, cut to 255 bytes; in the run it has the same."""
    stem = artifact_stem(notebook).encode()[:LONGEST_STEM].decode(errors="ignore")
    return f"{stem}-{run_id[:8]}.ipynb"


def artifact_stem(notebook: Path) -> str:
    """Return the notebook's name without ending, for artifacts: a store may lose one with a line end in its name."""
    return "".join(character if character.isprintable() else "_" for character in notebook.stem)


def run_name(notebook: Notebook, overrides: Mapping[str, object]) -> str:
    """Return the name of a run: the notebook's name and the overridden parameters."""
    shown = ",".join(f"{key}={value}" for key, value in overrides.items())
    return " ".join(f"{notebook.path.stem} {shown}".split())[:100]


def _description(notebook: Notebook) -> str:
    return "\n\n".join(part for part in (notebook.title, notebook.purpose) if part)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
