"""The policy of the gate holds every threshold that the settings have, and the rules have one order."""

from __future__ import annotations

import importlib
from pathlib import Path

from notebooks_lib.promotion import rule_registry
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import EARLY, RULES
from notebooks_lib.settings.sections import ModelPolicy, Promotion


def test_every_setting_of_a_model_reaches_the_policy_with_the_same_default():
    assert Policy.of(Promotion(), "any") == Policy()
    own = {"min_rows": 31, "limits": {"rmse": 60.0}, "slices": ("shop",), "require_clean": True, "max_latency_ms": 9.0}
    policy = Policy.of(Promotion(models={"sales": ModelPolicy(**own)}), "sales", min_gain=0.5)
    assert {name: getattr(policy, name) for name in own} == own
    assert policy.min_gain == 0.5


def test_every_threshold_of_a_model_is_read_where_it_decides():
    folder = Path(rule_registry.__file__).parent
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    assert [name for name in ModelPolicy.model_fields if f"policy.{name}" not in source] == []


def test_guardrails_are_shown_before_what_the_holdout_says():
    importlib.import_module("notebooks_lib.promotion.decision")  # which registers them
    names = [rule.__module__.rpartition(".")[2] for rule in RULES]
    assert names == sorted(names)
    assert [rule for rule in RULES if rule in EARLY] == EARLY


def test_a_threshold_that_needs_no_holdout_row_is_no_part_of_the_question():
    question = Policy().question()
    assert Policy(max_size_mb=1.0, power=0.9, data_tests=False).question() == question
    assert Policy(max_share=0.2).question() != question
