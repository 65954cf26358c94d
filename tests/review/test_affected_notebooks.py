"""What counts as a change: the source fingerprint, through whatever it came; outputs alone never do."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.affected_notebooks import FingerprintChanges, find_fingerprint_changes, find_helpers
from notebooks_lib.review.base_checkout import check_out
from notebooks_lib.review.notebook_review import HelperChange
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, write

LOCK = 'alpha-package==1.0 \\\n    --hash=sha256:00\nbeta==2.0 ; python_version >= "3.9" \\\n    --hash=sha256:11\n'
CELLS = (md("# T"), code("strength: float = 1.0", "parameters"), code("import helpers\nhelpers.fit(strength)"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project")
    (root / "production").mkdir()
    (root / "production" / "settings.toml").write_text("")
    (root / "requirements.lock").write_text(LOCK)
    write(root / "work" / "uses.ipynb", *CELLS)
    write(root / "work" / "alone.ipynb", md("# A"), code("print(1)"))
    (root / "work" / "helpers.py").write_text("def fit(x):\n    return x\n")
    commit(root)
    return root


def find(root: Path) -> FingerprintChanges:
    repository = GitRepository(root)
    with check_out(repository, "HEAD") as tree:
        changes = find_fingerprint_changes(repository, "HEAD", tree)
        for one in changes.notebooks:
            assert one.same_code in (True, False), "while the base is there"
    return changes


def found(root: Path) -> dict[str, str]:
    return {one.change.path: one.change.state for one in find(root).notebooks}


def helpers_of(root: Path) -> list[HelperChange]:
    repository = GitRepository(root)
    with check_out(repository, "HEAD") as tree:
        (one,) = (
            each for each in find_fingerprint_changes(repository, "HEAD", tree).notebooks if "uses" in each.change.path
        )
        return find_helpers(one.base, one.head, "here/")


def test_nothing(root: Path) -> None:
    changes = find(root)
    assert (changes.notebooks, changes.unchanged, changes.only_outputs) == ((), 2, ())


def test_a_module_that_git_ignores_is_the_same_on_both_sides(root: Path) -> None:
    (root / "work" / "helpers.py").write_text("from local import place\n\n\ndef fit(x):\n    return x\n")
    (root / ".gitignore").write_text("local.py\ngenerated/\n")
    (root / "work" / "local.py").write_text("place = 1\n")
    (root / "work" / "generated").mkdir()
    (root / "work" / "generated" / "version.py").write_text("number = 1\n")
    write(root / "work" / "alone.ipynb", md("# A"), code("import generated.version"))
    commit(root)
    (root / "data.csv").write_text("1\n")
    assert found(root) == {}
    write(root / "work" / "alone.ipynb", md("# A"), code("print(1)"))
    with check_out(GitRepository(root), "HEAD") as tree:
        (one,) = find_fingerprint_changes(GitRepository(root), "HEAD", tree).notebooks
        assert one.base is not None
        assert one.base.modules.keys() == {"work/generated/version.py"}, "a run of the base needs it"
    git(root, "rm", "--quiet", "--cached", "work/helpers.py")
    (root / ".gitignore").write_text("*.py\n")
    (root / "work" / "helpers.py").write_text("def fit(x):\n    return 2\n")
    assert found(root)["work/uses.ipynb"] == "modified", "the base has another one"


def test_a_helper_in_a_submodule_whose_changes_are_not_committed(root: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library")
    (library / "helper.py").write_text("x = 1\n")
    commit(library)
    git(root, "submodule", "--quiet", "add", str(library), "lib")
    git(root, "config", "--file", ".gitmodules", "submodule.lib.ignore", "all")
    write(root / "work" / "alone.ipynb", md("# A"), code("import lib.helper"))
    commit(root)
    assert found(root) == {}
    (root / "lib" / "helper.py").write_text("x = 2\n")
    assert found(root) == {"work/alone.ipynb": "modified"}


def test_a_helper(root: Path) -> None:
    (root / "work" / "helpers.py").write_text("def fit(x):\n    return 2 * x\n")
    assert found(root) == {"work/uses.ipynb": "modified"}
    assert helpers_of(root) == [
        HelperChange(
            "here/work/helpers.py", "edited", "@@ -1,2 +1,2 @@\n def fit(x):\n-    return x\n+    return 2 * x"
        )
    ]
    (root / "work" / "helpers.py").unlink()
    assert [(one.state, one.diff.count("\n-")) for one in helpers_of(root)] == [("removed", 2)]
    git(root, "checkout", "--quiet", ".")
    (root / "helpers.py").write_text("# in the root, behind the one beside the notebook\n")
    assert [(one.path, one.state) for one in helpers_of(root)] == [("here/helpers.py", "added")]


def test_a_module_that_is_used_from_now_on_or_no_longer_is_not_called_added_or_removed(root: Path) -> None:
    (root / "work" / "other.py").write_text("x = 1\n")
    commit(root)
    write(root / "work" / "uses.ipynb", *CELLS[:2], code("import other\nother.fit(strength)"))
    assert helpers_of(root) == [
        HelperChange("here/work/helpers.py", "no longer used", ""),
        HelperChange("here/work/other.py", "now used", ""),
    ]
    (root / "work" / "other.py").write_text("x = 2\n")
    (root / "work" / "helpers.py").unlink()
    assert [(one.state, one.diff.splitlines()[1:]) for one in helpers_of(root)] == [
        ("removed", ["-def fit(x):", "-    return x"]),
        ("edited", ["-x = 1", "+x = 2"]),
    ]


def test_a_lock(root: Path) -> None:
    (root / "requirements.lock").write_text(LOCK.replace("2.0", "2.1").replace("alpha-package==1.0", "gamma==1"))
    assert set(found(root)) == {"work/uses.ipynb", "work/alone.ipynb"}
    (lock,) = helpers_of(root)
    assert (lock.path, lock.diff) == ("here/requirements.lock", "")
    assert lock.packages == {"alpha-package": ("1.0", ""), "beta": ("2.0", "2.1"), "gamma": ("", "1")}
    (root / "requirements.lock").unlink()
    assert helpers_of(root)[0].state == "removed"


def test_a_parameter_and_a_cell(root: Path) -> None:
    write(root / "work" / "uses.ipynb", CELLS[0], code("strength: float = 2.0", "parameters"), CELLS[2])
    assert found(root) == {"work/uses.ipynb": "modified"}
    assert helpers_of(root) == []


def test_outputs_are_no_change_and_text_is_one_of_text_only(root: Path) -> None:
    counted = [cell | ({"execution_count": 5} if cell["cell_type"] == "code" else {}) for cell in CELLS]
    write(root / "work" / "uses.ipynb", *counted)
    write(root / "work" / "alone.ipynb", md("# B"), code("print(1)"))
    changes = find(root)
    assert (changes.only_outputs, changes.unchanged) == (("work/uses.ipynb",), 0), "each notebook is counted once"
    (text,) = changes.notebooks
    assert text.same_code
    assert text.change.path == "work/alone.ipynb"


def test_another_image_in_text_and_another_language_are_changes(root: Path) -> None:
    """They are no change of a cell's source, and a reviewer wants to see them all the same."""
    attached = [md("![a](attachment:a.png)") | {"attachments": {"a.png": {"image/png": image}}} for image in "ab"]
    write(root / "work" / "alone.ipynb", attached[0], code("print(1)"))
    commit(root)
    write(root / "work" / "alone.ipynb", attached[1], code("print(1)"))
    write(root / "work" / "uses.ipynb", *CELLS, metadata={"kernelspec": {"name": "ir", "language": "R"}})
    changes = find(root)
    assert changes.only_outputs == ()
    assert {one.change.path: one.change.diff.notes for one in changes.notebooks if one.change.diff} == {
        "work/alone.ipynb": ("other attachments in 1 cell",),
        "work/uses.ipynb": ("language python, now r",),
    }


