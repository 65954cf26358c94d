"""Words after `nbops diff`: a file that is there comes first, then what git knows, then runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.review.diff_targets import FileTarget, RevisionTarget, RunTarget, parse_targets
from tests.git_commands import commit, git, make_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "repository")
    for name in ("q.ipynb", "deep/q.ipynb", "deep/only.ipynb", "main"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    git(folder, "checkout", "--quiet", "-b", "feature")
    commit(folder)
    (folder / "main").unlink()
    git(folder, "branch", "main")
    commit(folder)
    return folder


HEAD, Q = RevisionTarget("HEAD"), FileTarget(Path("q.ipynb"))


@pytest.mark.parametrize(
    ("texts", "targets"),
    [
        ([], (HEAD, None)),
        (["main"], (RevisionTarget("main"), None)),
        (["main", "feature"], (RevisionTarget("main"), RevisionTarget("feature"))),
        (["main..feature"], (RevisionTarget("main"), RevisionTarget("feature"))),
        (["main.."], (RevisionTarget("main"), HEAD)),
        (["q.ipynb"], (RevisionTarget("HEAD", "q.ipynb"), Q)),
        (["main:q.ipynb"], (RevisionTarget("main", "q.ipynb"), FileTarget(Path("q.ipynb")))),
        (["main", "q.ipynb"], (RevisionTarget("main", "q.ipynb"), Q)),
        (["q.ipynb", "main"], (Q, RevisionTarget("main", "q.ipynb"))),
        (["main:q.ipynb", "feature"], (RevisionTarget("main", "q.ipynb"), RevisionTarget("feature", "q.ipynb"))),
        (["main:q.ipynb", "deep/q.ipynb"], (RevisionTarget("main", "q.ipynb"), FileTarget(Path("deep/q.ipynb")))),
        (["01234567", "89abcdef"], (RunTarget("01234567"), RunTarget("89abcdef"))),
    ],
)
def test_targets(root, texts, targets):
    base, head = parse_targets(texts, root)
    if isinstance(head, FileTarget) and head.path.is_absolute():
        head = FileTarget(head.path.relative_to(root))
    assert (base, head) == targets


def test_three_dots_are_the_merge_base(root):
    git(root, "checkout", "--quiet", "main")
    commit(root, "main goes on")
    fork = git(root, "merge-base", "main", "feature")
    assert parse_targets(["main...feature"], root) == (RevisionTarget(fork), RevisionTarget("feature"))


def test_paths_of_a_revision_count_from_the_root_or_from_here(root):
    assert parse_targets(["main:only.ipynb"], root / "deep")[0] == RevisionTarget("main", "deep/only.ipynb")
    assert parse_targets(["main:q.ipynb"], root / "deep")[0] == RevisionTarget("main", "q.ipynb"), "as git reads it"
    assert parse_targets(["main:./q.ipynb"], root / "deep")[0] == RevisionTarget("main", "deep/q.ipynb")
    assert parse_targets(["q.ipynb"], root / "deep")[0] == RevisionTarget("HEAD", "deep/q.ipynb")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["mian"], "unknown revision 'mian', did you mean 'main'?"),
        (["mian", "q.ipynb"], "unknown revision 'mian'"),
        (["deep"], "deep is a folder"),
        (["01234567", "q.ipynb"], "if it is a run, name another run beside it"),
        (["01234567", "nonex"], "'nonex' is no run, file or revision; a run is named by its id"),
        (["nonex", "01234567"], "'nonex' is no run, file or revision; a run is named by its id"),
        (["01234567"], "if it is a run, name another run beside it"),
    ],
)
def test_words_that_name_nothing(root, texts, words):
    with pytest.raises(errors.UsageError, match=words.replace("?", r"\?")):
        parse_targets(texts, root)


def test_outside_a_repository_two_files_can_be_compared(tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text("{}")
    assert parse_targets(["a.ipynb", "b.ipynb"], tmp_path) == (FileTarget(Path("a.ipynb")), FileTarget(Path("b.ipynb")))
    with pytest.raises(errors.UsageError, match="not in a git repository: go into one, or compare two files"):
        parse_targets(["a.ipynb"], tmp_path)
