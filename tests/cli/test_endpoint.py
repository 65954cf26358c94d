"""`nbops endpoint`: the words of its subcommands, whatever runs the endpoint; one that is not there is refused."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect
from tests.serving.conftest import light  # noqa: F401 - a fixture
from tests.serving.memory_endpoint import in_memory

SUBCOMMANDS = (
    ["start"],
    ["stop"],
    ["status"],
    ["invoke"],
    ["deploy", "--version", "1"],
    ["logs"],
    ["traffic", "blue=100"],
    ["mirror", "green=10"],
    ["delete-slot", "green"],
)


@pytest.mark.tracking
@pytest.mark.parametrize("arguments", SUBCOMMANDS, ids=" ".join)
def test_an_unknown_endpoint_is_refused_in_one_line(
    arguments: list[str], project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(project)
    subcommand, *rest = arguments
    assert program.run(["endpoint", subcommand, "nothing", *rest]) == 2
    error = capsys.readouterr().err
    assert "'nothing'" in error
    assert len(error.splitlines()) == 1


def test_a_request_and_the_example_are_not_sent_at_once(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["endpoint", "invoke", "any", "--data", "{}", "--example"]) == 2
    assert "either --data or --example" in capsys.readouterr().err


def test_traffic_and_mirror_are_set_by_slot(
    empty_project: Settings,
    light: dict[str, Path],  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with in_memory(tmp_path):
        endpoint = endpoint_for(empty_project, "sample")
        endpoint.deploy("blue", ServedVersion.in_folder(light["double"], version="1"), traffic=True)
        endpoint.deploy("green", ServedVersion.in_folder(light["triple"], version="2"))
        for words, code in {
            "traffic sample blue=60 green=40": 0,
            "traffic sample blue=60": 2,
            "traffic sample blue=60 green": 2,
            "traffic sample blue=60 blue=40": 2,
            "mirror sample blue=10": 2,
            "delete-slot sample green": 2,
            "traffic sample blue=100": 0,
            "mirror sample green=10": 0,
            "invoke sample --slot green": 0,
            "invoke sample --slot grey": 2,
            "status sample": 0,
            "list": 0,
            "logs -n 1": 0,
            "stop": 0,
            "start": 0,
            "stop --json": 0,
            "start --json": 0,
            "traffic sample blue=90 green=10 --json": 0,
        }.items():
            assert program.run(["endpoint", *words.split()]) == code, words
    shown = capsys.readouterr().out
    stopped, started, shared = (json.loads(line) for line in shown.splitlines()[-3:])
    assert (stopped["state"], started["state"], stopped["changed"]) == ("stopped", "running", True)
    assert shared["slots"]["green"]["traffic"] == 10
    assert "0 %, mirror 10 %" in shown
    assert "3.0" in shown
    assert "slot green: version 2 is loaded" in shown


@pytest.mark.parametrize(
    "words", ["traffic houses green=100", "mirror houses green=10", "delete-slot houses green", "stop houses"]
)
def test_while_a_promotion_changes_the_stage_nobody_changes_its_endpoint_by_hand(
    words: str,
    empty_project: Settings,
    light: dict[str, Path],  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken, free = threading.Event(), threading.Event()

    def promote() -> None:
        changes = changes_of(empty_project, "houses", "prod")
        changes.take()
        taken.set()
        free.wait(60)
        changes.release()

    with in_memory(tmp_path), ThreadPoolExecutor() as pool:
        endpoint = endpoint_for(empty_project, "houses")
        for slot, model, traffic in (("blue", "double", True), ("green", "triple", False)):
            detail = DeploymentDetail(model="houses")
            version = ServedVersion.in_folder(light[model], version=model, detail=detail)
            endpoint.deploy(slot, version, traffic=traffic)
        before = endpoint.status()
        promotion = pool.submit(promote)
        try:
            assert taken.wait(60)
            assert program.run(["endpoint", *words.split()]) == 2
            assert endpoint.status() == before
        finally:
            free.set()
        promotion.result()
        assert program.run(["endpoint", *words.split()]) == 0
    assert "is being changed by" in capsys.readouterr().err


def test_a_slot_that_has_no_log_of_its_own_is_said_to_share_one(
    empty_project: Settings,
    light: dict[str, Path],  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with in_memory(tmp_path):
        endpoint_for(empty_project, "sample").deploy("blue", ServedVersion.in_folder(light["double"], version="1"))
        capsys.readouterr()
        assert program.run(["endpoint", "logs", "--slot", "blue"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "slot blue: version 1 is loaded\n"
    assert shown.err == "note: all slots of sample share one log\n"