def test_new_deleted_renamed_damaged_and_copied_ones(root: Path) -> None:
    git(root, "mv", "work/alone.ipynb", "moved.ipynb")
    write(root / "new.ipynb", code("1"))
    (root / "bad.ipynb").write_text("{")
    write(root / ".ipynb_checkpoints" / "new-checkpoint.ipynb", code("1"))
    (root / "work" / "uses.ipynb").unlink()
    changes = find(root)
    assert {one.change.path: one.change.state for one in changes.notebooks} == {
        "new.ipynb": "untracked",
        "bad.ipynb": "untracked",
        "work/uses.ipynb": "deleted",
    }
    assert changes.notebooks[0].change.problem.startswith("bad.ipynb: not a notebook")
    assert (changes.unchanged, changes.only_outputs) == (0, ())
    assert changes.renamed == {"work/alone.ipynb": "moved.ipynb"}


def test_a_notebook_that_another_one_runs(root: Path) -> None:
    write(root / "work" / "alone.ipynb", code("%run uses.ipynb"))
    commit(root)
    write(root / "work" / "uses.ipynb", *CELLS, code("more = 1"))
    assert set(found(root)) == {"work/uses.ipynb", "work/alone.ipynb"}


def test_of_a_notebook_that_another_one_runs_only_code_counts(root: Path) -> None:
    write(root / "work" / "uses_it.ipynb", code("get_ipython().run_line_magic('run', 'alone.ipynb')"))
    commit(root)
    output = {"output_type": "stream", "name": "stdout", "text": "1"}
    write(root / "work" / "alone.ipynb", md("# A"), code("print(1)", outputs=[output]))
    assert found(root) == {}
    write(root / "work" / "alone.ipynb", md("# A"), code("print(2)", outputs=[output]))
    assert found(root) == {"work/alone.ipynb": "modified", "work/uses_it.ipynb": "modified"}
    (helper,) = helpers_of(root)
    assert [line for line in helper.diff.splitlines() if line[0] in "-+"] == ["-print(1)", "+print(2)"]


def test_a_repository_without_project(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "plain")
    write(root / "deep" / "q.ipynb", code("import own"))
    (root / "own.py").write_text("a = 1\n")
    commit(root)
    (root / "own.py").write_text("a = 2\n")
    assert found(root) == {"deep/q.ipynb": "modified"}
