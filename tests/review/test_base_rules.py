"""A branch does not switch off the rules of its own review; a reviewer's own settings file counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import check_options
from notebooks_lib.review.base_checkout import check_out
from notebooks_lib.review.base_rules import BaseRules, find_base_rules, find_base_settings
from notebooks_lib.settings import Settings, load
from tests.git_commands import commit, git, make_repository

SILENT = '[check]\nselect = ["NB001"]\nbuiltins = ["spark"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project")
    write(root, "")
    commit(root)
    return root


def write(root: Path, settings: str) -> None:
    (root / "production").mkdir(exist_ok=True)
    (root / "production" / "settings.toml").write_text(settings)


def rules(root: Path, base: str = "HEAD") -> BaseRules:
    check_options.of_folder.cache_clear()
    repository = GitRepository.find(root)
    with check_out(repository, repository.commit(base)) as tree:
        return find_base_rules(repository, tree, Path("experimentation"))


def base_settings(root: Path, base: str = "HEAD", folder: str = "") -> Settings:
    """Return the settings that hold at the base for a project in a folder of the repository."""
    repository = GitRepository.find(root)
    with check_out(repository, repository.commit(base)) as tree:
        return find_base_settings(load(root / folder, os.environ), tree / folder, repository)


def test_the_rules_are_those_of_the_base_and_a_change_of_them_is_named(root: Path) -> None:
    write(root, SILENT)
    found = rules(root)
    assert (found.options.select, found.options.builtins) == (("ALL",), ())
    assert found.changed == ("builtins", "select")
    commit(root)
    assert rules(root).changed == ()
    assert rules(root).options.builtins == ("spark",), "once it is merged"
    write(root, "[check")
    assert rules(root).changed == ("builtins", "select"), "settings that cannot be read"


def test_a_project_that_a_branch_unmakes_or_makes_stays_what_it_was(root: Path) -> None:
    (root / "production" / "settings.toml").unlink()
    assert rules(root).options.select == ("ALL",)
    commit(root)
    write(root, "")
    git(root, "add", "--all")
    assert (rules(root).options.select, rules(root).changed) == (("FAULTS",), ("select",))


def test_conditions_of_a_verdict_are_those_of_the_base(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "[promotion]\nmin_rows = 1\nmax_share = 1.0\n")
    found = base_settings(root).promotion
    assert (found.min_rows, found.max_share) == (30, 0.25)
    commit(root)
    assert base_settings(root).promotion.min_rows == 1, "once it is merged"
    monkeypatch.setenv("NBOPS_PROMOTION_MIN_ROWS", "7")
    assert base_settings(root, "HEAD~1").promotion.min_rows == 7, "a variable is the reviewer's own"


def test_a_branch_that_deletes_its_settings_keeps_the_conditions_of_the_base(root: Path) -> None:
    write(root, "[promotion]\nmin_rows = 77\n")
    commit(root)
    (root / "production" / "settings.toml").unlink()
    assert base_settings(root).promotion.min_rows == 77
    commit(root)
    assert base_settings(root, "HEAD~1").promotion.min_rows == 77


def test_a_project_that_a_branch_makes_inside_another_has_the_conditions_of_that_one(root: Path) -> None:
    write(root, "[promotion]\nmin_rows = 77\n")
    commit(root)
    inner = root / "experimentation"
    inner.mkdir()
    write(inner, "[promotion]\nmin_rows = 1\n")
    git(root, "add", "--all")
    assert base_settings(root, folder="experimentation").promotion.min_rows == 77
    commit(root)
    assert base_settings(root, folder="experimentation").promotion.min_rows == 1, "once it is merged"


def test_a_settings_file_that_git_does_not_track_is_the_reviewers(root: Path) -> None:
    git(root, "rm", "--quiet", "-r", "production")
    (root / ".gitignore").write_text("production\n")
    commit(root)
    write(root, SILENT)
    assert rules(root).options.select == ("NB001",)
    assert rules(root).changed == ()
    write(root, "[promotion]\nmin_rows = 1\n")
    assert base_settings(root).promotion.min_rows == 1


def test_base_settings_that_cannot_be_read_select_every_rule(root: Path) -> None:
    write(root, "[check\n")
    commit(root)
    write(root, SILENT)
    assert rules(root).options.select == ("ALL",)
