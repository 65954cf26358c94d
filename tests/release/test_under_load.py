"""A release that turns out bad goes back by itself, and one that is good by a command: nobody who asks notices."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import EndpointError, PromotionError
from notebooks_lib.models import registry
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.store import connect
from tests.release.moving import BUSY, MODEL, agreed, back, promote, version
from tests.serving.load import Load

pytestmark = [pytest.mark.tracking, pytest.mark.proof]

CANARY = """
[stages.prod]
canary = [{mirror = 100, requests = 100}, {traffic = 20, requests = 150}, {traffic = 50, requests = 150}]
"""
ROW = {"dataframe_split": {"columns": ["rooms"], "data": [[BUSY]]}}


def test_automatic_and_manual_rollback_under_constant_load(
    endpoints: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoints.layout.settings_file.open("a") as file:
        file.write(CANARY)
    store = connect(load(endpoints.root, {}))
    promote(store, version(store, 1.0), probing=Probing())
    port = endpoint_for(store.settings, MODEL).status().port
    told: dict[str, Any] = {}
    with Load(port, ROW, connections=4, pause=0.002) as asked:
        failing = version(store, 2.0, when_busy="failing")
        began, before = time.monotonic(), asked.total
        with pytest.raises(PromotionError, match=r"requests failed.*version 1 serves as before"):
            promote(store, failing, probing=Probing())
        told["failing, mirrored"] = time.monotonic() - began, asked.total - before
        assert agreed(store) == "1"

        slow = version(store, 3.0, when_busy="slow")
        with endpoints.layout.settings_file.open("r+") as file:
            text = file.read().replace("{mirror = 100, requests = 100}, ", "")
            file.seek(0)
            file.write(text)
            file.truncate()
        store = connect(load(endpoints.root, {}))
        began, before = time.monotonic(), asked.total
        with pytest.raises(PromotionError, match=r"its p95 is .* version 1 serves as before"):
            promote(store, slow, probing=Probing())
        told["slow, a fifth of the traffic"] = time.monotonic() - began, asked.total - before
        assert agreed(store) == "1"

        good = version(store, 4.0)
        promote(store, good, probing=Probing())
        assert agreed(store) == "4"
        asked.wait(200)
        began, before = time.monotonic(), asked.total
        assert nbops(["rollback", MODEL]) == 0
        told["rollback by command"] = time.monotonic() - began, asked.total - before
        asked.wait(200)
    assert agreed(store) == "1"
    assert asked.failed == {}
    answers = {key[2]: count for key, count in asked.answers.items()}
    assert set(answers) == {f'{{"predictions":[{value}]}}' for value in ("1.0", "3.0", "4.0")}  # 2 answered nobody
    assert registry.get(store, MODEL, good.version).withdrawn == ("prod",)
    assert [entry.what for entry in release_ledger.read_entries(store, MODEL) if entry.what == "failed"] == [
        "failed",
        "failed",
    ]
    capsys.readouterr()
    print(f"{asked.total} requests, none failed; answered by each: {answers}")
    for what, (seconds, requests) in told.items():
        print(f"{what}: {seconds:.1f} s, {requests} requests meanwhile")


def test_a_server_that_is_killed_in_the_middle_of_a_canary_serves_the_champion_again(endpoints: Settings) -> None:
    with endpoints.layout.settings_file.open("a") as file:
        file.write("[stages.prod]\ncanary = [{traffic = 50, minutes = 1}]\n")
    store = connect(load(endpoints.root, {}))
    promote(store, version(store, 1.0), probing=Probing())
    two, pid = version(store, 2.0), endpoint_for(store.settings, MODEL).status().pid
    lock = LocalStageChanges(store.settings, MODEL, "prod")

    def kill() -> None:
        while (left := lock.pending()) is None or left.steps[-2:] != ["traffic", "ledger"]:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PromotionError, match="version 1 serves as before and is champion"):
        promote(store, two, probing=Probing())
    killer.join()
    assert agreed(store) == "1"
    now = endpoint_for(store.settings, MODEL).status()
    assert now.state == "running"
    assert now.pid != pid


def test_one_can_go_back_from_a_version_that_cannot_be_brought_up_any_more(endpoints: Settings) -> None:
    store = connect(endpoints)
    promote(store, version(store, 1.0), probing=Probing())
    promote(store, version(store, 2.0), probing=Probing())
    status = endpoint_for(endpoints, MODEL).status()
    os.kill(status.pid, signal.SIGKILL)
    for file in (endpoints.layout.endpoints / MODEL / "models").glob("2*/**/*.pkl"):
        file.write_bytes(b"damaged")
    with pytest.raises(EndpointError):
        endpoint_for(endpoints, MODEL).start()
    back(endpoints)
    assert agreed(store) == "1"
