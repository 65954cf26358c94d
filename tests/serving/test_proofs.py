"""Slow proofs: swaps under load, kills at random moments, ten thousand requests that nobody would send on purpose."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import local_endpoint_folder, server_process
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import Settings, load
from tests.serving.conftest import save
from tests.serving.fuzzed_requests import CONTENT, CONTENT_TYPES, TEXT, mostly
from tests.serving.load import Load
from tests.serving.test_app import TRACE
from tests.serving.test_slots import ROW

pytestmark = pytest.mark.proof

FACTORS = {"double": 4.0, "triple": 6.0, "shifted": 5.0}


def test_twenty_canaries_under_constant_load_fail_no_request(deployed: Settings, light: dict[str, Path]) -> None:
    names, port = list(FACTORS), LocalEndpoint(deployed, "sample").status().port
    with Load(port, ROW, connections=8) as load:
        for number in range(20):
            slot = LocalEndpoint(deployed, "sample").idle_slot()
            other = "green" if slot == "blue" else "blue"
            name = names[number % 3]
            LocalEndpoint(deployed, "sample").deploy(slot, ServedVersion.in_folder(light[name], version=str(number)))
            LocalEndpoint(deployed, "sample").set_mirror({slot: 20})
            for share in (10, 50, 100):
                LocalEndpoint(deployed, "sample").set_traffic({slot: share, other: 100 - share})
                load.wait(50)
            if number % 4 == 0:  # taken back at once, and given again
                LocalEndpoint(deployed, "sample").set_traffic({other: 100})
                LocalEndpoint(deployed, "sample").set_traffic({slot: 100})
            LocalEndpoint(deployed, "sample").delete_slot(other)
    print(f"{load.total} requests, {len(load.failed)} failed")
    assert load.failed == {}
    assert load.total > 3000
    assert {json.loads(body)["predictions"][0] for _, _, body in load.answers} == set(FACTORS.values())


CHANGING = """
import random, sys
from pathlib import Path
from notebooks_lib.errors import NbopsError
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import load
here, chance = load(Path(sys.argv[1]), {}), random.Random(int(sys.argv[2]))
models = sys.argv[3:]
print("going", flush=True)
while True:
    try:
        slot = LocalEndpoint(here, "sample").idle_slot()
        path = Path(chance.choice(models))
        LocalEndpoint(here, "sample").deploy(slot, ServedVersion.in_folder(path, version=path.name))
        other = "green" if slot == "blue" else "blue"
        LocalEndpoint(here, "sample").set_traffic({slot: 30, other: 70})
        LocalEndpoint(here, "sample").set_traffic({slot: 100})
    except NbopsError as error:
        print(error, file=sys.stderr, flush=True)
"""


def consistent(here: Settings) -> None:
    """What answers is what the state says, slot by slot; and every slot's model is whole."""
    status = LocalEndpoint(here, "sample").status()
    assert status.state == "running", status
    assert sum(slot.traffic for slot in status.slots.values()) == 100
    for name, slot in status.slots.items():
        assert slot.state == "ready", status
        assert LocalEndpoint(here, "sample").invoke(ROW, slot=name) == {"predictions": [FACTORS[slot.version]]}


