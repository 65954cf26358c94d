"""Says who meets on the holdout: the run of a candidate, the version that serves. It scores nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebooks_lib.errors import ModelError, UsageError
from notebooks_lib.models import logged_models
from notebooks_lib.promotion import model_checks
from notebooks_lib.promotion.evidence import Side
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.models.registry import Version
    from notebooks_lib.promotion.candidates import Candidate
    from notebooks_lib.promotion.policy import Policy
    from notebooks_lib.tracking.query import RunInfo
    from notebooks_lib.tracking.store import Store


def challenger(store: Store, candidate: Candidate, data: Dataset, policy: Policy) -> Side:
    """A candidate, before it is scored."""
    return _side(store, candidate.label, candidate.run, candidate.source, data, policy)


def champion(store: Store, version: Version, data: Dataset, policy: Policy) -> Side:
    """The version that serves, before it is scored."""
    run = None
    if version.run_id:
        try:
            run = query.get_run(store, version.run_id)
        except UsageError:
            run = None  # deleted since; its version still serves
    told = _side(store, f"version {version.version}", run, version.source, data, policy, judged=False)
    return replace(told, run_id=version.run_id, version=version.version)


def _side(
    store: Store, label: str, run: RunInfo | None, source: str, data: Dataset, policy: Policy, *, judged: bool = True
) -> Side:
    tags = run.tags if run else {}
    used = sorted(run.datasets.values() if run else (), key=lambda value: not value.endswith(data.fingerprint))
    try:
        signature = logged_models.signature(source)
    except ModelError:
        signature = None  # the rule on signatures says that it is unknown
    return Side(
        label=label,
        run_id=run.run_id if run else "",
        dataset=used[0] if used else "",
        signature=signature,
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty={"true": True, "false": False}.get(tags.get(Tag.GIT_DIRTY, "")),
        **model_checks.of(store, source, run, data, policy=policy if judged else None),
    )
