"""What is held against a run's numbers; that runs are found and compared is tested through the command."""

from __future__ import annotations

import pytest

from notebooks_lib.review.source_proof import prove
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo

SOUND = {Tag.SOURCE_FINGERPRINT: "f", Tag.GIT_DIRTY: "false", Tag.LOCK_SHA256: "l", Tag.LOCK_INSTALLED: "true"}


def run(**tags: str) -> RunInfo:
    return RunInfo("run", "", "", "1", "FINISHED", 0, {}, {}, SOUND | tags)


@pytest.mark.parametrize(
    ("tags", "differences"),
    [
        ({}, ()),
        ({Tag.SOURCE_FINGERPRINT: "g"}, ("the source changed while it ran",)),
        (
            {Tag.LOCK_INSTALLED: "numpy 2.4.6, locked 2.0.0"},
            ("the run had other packages than requirements.lock (numpy 2.4.6, locked 2.0.0)",),
        ),
    ],
)
def test_a_run_of_exactly_this_source(tags: dict[str, str], differences: tuple[str, ...]) -> None:
    assert prove([run(**tags)], ["f"], dirty=False).differences == differences


def test_a_run_that_did_not_record_its_packages_proves_nothing() -> None:
    old = run()
    tags = {name: value for name, value in old.tags.items() if name != Tag.LOCK_INSTALLED}
    (difference,) = prove([run(), RunInfo(**{**vars(old), "tags": tags})], ["f", "f"], dirty=False).differences
    assert difference.startswith("the run did not record whether")
