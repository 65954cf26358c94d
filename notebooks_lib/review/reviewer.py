"""Review a work tree: what changed since the base in each notebook, with its runs, numbers and their proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from notebooks_lib import settings
from notebooks_lib.errors import NbopsError, reason
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks.check_options import CheckOptions
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.project_root import is_project
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.review import base_and_head_runs, base_environment, source_proof, store_trust
from notebooks_lib.review.affected_notebooks import (
    FingerprintChange,
    NotebookSource,
    find_fingerprint_changes,
    find_helpers,
)
from notebooks_lib.review.base_and_head_runs import RunRequest, SideName, SideRuns
from notebooks_lib.review.base_checkout import check_out
from notebooks_lib.review.base_rules import BaseRules, find_base_rules, find_base_settings
from notebooks_lib.review.figure_changes import find_figure_changes
from notebooks_lib.review.new_findings import FindingChanges, find_new_findings
from notebooks_lib.review.notebook_review import (
    CostRise,
    FigureChange,
    MetricChange,
    MissingFiles,
    NotebookReview,
    Review,
    SourceProof,
)
from notebooks_lib.review.other_files import OtherFiles, WorkTreeNotebooks
from notebooks_lib.review.parameter_changes import find_parameter_changes
from notebooks_lib.review.run_comparison import CostChange, RunComparison, compare_runs
from notebooks_lib.review.run_record import RunRecord, read_run
from notebooks_lib.review.stale_text_and_outputs import find_stale_text
from notebooks_lib.review.validation_gain import ModelComparer
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import provenance
from notebooks_lib.tracking.query import RunInfo

RUN_IT = "`nbops review --run` makes them"
NEEDS_PROJECT = "runs need a project, which `nbops init` makes"
_NOT_RUN = "a notebook under production/ acts on registries and endpoints: a review does not run it"
MORE_SECONDS = 1.0
MORE_MEMORY_MB = 50.0
_STATES: dict[str, Literal["added", "deleted", "modified"]] = {
    "added": "added",
    "untracked": "added",
    "deleted": "deleted",
}


@dataclass
class Reviewer:
    """Reviews the changed notebooks of one repository. Runs are made only if that is requested."""

    repository: GitRepository
    base: str = ""
    """A revision; empty for the default branch. What changed since the head left it is reviewed."""
    run: bool = False
    seeds: int = 0
    select: tuple[str, ...] = ()
    """The rules; empty for those that hold where a notebook lies."""
    say: Callable[[str], None] = lambda line: None
    _requests: dict[Path, RunRequest | str] = field(default_factory=dict)
    _rules: dict[Path, BaseRules] = field(default_factory=dict)
    """By folder, from the repository's root."""
    _dirty: bool = False
    _tree: Path = Path()
    """The checkout of the base."""
    _base_commit: str = ""

    def review(self) -> Review:
        """Return the review. Raises UsageError when the base does not exist or shares no history with the head."""
        base = self.base or self.repository.default_branch()
        commit = self.repository.merge_base(base, "HEAD")
        state = provenance.git_state(self.repository.root)
        self._dirty = state is None or state.dirty
        missing: list[MissingFiles] = []
        with check_out(self.repository, commit, lambda *found: missing.append(MissingFiles(*found))) as tree:
            self._tree, self._base_commit = tree, commit
            changes = find_fingerprint_changes(self.repository, commit, tree)
            findings = self._find_findings([*changes.notebooks, *changes.others])
            changes = changes.with_findings([path for path, finding in findings.items() if finding.new])
            notebooks = [self._review(change, findings.get(change.change.path)) for change in changes.notebooks]
            faults_only = any(self._options(notebook.diff.head).faults_only for notebook in notebooks if notebook.diff)
        no_runs = self._no_runs()
        if no_runs:  # reported once, not for each notebook
            notebooks = [
                replace(notebook, no_metrics_because="") if notebook.no_metrics_because == no_runs else notebook
                for notebook in notebooks
            ]
        return Review(
            base=base,
            base_commit=commit,
            head_commit=self.repository.commit("HEAD"),
            dirty=self._dirty,
            notebooks=tuple(notebooks),
            unchanged=changes.unchanged,
            only_outputs=changes.only_outputs,
            other_files=self._other_files.changed(commit, None),
            renamed=changes.renamed,
            no_runs=no_runs,
            missing=missing[0] if missing else MissingFiles(),
            faults_only=faults_only,
            check_changed=tuple(sorted({name for rules in self._rules.values() for name in rules.changed})),
        )

    def _review(self, source: FingerprintChange, findings: FindingChanges | None) -> NotebookReview:
        change = source.change
        state = _STATES.get(change.state, "modified")
        review = NotebookReview(change.path, change.old_path, state, change.problem, change.note)
        if findings:
            review = replace(review, new_findings=findings.new, mended_findings=findings.mended)
        if change.diff is None:
            return review
        root = source.head.root if source.head else self.repository.root
        prefix = root.relative_to(self.repository.root.resolve()).as_posix()
        helpers = find_helpers(source.base, source.head, "" if prefix == "." else f"{prefix}/")
        review = replace(
            review,
            diff=change.diff,
            helpers=tuple(helpers),
            parameters=find_parameter_changes(change.diff),
            stale_text=find_stale_text(change.diff),
        )
        if source.head is None:
            return review
        if source.same_code:
            what = "only text changed" if change.diff.changes else "the source did not change"
            return replace(review, no_metrics_because=f"{what}, so a run gives the same numbers")
        request = self._request(source.head.root)
        if isinstance(request, str):
            return replace(review, no_metrics_because=request)
        try:
            return self._with_runs(review, source.head, source.base, request)
        except (NbopsError, OSError) as error:  # the rest of the review is made all the same
            return replace(review, no_metrics_because=reason(error))

    def _find_findings(self, sources: Iterable[FingerprintChange]) -> dict[str, FindingChanges]:
        """Return what the rules find, by path, where a file changed; ruff is called once a side for all of them."""
        diffs = {source.change.path: source.change.diff for source in sources if source.change.diff}
        diffs = {path: diff for path, diff in diffs.items() if diff.base.raw is not diff.head.raw}
        return dict(zip(diffs, find_new_findings([*diffs.values()], self._options) if diffs else (), strict=True))

    @cached_property
    def _other_files(self) -> OtherFiles:
        return OtherFiles(WorkTreeNotebooks(self.repository))

    def _no_runs(self) -> str:
        """Return why no notebook has runs; empty if that differs between projects, or some could have them."""
        first, *others = [*self._requests.values()] or [""]
        return first if isinstance(first, str) and all(other == first for other in others) else ""

    def _options(self, notebook: Notebook) -> CheckOptions:
        folder = notebook.path.parent
        if folder not in self._rules:
            self._rules[folder] = find_base_rules(self.repository, self._tree, folder)
        options = self._rules[folder].options
        return replace(options, select=self.select or options.select)

    def _request(self, root: Path) -> RunRequest | str:
        """Return how runs of a project are had, or why they cannot be."""
        if root not in self._requests:
            try:
                request = RunRequest(settings.load(root, os.environ), self.run, self.seeds, self.say)
                base = self._at_base(root)
                name = self.base or self.repository.default_branch()
                why = store_trust.find_distrust(
                    request.settings, base, self.repository
                ) or store_trust.find_distrust_at_tip(request.settings, self.repository, name, self._base_commit)
                how = RUN_IT if is_project(root) else NEEDS_PROJECT
                why = why or ("" if request.store else f"no runs are tracked here: {how}")
                self._requests[root] = why or request
            except NbopsError as error:
                self._requests[root] = reason(error)
        return self._requests[root]

    def _at_base(self, root: Path) -> Path:
        """Return the root of a project in the checkout of the base."""
        return self._tree / root.relative_to(self.repository.root.resolve())

    def _with_runs(
        self, review: NotebookReview, head: NotebookSource, base: NotebookSource | None, request: RunRequest
    ) -> NotebookReview:
        """Return the review with what the runs of both sides tell."""
        assert request.store is not None
        values = request.values(head, head)
        new = self._runs(request, "head", head, values)
        base_values = request.values(base, head) if base else []
        old = self._runs(request, "base", base, base_values) if base else SideRuns()
        review = replace(review, run_problems=tuple(side.problem for side in (new, old) if side.problem))
        if new.problem:  # which says enough: no other run explains it
            return review
        if new.found and not new.runs:
            return replace(review, no_metrics_because=_some_seeds(new.found, len(values), "this source"))
        if not new.runs:
            of_base = [base.fingerprint(parameters) for parameters in base_values] if base else []
            proof = source_proof.explain(request.store, head, values[0], self.repository, of_base)
            why = _NOT_RUN if request.make and not request.makes(head) else _no_run(proof)
            return replace(review, proof=proof, no_metrics_because=why)
        fingerprints = [head.fingerprint(parameters) for parameters in values]
        commit = self.repository.commit("HEAD")
        proof = source_proof.prove(new.runs, fingerprints, self._other_files.of(head), commit, dirty=self._dirty)
        if base and old.runs:
            of_base = [base.fingerprint(parameters) for parameters in base_values]
            doubts = source_proof.prove_base(old.runs, of_base, self._other_files.of(base), self._base_commit)
            proof = replace(proof, differences=(*proof.differences, *doubts))
        proof = replace(proof, given=request.given(head))
        review = replace(review, proof=proof, metrics=self._compare(request, old, new, base))
        if not review.metrics:
            review = replace(review, no_metrics_because="no run logged a metric")
        elif why := _only_first(len(old.runs), len(new.runs)):
            review = replace(review, no_metrics_because=why)
        if old.runs:
            runs = [read_run(request.store, side.runs[0].run_id) for side in (old, new)]
            return _with_executed(replace(review, base_run=old.runs[0].run_id), *runs)
        if base is None:
            return replace(review, figures=_new_figures(read_run(request.store, new.runs[0].run_id)))
        if old.problem is None:
            some = _some_seeds(old.found, len(base_values), "the base's source") if old.found else ""
            return replace(review, no_metrics_because=some or f"the base has no run of its source: {RUN_IT}")
        return review

    def _runs(
        self, request: RunRequest, name: SideName, source: NotebookSource, values: Sequence[Mapping[str, object]]
    ) -> SideRuns:
        """Return the runs of one side; with `--run`, without those whose doubts a new run mends."""
        commit = self._base_commit if name == "base" else self.repository.commit("HEAD")

        def has_lock() -> bool:
            return base_environment.has_lock_installed(source, request.settings.layout)

        def is_clean() -> bool:
            state = provenance.git_state(source.root)
            return state is not None and not state.dirty

        def is_outdated(run: RunInfo) -> bool:
            files = self._other_files.of(source)
            return source_proof.is_outdated(run, files, commit, has_lock=has_lock, is_clean=is_clean)

        return base_and_head_runs.find_runs_of(request, name, source, values, is_outdated)

    def _compare(
        self, request: RunRequest, old: SideRuns, new: SideRuns, base: NotebookSource | None
    ) -> tuple[MetricChange, ...]:
        """Return the metrics of both sides; where only one has a seed to vary, of the first run of each.

        They are judged by the settings of the project in which the notebook lay at the base.
        """
        assert request.store is not None
        count = len(new.runs) if len(old.runs) in (0, len(new.runs)) else 1
        root = base.root if base else self._at_base(request.settings.root)
        policy = Policy.of(find_base_settings(request.settings, root, self.repository).promotion, "")
        return ModelComparer(request.store, old.runs[:count], new.runs[:count], policy, is_new=base is None).compare()


