"""`nbops promote --live` to a stage on Azure, killed at each entry of its journal, and continued by another machine.

The machine that goes on has another name and works in another clone of the project: what it needs is in the workspace.
Meanwhile callers ask the endpoint without a pause, and the emulator notes each change of traffic with the slots that
the endpoint has then.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import datasets
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.errors import EndpointError
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import Journal
from notebooks_lib.release.rollback import rollback
from notebooks_lib.release.slot_checks import Probing
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import lock_claim
from notebooks_lib.tracking.store import Store, connect
from tests.azure.emulator import Emulated
from tests.azure.emulator.record import NO_ANSWER
from tests.azure.fixtures import AzureProject
from tests.promotion.conftest import Trials, better, worse, write_houses
from tests.release import machines
from tests.release.machines import Machine
from tests.release.moving import agreed, forgive

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(1500)]

REPOSITORY = Path(__file__).parents[2]
STAGE = """
[promotion]
trusted_flavors = ["sklearn", "python_function"]

[stages.prod]
endpoint = "azureml:{model}-live"
canary = [{traffic = 50, requests = 4}]
max_latency_ratio = 1000
wait_minutes = 6
"""
HEARTBEAT = 0.25
"""Seconds, for the machines that go on: a dead one counts as gone after twelve heartbeats, of 5 s outside of tests."""
ENTRY = {"path": "/mlflow/runs/log-batch$", "body": Tag.CHANGE_JOURNAL_PREFIX}
"""The request by which an entry of a journal is written."""
FEW = Probing(load=8, quiet=0.0, most=4)


@dataclass(frozen=True)
class Kill:
    """Where a promotion is killed: over a request that is never answered."""

    name: str
    request: dict[str, Any]
    """As a fault of the emulator matches it."""
    skip: int = 0
    done: bool = True
    """Whether the request is carried out."""


def kills(steps: Sequence[str]) -> list[Kill]:
    """After each entry of a journal; before those that note what was done; and while Azure makes the deployment."""
    found = [Kill(f"before {steps[0]}", ENTRY, skip=1, done=False)]
    for number, step in enumerate(steps, 1):
        if step in ("ledger", "end"):
            found.append(Kill(f"{number}, before {step}", ENTRY, skip=number, done=False))
        found.append(Kill(f"{number}, at {step}", ENTRY, skip=number))
        if step == "deploy":
            found.append(Kill("while it is deployed", {"method": "PUT", "path": "/deployments/"}))
    return found


@dataclass(frozen=True)
class Release:
    """A model in two clones of a project: version 1 serves on Azure, and the run of version 2 is better."""

    model: str
    here: Path
    """The clone in which promotions are killed."""
    elsewhere: Path
    """The clone in which they are continued."""
    azure: Emulated
    start: Callable[..., Machine]

    @property
    def store(self) -> Store:
        return connect(load(self.here, {}))

    @property
    def endpoint(self) -> AzureEndpoint:
        opened = endpoint_for(self.store.settings, f"{self.model}-live")
        assert isinstance(opened, AzureEndpoint)
        return opened

    @property
    def journal(self) -> Journal:
        newest = changes_of(self.store.settings, self.model, "prod").newest()
        assert newest is not None
        return newest

    def promote(self) -> Any:
        """Promote the best run, and nothing comes between."""
        machine = self.begin()
        code, out, err = machine.answer()
        machine.close()
        assert code == 0, out + err
        return json.loads(out)

    def begin(self) -> Machine:
        """A machine that promotes the best run."""
        subject = ("-p", f"experiment={self.model}", "-p", "metric=rmse")
        machine = self.start(self.here, shared=False)
        machine.begin("nbops", arguments=["promote", "--live", *subject, "--json"])
        return machine

    def die(self, at: Kill) -> None:
        """Promote the best run, and lose the machine: the command and its kernel."""
        before, began = self.journal.id, self.azure.record.position()
        with self.azure.fault("held", skip=at.skip, done=at.done, **at.request):
            machine = self.begin()
            while not any(seen.status == NO_ANSWER for seen in self.azure.record.since(began)):
                assert _alive(machine.pid), machine.answer()
                time.sleep(0.05)
            change = self.journal
            assert change.id != before
            machine.kill()
            if _alive(change.change.pid):
                os.kill(change.change.pid, signal.SIGKILL)
        machine.close()

    def go_on(self, name: str) -> tuple[int, str]:
        """Continue on a machine of this name, in the other clone; the exit code, and what was printed."""
        machine = self.start(self.elsewhere, name, shared=False, heartbeat=HEARTBEAT)
        code, out, err = machine("nbops", arguments=["promote", "--continue", self.model, "--json"])
        machine.close()
        return code, out + err

    def go_on_by_itself(self, name: str) -> tuple[int, str]:
        """Continue by a command that the tests have no part in: its host bears the name, and a minute passes."""
        command = [sys.executable, "-m", "notebooks_lib", "promote", "--continue", self.model, "--json"]
        host = ["unshare", "--map-root-user", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
        done = subprocess.run(
            [*host, *command], cwd=self.elsewhere, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def versions(self) -> dict[str, int]:
        """What each slot holds, and its share of the traffic."""
        return {slot.version: slot.traffic for slot in self.endpoint.status().slots.values()}

    def locks(self) -> list[str]:
        """Who holds the lock."""
        claims = lock_claim.claims(self.store, self.model)
        return [str(claim.owner) for claim in claims if claim.lock == lock_claim.HELD]

    def reset(self) -> None:
        """Let version 1 serve again, with nothing known against version 2, which keeps its slot."""
        rollback(self.store.settings, self.model, probing=FEW)
        forgive(self.store, 2, model=self.model)
        assert agreed(self.store, model=self.model) == "1"

    def delete_idle_slot(self) -> None:
        """Delete the slot of version 2, so that the next promotion has to fill one."""
        for name, slot in self.endpoint.status().slots.items():
            if not slot.traffic:
                self.endpoint.delete_slot(name)


@pytest.fixture
def release(azure_workspace: AzureProject, azure_server: Emulated, tmp_path: Path) -> Iterator[Release]:
    here, model = azure_workspace.settings.root, f"houses-{uuid.uuid4().hex[:6]}"
    with azure_workspace.settings.layout.settings_file.open("a") as file:
        file.write(STAGE)
    shutil.copyfile(REPOSITORY / "production" / "promote.ipynb", here / "production" / "promote.ipynb")
    (here / ".gitignore").write_text(".nbops\n")
    by = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*by, "commit", "-qm", "first"],
        ["clone", "-q", ".", "../elsewhere"],
    ):
        subprocess.run(["git", *command], cwd=here, check=True)
    settings = load(here, {})
    houses = datasets.add(write_houses(tmp_path / "h.csv"), "houses", settings, target="price", key="house")
    trials = Trials(settings)
    with machines.running() as running:
        release = Release(model, here, here.parent / "elsewhere", azure_server, running.start)
        trials.fitted(worse(), houses, experiment=model)
        assert release.promote()["promoted"]
        trials.fitted(better(), houses, experiment=model)
        yield release
    online_endpoint.delete_endpoint(rest_client.resource_manager(), workspace.find_workspace(settings), f"{model}-live")


def test_wherever_it_dies_another_machine_brings_it_to_its_end(release: Release, azure_server: Emulated) -> None:
    began, position = time.monotonic(), azure_server.record.position()
    assert release.promote()["promoted"]
    assert agreed(release.store, model=release.model) == "2"
    points = kills(release.journal.steps)
    release.reset()
    ends = Counter[str]()
    with _callers(release.endpoint) as answers:
        for number, kill in enumerate(points):
            if kill.request is not ENTRY:
                release.delete_idle_slot()
            release.die(kill)
            go_on = release.go_on if number else release.go_on_by_itself
            code, said = go_on(f"elsewhere-{number}")
            champion = agreed(release.store, model=release.model)
            ends[champion] += 1
            seconds = time.monotonic() - began
            print(f"{seconds:5.0f} s  killed {kill.name}: {code}, version {champion} serves", flush=True)
            if kill is points[-1]:  # nothing was left to do but to give the lock back
                assert (code, "no version of" in said) == (2, True), said
            else:
                assert code == 0, said
                assert json.loads(said[said.index("{") :].partition("\n")[0])["promoted"]
                assert release.locks() == []
            assert champion == "2"
            assert release.versions() == {"1": 0, "2": 100}
            release.reset()
            assert release.locks() == []
    assert answers.keys() == {200}
    path = f"/onlineEndpoints/{release.model}-live"
    changes = [seen for seen in azure_server.record.since(position) if seen.path.endswith(path) and seen.split]
    for seen in changes:
        assert seen.status in (200, 201), seen
        split = seen.split or {}
        assert {split["slots"][slot] for slot in (*split["traffic"], *split["mirror"])} <= {"Succeeded"}, seen
    print(
        f"{len(points)} kills, ends {dict(ends)}, {len(changes)} changes of traffic, {answers[200]} requests: none failed"
    )


@contextmanager
def _callers(endpoint: AzureEndpoint) -> Iterator[Counter[int]]:
    """Ask an endpoint again and again while the block runs: status -> how often."""
    answers, over = Counter[int](), threading.Event()
    request, session = endpoint.example(), endpoint.session(probe=False)

    def ask() -> None:
        while not over.wait(0.25):
            try:
                answers[session.ask(request).status] += 1
            except EndpointError:
                answers[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
