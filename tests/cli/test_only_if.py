"""`--only-if FILE` ends run, sweep and promote well when there is nothing new, and passes on what it read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import errors
from notebooks_lib.cli import only_if
from notebooks_lib.cli.only_if import Answer
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env
from tests import building


def written(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "answer.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


NOTHING = {
    "newer": False,
    "newest": "sales@3",
    "reason": "version 2 was trained on sales@3, and there is none after it",
}


@pytest.fixture(params=["run", "sweep", "promote"])
def command(request: pytest.FixtureRequest, project: Settings) -> list[str]:
    building.write(
        project.root / "experimentation" / "n.ipynb", "raise SystemExit(7)", parameters="alpha: float = 1.0  # a"
    )
    notebook = "experimentation/n.ipynb"
    return {"run": ["run", notebook], "sweep": ["sweep", notebook, "--grid", "alpha=1,2"], "promote": ["promote"]}[
        request.param
    ]


def test_with_nothing_new_each_command_ends_well_and_the_next_step_can_tell_why(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = written(tmp_path, NOTHING), tmp_path / "out.json"
    assert program.run([*command, "--only-if", str(file), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"nothing done: {NOTHING['reason']}\n"
    assert json.loads(out.read_text()) == {"newer": False, "skipped": NOTHING["reason"]}

    assert program.run([*command, "--only-if", str(out), "--out", str(tmp_path / "third.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "third.json").read_text())
    assert json.loads((tmp_path / "third.json").read_text())["skipped"] == NOTHING["reason"]


DAMAGED = {
    "missing": (None, "there is no such file; give what `nbops data newer --out` wrote"),
    "cut": ('{"newer": tr', "is no JSON"),
    "binary": ("\x00", "is no JSON"),
    "list": ([], 'holds no "newer": true or false'),
    "text": ({"newer": "false"}, 'holds no "newer": true or false'),
    "other": ({"run_id": "a"}, 'holds no "newer": true or false'),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_an_error_not_an_answer(kind: str, tmp_path: Path) -> None:
    content, expected = DAMAGED[kind]
    file = tmp_path / "none.json" if content is None else written(tmp_path, content)
    with pytest.raises(errors.UsageError) as raised:
        only_if.nothing_to_do(file, out=None, as_json=False)
    assert expected in str(raised.value)


def test_without_a_file_there_is_always_something_to_do() -> None:
    assert not only_if.nothing_to_do(None, out=None, as_json=False)
    assert only_if.passed_on(None) == {}


def test_the_version_that_was_found_is_the_latest_one_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Env.DATASETS, '{"sales": 3, "shops": 1}')
    file = written(tmp_path, {"newer": True, "newest": "sales@4", "where": "the workspace"})
    assert not only_if.nothing_to_do(file, out=None, as_json=False)
    assert json.loads(os.environ[Env.DATASETS]) == {"sales": 4, "shops": 1}


@pytest.mark.parametrize("as_json", [True, False])
def test_an_answer_is_the_same_on_stdout_and_in_the_file_and_passes_on_what_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    file, out = written(tmp_path, {"newer": True, "newest": "sales@4", "where": "x"}), tmp_path / "out.json"
    answer = Answer.of(file, out, as_json=as_json)
    content: dict[str, Any] = {"run_id": "a", "path": Path("b")}
    expected = {"run_id": "a", "path": "b", "newer": True, "newest": "sales@4"}
    assert answer.give(content) is as_json
    assert json.loads(out.read_text()) == expected
    shown = capsys.readouterr().out
    assert (json.loads(shown) == expected) if as_json else shown == ""