def _some_seeds(found: int, count: int, source: str) -> str:
    return f"{found} of {count} seeds ha{'s' if found == 1 else 've'} a run of {source}: {RUN_IT}"


def _no_run(proof: SourceProof) -> str:
    newest = f"; the newest run, {proof.run_id[:8]}, is of another source" if proof.run_id else ""
    return f"there is no run of this source{newest}: {RUN_IT}"


def _only_first(of_base: int, of_head: int) -> str:
    """Return why only one run a side counts, where the other side has one for each seed; empty if all count."""
    if of_base == of_head or 0 in (of_base, of_head):
        return ""
    side = "base" if of_base < of_head else "head"
    return f"the {side} has no parameter `seed`: of {max(of_base, of_head)} runs of the other side the first counts"


def _with_executed(review: NotebookReview, base: RunRecord, head: RunRecord) -> NotebookReview:
    """Return the review with what the executed notebooks of both sides show."""
    comparison = compare_runs(base, head)
    stale = find_stale_text(review.diff, base.notebook, head.notebook) if review.diff else ()
    figures = find_figure_changes(comparison.diff) if comparison.diff else ()
    return replace(review, costs=tuple(_costs(comparison)), figures=figures, stale_text=stale)


def _new_figures(head: RunRecord) -> tuple[FigureChange, ...]:
    """Return the figures of a notebook that has no base."""
    if head.notebook is None:
        return ()
    return find_figure_changes(compare_notebooks(Notebook(head.notebook.path, ()), head.notebook))


