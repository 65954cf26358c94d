"""The base is on disk while it is looked at, and gone afterwards: also after Ctrl-C, SIGTERM and, by the next, kill -9."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from notebooks_lib.errors import NbopsError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.base_checkout import PREFIX, check_out
from tests.git_commands import commit, git, make_repository

HOLD = """
import sys, time
from pathlib import Path
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.base_checkout import check_out
with check_out(GitRepository(Path(sys.argv[1])), "HEAD") as tree:
    print(tree, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    folder = make_repository(tmp_path / "repository")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (folder / "a.txt").write_text("one")
    commit(folder)
    return GitRepository(folder)


def left(repository: GitRepository) -> list[str]:
    """Scratch folders, and work trees beside the repository's own."""
    trees = git(repository.root, "worktree", "list", "--porcelain").count("worktree ") - 1
    return [*(path.name for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")), *["tree"] * trees]


def test_the_base_is_there_and_then_gone(repository: GitRepository) -> None:
    (repository.root / "a.txt").write_text("two")
    with check_out(repository, "HEAD") as tree, check_out(repository, "HEAD") as other:
        assert tree != other, "two reviews at once"
        assert (tree / "a.txt").read_text() == "one"
        (tree / "made.txt").write_text("by a run")
    assert left(repository) == []
    assert (repository.root / "a.txt").read_text() == "two"
    with pytest.raises(ZeroDivisionError), check_out(repository, "HEAD"):
        raise ZeroDivisionError
    assert left(repository) == []


def test_in_a_hook_the_index_of_the_commit_is_left_alone(
    repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.root / "a.txt").write_text("two")
    git(repository.root, "add", "a.txt")
    index = (repository.root / ".git" / "index").read_bytes()
    monkeypatch.setenv("GIT_DIR", str(repository.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository.root / ".git" / "index"))

    with check_out(GitRepository.find(repository.root), "HEAD") as tree:
        assert (tree / "a.txt").read_text() == "one"
    assert (repository.root / ".git" / "index").read_bytes() == index
    assert left(repository) == []


def test_submodules_are_as_the_base_has_them(repository: GitRepository, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library")
    (library / "deep").mkdir()
    (library / "deep" / "mod.py").write_text("x = 1")
    commit(library)
    for name in ("lib", "not checked out"):
        git(repository.root, "submodule", "--quiet", "add", str(library), name)
    git(repository.root, "submodule", "--quiet", "deinit", "--force", "not checked out")
    base = commit(repository.root)
    inside = repository.root / "lib"
    (inside / "deep" / "mod.py").write_text("x = 2")
    head = commit(inside)
    commit(repository.root)
    (inside / "deep" / "mod.py").write_text("x = 3")
    with check_out(repository, base) as tree:
        assert (tree / "lib" / "deep" / "mod.py").read_text() == "x = 1"
        assert git(tree, "status", "--short") == "", "so that its runs are not of a changed work tree"
        assert [*(tree / "not checked out").iterdir()] == []
    with check_out(repository, "HEAD") as tree:
        assert (tree / "lib" / "deep" / "mod.py").read_text() == "x = 2"
    assert left(repository) == []
    assert git(inside, "status", "--short") == "M deep/mod.py"
    git(inside, "checkout", "--quiet", "--force", "HEAD~1")
    git(inside, "reflog", "expire", "--expire=now", "--all")
    git(inside, "update-ref", "-d", "refs/heads/main")
    git(inside, "gc", "--quiet", "--prune=now")
    told: list[tuple[object, str]] = []
    with check_out(repository, "HEAD", lambda *missing: told.append(missing)):
        reason = "the commits of submodules are not here; `git submodule foreach git fetch` gets them"
        assert told == [(["lib"], reason)], head


def test_what_git_lfs_cannot_get_stays_a_pointer_and_is_named(repository: GitRepository) -> None:
    (repository.root / ".gitattributes").write_text("*.csv filter=lfs\n")
    (repository.root / "data.csv").write_text("version https://git-lfs.github.com/spec/v1\n")
    commit(repository.root)
    for key, value in (("clean", "cat"), ("smudge", "false"), ("required", "true")):
        git(repository.root, "config", f"filter.lfs.{key}", value)
    missing: list[object] = []
    with check_out(repository, "HEAD", lambda *found: missing.extend(found)) as tree:
        assert (tree / "data.csv").read_text().startswith("version ")
        assert (tree / "a.txt").read_text() == "one"
    assert missing == [["data.csv"], "data.csv: smudge filter lfs failed; `git lfs fetch --all` gets them"]
    assert left(repository) == []


def test_what_git_cannot_write_is_one_line(repository: GitRepository) -> None:
    says = "^commit 01234567 cannot be checked out: .*0123456789$"
    with pytest.raises(NbopsError, match=says), check_out(repository, "0123456789"):
        pass
    assert left(repository) == []


def test_no_hook_runs_and_no_other_work_tree_is_touched(repository: GitRepository, tmp_path: Path) -> None:
    hook = repository.root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git(repository.root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "theirs"))
    (tmp_path / "ran").unlink()
    git(repository.root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "gone"))
    (tmp_path / "gone").rename(tmp_path / "moved")
    (tmp_path / "ran").unlink()
    with check_out(repository, "HEAD"):
        pass
    assert not (tmp_path / "ran").exists()
    assert left(repository) == ["tree", "tree"], "also one whose folder is away for now"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(repository: GitRepository, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(repository.root)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        tree = process.stdout.readline().strip()
        assert Path(tree).is_dir()
        process.send_signal(number)
        assert process.wait(20) != 0
    assert left(repository) == []


def test_the_next_review_removes_what_a_killed_one_left_and_not_one_that_goes_on(repository: GitRepository) -> None:
    command = [sys.executable, "-c", HOLD, str(repository.root)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as going_on,
    ):
        assert killed.stdout is not None
        assert going_on.stdout is not None
        trees = [Path(process.stdout.readline().strip()) for process in (killed, going_on) if process.stdout]
        killed.kill()
        killed.wait()
        assert trees[0].is_dir()
        (Path(tempfile.gettempdir()) / f"{PREFIX}{killed.pid}-empty").mkdir()
        with check_out(repository, "HEAD"):
            assert [tree.exists() for tree in trees] == [False, True]
        going_on.send_signal(signal.SIGTERM)
        going_on.wait(20)
    assert left(repository) == []
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
