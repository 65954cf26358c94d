"""What `nbops check --fix` takes out, and what it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.notebooks import cleaning, document, notebook_rules


def dirty(path: Path) -> Path:
    output = {"output_type": "stream", "name": "stdout", "text": ["x"]}
    cells = [
        {
            "cell_type": "code",
            "id": "mine",
            "metadata": {},
            "source": ["a = 1\n", "é"],
            "outputs": [output],
            "execution_count": 3,
        },
        {
            "cell_type": "code",
            "metadata": {"tags": ["keep_output"]},
            "source": "b",
            "outputs": [output],
            "execution_count": 4,
        },
        {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": "text"},
    ]
    metadata = {"kernelspec": {"name": "theirs"}, "kept": 1}
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}))
    return path


def test_outputs_are_removed_ids_stay_and_the_kernel_becomes_python3(tmp_path: Path) -> None:
    raw = cleaning.clean(document.read(dirty(tmp_path / "n.ipynb")))
    first, kept, text = raw["cells"]
    assert (first["outputs"], first["execution_count"], first["id"]) == ([], None, "mine")
    assert first["source"] == ["a = 1\n", "é"]
    assert kept["outputs"]
    assert kept["execution_count"] == 4
    assert len({first["id"], kept["id"], text["id"]}) == 3
    assert raw["metadata"]["kernelspec"]["name"] == "python3"
    assert raw["metadata"]["kept"] == 1
    assert raw["nbformat_minor"] == 5


def test_defaults_that_jupyterlab_writes_go_and_choices_stay(tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    content = json.loads(path.read_text())
    chosen = {"deletable": False, "editable": False, "slideshow": {"slide_type": "slide"}}
    content["cells"][0]["metadata"] = {"deletable": True, "editable": True, "slideshow": {"slide_type": ""}}
    content["cells"][1]["metadata"] = dict(chosen)
    path.write_text(json.dumps(content))
    first, second, _ = cleaning.clean(document.read(path))["cells"]
    assert (first["metadata"], second["metadata"]) == ({}, chosen)


def test_the_command_cleans_once_and_then_changes_nothing(tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    run(["check", "--fix", str(path)])
    codes = {finding.code for finding in notebook_rules.check(document.read(path))}
    assert codes.isdisjoint({"NB001", "NB002", "NB003", "NB004"})
    written, modified = path.read_text(), path.stat().st_mtime_ns
    assert "é" in written
    run(["check", "--fix", str(path)])
    assert (path.read_text(), path.stat().st_mtime_ns) == (written, modified)
    assert [found.name for found in tmp_path.iterdir()] == ["n.ipynb"]


def test_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text("not json")
    assert run(["check", "--fix", str(path)]) == 1
    assert path.read_text() == "not json"


@pytest.mark.parametrize("indent", [None, 1, 2, 4, "\t"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_file_keeps_its_form_its_rights_and_its_links(indent: int | str | None, end: str, tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=indent, ensure_ascii=False) + end)
    path.chmod(0o664)
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    before = os.umask(0o077)
    run(["check", "--fix", str(link)])
    os.umask(before)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o664
    written = path.read_text()
    assert written == json.dumps(json.loads(written), indent=indent, ensure_ascii=False) + end
    assert not any(cell["outputs"] for cell in json.loads(written)["cells"][:1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.update(metadata=None),
        lambda raw: raw.pop("metadata"),
        lambda raw: raw["metadata"].update(kernelspec=None),
        lambda raw: raw["metadata"].update(kernelspec="python"),
        lambda raw: raw["metadata"].update(language_info=None),
        lambda raw: raw["cells"][0].update(metadata=None),
        lambda raw: raw["cells"][0].pop("metadata"),
        lambda raw: raw["cells"][0].pop("outputs"),
        lambda raw: raw.update(nbformat_minor=None),
        lambda raw: raw["metadata"].update(widgets={"state": {"outputs": ["Jane Roe"]}}),
        lambda raw: raw["cells"][2]["metadata"].update(executionInfo={"user": {"displayName": "Jane Roe"}}),
    ],
)
def test_what_scripts_leave_out_is_filled_in_and_traces_go(spoil: Callable[[Any], object], tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    raw = json.loads(path.read_text())
    spoil(raw)
    path.write_text(json.dumps(raw))
    run(["check", "--fix", str(path)])
    fixed = document.read(path)
    assert {finding.code for finding in notebook_rules.check(fixed)}.isdisjoint({"NB001", "NB002", "NB003", "NB004"})
    assert fixed.raw["metadata"]["kernelspec"]["name"] == "python3"
    assert "Jane Roe" not in path.read_text()


def test_half_an_emoji_stays_an_escape_and_the_file_readable(tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    raw = json.loads(path.read_text())
    raw["cells"][0]["source"] = "x = '\ud83d' + '\U0001f600'"
    path.write_text(json.dumps(raw))
    run(["check", "--fix", str(path)])
    assert "\\ud83d" in path.read_text(encoding="utf-8")
    assert document.read(path).cells[0].source == raw["cells"][0]["source"]
