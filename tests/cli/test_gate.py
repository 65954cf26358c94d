"""`nbops gate selftest`: the verdict of the self-test decides the exit code."""

from __future__ import annotations

import json

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.promotion import selftest


def test_a_gate_that_passes_ends_with_0_and_one_that_fails_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = selftest.SelftestCheck("40 clearly better pairs", True, "40 promoted", "at least 39")
    failed = selftest.SelftestCheck("400 equal pairs", False, "200 promoted", "at most 44")
    monkeypatch.setattr(selftest, "run_selftest", lambda: [passed])
    assert program.run(["gate", "selftest"]) == 0
    assert "the gate decides as it says" in capsys.readouterr().out
    monkeypatch.setattr(selftest, "run_selftest", lambda: [passed, failed])
    assert program.run(["gate", "selftest"]) == 1
    assert "promote nothing with it" in capsys.readouterr().out
    assert program.run(["gate", "selftest", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert [check["ok"] for check in content["checks"]] == [True, False]
