"""Which changed files a notebook may read: none that its source fingerprint covers, and no prose that it does not name."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.other_files import OtherFiles, WorkTreeNotebooks
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, write

HELPER = {"work/helpers.py"}
SCRIPTS = {"lib/deep.py", "prep.py"}
BYTECODE = "lib/__pycache__/deep.cpython-311.pyc"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project")
    write(root / "work" / "other.ipynb", code("import helpers"))
    commit(root)
    return root


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("print(1)", SCRIPTS),
        ("import helpers", SCRIPTS),
        ("!python helpers.py", SCRIPTS | HELPER),
        ("!python -m work.helpers", SCRIPTS | HELPER),
        ("import runpy\nrunpy.run_module('helpers')", SCRIPTS | HELPER),
        ("import sys\nsys.path.insert(0, 'work')\nfrom helpers import fit", SCRIPTS | HELPER),
        ("text = open('prompt.md').read()", {*SCRIPTS, "prompt.md"}),
        ("texts = [*Path('docs').glob('*.rst')]", {*SCRIPTS, "docs/a.rst"}),
        ("text = open('my-prompt.md').read() + open('prompt.mdx').read()", SCRIPTS),
        ("table = read_csv('.data/a.csv')", {*SCRIPTS, ".data/a.csv"}),
        ("tables = [*Path('.data').glob('*.csv')]", {*SCRIPTS, ".data/a.csv"}),
        ("table = read_csv('a.csv')", SCRIPTS),
        ("print(2 * 3)\nload_dotenv('.env')", {*SCRIPTS, ".env"}),
        ("cells = nbformat.read('made.ipynb', 4)", {*SCRIPTS, "made.ipynb"}),
        ("%run made.ipynb", SCRIPTS),
        ("name = 'q.ipynb'", SCRIPTS),
        ("!pytest tests/test_a.py", {*SCRIPTS, "tests/test_a.py"}),
    ],
)
def test_scripts_and_prose(root: Path, cell: str, read: set[str]) -> None:
    """A module that another notebook imports counts only where it is named, and is not found by the import."""
    write(root / ("work" if "import helpers" in cell else ".") / "q.ipynb", code(cell))
    names = ("work/helpers.py", "lib/deep.py", "prep.py", "prompt.md", "docs/a.rst", "tests/test_a.py", ".hidden/x.py")
    for name in (*names, "q.bands.toml", "requirements.lock", ".data/a.csv", ".env", BYTECODE):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("a = 1\n")
    write(root / "made.ipynb", code("a = 1"))
    path = next(root.rglob("q.ipynb")).relative_to(root).as_posix()
    others = OtherFiles(WorkTreeNotebooks(GitRepository(root)))
    source = NotebookSource.read(root, path)
    assert set(others.of(source).changed("HEAD", None)) == read
    assert set(others.changed("HEAD", None)) == read, "what one notebook reads is named in the list of all"


def test_a_script_that_is_gone_counts_only_by_its_name(root: Path) -> None:
    (root / "gone.py").write_text("")
    (root / "named.py").write_text("")
    write(root / "q.ipynb", code("!python named.py"))
    commit(root)
    git(root, "mv", "named.py", "new_name.py")
    (root / "gone.py").unlink()
    assert OtherFiles(WorkTreeNotebooks(GitRepository(root))).changed("HEAD", None) == ("named.py", "new_name.py")


def test_a_submodule_of_another_commit_is_one(root: Path, tmp_path: Path) -> None:
    data = make_repository(tmp_path / "tables")
    commit(data)
    git(root, "submodule", "--quiet", "add", str(data), "data")
    before = commit(root)
    others = OtherFiles(WorkTreeNotebooks(GitRepository(root)))
    (root / "data" / "new.csv").write_text("1")
    assert others.changed(before, None) == (), "what is not committed there is in no commit of this repository either"
    commit(root / "data")
    assert others.changed(before, None) == ("data",)
    commit(root)
    assert others.changed(before, "HEAD") == ("data",)
