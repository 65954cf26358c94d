"""The evidence for a decision: two models, their figures on the same holdout rows, and the uses of that holdout.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from notebooks_lib.metrics.metric import Direction, gain
from notebooks_lib.promotion.policy import Uses
from notebooks_lib.statistics.paired import Paired


@dataclass(frozen=True, kw_only=True)
class HoldoutFigures:
    """What the holdout says of one model. All of it is stored with the answer, so that no use is spent twice."""

    score: float | None = None
    """By the metric that decides; None when the model could not be scored."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = field(default=(), repr=False)
    """For each holdout row, in the order of the rows; empty when the metric has none."""
    rows: int = 0
    rows_sha256: str = ""
    predictions_sha256: str = ""
    fault: str = ""
    """Why it could not be scored."""


@dataclass(frozen=True)
class Side(HoldoutFigures):
    """One of the two models that are compared on the holdout."""

    label: str
    """For people: "run 1a2b3c4d (ridge)", "version 3", "the mean of the training rows"."""
    run_id: str = ""
    version: str = ""
    """Of the registered model; empty for a challenger that is not registered, and for a baseline."""
    dataset: str = ""
    """What it was trained on, as "name@version#fingerprint"; empty when its run did not say."""
    signature: Mapping[str, Any] | None = None
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


@dataclass(frozen=True)
class Slice:
    """The rows of the holdout that share a value of one column."""

    column: str
    value: str
    rows: int
    challenger: float
    champion: float
    gain: float
    """Positive when the challenger is better; NaN when the metric is undefined on these rows."""

    @property
    def label(self) -> str:
        """Return a label for people."""
        return f"{self.column} {self.value}"


@dataclass(frozen=True)
class Evidence:
    """Everything that the rules may read."""

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
    no_candidate: str = ""
    """Why there is no challenger; empty when there is one."""
    first: bool = False
    """Whether there is no champion yet."""
    paired: Paired | None = None
    """The gain with its error; None when one of the two could not be scored."""
    unpaired: str = ""
    """Why the gain has no error, although both models could be scored."""
    uses: Uses | None = None
    """How often these rows have decided; None when that was not counted, which fails."""
    unread: bool = False
    """Whether the holdout was not read because an early rule failed."""
    data_faults: tuple[str, ...] | None = None
    """How the holdout differs from the training rows; None when that was not tested."""
    slices: tuple[Slice, ...] = ()
    """Both models on slices of the holdout."""
    rivals: tuple[Evidence, ...] = ()
    """The other challengers of the same use, best validation score first; they have no rivals themselves."""

    @property
    def by_challenger(self) -> tuple[Evidence, ...]:
        """Return the evidence on each challenger of this use alone, best validation score first."""
        return (replace(self, rivals=()), *self.rivals)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the champion, then each challenger of this use, best validation score first."""
        champions = [each.champion for each in self.by_challenger]
        scored = next((side for side in champions if side.score is not None), self.champion)
        return (scored, *(each.challenger for each in self.by_challenger))

    @property
    def ref(self) -> str:
        """Return the dataset as name@version."""
        return self.dataset.partition("#")[0]

    @property
    def is_champion_itself(self) -> bool:
        """Whether the best candidate is the champion's own run; then no holdout was read."""
        return not self.first and bool(self.challenger.run_id) and self.challenger.run_id == self.champion.run_id

    @property
    def twin(self) -> bool:
        """Whether both models predict the same for every row."""
        digest = self.challenger.predictions_sha256
        return not self.first and bool(digest) and digest == self.champion.predictions_sha256

    @property
    def gain(self) -> float:
        """Return the difference of the two scores on the same rows, positive when the challenger is better; may be
        NaN.
        """
        one, other = self.challenger.score, self.champion.score
        return math.nan if one is None or other is None else gain(self.direction, one, other)

    @property
    def shows_estimates(self) -> bool:
        """Whether figures of the holdout may be shown."""
        return self.uses is None or self.uses.show_estimate
