"""The gate as production/promote.ipynb imports it: a cell is one call. The other modules do the work."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from notebooks_lib import settings as settings_module
from notebooks_lib.errors import UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.metric import Metric
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.models.registry import Version
from notebooks_lib.promotion import candidate_screening as candidates_module
from notebooks_lib.promotion import decision as decisions
from notebooks_lib.promotion import evidence_gathering as evidence_module
from notebooks_lib.promotion import guardrails, scores_figure, table_formatting
from notebooks_lib.promotion.candidate_screening import Candidates
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.promotion.evidence import Evidence
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.table_formatting import ReportTable
from notebooks_lib.release import change_storage, decision_record, journal, recovery, version_deployment
from notebooks_lib.release.promotion_pipeline import Release
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import check_name
from notebooks_lib.stages import STAGES
from notebooks_lib.tracking.store import Store, connect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.active_run import Run
    from notebooks_lib.settings import Settings


class Gate:
    """The steps of a promotion: find candidates, compare the best with the champion of `model`, decide, release.

    Each cell of production/promote.ipynb takes one step. Both models score the same holdout rows; the confidence
    interval of their difference is a jackknife (docs/promotion.md, docs/decisions/0022-the-paired-jackknife.md).
    """

    def __init__(
        self,
        model: str = "",
        *,
        experiment: str,
        metric: str | Metric,
        positive: str = "",
        min_gain: float = 0.0,
        max_candidates: int = 5,
        challengers: int = 1,
        dataset: str = "",
        order_by: str = "",
        target: str = "",
        settings: Settings | None = None,
    ) -> None:
        """Check the question before anything is read.

        `model` is the registered model, and by default has the name of the experiment. `metric` decides: the name of a
        built-in metric, or a `Metric` of your own. `positive` is the class that f1, precision, recall and auc are
        about; by default the last of two by name. The challenger must gain more than `min_gain`, in units of the
        metric. The models of `max_candidates` runs are scored on the validation rows, and the best `challengers` of
        them on the holdout. `dataset` ("name@version") is the one whose holdout decides; by default that of the newest
        run. `order_by` names the column of time, so that neighbouring rows do not count as independent. `target` is
        deprecated and decides nothing: leave it out, and set `endpoint` under [stages.STAGE] in the settings, which
        says what runs the endpoint of a stage.

        Raises UsageError for a question that cannot be answered, such as an unknown metric, or a `target` that no stage
        has; TrackingError when the store does not answer.
        """
        self.model = check_name("model", model or experiment)
        self.metric = builtin.find(metric, positive=positive) if isinstance(metric, str) else metric
        self.experiment = experiment
        self.dataset = dataset
        self.order_by = order_by
        candidates_module.check_challengers(challengers, max_candidates)
        self.max_candidates = max_candidates
        self.challengers = challengers
        self.store: Store = connect(settings or settings_module.here())
        if target:
            _check_target(target, self.store.settings)
        self.policy = Policy.of(self.store.settings.promotion, self.model, min_gain=min_gain)
        guardrails.check_metrics(self.policy, self.model, self.metric)

    def mend(self, *, dry_run: bool = True) -> ReportTable:
        """Finish or undo a promotion or rollback that was interrupted; a dry run only reports it."""
        journals = change_storage.unfinished_changes(self.store.settings, self.model, store=self.store)
        stages = [unfinished.change.stage for unfinished in journals]
        if dry_run:
            rows = [
                (stage, f"{journal.describe(unfinished)}, is still running or was cut short")
                for stage, unfinished in zip(stages, journals, strict=True)
            ]
        else:
            mended = [(stage, recovery.recover(self.store, self.model, stage)) for stage in stages]
            rows = [(stage, outcome.text) for stage, outcome in mended if outcome is not None]
        return ReportTable.of(("stage", "left unfinished"), rows or [("", "nothing")])

    def champion(self) -> Version | None:
        """Return the version that is champion of prod; None while there is none."""
        return champions.champion(self.store, self.model)

    def champion_table(self) -> ReportTable:
        """Return a table of the champion and its endpoint, to show in a notebook."""
        champion, settings = self.champion(), self.store.settings
        if PROD in settings.stages.approval:
            endpoint = f"not asked: {PROD} needs an approval"
        else:
            status = version_deployment.endpoint_status(targets.stage_endpoint(settings, PROD, self.model))
            endpoint = f"{status.state}, version {status.version}" if status else "none yet"
        rows = [
            ("champion", f"version {champion.version}" if champion else "none yet"),
            ("run", champion.run_id if champion else ""),
            ("reason", champion.reason if champion else ""),
            ("endpoint", endpoint),
        ]
        return ReportTable.of((self.model, ""), rows)

    def candidates(self) -> Candidates:
        """Return the runs that may replace the champion, scored on the validation rows, the best first.

        Raises PromotionError when there is neither a run nor a champion.
        """
        return candidates_module.find_candidates(
            self.store,
            self.experiment,
            self.metric,
            dataset=self.dataset,
            limit=self.max_candidates,
            champion=self.champion(),
            versions=registry.versions(self.store, self.model),
        )

    def holdout(self, candidates: Candidates) -> Evidence:
        """Evaluate the champion and the best `challengers` candidates on the same holdout rows.

        This is one use of the holdout, and is counted before a row is read. The same question asked again costs none.
        When all uses are spent, or a model cannot be loaded, the evidence says so and the decision is not "promote".
        Raises TrackingError when the use cannot be recorded.
        """
        return evidence_module.gather_evidence(
            self.store,
            candidates,
            self.champion(),
            model=self.model,
            policy=self.policy,
            order_by=self.order_by,
            challengers=self.challengers,
        )

    def scores(self, evidence: Evidence) -> ReportTable:
        """Return a table of all metrics on the holdout, the deciding one first, to show in a notebook."""
        sides = evidence.sides
        if not evidence.shows_estimates:
            return ReportTable.of(("", *(side.label for side in sides)), [], table_formatting.HIDDEN)
        every = {name for side in sides for name in side.metrics} - {evidence.metric}
        rows = [(evidence.metric, *(side.score for side in sides))]
        rows += [(name, *(side.metrics.get(name) for side in sides)) for name in sorted(every)]
        caption = f"{max(side.rows for side in sides)} holdout rows of {evidence.ref}"
        if evidence.no_candidate:
            caption = "there is no candidate: the holdout was not read"
        elif evidence.is_champion_itself:
            caption = "the best candidate is the champion itself: the holdout was not read"
        elif all(comparison.unread for comparison in evidence.by_challenger):
            caption = "the holdout was not read: a rule failed that needs none of its rows"
        return ReportTable.of(("", *(side.label for side in sides)), rows, caption)

    def figure(self, evidence: Evidence) -> Figure:
        """Return a figure of the scores of champion and challengers on one axis, in units of the metric."""
        return scores_figure.scores_figure(evidence)

    def decide(self, evidence: Evidence) -> Decision:
        """Return the decision: "promote", "keep" or "undecided", with what each rule found and requires.

        With several challengers, the decision is about the winner or, without a winner, the best on validation rows.
        The others are listed in it.
        """
        return decisions.decide_use(evidence, self.policy)

    def release(
        self, decision: Decision, run: Run | None = None, *, stages: str = "", dry_run: bool = True, reason: str = ""
    ) -> Release:
        """Return the steps that carry out the decision. In a dry run, each step only says what it would do.

        `stages` are names with commas between, such as "dev,test,prod"; empty for the settings' default. `reason` is
        kept with the version. Nothing is changed before a step is called. Raises UsageError for an unknown stage.
        """
        names = [name.strip() for name in stages.split(",") if name.strip()]
        run_id = run.id if run else ""
        return Release(self.store, decision, stages=names, dry_run=dry_run, reason=reason, run_id=run_id)

    def record(self, run: Run, release: Release, candidates: Candidates) -> ReportTable:
        """Log the decision and the steps done so far on `run`: as tags, metrics, JSON and an HTML page."""
        decision_record.write_decision(self.store, run.id, release, candidates)
        rows = [
            ("decision", release.decision.answer),
            ("promoted", release.promoted),
            ("version", release.version.version if release.version else None),
            ("previous", release.before.version if release.before else None),
            ("waiting", release.rollout.waiting),
        ]
        return ReportTable.of(("recorded", run.id), rows)

    def outcome(self, release: Release) -> ReportTable:
        """Return a table of what each step did, and how to undo the promotion, to show in a notebook."""
        rows = [(step.stage, step.name, step.text) for step in release.steps]
        last = ("", "continue", release.next) if release.next else ("", "undo", release.undo or "nothing to take back")
        return ReportTable.of(("stage", "step", "what it did"), [*rows, last])

    @property
    def _endpoint(self) -> str:
        """Return the name of the endpoint that serves the champion of prod."""
        return self.store.settings.stages.endpoint(PROD, self.model)

    def __repr__(self) -> str:
        own = self.model in self.store.settings.promotion.models
        lines = (
            f"tracking   {self.store.shown}",
            f"registry   model {self.model!r}, in the same store",
            f"target     {self.store.settings.stages.of(PROD).target} endpoint {self._endpoint!r}",
            f"policy     [promotion]{f' and [promotion.models.{self.model}]' if own else ''}",
        )
        return "\n".join(lines)


def _check_target(target: str, settings: Settings) -> None:
    """Warn of the deprecated parameter; raise UsageError where it names what the settings do not."""
    way_out = "leave it out, and set endpoint under [stages.STAGE] in production/settings.toml"
    stage_targets = {settings.stages.of(stage).target for stage in STAGES}
    if target not in stage_targets:
        raise UsageError(f"Gate(target={target!r}): the stages have {', '.join(sorted(stage_targets))}; {way_out}")
    warnings.warn(f"Gate(target=) decides nothing: {way_out}", DeprecationWarning, stacklevel=3)
