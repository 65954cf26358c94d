"""The evidence for a decision: two models, their figures on the same holdout rows, and the uses of that holdout.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.metrics.metric import Direction, gain
from notebooks_lib.statistics.paired_jackknife import PairedGain

SHOWN_UP_TO = 10
"""The largest budget of uses with which estimates are shown. An estimate reveals something about the rows, and the next
challenger is chosen with that knowledge; the correction for many uses does not cover this.
"""

NO_ESTIMATE: Mapping[str, bool] = {"estimate": False}
"""Marks a figure of the holdout that tells nothing of how good a model is: a large budget does not hide it."""
INTERNAL: Mapping[str, bool] = {"recorded": False}
"""Marks a field that the record of a decision leaves out."""


@dataclass(frozen=True)
class Uses:
    """The uses of a holdout: the number of this use, and how many its rows allow and have spent."""

    budget: int
    """Allowed uses of these rows; each is tested at an equal share of the level."""
    number: int
    """Number of this use, from 1."""
    asked: str = ""
    """When the same question was answered before; then this is the stored answer, and nothing was spent."""
    spent: int | None = None
    """Uses spent so far, including this one; None means as many as its number."""

    @property
    def left(self) -> int:
        """Return how many uses remain after this one."""
        return max(self.budget - (self.number if self.spent is None else self.spent), 0)

    @property
    def exhausted(self) -> bool:
        """True if this use exceeds the budget."""
        return self.number > self.budget

    @property
    def show_estimate(self) -> bool:
        """True if estimates from the holdout may be shown with the decision, because its budget is small."""
        return self.budget <= SHOWN_UP_TO

    def as_json(self) -> dict[str, Any]:
        """Return the uses as plain values, for the record of a decision."""
        return {
            "budget": self.budget,
            "number": self.number,
            "left": self.left,
            "exhausted": self.exhausted,
            "asked": self.asked or None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Uses:
        """Restore the object from what `as_json` returned."""
        budget = int(content["budget"])
        return cls(budget, int(content["number"]), content["asked"] or "", budget - int(content["left"]))


@dataclass(frozen=True, kw_only=True)
class HoldoutFigures:
    """The figures of one model on the holdout.

    They are stored with the answer, so that the same question spends no new use.
    """

    score: float | None = None
    """By the metric that decides; None when the model could not be scored."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = field(default=(), repr=False, metadata=INTERNAL)
    """For each holdout row, in the order of the rows; empty when the metric has none."""
    rows: int = field(default=0, metadata=NO_ESTIMATE)
    rows_sha256: str = field(default="", metadata=NO_ESTIMATE)
    predictions_sha256: str = field(default="", metadata=NO_ESTIMATE)
    fault: str = field(default="", metadata=NO_ESTIMATE)
    """Why it could not be scored."""


_WITHOUT_ESTIMATES = {
    figure.name: getattr(HoldoutFigures(), figure.name)
    for figure in fields(HoldoutFigures)
    if figure.metadata.get("estimate", True)
}


@dataclass(frozen=True)
class Side(HoldoutFigures):
    """One of the two models that are compared, with facts about it and its figures on the holdout."""

    label: str
    """For people: "run 1a2b3c4d (ridge)", "version 3", "the mean of the training rows"."""
    run_id: str = ""
    version: str = ""
    """Of the registered model; empty for a challenger that is not registered, and for a baseline."""
    dataset: str = ""
    """What it was trained on, as "name@version#fingerprint"; empty when its run did not say."""
    signature: Mapping[str, Any] | None = field(default=None, metadata=INTERNAL)
    """Columns, or tensors: one entry whose `tensor-spec` has a shape; None if the model has no signature."""
    commit: str = ""
    dirty: bool | None = None
    model_sha256: str = ""
    """Digest of the files that were scored."""
    size_bytes: int | None = None
    latency_ms: float | None = None
    """For one row, 95 % of the time; None when no limit is set, or it was not to be measured."""
    loose: tuple[str, ...] | None = None
    """Requirements that are not pinned, or differ from what is installed; None when they are not known."""
    seen_rows: int | None = None
    """Holdout rows among those that it was trained on or chosen by; None when that is not known."""
    irreproducible: str | None = None
    """Why its fingerprint does not come out again; None when that was not tried."""

    def as_json(self, *, shows: bool) -> dict[str, Any]:
        """Return the model's facts and figures as plain values, for the record of a decision.

        Estimates are among them only if `shows`.
        """
        side = self if shows else replace(self, **_WITHOUT_ESTIMATES)
        recorded = (attribute.name for attribute in fields(side) if attribute.metadata.get("recorded", True))
        return {name: json_value(getattr(side, name)) for name in recorded}


