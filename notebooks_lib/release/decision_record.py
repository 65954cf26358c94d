"""Write a decision to its MLflow run and read it back, so that programs need not parse printed text."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from notebooks_lib import json_shape
from notebooks_lib.errors import PromotionError, reason
from notebooks_lib.models import registry
from notebooks_lib.promotion import decision_page, model_facts
from notebooks_lib.promotion.candidate_screening import Candidates
from notebooks_lib.promotion.decision import Answer, OtherChallenger
from notebooks_lib.promotion.evidence import Uses
from notebooks_lib.promotion.rule_registry import RuleResult
from notebooks_lib.release.promotion_pipeline import Release
from notebooks_lib.release.rollout import RolloutStep
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import release_ledger

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

FOLDER = "promotion"
FILE = "decision.json"
LATER = "release.json"
"""What the stages did after the decision was recorded: a workspace lets no file be written twice."""
CARD = f"{FOLDER}/card.html"
FORMAT = 1
"""Format of both files; those of an nbops before 0.2 do not name it."""

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedDecision:
    """A decision as read back from the run of a promotion. `Decision.as_json` wrote it."""

    model: str
    answer: Answer
    summary: str
    challenger: str
    """Its label."""
    dataset: str
    """The dataset whose holdout was read, as in the tag of a run."""
    unread: bool
    uses: Uses | None
    rules: tuple[RuleResult, ...]
    others: tuple[OtherChallenger, ...]
    content: Mapping[str, Any]
    """All that was recorded, as in the file."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the decision from the JSON that `Decision.as_json` wrote. Keys without a field stay in `content`."""
        special = {
            "challenger": content["challenger"]["label"],
            "uses": Uses.from_json(content["uses"]) if content["uses"] else None,
            "content": content,
        }
        return _validated(cls, {**content, **special})


