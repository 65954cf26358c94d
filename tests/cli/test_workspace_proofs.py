"""Proofs in a workspace: each ends with what was seen, whatever happens, and one that fails does not end the others."""

from __future__ import annotations

import _thread
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.cli.throwaway_project import ThrowawayProject
from notebooks_lib.cli.workspace_proofs import NotShownError, Proof, VerifiedWorkspace, show, show_all
from notebooks_lib.errors import AzureError


@pytest.fixture
def verified(tmp_path: Path) -> VerifiedWorkspace:
    return VerifiedWorkspace(
        ThrowawayProject("nbops-verify-1", tmp_path, Workspace("s", "g", "w")), "azureml:serverless"
    )


def _refuted(verified: VerifiedWorkspace) -> str:
    raise NotShownError("it ran twice")


def _azure_fails(verified: VerifiedWorkspace) -> str:
    raise AzureError("the workspace is gone", "make one")


def _mlflow_fails(verified: VerifiedWorkspace) -> str:
    raise MlflowException("INTERNAL_ERROR: no such route")


def _unexpected_answer(verified: VerifiedWorkspace) -> str:
    return str({}["status"])


def _needs_a_run(verified: VerifiedWorkspace) -> str:
    return str(verified.needed("a run"))


@pytest.mark.parametrize(
    ("prove", "state", "detail"),
    [
        (lambda verified: "seen", "shown", "seen"),
        (_refuted, "not shown", "it ran twice"),
        (_azure_fails, "not shown", "the workspace is gone; make one"),
        (_unexpected_answer, "not shown", "'status'"),
        (_mlflow_fails, "not shown", "INTERNAL_ERROR: no such route"),
        (_needs_a_run, "not tried", "needs a run, which was not made"),
    ],
)
def test_a_proof_ends_with_what_was_seen(prove: object, state: str, detail: str, verified: VerifiedWorkspace) -> None:
    outcome = show(verified, Proof("jobs", "it runs once", prove))  # type: ignore[arg-type]
    assert (outcome.part, outcome.what, outcome.state, outcome.detail) == ("jobs", "it runs once", state, detail)


@pytest.mark.parametrize("at_once", [False, True])
def test_one_that_fails_does_not_end_the_others(at_once: bool, verified: VerifiedWorkspace) -> None:
    groups = [
        [Proof("a", "1", _refuted), Proof("a", "2", lambda verified: "well")],
        [Proof("b", "3", lambda verified: "well")],
    ]
    outcomes = list(show_all(verified, groups, at_once=at_once))
    assert [(outcome.what, outcome.state) for outcome in outcomes] == [
        ("1", "not shown"),
        ("2", "shown"),
        ("3", "shown"),
    ]


@pytest.mark.parametrize("at_once", [False, True])
def test_after_an_interrupt_no_further_one_begins(at_once: bool, verified: VerifiedWorkspace) -> None:
    began: list[str] = []

    def interrupted(verified: VerifiedWorkspace) -> str:
        _thread.interrupt_main()
        assert verified.stopping.wait(10)
        return "ended"

    def begins(verified: VerifiedWorkspace) -> str:
        began.append("another")
        return "well"

    groups = [[Proof("a", "1", interrupted), Proof("a", "2", begins)]]
    with pytest.raises(KeyboardInterrupt):
        list(show_all(verified, groups if at_once else [*groups, [Proof("b", "3", begins)]], at_once=at_once))
    assert began == []
