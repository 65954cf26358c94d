"""The journal of a change: what version 0.1 wrote is read, what nobody can know is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError
from notebooks_lib.release.journal import ChangeRecord, LedgerNote, TrafficMove
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.release_ledger import LedgerEntry

OLD = [
    {"kind": "rollback", "model": "m", "stage": "prod", "endpoint": "m", "version": "1", "before": "2", "reason": "r",
     "run": "", "who": "me@here", "pid": 5, "time": 1.5},
    {"step": "deploy", "time": 2.0},
    {"step": "share", "time": 2.5, "traffic": 10, "mirror": 0},
    {"step": "traffic", "time": 3.0, "before": "2=100", "after": "1=100", "reason": ""},
    {"step": "ledger", "time": 4.0, "key": "k-4", "entry": {"model": "m", "stage": "prod", "what": "traffic",
     "before": "2=100", "after": "1=100", "reason": "rollback: r", "run": "", "who": "me@here", "when": ""}},
]  # fmt: skip
"""As version 0.1 wrote it."""


def written(tmp_path: Path, lines: list[dict[str, Any]]) -> LocalStageChanges:
    lock = LocalStageChanges(Settings(root=tmp_path), "m", "prod")
    lock.folder.mkdir(parents=True)
    (lock.folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lock


def test_a_journal_of_version_0_1_is_read(tmp_path: Path) -> None:
    left = written(tmp_path, OLD).pending()
    assert left is not None
    assert left.change == ChangeRecord("rollback", "m", "prod", "1", "me@here", "m", "2", "r", "", 5, 1.5)
    deploy, share, traffic, note = left.entries
    assert (deploy.step, deploy.detail, share.detail) == ("deploy", {}, {"traffic": 10, "mirror": 0})
    assert traffic.detail == TrafficMove("2=100", "1=100")
    assert isinstance(note.detail, LedgerNote)
    assert note.detail.entry == LedgerEntry("m", "prod", "traffic", "2=100", "1=100", "rollback: r", who="me@here")
    assert [entry.as_json() for entry in left.entries] == OLD[1:]


def test_a_journal_of_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    lock = written(tmp_path, [OLD[0] | {"format": 2}])
    with pytest.raises(
        PromotionError, match="line 1 .*written in format 2, this nbops reads 1.* then move the file away"
    ):
        lock.pending()


@pytest.mark.parametrize("lost", ["before", "after", "reason"])
def test_a_move_that_does_not_say_what_it_moves_is_refused(tmp_path: Path, lost: str) -> None:
    lines = [*OLD[:3], {key: value for key, value in OLD[3].items() if key != lost}]
    with pytest.raises(PromotionError, match=f"line 4 .*'{lost}' is missing"):
        written(tmp_path, lines).pending()
