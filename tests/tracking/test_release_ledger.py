"""The ledger: entries are added once, by whom and when, and read newest first: on SQLite and on Azure ML."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.release_ledger import LedgerEntry
from notebooks_lib.tracking.store import Store

pytestmark = pytest.mark.tracking


def test_an_entry_is_added_once_and_read_newest_first(either_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"model-{uuid.uuid4().hex[:8]}"
    assert release_ledger.read_entries(either_store, name) == []

    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    traffic = LedgerEntry(name, "prod", "traffic", "1=100", "1=90,2=10", reason="a try", run="run7")
    mark = LedgerEntry(name, "prod", "mark", "1", "2", reason="r" * 5000)
    release_ledger.write_entry(either_store, traffic, f"{name}-a")
    release_ledger.write_entry(either_store, mark, f"{name}-b")
    release_ledger.write_entry(either_store, dataclasses.replace(traffic, reason="told once more"), f"{name}-a")
    release_ledger.write_entry(either_store, LedgerEntry(name, "dev", "mark", "", "2"), f"{name}-c")

    found = release_ledger.read_entries(either_store, name)
    assert [(each.stage, each.what, each.before, each.after) for each in found] == [
        ("dev", "mark", "", "2"),
        ("prod", "mark", "1", "2"),
        ("prod", "traffic", "1=100", "1=90,2=10"),
    ]
    first = found[-1]
    assert (first.reason, first.run, first.who.partition("@")[0]) == ("a try", "run7", "ada")
    assert first.when.endswith("+00:00")
    assert found[1].reason == "r" * 1000
    assert [each.stage for each in release_ledger.read_entries(either_store, name, "dev")] == ["dev"]
    assert first.as_json()["from"] == "1=100"


@pytest.mark.parametrize(
    ("variables", "who"),
    [
        (
            {
                "GITHUB_ACTOR": "ada",
                "GITHUB_RUN_ID": "7",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "o/n",
            },
            "approved in https://github.com/o/n/actions/runs/7, started by ada",
        ),
        (
            {
                "BUILD_REQUESTEDFOR": "Ada B",
                "BUILD_BUILDID": "8",
                "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/",
                "SYSTEM_TEAMPROJECT": "a b",
            },
            "approved in https://dev.azure.com/o/a%20b/_build/results?buildId=8, started by Ada B",
        ),
        ({}, release_ledger.acting_user()),
    ],
)
def test_who_started_a_run_of_ci_has_not_approved_it(
    variables: dict[str, str], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert release_ledger.approving_user() == who


def test_an_entry_that_was_cut_short_is_finished_by_the_next_call(
    project: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from notebooks_lib.tracking import store

    here = store.connect(project)  # type: ignore[arg-type]
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(here.client, "set_terminated", lambda *_: (_ for _ in ()).throw(ConnectionError("gone")))
        release_ledger.write_entry(here, LedgerEntry("m", "prod", "mark", "", "1"), "key")
    release_ledger.write_entry(here, LedgerEntry("m", "prod", "mark", "", "1"), "key")

    assert len(release_ledger.read_entries(here, "m")) == 1
    (run,) = here.client.search_runs([here.experiment_id(release_ledger.EXPERIMENT)])
    assert run.info.status == "FINISHED"
