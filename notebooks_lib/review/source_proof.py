"""Are the numbers of a run from exactly the source under review? If not, what differs. Reads only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from notebooks_lib.errors import NotebookError, UsageError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.document import PARAMETERS_TAG, Notebook
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.notebooks.parameter_schema import read_schema
from notebooks_lib.notebooks.project_modules import module_sha256
from notebooks_lib.review import run_record
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.notebook_review import SourceProof
from notebooks_lib.review.other_files import OtherFiles
from notebooks_lib.review.parameter_changes import find_parameter_changes
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.provenance import NOT_KNOWN
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, translate_store_errors

MOST_FILES = 5
"""Changed files that are named."""
COMMIT = "mlflow.source.git.commit"
MOST_CHARACTERS = 60
"""Characters of a parameter's value that are shown."""
NEWEST = 20
"""Runs of a notebook among which the newest that ended well is looked for."""


def prove(
    runs: Sequence[RunInfo], fingerprints: Sequence[str], other_files: OtherFiles, commit: str, *, dirty: bool
) -> SourceProof:
    """Return whether the numbers of successful runs come from the source with these fingerprints, one a run.

    `other_files` are those of their notebook. `commit` is the one under review, and `dirty` says whether the work tree
    has uncommitted changes on top of it.
    """
    pairs = zip(runs, fingerprints, strict=True)
    differences = [
        line
        for run, fingerprint in pairs
        for line in (*_doubts(run, fingerprint, dirty=dirty), *_changed_data(run, other_files, commit))
    ]
    return _proof(runs[0], dict.fromkeys(differences))


def prove_base(
    runs: Sequence[RunInfo], fingerprints: Sequence[str], other_files: OtherFiles, commit: str
) -> tuple[str, ...]:
    """Return what is held against the runs of the base, which is `commit`, each in one line; () if nothing is."""
    differences = prove(runs, fingerprints, other_files, commit, dirty=False).differences if runs else ()
    return tuple(f"the base's run: {line}" for line in differences)


def is_outdated(
    run: RunInfo,
    other_files: OtherFiles,
    commit: str,
    *,
    has_lock: Callable[[], bool],
    is_clean: Callable[[], bool],
) -> bool:
    """Return whether a new run would have other data files than `run`, or mend what is held against it.

    `commit` is the one under review. `has_lock` says whether a new run has the packages of its lock, and `is_clean`
    whether it begins at a commit without changes.
    """
    other_packages = Tag.LOCK_SHA256 in run.tags and run.tags.get(Tag.LOCK_INSTALLED) != "true"
    in_no_commit = not run.tags.get(COMMIT) or run.tags.get(Tag.GIT_DIRTY) != "false"
    mended = (other_packages and has_lock()) or (in_no_commit and is_clean())
    return mended or any(_changed_data(run, other_files, commit))


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _doubts(run: RunInfo, fingerprint: str, *, dirty: bool) -> Iterator[str]:
    if run.tags.get(Tag.SOURCE_FINGERPRINT) != fingerprint:
        yield "the source changed while it ran"
    if Tag.LOCK_SHA256 in run.tags:
        installed = run.tags.get(Tag.LOCK_INSTALLED)
        if installed is None:
            yield "the run did not record whether the packages of requirements.lock were installed: run it again"
        elif installed.startswith(NOT_KNOWN):
            reason = installed.removeprefix(NOT_KNOWN)
            yield f"the run is not shown to have had the packages of requirements.lock ({reason})"
        elif installed != "true":
            yield f"the run had other packages than requirements.lock ({installed})"
    if dirty:
        yield "the work tree has uncommitted changes: its source is in no commit"
    elif Tag.GIT_DIRTY not in run.tags or not run.tags.get(COMMIT):
        yield "the run recorded no commit"
    elif run.tags[Tag.GIT_DIRTY] != "false":
        yield "the run began with uncommitted changes in its work tree"


def _changed_data(run: RunInfo, other_files: OtherFiles, commit: str) -> Iterator[str]:
    ran = run.tags.get(COMMIT, "")
    if ran in ("", commit):  # without one, it recorded none
        return
    if not other_files.repository.has(ran):
        yield f"the run's commit {ran[:8]} is not in this clone, so the files that it may read are not compared"
    elif files := other_files.changed(ran, commit):
        more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
        yield f"since that run {_listed(files[:MOST_FILES])}{more} changed, which the notebook may read"


def explain(
    store: Store,
    source: NotebookSource,
    values: Mapping[str, object],
    repository: GitRepository,
    base_fingerprints: Collection[str] = (),
) -> SourceProof:
    """Return how the source under review differs from that of the notebook's newest successful run.

    Runs of the base are left out. The result names no run if none of the notebook's last `NEWEST` runs counts.
    """
    path = source.notebook.opened.relative_to(source.root).as_posix()
    run = _newest_run(store, path, base_fingerprints)
    if run is None:
        return SourceProof()
    recorded = run_record.read_parameters(store, run.run_id)
    return _proof(run, find_differences(run, source, values, repository, recorded))


def _proof(run: RunInfo, differences: Iterable[str]) -> SourceProof:
    fingerprint, commit = run.tags.get(Tag.SOURCE_FINGERPRINT, ""), run.tags.get(COMMIT, "")
    return SourceProof(run.run_id, fingerprint, commit, tuple(differences))


