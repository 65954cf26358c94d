"""`nbops clean` writes one form whatever tool has written the file, and as git's filter never loses a byte."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebooks_lib import jupyter_git_index
from notebooks_lib.__main__ import run
from notebooks_lib.notebooks import cleaning, document
from tests.notebooks import building
from tests.notebooks.building import code, md

OUTPUT = {"output_type": "stream", "name": "stdout", "text": "a\nb\n"}
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def filtered(content: bytes, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> bytes:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run(["clean", "-"]) == 0
    return capfdbinary.readouterr().out


def ran() -> dict[str, Any]:
    """A notebook as an editor leaves it after a run."""
    kept = code(["show()"], "keep_output", outputs=[copy.deepcopy(OUTPUT)], execution_count=31)
    noisy = {"ExecuteTime": {}, "jupyter": {"outputs_hidden": True}, "tags": []}
    cells = [
        md("# T"),
        code("a = 1\nb = 2", outputs=[copy.deepcopy(OUTPUT)], execution_count=30) | {"metadata": noisy},
        kept,
    ]
    metadata = {
        "kernelspec": {"name": "mine", "display_name": "Mine"},
        "language_info": {"name": "python", "version": "3.11"},
    }
    return building.raw(*cells, metadata=metadata | {"widgets": {}, "title": "kept"})


def test_the_help_says_that_the_kernel_is_replaced(capsys):
    assert run(["clean", "--help"]) == 0
    assert "A Python notebook gets the kernel `python3`" in " ".join(capsys.readouterr().out.split())


def test_what_does_not_belong_in_git_goes_and_the_rest_stays(monkeypatch, capfdbinary):
    cleaned = json.loads(filtered(json.dumps(ran()).encode(), monkeypatch, capfdbinary))
    text, ordinary, kept = cleaned["cells"]
    assert text["source"] == ["# T"]
    assert (ordinary["outputs"], ordinary["execution_count"], ordinary["metadata"]) == ([], None, {})
    assert ordinary["source"] == ["a = 1\n", "b = 2"]
    assert kept["outputs"] == [{**OUTPUT, "text": ["a\n", "b\n"]}]
    assert kept["execution_count"] == 2, "as in a run from top to bottom"
    assert [cell["id"] for cell in cleaned["cells"]] == ["cell-0", "cell-1", "cell-2"]
    assert cleaned["metadata"] == {
        "kernelspec": cleaning.KERNEL,
        "language_info": {"name": "python"},
        "title": "kept",
    }


def test_another_tools_form_is_no_difference(monkeypatch, capfdbinary):
    raw = ran()
    first = filtered(json.dumps(raw, indent=1, sort_keys=True).encode() + b"\n", monkeypatch, capfdbinary)
    for indent, end, reverse in ((None, "", False), (4, "\n", True), (2, "\n\n", False)):
        other = dict(reversed(raw.items())) if reverse else raw
        text = "\ufeff" + json.dumps(other, indent=indent) + end
        assert filtered(text.replace("\n", "\r\n").encode(), monkeypatch, capfdbinary) == first
    assert filtered(first, monkeypatch, capfdbinary) == first


@pytest.mark.parametrize(
    "content",
    [
        b"not json \xff\x00",
        b"",
        b"{}",
        b"<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n",
        b'{"cells": [{"source": 1}], "nbformat": 4}',
        b'{"worksheets": [], "nbformat": 3}',
        b"[" * 100_000,
        b'{"cells": [], "nbformat": 4, "metadata": {"deep": ' + b"[" * 300 + b"]" * 300 + b"}}",
    ],
)
def test_what_is_no_notebook_passes_unchanged_and_it_is_said(content, monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run(["clean", "-"]) == 0
    printed = capfdbinary.readouterr()
    assert printed.out == content
    assert printed.err.startswith(b"nbops clean: left unchanged: ")
    assert printed.err.count(b"\n") == 1


def test_files_are_cleaned_in_place_and_links_stay(capsys):
    path = building.write(Path("a/n.ipynb"), code("x", outputs=[OUTPUT]))
    Path("a/broken.ipynb").write_text("{")
    Path("link.ipynb").symlink_to(path)
    path.chmod(0o664)
    assert run(["clean", "a", "link.ipynb"]) == 1
    printed = capsys.readouterr().err
    assert "a/n.ipynb: cleaned" in printed
    assert "left unchanged" in printed
    assert Path("a/broken.ipynb").read_text() == "{"
    assert Path("link.ipynb").is_symlink()
    assert path.stat().st_mode & 0o777 == 0o664
    assert document.read(path).raw["cells"][0]["outputs"] == []
    assert run(["clean", str(path)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["clean"], ["check", "--fix"]])
@pytest.mark.parametrize("project", [".git/HEAD", "production/settings.toml"])
def test_a_link_leads_no_write_out_of_the_repository_or_project(tmp_path, command, project, monkeypatch, capsys):
    outside = building.write(tmp_path / "other" / "n.ipynb", code("x", outputs=[OUTPUT]))
    inside = building.write(tmp_path / "own" / "lib" / "n.ipynb", code("x", outputs=[OUTPUT]))
    content = outside.read_bytes()
    monkeypatch.chdir(tmp_path / "own")
    (tmp_path / "own" / project).parent.mkdir()
    (tmp_path / "own" / project).touch()
    Path("experimentation").symlink_to(outside.parent)
    Path("link.ipynb").symlink_to(outside)
    Path("inside.ipynb").symlink_to(inside)
    assert run([*command, "experimentation", "link.ipynb", "inside.ipynb"]) == 1
    printed = capsys.readouterr().err
    for path in ("experimentation/n.ipynb", "link.ipynb"):
        assert f"left unchanged: {tmp_path}/own/{path}: leads to {outside}, outside of {tmp_path}/own" in printed
    assert outside.read_bytes() == content
    assert document.read(inside).raw["cells"][0]["outputs"] == []
    run([*command, str(outside)])
    assert outside.read_bytes() != content, "named, it is cleaned"


def test_usage_errors(capsys):
    assert run(["clean", "-", "a.ipynb"]) == 2
    assert run(["clean", "a.ipynb"]) == 2


TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda parts: st.lists(parts, max_size=2), max_leaves=4
)
METADATA = st.dictionaries(
    st.sampled_from(["ExecuteTime", "collapsed", "scrolled", "name2", "jupyter", "vscode"]), JSON, max_size=3
)
TAGS = st.lists(st.sampled_from(["keep_output", "parameters", "x"]), max_size=2, unique=True)
SOURCES = TEXT | st.lists(TEXT, max_size=3)
OUTPUTS = st.lists(
    st.builds(lambda text: {"output_type": "stream", "name": "stdout", "text": text}, SOURCES)
    | st.builds(
        lambda text, count: {
            "output_type": "execute_result",
            "data": {"text/plain": text},
            "metadata": {},
            "execution_count": count,
        },
        SOURCES,
        st.none() | st.integers(0, 99),
    ),
    max_size=2,
)


@st.composite
def notebooks(draw: st.DrawFn) -> dict[str, Any]:
    cells: list[dict[str, Any]] = []
    for index in range(draw(st.integers(0, 3))):
        metadata = {
            key: value for key, value in draw(METADATA).items() if key not in ("collapsed", "scrolled", "jupyter")
        }
        cell: dict[str, Any] = {"cell_type": "markdown", "metadata": metadata, "source": draw(SOURCES)}
        if draw(st.booleans()):
            count = draw(st.none() | st.integers(0, 99))
            cell |= {"cell_type": "code", "outputs": draw(OUTPUTS), "execution_count": count}
            cell["metadata"] = {**metadata, "tags": draw(TAGS), "collapsed": draw(st.booleans())}
        if draw(st.booleans()):
            cell["id"] = f"id-{index}"
        cells.append(cell)
    ids = all("id" in cell for cell in cells)
    for cell in cells:
        if not ids:
            cell.pop("id", None)
    spec = {"kernelspec": {"name": draw(st.sampled_from(["python3", "ir", "mine"])), "display_name": "?"}}
    return {"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 5 if ids else 4}


@given(notebooks(), st.sampled_from([None, 1, 2, "\t"]), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cleaning_twice_is_cleaning_once_and_keeps_the_source(raw, indent, sort_keys):
    content = json.dumps(raw, indent=indent, sort_keys=sort_keys).encode()
    before = document.parse(Path("n.ipynb"), content)
    once = cleaning.clean_text(before)
    after = document.parse(Path("n.ipynb"), once.encode())
    assert cleaning.clean_text(after) == once
    assert [(cell.kind, cell.source, cell.tags) for cell in after.cells] == [
        (c.kind, c.source, c.tags) for c in before.cells
    ]
    assert cleaning.clean_text(document.parse(Path("n.ipynb"), json.dumps(raw).encode())) == once
    nbformat.validate(nbformat.reads(once, as_version=4))


def git(*arguments: str) -> str:
    environment = {**os.environ, **GIT, "PATH": os.environ["PATH"]}
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_git_cleans_compares_and_says_what_it_was_told(tmp_path, monkeypatch, capfd):
    for key, value in GIT.items():
        monkeypatch.setenv(key, value)
    git("init", "-q")
    (tmp_path / ".git" / "info" / "exclude").write_text("/prefix/\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    assert run(["clean", "--setup-git"]) == 0
    told = capfd.readouterr().out
    assert "filter.nbops.clean" in told
    assert "filter.nbops.required: `git add` works also without nbops" in told
    assert "merge.jupyternotebook.driver" in told
    assert run(["clean", "--setup-git"]) == 0
    assert capfd.readouterr().out == "", "it is set already"
    Path(".gitattributes").write_text("*.ipynb filter=nbops diff=nbops merge=jupyternotebook\n")
    path = building.write(Path("n.ipynb"), md("# T"), code("x = 1"))
    run(["clean", "n.ipynb"])
    Path("broken.ipynb").write_text("{")
    git("add", ".")
    git("commit", "-qm", "First")
    raw = json.loads(path.read_text())
    raw["cells"][1] |= {"outputs": [OUTPUT], "execution_count": 9}
    path.write_text(json.dumps(raw, indent=4))
    assert git("diff") == ""
    assert git("status", "--porcelain") == " M n.ipynb\n", "git goes by the size of a file"
    jupyter_git_index.refresh_index(path.absolute())
    assert git("status", "--porcelain") == ""
    assert git("show", ":broken.ipynb") == "{"
    raw["cells"][1]["source"] = "x = 2"
    path.write_text(json.dumps(raw))
    assert "x = 2" in git("diff")
    git("config", "filter.nbops.clean", "no-such-program")
    git("add", "n.ipynb")
    assert git("show", ":n.ipynb") == path.read_text(), "a filter that fails does not stop git"


def test_outside_a_repository_it_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    assert run(["clean", "--setup-git"]) == 0
    assert "is no work tree" in capsys.readouterr().out
