"""What is held against a run's numbers; that runs are found and compared is tested through the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.source_proof import COMMIT, prove
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo
from tests.git_commands import commit, make_repository

SOUND = {Tag.SOURCE_FINGERPRINT: "f", Tag.GIT_DIRTY: "false", Tag.LOCK_SHA256: "l", Tag.LOCK_INSTALLED: "true"}


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    commit(make_repository(tmp_path))
    return GitRepository.find(tmp_path)


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
def test_a_run_of_exactly_this_source(
    repository: GitRepository, tags: dict[str, str], differences: tuple[str, ...]
) -> None:
    assert prove([run(**tags)], ["f"], repository, dirty=False).differences == differences


def test_data_that_changed_after_the_run_is_named(repository: GitRepository) -> None:
    root = repository.root
    before = repository.commit("HEAD")
    for name in ("README.md", "q.ipynb", "helpers.py", "requirements.lock", ".github/ci.yml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("{}")
    commit(root)
    assert prove([run(**{COMMIT: before})], ["f"], repository, dirty=False).exact, "no file that a notebook reads"
    (root / "data.csv").write_text("1")
    (root / "q.sql").write_text("select 1")
    commit(root)
    differences = prove([run(**{COMMIT: before})], ["f"], repository, dirty=False).differences
    assert differences == ("since that run data.csv, q.sql changed, which the notebook may read",)
    assert prove([run(**{COMMIT: repository.commit("HEAD")})], ["f"], repository, dirty=False).exact
    (difference,) = prove([run(**{COMMIT: "0" * 40})], ["f"], repository, dirty=False).differences
    assert difference.startswith("the run's commit 00000000 is not in this clone")


def test_a_run_that_did_not_record_its_packages_proves_nothing(repository: GitRepository) -> None:
    old = run()
    tags = {name: value for name, value in old.tags.items() if name != Tag.LOCK_INSTALLED}
    (difference,) = prove(
        [run(), RunInfo(**{**vars(old), "tags": tags})], ["f", "f"], repository, dirty=False
    ).differences
    assert difference.startswith("the run did not record whether")