def _newest_run(store: Store, path: str, base_fingerprints: Collection[str]) -> RunInfo | None:
    if "'" in path:  # which no condition can hold
        return None
    with translate_store_errors(store):
        experiments = [experiment.experiment_id for experiment in store.client.search_experiments()]
        condition = f"tags.`{Tag.NOTEBOOK}` = '{path}'"
        runs = store.client.search_runs(experiments, condition, max_results=NEWEST) if experiments else []
    ended = (run for run in map(query.run_info, runs) if run.ended)
    return next((run for run in ended if run.tags.get(Tag.SOURCE_FINGERPRINT) not in base_fingerprints), None)


def find_differences(
    run: RunInfo,
    source: NotebookSource,
    values: Mapping[str, object],
    repository: GitRepository,
    recorded: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[str]:
    """Yield what differs between a run's source and the one under review, each in one line.

    `recorded` are the run's parameters as its file has them; else those of the store count, which cuts long ones.
    """
    explained = False
    for line in _known_differences(run, source, values, repository, recorded):
        explained = True
        yield line
    helpers = _changed_helpers(run, source, repository)
    if helpers:
        yield f"since that run {_listed(helpers)} changed"
    elif not explained:
        yield "since that run a file that the notebook imports changed, or its data"


def _known_differences(
    run: RunInfo,
    source: NotebookSource,
    values: Mapping[str, object],
    repository: GitRepository,
    recorded: Mapping[str, object],
) -> Iterator[str]:
    old = _notebook_of(run, source.notebook, repository)
    changes = find_parameter_changes(compare_notebooks(old, source.notebook)) if old else ()
    renamed = {change.head: change.base for change in changes if change.kind == "renamed"}
    other_values = list(_other_values(run, recorded, {**read_schema(source.notebook).defaults, **values}, renamed))
    other_parameters = [f"since that run: {change.text}" for change in changes if change.kind != "default"]
    same_code = run.tags.get(Tag.CODE_SHA256) == source.notebook.code_sha256
    explained = (other_values or other_parameters) and old and _same_but_for_parameters(old, source.notebook, renamed)
    if not (same_code or explained):
        yield "since that run a code cell changed"
    yield from (*other_parameters, *other_values)
    if run.tags.get(Tag.LOCK_SHA256, "") != source.lock_sha256:
        yield "since that run requirements.lock changed"


def _other_values(
    run: RunInfo, recorded: Mapping[str, object], values: Mapping[str, object], renamed: Mapping[str, str]
) -> Iterator[str]:
    for name, value in values.items():
        before = renamed.get(name, name)
        if before not in recorded and before not in run.params:
            continue
        had = recorded[before] if before in recorded else run.params[before]
        if before in recorded:
            same_kind = isinstance(had, bool) == isinstance(value, bool)  # True == 1
            same = (same_kind and had == value) or _as_json(had) == _as_json(value)
        else:  # a store cuts long values
            same = str(value) == had or (str(had).endswith("…") and str(value).startswith(str(had)[:-1]))
        if not same:
            yield _other_value(before, str(had), f"`{name}`" if name in renamed else "it", str(value))


def _other_value(name: str, had: str, here: str, value: str) -> str:
    texts = [text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…" for text in (had, value)]
    if texts[0] == texts[1]:
        place = next((place for place, (a, b) in enumerate(zip(had, value, strict=False), 1) if a != b), len(texts[0]))
        return f"that run had another `{name}`, from character {place} on"
    return f"that run had `{name}` {texts[0]}, here {here} is {texts[1]}"


def _as_json(value: object) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def _notebook_of(run: RunInfo, notebook: Notebook, repository: GitRepository) -> Notebook | None:
    """Return the notebook at the run's commit; None if that is not what ran, or is not here."""
    try:
        old = document.parse(notebook.path, _committed(repository, run.tags.get(COMMIT, ""), notebook.path))
    except NotebookError:
        return None
    return old if old.code_sha256 == run.tags.get(Tag.CODE_SHA256) else None  # else it ran with uncommitted changes


def _same_but_for_parameters(old: Notebook, new: Notebook, renamed: Mapping[str, str]) -> bool:
    """Return whether the code cells are the same, but for the one with the parameters and new names of these."""
    words = {base: head for head, base in renamed.items()}

    def code(notebook: Notebook, words: Mapping[str, str]) -> list[str]:
        cells = (cell.source for cell in notebook.code_cells if PARAMETERS_TAG not in cell.tags)
        return [re.sub(r"\w+", lambda word: words.get(word[0], word[0]), source) for source in cells]

    return code(old, words) == code(new, {})


def _changed_helpers(run: RunInfo, source: NotebookSource, repository: GitRepository) -> list[str]:
    """Return the imported modules that are not as in the run's commit; none if that commit is not here."""
    commit, changed = run.tags.get(COMMIT, ""), []
    if not repository.has(commit):
        return []
    for name, digest in source.modules.items():
        path = source.root / name
        if module_sha256(path, _committed(repository, commit, path)) != digest:
            changed.append(name)
    return changed


def _committed(repository: GitRepository, commit: str, path: Path) -> bytes:
    """Return a file at a commit; empty if it is not there."""
    try:
        version = repository.find_file(commit, repository.inside(path))
    except UsageError:
        return b""
    return next(repository.blobs([version.blob])) or b""
