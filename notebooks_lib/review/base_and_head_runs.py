"""The runs of one side of a review: found in the store by source fingerprint, or made now. It judges nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from notebooks_lib import parent_process, safe_text
from notebooks_lib.errors import NbopsError, SettingsError, reason
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.parameter_schema import read_schema
from notebooks_lib.paths import Layout
from notebooks_lib.review import base_environment
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.notebook_review import RunProblem
from notebooks_lib.review.repeated_runs import SEED, seeds_of
from notebooks_lib.run_result import Failure
from notebooks_lib.running.run_cache import RunCache, ran_in
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, sqlite
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, connect, make_state, tracking_uri, translate_store_errors

OPERATING = "production"
"""Folder of notebooks that promote and deploy: a review does not run them, their dry run would use up a holdout."""
LAST_LINES = 12
GRACE = 60.0
"""Seconds that a notebook has to end its run when the review is interrupted; its kernel may just be starting."""
_RUN_WHILE_WE_RUN = """
import runpy, sys
module, pid, by = sys.argv[1:4]
del sys.argv[1:4]
runpy.run_path(module)["exit_with_parent"](int(pid), int(by))
runpy.run_module("notebooks_lib", run_name="__main__", alter_sys=True)
"""
"""`python -m notebooks_lib`, interrupted when this process is killed. A base's own library need not know of it."""

SideName = Literal["base", "head"]


@dataclass(frozen=True)
class SideRuns:
    """The successful runs of one side, base or head: one, or one for each seed."""

    runs: tuple[RunInfo, ...] = ()
    problem: RunProblem | None = None
    """Why there is none although it was run."""
    found: int = 0
    """Seeds that have a run, where not all have one; then `runs` is empty."""


@dataclass(frozen=True)
class RunRequest:
    """Options for the runs of a review: whether missing runs are made, and with how many seeds."""

    settings: Settings
    """Of the head's project."""
    make: bool = False
    """Whether runs that are not in the store are made."""
    seeds: int = 0
    """Runs on each side with different seeds; 0 for one with the default."""
    say: Callable[[str], None] = field(default=lambda line: None)

    def makes(self, source: NotebookSource) -> bool:
        """Return whether missing runs of a notebook are made.

        They are never made under `production/`, because those notebooks change registries and endpoints.
        """
        return self.make and not source.notebook.opened.is_relative_to(source.root / OPERATING)

    @cached_property
    def store(self) -> Store | None:
        """The tracking store; None if it does not exist and no run is to be made."""
        uri = tracking_uri(self.settings)
        missing = sqlite.is_sqlite(uri) and not sqlite.database_file(uri).exists()
        return None if missing and not self.make else connect(self.settings)

    def given(self, source: NotebookSource) -> dict[str, object]:
        """Return those of [review.parameters] that the notebook has."""
        schema = read_schema(source.notebook)
        return {name: value for name, value in self.settings.review.parameters.items() if schema.find(name)}

    def values(self, source: NotebookSource, head: NotebookSource) -> list[dict[str, object]]:
        """Return the parameters of each run of `source`.

        Seeds begin at the default of `head`, so both sides have the same.
        """
        parameters = self.given(source)
        if not self.seeds or read_schema(source.notebook).find(SEED) is None:
            return [parameters]
        return [{**parameters, SEED: seed} for seed in seeds_of(read_schema(head.notebook))[: self.seeds]] or [
            parameters
        ]


def find_runs_of(
    request: RunRequest,
    name: SideName,
    source: NotebookSource,
    values: Sequence[Mapping[str, object]],
    is_outdated: Callable[[RunInfo], bool] = lambda run: False,
) -> SideRuns:
    """Return the newest run of this source for each set of parameters. A run of its copy in another folder is none.

    With `request.make`, runs that are missing or outdated are made. If a run fails, or the base cannot be run, the
    result holds the problem instead of runs.
    """
    store = request.store
    if store is None:
        return SideRuns()
    cache = RunCache(store, source.notebook)
    runs: list[RunInfo] = []
    missing: list[str] = []
    for parameters in values:
        fingerprint = source.fingerprint(parameters)
        run = cache.find(fingerprint, {**read_schema(source.notebook).defaults, **parameters}, source.folder)
        if run and request.makes(source) and is_outdated(run):
            run = None
        if run is None and not request.makes(source):
            missing.append(fingerprint)
            continue
        try:
            run_id = run.run_id if run else _make_run(request, name, source, parameters)
        except _NotRun as error:
            return SideRuns((), error.problem)
        runs.append(query.get_run(store, run_id))
    if missing:
        problems = (_failed(store, name, fingerprint, source.folder) for fingerprint in missing)
        return SideRuns((), next(filter(None, problems), None), found=len(runs))
    return SideRuns(tuple(runs))


def _failed(store: Store, name: SideName, fingerprint: str, folder: PurePosixPath) -> RunProblem | None:
    """Return the problem of the newest run of this source, if it failed. Unfinished and stopped ones do not count."""
    with translate_store_errors(store):
        runs = query.search(store, f"tags.`{Tag.SOURCE_FINGERPRINT}` = '{fingerprint}'")
    ended = (run for run in map(query.run_info, runs) if Tag.END in run.tags and ran_in(run, folder))
    newest = next((run for run in ended if not _was_stopped(run)), None)
    failure = Failure.of_tags(newest.tags) if newest is not None else None
    return RunProblem(name, failure, str(failure)) if failure is not None else None


