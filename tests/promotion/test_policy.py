"""The policy of the gate holds every threshold that the settings have."""

from __future__ import annotations

from notebooks_lib.promotion.policy import Policy
from notebooks_lib.settings.sections import ModelPolicy, Promotion


def test_every_setting_of_a_model_reaches_the_policy_with_the_same_default():
    assert Policy.of(Promotion(), "any") == Policy()
    own = {"min_rows": 31, "limits": {"rmse": 60.0}, "slices": ("shop",), "require_clean": True, "max_latency_ms": 9.0}
    policy = Policy.of(Promotion(models={"sales": ModelPolicy(**own)}), "sales", min_gain=0.5)
    assert {name: getattr(policy, name) for name in own} == own
    assert policy.min_gain == 0.5