@dataclass(frozen=True)
class ReleaseRecord:
    """The record of a release: what was done in each stage, or would be done in a dry run."""

    dry_run: bool
    promoted: bool
    version: str | None
    previous: str | None
    """The champion when the release began."""
    stages: tuple[str, ...]
    passed: tuple[str, ...]
    waiting: str
    """The stage that needs an approval; empty when none does."""
    ends: str
    """In a dry run, why it would not pass all stages."""
    next: str
    """The command that continues after an approval."""
    endpoint: str | None
    """The address where it is served."""
    reason: str
    undo: str
    steps: tuple[RolloutStep, ...]

    @classmethod
    def of(cls, release: Release) -> Self:
        """Return the record of a release, with the steps done so far."""
        rollout = release.rollout
        return cls(
            dry_run=rollout.dry_run,
            promoted=release.promoted,
            version=release.version.version if release.version else None,
            previous=release.before.version if release.before else None,
            stages=tuple(rollout.names),
            passed=tuple(rollout.passed),
            waiting=rollout.waiting,
            ends=rollout.ends,
            next=release.next,
            endpoint=release.status.address if release.status else None,
            reason=release.reason,
            undo=release.undo,
            steps=tuple(release.steps),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values for release.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Restore the record from what `as_json` returned. Keys without a field are ignored."""
        return _validated(cls, content)


@dataclass(frozen=True)
class PromotionRecord:
    """All that a promotion recorded on its MLflow run: decision, release and candidates."""

    decision: RecordedDecision
    release: ReleaseRecord
    candidates: Mapping[str, Any]
    """As `Candidates.as_json` wrote them."""
    card: str
    """Address of the page for people."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Restore the record from the content of `decision.json`, updated with that of `release.json`.

        Raises ValueError and the like when a key is missing or has a value of another kind.
        """
        parts = {
            "decision": RecordedDecision.from_json(content["decision"]),
            "release": ReleaseRecord.from_json(content["release"]),
        }
        return _validated(cls, {**content, **parts})


def _validated(kind: type[T], content: Mapping[str, Any]) -> T:
    """Return a dataclass of this kind from plain values. Raises ValueError unless each field has one of its kind."""
    return TypeAdapter(kind).validate_python(content)


def write_decision(store: Store, run_id: str, release: Release, candidates: Candidates) -> None:
    """Log the decision and the release so far on the run, as JSON, metrics and tags.

    Call it before the stages are changed and again afterwards: the second call adds the steps of the release. The tag
    with the answer is written last, so a run with this tag has the whole decision.
    """
    decision, client = release.decision, store.client
    run = client.get_run(run_id)
    released = ReleaseRecord.of(release).as_json()
    if Tag.DECISION in run.data.tags:
        client.log_dict(run_id, {"format": FORMAT, "release": released}, f"{FOLDER}/{LATER}")
        client.set_tag(run_id, Tag.DECISION_RELEASE, f"{FOLDER}/{LATER}")
    else:
        content = {
            "format": FORMAT,
            "decision": decision.as_json(),
            "release": released,
            "candidates": candidates.as_json(),
            "card": f"{run.info.artifact_uri.rstrip('/')}/{CARD}",
        }
        _first(store, run_id, release, candidates, content)
    tags = {
        Tag.DECISION_MODEL: release.model,
        Tag.DECISION_VERSION: release.version.version if release.version else "",
        Tag.DECISION_PREVIOUS: release.before.version if release.before else "",
        Tag.REASON: release.reason,
        Tag.DECISION_WAITING: release.rollout.waiting,
        Tag.PROMOTED: str(release.promoted).lower(),
        Tag.DECISION: decision.answer,
    }
    for key, text in tags.items():
        if text:
            client.set_tag(run_id, key, text)


def _first(store: Store, run_id: str, release: Release, candidates: Candidates, content: dict[str, Any]) -> None:
    """Log what is final before the stages begin: the decision, its figures and its page."""
    decision, client = release.decision, store.client
    _card(store, run_id, release, candidates)
    client.log_dict(run_id, content, f"{FOLDER}/{FILE}")
    figures = {
        f"challenger_{decision.metric}": decision.challenger.score,
        f"champion_{decision.metric}": decision.champion.score,
        "gain": decision.evidence.gain,
    }
    for name, value in figures.items() if decision.evidence.shows_estimates else ():
        if value is not None and math.isfinite(value):
            client.log_metric(run_id, name, value)


def _card(store: Store, run_id: str, release: Release, candidates: Candidates) -> None:
    """Log the decision's page, and link it from the version."""
    run = store.client.get_run(run_id)
    decision, version = release.decision, release.version
    url = store.run_url(run_id, run.info.experiment_id)
    links = [("this decision", url), ("run of the challenger", decision.challenger.run_id)]
    if version is not None and not release.rollout.dry_run:
        links.append(("version", version.uri))
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    author = release_ledger.acting_user()
    origin = f"Written by nbops on {when} for {author}. All figures are in promotion/decision.json beside this page."
    about = model_facts.collect_model_card(store, decision, candidates)
    rollout = release.rollout
    page = decision_page.decision_page(
        decision, about, origin=origin, stages=rollout.names, dry_run=rollout.dry_run, links=links
    )
    store.client.log_text(run_id, page, CARD)
    if release.promoting and version is not None and not release.rollout.dry_run:
        registry.set_tags(store, version, {Tag.CARD: f"runs:/{run_id}/{CARD}"})


def read_decision(store: Store, run_id: str) -> PromotionRecord:
    """Return the decision and release that `write_decision` logged.

    Raises PromotionError if the run has none, or if its files are gone, were not written by `write_decision`, or have a
    format that this nbops does not know.
    """
    tags = store.client.get_run(run_id).data.tags
    if Tag.DECISION not in tags:
        raise PromotionError(f"run {run_id} recorded no decision; its notebook must end with gate.record(...)")
    content = _read_file(store, run_id, f"{FOLDER}/{FILE}")
    later = tags.get(Tag.DECISION_RELEASE)
    if later:
        content |= _read_file(store, run_id, later)
    with _as_promotion_error(run_id, f"{FOLDER}/{FILE}" + (f" with {later}" if later else "")):
        return PromotionRecord.from_json(content)


def _read_file(store: Store, run_id: str, name: str) -> dict[str, Any]:
    """Return the content of one of the two files, in a format that this nbops reads."""
    with _as_promotion_error(run_id, name), tempfile.TemporaryDirectory() as scratch:
        path = store.client.download_artifacts(run_id, name, scratch)
        content: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
        json_shape.expect_keys(content, {})
        json_shape.expect_format(content, (FORMAT,), unnamed=FORMAT)
        return content


@contextmanager
def _as_promotion_error(run_id: str, name: str) -> Iterator[None]:
    """Turn any error within the block into a PromotionError that names the file and the way out."""
    try:
        yield
    except Exception as error:
        raise PromotionError(
            f"run {run_id}: {name} cannot be read as the record of a decision ({_explain(error)}); if a newer nbops "
            "wrote it, update nbops; else promote again: nbops history and the tags of the run say what was done"
        ) from error


def _explain(error: Exception) -> str:
    """Return what is wrong with a file: the key that is missing or wrong, if the error is about one."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{error} is missing" if isinstance(error, KeyError) else reason(error)
