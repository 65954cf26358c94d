"""`--out` puts the object of `--json` into a file, whole or not at all, and replaces nothing that is no such object."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from notebooks_lib import errors
from notebooks_lib.cli import out_file

CONTENT = {"newer": True, "name": "Größe"}


@click.command()
@out_file.option
def command(out: Path | None) -> None:
    out_file.write(out, CONTENT)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_object_is_written_with_its_folder_and_replaces_the_last_one(tmp_path: Path) -> None:
    for file in (tmp_path / "deep" / "newer.json", tmp_path / "output_of_a_step"):
        for _ in range(2):
            assert _run("--out", file).exit_code == 0
        assert json.loads(file.read_text("utf-8")) == CONTENT
        assert [path.name for path in file.parent.glob(".*")] == []


def test_without_the_option_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run().exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["a,b\n1,2\n", '{"cells": []}', "[1]"])
def test_a_file_that_is_no_object_of_a_command_is_not_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "n.ipynb"
    file.write_text(content)
    done = _run("--out", file)
    assert done.exit_code == 2
    assert "holds no JSON object of a command" in done.output
    assert file.read_text() == content


def test_a_folder_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    done = _run("--out", tmp_path)
    assert done.exit_code == 2
    assert "is a folder" in done.output


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UsageError, match=r"--out .*newer\.json cannot be written"):
        out_file.write(tmp_path / "file" / "newer.json", CONTENT)


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    out_file.write(Path("/dev/null"), CONTENT)
    assert Path("/dev/null").is_char_device()


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    out_file.write(tmp_path / "link.json", CONTENT)
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text("utf-8")) == CONTENT
