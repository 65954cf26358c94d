"""What `nbops check --fix` takes out, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

from notebooks_lib.__main__ import run
from notebooks_lib.notebooks import cleaning, document, rules


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


def test_outputs_go_ids_stay_and_the_kernel_is_everybodys(tmp_path: Path) -> None:
    raw = cleaning.cleaned(document.read(dirty(tmp_path / "n.ipynb")))
    first, kept, text = raw["cells"]
    assert (first["outputs"], first["execution_count"], first["id"]) == ([], None, "mine")
    assert first["source"] == ["a = 1\n", "é"]
    assert kept["outputs"]
    assert kept["execution_count"] == 4
    assert len({first["id"], kept["id"], text["id"]}) == 3
    assert raw["metadata"]["kernelspec"]["name"] == "python3"
    assert raw["metadata"]["kept"] == 1
    assert raw["nbformat_minor"] == 5


def test_the_command_cleans_once_and_then_changes_nothing(tmp_path: Path) -> None:
    path = dirty(tmp_path / "n.ipynb")
    run(["check", "--fix", str(path)])
    codes = {finding.code for finding in rules.check(document.read(path))}
    assert codes.isdisjoint({"NB001", "NB002", "NB003", "NB004"})
    written, modified = path.read_text(), path.stat().st_mtime_ns
    assert "é" in written
    assert written.endswith("}\n")
    run(["check", "--fix", str(path)])
    assert (path.read_text(), path.stat().st_mtime_ns) == (written, modified)
    assert [found.name for found in tmp_path.iterdir()] == ["n.ipynb"]


def test_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text("not json")
    assert run(["check", "--fix", str(path)]) == 1
    assert path.read_text() == "not json"
