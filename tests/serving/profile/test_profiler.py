"""The whole of it: `nbops profile` on a small model, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import psutil
import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.errors import TrackingError
from notebooks_lib.models import champions, registry
from notebooks_lib.serving.profile import profile_report, profiler, resource_limits
from notebooks_lib.serving.server_process import wait_for_end
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store, connect
from tests.serving.profile.test_profile_report import measured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")


@pytest.fixture
def registered(project: Settings, light: dict[str, Path]) -> Store:
    """A project whose registry has model `sample` with a champion, version 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, at its first import
        store = connect(project)
    run = store.client.create_run(store.experiment_id("any")).info.run_id
    store.client.log_artifacts(run, str(light["double"]), "model")
    version = registry.register(store, "sample", run)
    champions.mark_champion(store, version, reason="first")
    return store


@pytest.mark.proof
@pytest.mark.tracking
def test_a_profile_is_measured_recommended_and_recorded(
    registered: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a CPU really is what it had, 0.05 GiB is found too little, and the version says where it all is."""
    monkeypatch.setattr(
        resource_limits, "make_group", lambda number: None
    )  # the other means: they are what most machines have
    options = "--rate 2 --p95 5s --cpu 0.5 --memory 0.05,2 --concurrency 1,2 --batch 3 --seconds 0.6 --json"
    assert program.run(["profile", "sample", *options.split()]) == 0
    told = json.loads(capsys.readouterr().out)
    served, killed = told["trials"]
    assert (served["cpu_by"], served["memory_by"], served["outcome"]) == ("pauses", "watch", "served")
    assert [(cell["concurrency"], cell["batch"], cell["errors"]) for cell in served["cells"]] == [
        (1, 3, {}),
        (2, 3, {}),
    ]
    assert all(cell["requests"] > 0 and cell["p50"] <= cell["p95"] for cell in served["cells"])
    assert served["held"]
    assert served["checked"]["arrivals"] == 2
    assert (killed["outcome"], killed["memory_gib"]) == ("memory", 0.05)
    assert "it needs more than 0.05 GiB: killed while it was loaded" in told["notes"]
    [advised] = told["recommendations"]
    assert (advised["met"], advised["cpus"], advised["memory_gib"], advised["instances"]) == (True, 0.5, 2, 1)
    assert [each["name"] for each in advised["azure"]] == ["Standard_DS1_v2"]

    version = registry.get(registered, "sample", 1)
    assert version.tags[Tag.PROFILE_RUN] == told["run_id"]
    run = registered.client.get_run(told["run_id"])
    assert (run.data.tags[Tag.PROFILE_MODEL], run.data.tags[Tag.PROFILE_VERSION]) == ("sample", "1")
    assert run.data.tags[Tag.END] == run.info.status == "FINISHED"
    assert run.data.metrics["recommended_cpus"] == 0.5
    kept = {file.path for file in registered.client.list_artifacts(told["run_id"], "profile")}
    assert kept == {"profile/profile.json", "profile/profile.png"}
    assert not any("profiling" in " ".join(child.cmdline()) for child in psutil.Process().children())


@pytest.mark.tracking
def test_figures_are_shown_when_they_cannot_be_recorded(
    project: Settings, light: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise TrackingError("the store is away")

    monkeypatch.setattr(profile_report, "write_profile", refuse)
    monkeypatch.setattr(profiler.LoadTest, "run", lambda *_: measured("any").trials)
    assert program.run(["profile", str(light["double"]), "--batch", "1"]) == 1
    told = capsys.readouterr()
    assert "1 CPU and 2 GiB hold 50/s" in told.out
    assert "the profile is not recorded: the store is away" in told.err


@pytest.mark.tracking
def test_what_cannot_be_profiled_is_refused_before_anything_starts(
    registered: Store, light: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = tmp_path / "without"
    shutil.copytree(light["double"], without)
    meta = without / "MLmodel"
    meta.write_text(meta.read_text().partition("saved_input_example_info")[0])
    unmarked = registered.client.create_run(registered.experiment_id("any")).info.run_id
    registered.client.log_artifacts(unmarked, str(light["triple"]), "model")
    registry.register(registered, "unmarked", unmarked)
    for arguments, said in (
        (["samle"], "unknown model 'samle', did you mean 'sample'? (known: sample, unmarked)"),
        (["sample", "--version", "7"], "unknown version of sample '7' (known: 1)"),
        (["sample", "--stage", "dev"], "model 'sample' has no champion in dev yet"),
        (["sample", "--stage", "dev", "--version", "1"], "--version or --stage, not both"),
        (["unmarked"], "model 'unmarked' has no champion yet; choose a version: --version 1"),
        ([str(without)], "logged without an example; give a request of your own with --data @FILE"),
        ([str(tmp_path)], "holds no MLmodel file"),
        ([str(without), "--version", "1"], "is a folder, which has no versions"),
        (["sample", "--cpu", "0"], "--cpu '0'"),
        (["sample", "--cpu", "4096"], "more cannot be tried here"),
        (["sample", "--memory", "99999"], "more cannot be tried here"),
        (["sample", "--p95", "fast"], "expected a time with its unit"),
        (["sample", "--data", "@nothing.json"], "nothing.json: cannot be read"),
        (["sample", "--data", "[1]"], "found a list"),
        (["sample", "--data", "{"], "--data: is not JSON"),
    ):
        assert program.run(["profile", *arguments]) == 2, arguments
        assert said in capsys.readouterr().err


SPINNING = """
import time

class Spinning:
    def predict(self, frame):
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass
        return frame["x"].to_numpy()

def _load_pyfunc(path):
    return Spinning()
"""

HOG = """
class Hog:
    def __init__(self):
        self.kept = []

    def predict(self, frame):
        if len(frame) > 50:
            self.kept.append(bytearray(2**30))
        return frame["x"].to_numpy()

def _load_pyfunc(path):
    return Hog()
"""


def variant(light: dict[str, Path], folder: Path, code: str) -> Path:
    """The light model with other code."""
    shutil.copytree(light["double"], folder)
    for file in folder.rglob("linear_model.py"):
        file.write_text(code)
    return folder


def profiled(folder: Path, *options: str) -> dict[str, object]:
    command = [sys.executable, "-m", "notebooks_lib", "profile", str(folder), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.proof
@pytest.mark.tracking
def test_twice_the_cpu_gives_a_spinning_model_twice_the_rate(
    project: Settings, light: dict[str, Path], tmp_path: Path
) -> None:
    told = profiled(
        variant(light, tmp_path / "spinning", SPINNING),
        *["--cpu", "0.25,0.5,1", "--memory", "1", "--concurrency", "2", "--batch", "1", "--seconds", "3"],
    )
    trials = told["trials"]
    assert isinstance(trials, list)
    assert all(trial["held"] for trial in trials)
    quarter, half, one = ((trial["cells"][0]["rate"], trial["cells"][0]["cpu"], trial["starved"]) for trial in trials)
    for less, more in ((quarter, half), (half, one)):
        assert more[0] / less[0] == pytest.approx(more[1] / less[1], rel=0.25)  # by the CPU that it really got
        if not (less[2] or more[2]):
            assert 1.6 < more[0] / less[0] < 2.5


@pytest.mark.proof
@pytest.mark.tracking
def test_a_model_that_grows_while_it_answers_is_killed_and_reported(
    project: Settings, light: dict[str, Path], tmp_path: Path
) -> None:
    told = profiled(
        variant(light, tmp_path / "hog", HOG),
        *["--cpu", "1", "--memory", "0.6,1", "--concurrency", "1", "--batch", "1,100", "--seconds", "1"],
    )
    trials = told["trials"]
    assert isinstance(trials, list)
    assert [trial["outcome"] for trial in trials] == ["memory"]
    assert [cell["batch"] for cell in trials[0]["cells"]] == [1]
    recommendations = told["recommendations"]
    assert isinstance(recommendations, list)
    assert (
        "it needs more than 1 GiB: killed while it was asked by 1 at once, 100 rows each" in recommendations[0]["text"]
    )


def at_work(process: psutil.Process) -> bool:
    """Whether it has had the processor for a second; not if it has ended."""
    try:
        return bool(process.cpu_times().user > 1)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_an_interrupted_profile_leaves_no_process(
    project: Settings, light: dict[str, Path], number: int, code: int
) -> None:
    command = [
        sys.executable,
        "-m",
        "notebooks_lib",
        "profile",
        str(light["double"]),
        "--cpu",
        "0.3",
        "--seconds",
        "60",
    ]
    profiler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert profiler.stderr is not None
    children: list[psutil.Process] = []
    for line in profiler.stderr:
        if "loading" in line:
            break
    while len(children) < 2 or not any(map(at_work, children)):  # it is being loaded
        children = psutil.Process(profiler.pid).children(recursive=True)
        time.sleep(0.02)
    profiler.send_signal(number)
    profiler.communicate(timeout=120)
    assert profiler.returncode == code
    assert all(wait_for_end(child, 60) for child in children)
