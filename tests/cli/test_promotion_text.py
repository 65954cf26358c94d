"""The text of a promotion: nothing steers the terminal, and nothing is printed twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebooks_lib import datasets
from notebooks_lib.cli import promotion_text
from notebooks_lib.promotion.decision import decide_use
from notebooks_lib.promotion.evidence import Uses
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.release.decision_record import RecordedDecision, ReleaseRecord
from notebooks_lib.settings import Settings
from tests.promotion.test_decision import NEW, evidence, paired
from tests.release.test_decision_record import RELEASE


def test_a_name_of_a_run_or_a_step_cannot_steer_the_terminal(
    project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evidence(new=replace(NEW, label="run 1 (\x07\npromoted: houses version 9)"))
    decision = RecordedDecision.from_json(decide_use(run, Policy()).as_json())
    steps = [{"name": "deploy", "changed": True, "text": "done \x07", "stage": "dev"}]
    release = ReleaseRecord.from_json({**RELEASE, "promoted": False, "steps": steps})
    promotion_text.print_decision(decision, release, None, project)
    out = capsys.readouterr().out
    assert decision.answer == "promote"
    assert out.count("\\x07\\x0apromoted") == 3, "headline, summary and table"
    assert "done \\x07" in out
    assert "\x07" not in out


def test_what_steps_and_rules_share_is_printed_once(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    decision = RecordedDecision.from_json(decide_use(evidence(), Policy()).as_json())
    stays = [
        {"name": name, "changed": False, "text": "version 1 stays", "stage": "prod"} for name in ("deploy", "test")
    ]
    release = ReleaseRecord.from_json({**RELEASE, "promoted": False, "steps": stays})
    promotion_text.print_decision(decision, release, None, project)
    lines = capsys.readouterr().out.splitlines()
    assert "  prod deploy, test  version 1 stays" in lines
    [gain] = [line for line in lines if line.startswith("pass  gain")]
    assert gain.endswith("  above"), "the summary above the table gives the reason in full"
    assert sum("a gain of" in line for line in lines) == 1


def test_an_undecided_promotion_names_the_next_step(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    release = ReleaseRecord.from_json({**RELEASE, "promoted": False, "steps": []})
    open_question = decide_use(evidence(paired=paired(gain=0.3)), Policy())
    promotion_text.print_decision(RecordedDecision.from_json(open_question.as_json()), release, None, project)
    assert "  next       add rows: nbops data add FILE --name cats; then run" in capsys.readouterr().out
    rows = "".join(f'{i},"{i},5"\n' for i in range(60))
    (project.root / "cats.csv").write_text(f"id,weight\n{rows}")
    datasets.add(project.root / "cats.csv", "cats", project, key="id")
    promotion_text.print_decision(RecordedDecision.from_json(open_question.as_json()), release, None, project)
    assert "may be numbers or dates (weight): nbops data show cats@1" in capsys.readouterr().out
    spent = decide_use(evidence(paired=paired(gain=0.3), uses=Uses(10, 11)), Policy())
    promotion_text.print_decision(RecordedDecision.from_json(spent.as_json()), release, None, project)
    assert "add rows" not in capsys.readouterr().out, "the rule says what to do with a holdout that is used up"
    alike = decide_use(evidence(paired=paired(gain=0.0, rarer=50, differing=0)), Policy())
    promotion_text.print_decision(RecordedDecision.from_json(alike.as_json()), release, None, project)
    assert "add rows" not in capsys.readouterr().out, "models that answer alike are no matter of rows"
