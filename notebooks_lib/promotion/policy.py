"""What one decision requires: the settings of the model and the parameters of the call. Pure."""

from __future__ import annotations

from typing import Any

from notebooks_lib.promotion.evidence import Uses
from notebooks_lib.settings.sections import NO_ROWS, ModelPolicy, Promotion


class Policy(ModelPolicy):
    """The thresholds of one decision: those of the settings for the model, and `min_gain`. Frozen."""

    min_gain: float = 0.0
    """Gain that the challenger must exceed, in units of the metric."""
    alpha: float = Promotion.model_fields["alpha"].default
    """Chance of any false promotion by one holdout, over all of its uses."""
    uses: int = Promotion.model_fields["holdout_uses"].default
    """Budget of a holdout; a budget that comes with the evidence takes precedence."""
    at: float | None = None
    """Level of this one question, where several share a use; None: an equal share of alpha for each use."""

    @classmethod
    def of(cls, project: Promotion, model: str, *, min_gain: float = 0.0) -> Policy:
        """Return the thresholds for a model: [promotion], overridden by [promotion.models.MODEL], with `min_gain`."""
        own = project.of(model)
        thresholds = {name: getattr(own, name) for name in ModelPolicy.model_fields}
        return cls.model_construct(min_gain=min_gain, alpha=own.alpha, uses=own.holdout_uses, **thresholds)

    def question(self) -> dict[str, Any]:
        """Return the thresholds that identify a question to the holdout: all except those marked `NO_ROWS`."""
        fields = type(self).model_fields
        return {name: value for name, value in self if NO_ROWS not in fields[name].metadata}

    def level(self, uses: Uses | None) -> float:
        """Return the significance level of one use: `at` when it is set, else an equal share of alpha (Bonferroni)."""
        return self.at if self.at is not None else self.alpha / (uses.budget if uses else self.uses)
