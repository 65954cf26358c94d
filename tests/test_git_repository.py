"""A repository is read as git itself reads it, and what is wrong comes with the command that mends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from notebooks_lib import errors, git_repository
from notebooks_lib.git_repository import FETCH_ALL, GitRepository
from tests.git_commands import commit, git, make_repository

TEXT = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "repository")
    for name in ("same", "edited", "deleted", "old name", "Основы"):
        (folder / f"{name}.ipynb").write_text(f"{name}\n{TEXT}", "utf-8")
    (folder / "link.ipynb").symlink_to("same.ipynb")
    (folder / "other.py").write_text("x")
    commit(folder)
    return folder


def states(repository: GitRepository, base: str, head: str | None) -> dict[str, tuple[str, str | None]]:
    files = repository.changed_files(base, head, "**/*.ipynb")
    return {(file.head or file.base).path: (file.state, file.base and file.base.path) for file in files}  # type: ignore[union-attr]


def test_files_that_differ_between_commits_or_from_the_work_tree(root):
    first = git(root, "rev-parse", "HEAD")
    (root / "edited.ipynb").write_text(f"new\n{TEXT}")
    (root / "Основы.ipynb").write_text(f"new\n{TEXT}")
    (root / "deleted.ipynb").unlink()
    (root / "deep").mkdir()
    (root / "old name.ipynb").rename(root / "deep" / "new name.ipynb")
    (root / "other.py").write_text("y")
    (root / "new.ipynb").write_text("new")
    expected = {
        "edited.ipynb": ("modified", "edited.ipynb"),
        "Основы.ipynb": ("modified", "Основы.ipynb"),
        "deleted.ipynb": ("deleted", "deleted.ipynb"),
        "deep/new name.ipynb": ("renamed", "old name.ipynb"),
        "new.ipynb": ("added", None),
    }
    repository = GitRepository.find(root / "deep")
    assert repository.untracked_files("**/*.ipynb") == ["deep/new name.ipynb", "new.ipynb"]
    git(root, "add", "--all")
    assert states(repository, "HEAD", None) == expected
    commit(root)
    assert states(repository, first, "HEAD") == expected
    assert states(repository, "HEAD", None) == {}


def test_a_clone_without_content_that_cannot_fetch_any_tells_what_it_lacks(root, tmp_path):
    (root / "edited.ipynb").rename(root / "moved.ipynb")
    (root / "moved.ipynb").write_text(f"new\n{TEXT}")
    (root / "new.ipynb").write_text("new")
    commit(root)
    git(root, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", root.as_uri(), str(tmp_path / "clone"))
    root.rename(tmp_path / "gone")
    clone = GitRepository(tmp_path / "clone")
    assert states(clone, "HEAD~1", "HEAD")["moved.ipynb"] == ("added", None), "nothing tells what it was"
    assert clone.missing_files("HEAD~1") == ["edited.ipynb"]
    here, lacking = clone.find_file("HEAD", "new.ipynb").blob, clone.find_file("HEAD~1", "edited.ipynb").blob
    assert list(clone.blobs([here, lacking, here, lacking])) == [b"new", None, b"new", None]
    assert clone.why_missing(lacking).endswith("; `git fetch --refetch --no-filter origin` gets it")


def test_without_a_commit_there_is_no_default_branch_to_name(tmp_path):
    repository = GitRepository.find(make_repository(tmp_path / "new"))
    with pytest.raises(errors.UsageError, match="has no commit yet: nothing to compare with"):
        repository.default_branch()


def test_a_tag_with_the_name_of_the_default_branch_does_not_take_its_place(root, tmp_path):
    first = git(root, "rev-parse", "HEAD")
    git(tmp_path, "clone", "--quiet", str(root), str(tmp_path / "clone"))
    commit(root)
    git(root, "checkout", "--quiet", "-b", "evil")
    for name in ("origin/HEAD", "origin/main", "remotes/origin/main", "main"):
        git(root, "tag", name)
    repository = GitRepository(tmp_path / "clone")
    git(repository.root, "fetch", "--quiet", "--tags", str(root), "evil")
    assert repository.commit("origin/main") != first, "git takes the tag"
    assert repository.commit(repository.default_branch()) == first
    git(repository.root, "remote", "remove", "origin")
    assert repository.commit(repository.default_branch()) == first


def test_contents_come_in_order_and_an_object_that_is_not_there_is_none(root):
    repository = GitRepository.find(root)
    names = [repository.find_file("HEAD", f"{name}.ipynb").blob for name in ("same", "edited")]
    texts = [f"same\n{TEXT}".encode(), None, f"edited\n{TEXT}".encode()]
    assert list(repository.blobs([names[0], "0" * 40, names[1]])) == texts
    assert repository.find_file("HEAD", "link.ipynb").is_link


def test_a_file_that_a_commit_lacks_has_the_nearest_named(root):
    with pytest.raises(errors.UsageError, match=r"HEAD: unknown notebook 'edit.ipynb', did you mean 'edited.ipynb'"):
        GitRepository.find(root).find_file("HEAD", "edit.ipynb")


def test_revisions_are_commits_and_an_unknown_one_has_the_nearest_named(root):
    git(root, "tag", "-a", "v1", "-m", "annotated")
    repository = GitRepository.find(root)
    assert repository.commit("v1") == repository.commit("HEAD") == git(root, "rev-parse", "HEAD")
    assert not repository.has("--all")
    with pytest.raises(errors.UsageError, match="unknown revision 'mian', did you mean 'main'"):
        repository.commit("mian")


def test_a_shallow_clone_says_what_gets_the_rest_and_that_command_does(root, tmp_path):
    first = git(root, "rev-parse", "HEAD")
    git(root, "branch", "feature")
    commit(root, "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", root.as_uri(), "clone")
    clone = GitRepository.find(tmp_path / "clone")
    for revision in (first, "origin/feature"):
        with pytest.raises(errors.UsageError, match="this clone is shallow") as raised:
            clone.commit(revision)
    command = str(raised.value).partition("get the rest with ")[2]
    assert command == FETCH_ALL
    subprocess.run(command, shell=True, cwd=clone.root, check=True, capture_output=True)
    assert clone.commit(first) == clone.commit("origin/feature") == first


def test_histories_that_share_nothing(root):
    git(root, "checkout", "--quiet", "--orphan", "alone")
    commit(root, "alone")
    with pytest.raises(errors.UsageError, match="main and alone share no history"):
        GitRepository.find(root).merge_base("main", "alone")


def test_a_repository_without_a_commit(tmp_path):
    with pytest.raises(errors.UsageError, match="has no commit yet"):
        GitRepository.find(make_repository(tmp_path / "r")).commit("HEAD")


def test_outside_a_repository_and_without_git(tmp_path, monkeypatch):
    with pytest.raises(errors.UsageError, match=r"is not in a git repository: go into one, or compare two files"):
        GitRepository.find(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UsageError, match="git is not installed"):
        GitRepository.find(tmp_path)


def test_git_neither_asks_nor_takes_for_ever(root, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    program.write_text('#!/bin/sh\necho "prompts $GIT_TERMINAL_PROMPT, reads $(cat | wc -c)"\n')
    program.chmod(0o755)
    assert git_repository._git(root, "fetch") == b"prompts 0, reads 0\n"
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    with pytest.raises(
        errors.UsageError, match=r"git fetch: it takes longer than 0.2 s; .* whether its remote answers"
    ):
        git_repository._git(root, "fetch", seconds=0.2)


def test_paths_count_from_the_root_and_a_link_is_where_it_stands(root, tmp_path):
    (tmp_path / "elsewhere").write_text("x")
    (root / "out.ipynb").symlink_to(tmp_path / "elsewhere")
    repository = GitRepository.find(root)
    assert repository.inside(root / "out.ipynb") == "out.ipynb"
    with pytest.raises(errors.UsageError, match="outside the repository"):
        repository.inside(tmp_path / "elsewhere")


def test_a_file_is_ignored_if_git_would_not_add_it(root):
    (root / ".gitignore").write_text("data/\n*.ipynb\n")
    (root / "data").mkdir()
    (root / "data" / "rows.csv").touch()
    (root / "rows.csv").touch()
    repository = GitRepository(root)
    ignored = [repository.ignores(root / name) for name in ("data/rows.csv", "rows.csv", "same.ipynb")]
    assert ignored == [True, False, False], "same.ipynb is tracked, whatever .gitignore says"