def _was_stopped(run: RunInfo) -> bool:
    """Return whether a run was interrupted, pruned, or ended because its owner was: no fault of the notebook."""
    without_message = run.tags.get(Tag.END) == "KILLED" and Tag.FAILURE_MESSAGE not in run.tags
    return run.tags.get(Tag.FAILURE) in ("Interrupted", "Pruned", "RunnerError") or without_message


class _NotRun(Exception):
    def __init__(self, problem: RunProblem) -> None:
        self.problem = problem
        super().__init__(problem.reason)


def _make_run(request: RunRequest, name: SideName, source: NotebookSource, values: Mapping[str, object]) -> str:
    """Run the notebook with its own code, library and environment; return the run. Raises _NotRun if it fails."""
    try:
        result = _run(request, name, source, values)
    except (NbopsError, OSError) as error:
        raise _NotRun(RunProblem(name, None, reason(error))) from error
    if result.get("error"):
        raise _NotRun(RunProblem(name, None, " ".join(str(result["error"]["message"]).split())))
    if result.get("failure"):
        failure = Failure(**result["failure"])
        if failure.kind == "interrupt":
            raise KeyboardInterrupt
        raise _NotRun(RunProblem(name, failure, str(failure), last_lines(Path(result["output"]))))
    return str(result["run_id"])


def _run(request: RunRequest, name: SideName, source: NotebookSource, values: Mapping[str, object]) -> dict[str, Any]:
    python = sys.executable
    environment = {**os.environ}
    if name == "base":
        base_environment.check_shared_store(source.root, tracking_uri(request.settings))
        python = base_environment.find_python(source.root, request.settings.layout, request.say)
        environment |= _base_environment(request, source.root)
    path = source.notebook.path
    shown = os.path.relpath(path.parent.resolve() / path.name, source.root.resolve())
    request.say(f"running {shown} of the {name}{f' with {dict(values)}' if values else ''}")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "parameters.json"
        file.write_text(json.dumps(dict(values)))
        file_option = ("-f", str(file)) if values else ()
        options = [parent_process.__file__, str(os.getpid()), str(int(signal.SIGTERM))]
        command = [python, "-c", _RUN_WHILE_WE_RUN, *options, "run", str(path), "--json", *file_option]
        output, problem = _call(command, source.root, environment, request.say)
    try:
        content: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        lines = [line for line in problem.splitlines() if line.strip()] or ["it printed no result"]
        raise NbopsError(f"nbops run: {lines[-1].strip()}") from error
    return content


def _base_environment(request: RunRequest, root: Path) -> dict[str, str]:
    """Return the variables by which a run of the base takes its own code, and leaves its run where the head's are."""
    settings, store = request.settings, request.store
    assert store is not None
    paths = [str(root), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    data = {} if (root / settings.data.folder).exists() else {"NBOPS_DATA_FOLDER": str(settings.data_folder)}
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "NBOPS_TRACKING_URI": store.uri,
        "MLFLOW_TRACKING_URI": store.uri,
        "NBOPS_TRACKING_EXPERIMENT": settings.experiment,
        **data,
        **_share_pulled_datasets(settings, root),
    }


def _share_pulled_datasets(settings: Settings, root: Path) -> dict[str, str]:
    """Let a run of the base read the versions that the head has pulled; return the variables that name the workspace.

    Otherwise the base would get the newest version in the workspace for a name without a version.
    """
    pulled, layout = settings.layout.pulled_datasets, Layout(root)
    if not pulled.is_dir():
        return {}
    from notebooks_lib.azure.client.workspace import find_workspace  # which a local project never imports

    if not layout.pulled_datasets.exists():
        make_state(layout)
        layout.azure.mkdir(exist_ok=True)
        layout.pulled_datasets.symlink_to(pulled)
    try:
        workspace = find_workspace(settings)
    except SettingsError:
        return {}
    return workspace.variables


def _call(
    command: list[str], folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[str, str]:
    """Return what a command printed. Interrupted, it gets one signal and the time to end its run."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C is sent to it once, by us
    ) as process:
        try:
            return process.communicate()
        except BaseException:
            process.terminate()
            say("stopping: the notebook's run is being ended; interrupt again to leave it to itself")
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=GRACE)
            process.kill()
            raise


def last_lines(executed: Path) -> tuple[str, ...]:
    """Return the last lines that the failed cell of an executed notebook printed, traceback included."""
    try:
        cells = document.read(executed).raw["cells"]
    except NbopsError:
        return ()
    outputs = [cell.get("outputs") or [] for cell in cells if cell.get("outputs")]
    failed = [of_cell for of_cell in outputs if any(output.get("output_type") == "error" for output in of_cell)]
    lines: list[str] = []
    for output in (failed or outputs or [[]])[-1]:
        text = output.get("traceback") or output.get("text") or []
        lines += safe_text.uncoloured("\n".join(text) if output.get("traceback") else "".join(text)).splitlines()
    return tuple(line for line in lines if line.strip())[-LAST_LINES:]
