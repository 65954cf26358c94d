"""The project's modules that a notebook imports are found without importing them."""

import ast
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.notebooks import document, project_modules, source_fingerprint
from tests.notebooks.building import code, md, write


def modules(importing_project: Path, *cells: str) -> set[str]:
    read = document.read(write(importing_project / "work" / "n.ipynb", *map(code, cells)))
    return {path for path, _ in project_modules.find_modules(read, importing_project)}


A = {"pkg/__init__.py", "pkg/a.py", "pkg/b.py", "pkg/sub/__init__.py", "pkg/sub/c.py", "pkg/late.py", "top.py"}


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("import pkg.a", A),
        ("from pkg import a", A),
        ("from pkg.a import f as g", A),
        ("try:\n  import top\nexcept ImportError: pass", A),
        ("def f():\n  import pkg.plain", {"pkg/__init__.py", "pkg/plain.py"}),
        ("import beside", {"work/beside.py", "pkg/__init__.py", "pkg/plain.py"}),
        ("import spaces.inner", {"spaces/inner.py"}),
        ("import laid", {"src/laid.py"}),
        ("import importlib\nimportlib.import_module('laid')", {"src/laid.py"}),
        ("%matplotlib inline\nimport laid", {"src/laid.py"}),
        ("%run -i beside.py", {"work/beside.py", "pkg/__init__.py", "pkg/plain.py"}),
        ("%run ../top", A),
        ('%run -i "beside.py" x', {"work/beside.py", "pkg/__init__.py", "pkg/plain.py"}),
        ("%run '../top.py'", A),
        ("%run -m pkg.plain", {"pkg/__init__.py", "pkg/plain.py"}),
        ("%run -i -m top", A),
        ("get_ipython().run_line_magic('run', '../top')", A),
        ("ip.magic('%run ../top.py')", A),
        ("ip.run_line_magic('run', name)\nip.run_line_magic('time', '../top.py')", set()),
        ("%run ../../outside.py\n%run gone.py", set()),
        ("import json, numpy, outside, foreign, nothing.at.all", set()),
        ("x = 'import laid'", set()),
        ("x = (", set()),
    ],
)
def test_the_projects_modules_are_followed_through_all_imports(importing_project, cell, found):
    assert modules(importing_project, cell) == found


def test_a_notebook_that_is_run_brings_its_modules(tmp_path: Path) -> None:
    (tmp_path / "work" / "sub").mkdir(parents=True)
    for name in ("work/util.py", "work/sub/inner.py", "work/sub/util.py"):
        (tmp_path / name).write_text("")
    write(tmp_path / "work" / "sub" / "q.ipynb", code("import util\nimport inner\n"), code("%run other.ipynb"))
    write(tmp_path / "work" / "other.ipynb", code("%run sub/q.ipynb"))
    (tmp_path / "work" / "bad.ipynb").write_text("{")
    assert modules(tmp_path, "%run sub/q.ipynb\n%run bad.ipynb", "import util") == {
        *("work/util.py", "work/sub/q.ipynb", "work/sub/util.py", "work/sub/inner.py", "work/other.ipynb"),
        "work/bad.ipynb",
    }


def test_a_notebook_that_is_run_counts_by_its_code(tmp_path: Path) -> None:
    """Its outputs and text are no change of what runs."""

    def digests(*cells: dict[str, Any]) -> list[tuple[str, str]]:
        write(tmp_path / "my lib.ipynb", *cells)
        read = document.read(write(tmp_path / "n.ipynb", code('%run "my lib.ipynb"')))
        return project_modules.find_modules(read, tmp_path)

    before = digests(code("x = 1"))
    assert [name for name, _ in before] == ["my lib.ipynb"]
    output = {"output_type": "stream", "name": "stdout", "text": "1"}
    assert digests(md("# T"), code("x = 1", execution_count=2, outputs=[output])) == before
    assert digests(code("x = 2")) != before


def test_what_is_looked_up_for_many_runs_sees_a_change_until_it_is_frozen(importing_project):
    path = importing_project / "nb" / "n.ipynb"
    write(path, code("import changing"))
    module = path.with_name("changing.py")
    module.write_text("x = 1")
    found = project_modules.ProjectModules(document.read(path), importing_project)
    first = found.digests()
    assert first == project_modules.find_modules(document.read(path), importing_project) != []
    module.write_text("x = 22")
    second = found.digests()
    assert second != first
    found.freeze()
    module.write_text("x = 333")
    assert found.digests() == second


def test_a_link_that_leads_out_of_the_project_is_not_ours(importing_project, tmp_path):
    (importing_project / "work" / "linked.py").symlink_to(tmp_path / "outside.py")
    assert modules(importing_project, "import linked") == set()


@pytest.mark.parametrize(
    "path", sorted(Path(source_fingerprint.__file__).parent.glob("*.py")), ids=lambda path: path.name
)
def test_imports_found_as_text_are_all_that_ast_finds(path):
    text = path.read_bytes()
    parsed = set(project_modules._imported(ast.parse(text)))
    assert parsed <= set(project_modules._imports_of(text.replace(b"\r\n", b"\n"), "notebooks_lib.notebooks"))