@pytest.mark.parametrize("victim", ["server", "starter"])
def test_a_kill_at_any_moment_of_a_change_leaves_a_state_that_serves_again(
    victim: str, deployed: Settings, light: dict[str, Path]
) -> None:
    chance = random.Random(1)
    LocalEndpoint(deployed, "sample").deploy(
        "blue", ServedVersion.in_folder(light["double"], version="double"), traffic=True
    )
    for round_ in range(12):
        arguments = [str(deployed.root), str(round_), *(str(light[name]) for name in FACTORS)]
        changing = subprocess.Popen([sys.executable, "-c", CHANGING, *arguments], stdout=subprocess.PIPE)
        with changing:
            assert changing.stdout is not None
            changing.stdout.readline()
            time.sleep(chance.uniform(0, 4))
            server = server_process.running_server(local_endpoint_folder.EndpointFolder(deployed, "sample"))
            if victim == "server" and server is not None:
                server.process.kill()
                time.sleep(chance.uniform(0, 1))
            changing.kill()
        assert changing.returncode == -signal.SIGKILL, "it was changing the endpoint until then"
        if victim == "server":
            with suppress(EndpointError):
                LocalEndpoint(deployed, "sample").start()
            LocalEndpoint(deployed, "sample").start()
        else:
            deadline = time.monotonic() + 120
            while any(slot.state != "ready" for slot in LocalEndpoint(deployed, "sample").status().slots.values()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        consistent(deployed)
        LocalEndpoint(deployed, "sample").set_traffic({main(deployed): 100})
    folder = local_endpoint_folder.EndpointFolder(deployed, "sample")
    slot = LocalEndpoint(deployed, "sample").idle_slot()
    LocalEndpoint(deployed, "sample").deploy(slot, ServedVersion.in_folder(light["double"], version="double"))
    kept = [path.name for path in folder.models.iterdir()]
    assert len(kept) <= 2, kept  # what interrupted deployments left is gone


def main(here: Settings) -> str:
    slots = LocalEndpoint(here, "sample").status().slots
    return max(slots, key=lambda name: slots[name].traffic)


def test_a_kill_loses_no_collected_file_and_no_more_than_one_rotation(
    endpoints: Settings, light: dict[str, Path]
) -> None:
    import pyarrow.dataset

    changed = {"collect": ("sample",), "collect_rotate": 1.0}
    here = endpoints.model_copy(update={"endpoint": endpoints.endpoint.model_copy(update=changed)})
    LocalEndpoint(here, "sample").deploy("blue", ServedVersion.in_folder(light["double"], version="1"), traffic=True)
    status = LocalEndpoint(here, "sample").status()
    folder = here.layout.collected / "sample" / "blue" / "model_inputs"

    def rotations(number: int) -> None:
        until, written = time.monotonic() + 120, len([*folder.rglob("*.parquet")])
        while len([*folder.rglob("*.parquet")]) < written + number:
            assert time.monotonic() < until
            time.sleep(0.05)

    with Load(status.port, ROW, connections=2, pause=0.005) as load:
        rotations(2)
        before = load.total
        rotations(2)  # the first may have been under way
        os.kill(status.pid or 0, signal.SIGKILL)
    found = pyarrow.dataset.dataset(folder, format="parquet")
    kept = found.to_table(columns=["xrequestid"]).to_pydict()["xrequestid"]
    assert len(kept) == len(set(kept))
    print(f"{len(kept)} of {load.total} kept; {before} were answered two rotations before the kill")
    assert before <= len(kept) <= load.total


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, int]]:
    """An endpoint with four kinds of models, one of them in each slot."""
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression, Ridge

    root = tmp_path_factory.mktemp("fuzzed")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    chance = np.random.default_rng(0)
    x = pd.DataFrame(chance.normal(size=(60, 3)), columns=["age", "bmi", "bp"])
    y = x["age"] - 2 * x["bmi"]
    (root / "production").mkdir()
    (root / "production" / "settings.toml").write_text('[endpoint]\ncollect = ["*"]\n')
    here = load(root, {})
    models = {
        "blue": save(Ridge().fit(x, y), root / "table", x, y.to_numpy()),
        "green": save(LogisticRegression().fit(x, y > 0), root / "classes", x, (y > 0).to_numpy()),
        "tensor": save(Ridge().fit(x.to_numpy(), y), root / "tensor", x.to_numpy(), y.to_numpy()),
    }
    for slot, model in models.items():
        LocalEndpoint(here, "sample").deploy(slot, ServedVersion.in_folder(model, version="1"), traffic=slot == "blue")
    LocalEndpoint(here, "sample").set_traffic({"blue": 50, "green": 50})
    LocalEndpoint(here, "sample").set_mirror({"tensor": 10})
    yield here, LocalEndpoint(here, "sample").status().port
    LocalEndpoint(here, "sample").stop()


HEADERS = st.fixed_dictionaries(
    {"Content-Type": CONTENT_TYPES},
    optional={
        "azureml-model-deployment": mostly("blue", "green", "tensor", or_else=TEXT),
        "x-request-id": TEXT,
        "traceparent": st.just(TRACE) | TEXT,
        "Authorization": TEXT,
        "Accept": TEXT,
    },
)
WORDS = TEXT.map(lambda text: "/" + text.replace("#", ""))
PATHS = mostly("/invocations", "/score", or_else=st.sampled_from(["/version", "/slots", "/metrics", "/docs"]) | WORDS)
METHODS = mostly("POST", or_else=st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]))