def _costs(comparison: RunComparison) -> Iterator[CostRise]:
    """Yield the cells that take much more, or much less, than before.

    Memory is what a kernel held at most so far: what counts is by how much a cell moved the difference of the two.
    Warm and cold kernels cannot be compared: a cold one imports and reads in its cells what a warm one has.
    """
    if len({run.info.tags.get(Tag.KERNEL) for run in (comparison.base, comparison.head)}) > 1:
        return
    shift: float | None = None
    for cost in sorted(comparison.costs, key=lambda cost: cost.head_cell):
        measured = cost.base.peak_memory_mb is not None and cost.head.peak_memory_mb is not None
        moved = cost.more_memory_mb - shift if measured and shift is not None else 0.0
        shift = cost.more_memory_mb if measured else shift
        more_memory = abs(moved) > MORE_MEMORY_MB
        if _takes_longer(cost) or more_memory:
            memory = (cost.base.peak_memory_mb, cost.head.peak_memory_mb) if more_memory else (None, None)
            yield CostRise(cost.head_cell, cost.name, cost.base.seconds, cost.head.seconds, *memory)


def _takes_longer(cost: CostChange) -> bool:
    seconds = abs(cost.more_seconds)
    return seconds > MORE_SECONDS and seconds > (cost.base.seconds or 0.0) / 2