@dataclass(frozen=True)
class Slice:
    """The holdout rows with one value in one column, and both models on them."""

    column: str = field(metadata=NO_ESTIMATE)
    value: str = field(metadata=NO_ESTIMATE)
    rows: int = field(metadata=NO_ESTIMATE)
    challenger: float
    champion: float
    gain: float
    """Positive when the challenger is better; NaN when the metric is undefined on these rows."""

    @property
    def label(self) -> str:
        """Return column and value of the slice as text, such as `region north`."""
        return f"{self.column} {self.value}"

    def as_json(self, *, shows: bool) -> dict[str, Any]:
        """Return the slice as plain values, for the record of a decision; null for estimates unless `shows`."""
        return {
            figure.name: json_value(getattr(self, figure.name)) if shows or figure.metadata == NO_ESTIMATE else None
            for figure in fields(self)
        }


@dataclass(frozen=True)
class Evidence:
    """All facts and figures that the rules of a decision may read."""

    model: str
    metric: str
    direction: Direction
    dataset: str
    """The dataset whose holdout was read, as "name@version#fingerprint"."""
    challenger: Side
    champion: Side
    """The version in service; a trivial baseline when there is none yet."""
    note: str = ""
    """How the metric differs where it decides."""
    withdrawn: str = ""
    """Which withdrawn run is better than the challenger by validation; empty when none is."""
    no_candidate: str = ""
    """Why there is no challenger; empty when there is one."""
    first: bool = False
    """True if there is no champion yet."""
    paired: PairedGain | None = None
    """The gain with its error; None when one of the two could not be scored."""
    unpaired: str = ""
    """Why the gain has no error, although both models could be scored."""
    uses: Uses | None = None
    """How often these rows have decided; None when that was not counted, which fails."""
    unread: bool = False
    """True if the holdout was not read because an early rule failed."""
    data_faults: tuple[str, ...] | None = None
    """How the holdout differs from the training rows; None when that was not tested."""
    changed_kinds: str = ""
    """Columns of another kind than in the champion's training data; empty when none is, or that was not tested."""
    slices: tuple[Slice, ...] = ()
    """Both models on slices of the holdout."""
    rivals: tuple[Evidence, ...] = ()
    """The other challengers of the same use, best validation score first; they have no rivals themselves."""

    @property
    def by_challenger(self) -> tuple[Evidence, ...]:
        """Return one evidence per challenger of this use, best validation score first."""
        return (replace(self, rivals=()), *self.rivals)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the champion, then each challenger of this use, best validation score first."""
        champions = [evidence.champion for evidence in self.by_challenger]
        scored = next((side for side in champions if side.score is not None), self.champion)
        return (scored, *(evidence.challenger for evidence in self.by_challenger))

    @property
    def ref(self) -> str:
        """Return the dataset of the holdout as name@version."""
        return DatasetTag.parse(self.dataset).ref

    @property
    def is_champion_itself(self) -> bool:
        """True if the best candidate comes from the champion's run. Then the holdout is not read."""
        return not self.first and bool(self.challenger.run_id) and self.challenger.run_id == self.champion.run_id

    @property
    def twin(self) -> bool:
        """True if both models predict the same for every row."""
        digest = self.challenger.predictions_sha256
        return not self.first and bool(digest) and digest == self.champion.predictions_sha256

    @property
    def gain(self) -> float:
        """Return the difference of both scores on the same rows, positive if the challenger is better; may be NaN."""
        new, old = self.challenger.score, self.champion.score
        return math.nan if new is None or old is None else gain(self.direction, new, old)

    @property
    def shows_estimates(self) -> bool:
        """True if estimates from the holdout may be shown with the decision."""
        return self.uses is None or self.uses.show_estimate


def json_value(value: Any) -> Any:
    """Return a value for JSON: None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {key: json_value(member) for key, member in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