def test_ten_thousand_fuzzed_requests_get_no_5xx(fuzzed: tuple[Settings, int]) -> None:
    here, port = fuzzed
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    got: Counter[int] = Counter()

    @given(method=METHODS, path=PATHS, headers=HEADERS, content=CONTENT)
    @examples(
        max_examples=10_000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        body = answer.read()
        got[answer.status] += 1
        assert answer.status < 500, body
        if answer.status >= 400 and method != "HEAD":
            assert set(json.loads(body)) == {"error_code", "message"}

    before = LocalEndpoint(here, "sample").status()
    with closing(connection):
        ask()
    after = LocalEndpoint(here, "sample").status()
    print(f"{sum(got.values())} requests: {dict(sorted(got.items()))}; {after.memory_mb:.0f} MB")
    assert (after.state, after.pid) == ("running", before.pid)
    assert sum(got.values()) >= 10_000
    assert got[200] > 1000
    assert got[400] > 1000
    assert after.memory_mb is not None
    assert before.memory_mb is not None
    assert after.memory_mb < before.memory_mb + 300


def test_what_is_not_even_http_takes_nothing_down(fuzzed: tuple[Settings, int]) -> None:
    here, port = fuzzed
    before = LocalEndpoint(here, "sample").status().pid
    chance = random.Random(0)
    starts = [
        b"",
        b"POST /invocations HTTP/1.1\r\n",
        b"POST /invocations HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
        b"\0" * 9,
    ]
    for number in range(500):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, suppress(OSError):
            raw.sendall(starts[number % 4] + chance.randbytes(chance.randrange(300)))
            if number % 2:
                raw.shutdown(socket.SHUT_WR)
                raw.recv(1000)
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(200)]  # say nothing at all
    status = LocalEndpoint(here, "sample").status()
    for each in held:
        each.close()
    assert (status.state, status.pid) == ("running", before)


def test_more_load_than_it_can_take_is_refused_politely(endpoints: Settings, light: dict[str, Path]) -> None:
    changed = {"concurrency": 2}
    here = endpoints.model_copy(update={"endpoint": endpoints.endpoint.model_copy(update=changed)})
    status = LocalEndpoint(here, "sample").deploy(
        "blue", ServedVersion.in_folder(light["double"], version="1"), traffic=True
    )
    rows = {"dataframe_split": {"columns": ["x"], "data": [[float(n)] for n in range(20_000)]}}
    with Load(status.port, rows, connections=16) as load:
        load.wait(300)
        assert LocalEndpoint(here, "sample").status().state == "running"
    assert load.errors == []
    assert {status for status, _, _ in load.answers} == {200, 429}
    assert threading.active_count() < 50
    assert psutil.pid_exists(status.pid or 0)


AT_ONCE = """
import sys, threading
from pathlib import Path
from notebooks_lib.serving import model_loading
model_loading.prepare_process()
model = model_loading.load_model(Path(sys.argv[1]))
assert "mlflow" not in sys.modules
together, said = threading.Barrier(9), []
def ask(way, sent):
    together.wait()
    try:
        said.append(list(model.predict(way(sent))))
    except Exception as error:
        said.append(repr(error))
asked = [(model.parse, {"dataframe_records": [{"a": "1", "b": 2}]}), (model.parse_csv, "a,b\\n1,2\\n")] * 4
threads = [threading.Thread(target=ask, args=each) for each in asked]
threads.append(threading.Thread(target=lambda: (together.wait(), model.complete())))
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(said) == 8 and all(each == said[0] and len(each) == 1 for each in said), said
"""


def test_the_first_requests_that_need_mlflow_may_come_at_once(tmp_path: Path) -> None:
    """Threads that import parts of MLflow at once find it half made: every such request was answered with 500 for good."""
    import numpy as np
    import pandas as pd
    from mlflow.models import Model
    from sklearn.linear_model import Ridge

    from notebooks_lib.models import flavors

    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    (tmp_path / "lock").touch()
    flavors.save(
        Ridge().fit(x, x["a"]), tmp_path / "model", flavor=None, example=x, lock=tmp_path / "lock", meta=Model()
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", AT_ONCE, str(tmp_path / "model")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
