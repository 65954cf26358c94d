"""score.py on Azure's real inference server, in an environment of its own, answers as the local endpoint does."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from notebooks_lib import uv_environment
from notebooks_lib.errors import EndpointError
from notebooks_lib.models import model_files, requirements
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.scoring_code import scoring_code
from notebooks_lib.serving.scoring_environment import SERVER_NEEDS, ScoringRequirements, scoring_requirements
from notebooks_lib.serving.scoring_script import scoring_variables
from notebooks_lib.serving.scoring_server import ScoringServer
from notebooks_lib.settings import Settings
from tests.azure.emulator.collector_sidecar import CollectorSidecar
from tests.serving.fuzzed_requests import BODIES, CONTENT, CONTENT_TYPES
from tests.serving.test_attacks import ATTACKS

pytestmark = pytest.mark.proof

LOCK = Path(__file__).parents[2] / "requirements.lock"
NEEDED = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops", "cloudpickle")
MODELS = ("table", "classes", "tensor", "mixed")
TABLE = {"dataframe_records": [{"age": 1.25, "bmi": -3, "bp": 0.1}, {"age": 1e-12, "bmi": 1 / 3, "bp": 12345678.125}]}
JSON = {"Content-Type": "application/json"}
ORDER = {"PYTHONHASHSEED": "0"}
"""MLflow and scikit-learn write what they find first in a set into their messages: another text in each process."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Iterator[str]:
    """The Python of the scoring environment of the models here: built by the first worker, removed by the last."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, users = shared / "scoring", shared / "scoring-users"
    own = users / str(os.getpid())
    with FileLock(shared / "scoring.lock"):
        users.mkdir(exist_ok=True)
        own.touch()
        if not uv_environment.is_made(folder):
            build(folder, scoring_requirements(pinned(models["table"], shared / "pinned")))
    yield uv_environment.python_of(folder)
    with FileLock(shared / "scoring.lock"):
        own.unlink()
        if not list(users.iterdir()):
            shutil.rmtree(folder)


def pinned(model: Path, folder: Path) -> Path:
    """A copy of a model with the requirements that nbops writes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model, folder)
    (folder / "requirements.txt").write_text("\n".join(requirements.pinned_requirements(NEEDED, LOCK)))
    return folder


def build(folder: Path, needed: ScoringRequirements) -> None:
    uv_environment.make_environment(
        folder, "install", "--compile-bytecode", *needed.packages, python=sys.executable, subject="it", timeout=600
    )


@contextmanager
def serving(python: str, model: Path, log: Path, **variables: str) -> Iterator[ScoringServer]:
    deployed = scoring_variables("7", model_files.read_model_files(model).sha256)
    with ScoringServer(python, scoring_code(model).files, model, deployed | variables, log=log) as server:
        yield server


@pytest.fixture(scope="module")
def servers(
    python: str, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ScoringServer]]:
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(python, models[name], logs / name, **ORDER)) for name in MODELS}


@pytest.fixture(scope="module")
def local(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A local endpoint with the same models, one in each slot."""
    endpoint = LocalEndpoint(Settings(root=tmp_path_factory.mktemp("local")), "sample")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONHASHSEED", ORDER["PYTHONHASHSEED"])
        for name in MODELS:
            endpoint.deploy(name, ServedVersion.in_folder(models[name], version="7"), traffic=name == "table")
    yield Address("127.0.0.1", endpoint.status().port)
    endpoint.stop()


def ask_locally(local: Address, model: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    import http.client

    connection = http.client.HTTPConnection(local.host, local.port, timeout=60)
    try:
        connection.request("POST", "/score", body, {**headers, "azureml-model-deployment": model})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("age", "bmi", "bp"), st.floats(-9, 9) | st.integers(-9, 9))), min_size=1
)
LISTS = ROWS.map(lambda rows: [list(row.values()) for row in rows])
CITIES = st.sampled_from(["Graz", "Linz"])
ODD_CITIES = st.sampled_from(["Wien", "Gra\u0308z", "\ud800", "", " ", "NaN", "\U0001f600", None, 5])
ROOMS = st.integers(1, 9) | st.integers(1, 9).map(str) | st.integers(1, 9).map(float)
ODD_ROOMS = st.sampled_from([1.5, "3.5", 2**70, None, "x"])
NEW = st.booleans() | st.sampled_from([0, 1])


def homes(rooms: Any, city: Any) -> Any:
    return st.lists(st.fixed_dictionaries({"rooms": rooms, "city": city, "new": NEW}), min_size=1, max_size=4)


def as_json(key: str, rows: Any) -> Any:
    return st.tuples(st.just("application/json"), rows.map(lambda rows: json.dumps({key: rows}).encode()))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()


VALID = {
    "table": st.one_of(
        as_json("dataframe_records", ROWS),
        as_json("input_data", LISTS),
        as_json("dataframe_split", LISTS.map(lambda rows: {"columns": ["age", "bmi", "bp"], "data": rows})),
        as_json("inputs", ROWS.map(lambda rows: {name: [row[name] for row in rows] for name in rows[0]})),
        st.tuples(st.just("text/csv"), ROWS.map(as_csv)),
    ),
    "tensor": as_json("inputs", LISTS) | as_json("instances", LISTS) | as_json("input_data", LISTS),
    "mixed": st.one_of(
        as_json("dataframe_records", homes(ROOMS, CITIES)),
        st.tuples(st.just("text/csv"), homes(ROOMS, CITIES).map(as_csv)),
    ),
}
VALID["classes"] = VALID["table"]
INVALID = st.one_of(
    st.tuples(CONTENT_TYPES, CONTENT),
    st.tuples(st.just("application/json"), CONTENT),
    st.tuples(st.just("application/json"), BODIES.map(lambda body: json.dumps(body).encode())),
    as_json("dataframe_records", homes(ROOMS, CITIES | ODD_CITIES)),
    as_json("dataframe_records", homes(ROOMS | ODD_ROOMS, CITIES)),
    st.tuples(st.just("text/csv"), CONTENT),
    st.tuples(st.none(), CONTENT),
)
REQUESTS = st.sampled_from(MODELS).flatmap(lambda model: st.tuples(st.just(model), VALID[model] | INVALID))


def test_two_thousand_fuzzed_requests_are_answered_as_by_the_local_endpoint(
    servers: dict[str, ScoringServer], local: Address
) -> None:
    statuses: Counter[int] = Counter()

    @given(asked=REQUESTS)
    @examples(
        max_examples=2000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(asked: tuple[str, tuple[str | None, bytes]]) -> None:
        model, (content_type, body) = asked
        headers = {} if content_type is None else {"Content-Type": content_type}
        here = ask_locally(local, model, body, headers)
        assert servers[model].request("POST", "/score", body, headers) == here
        statuses[here[0]] += 1

    ask()
    print(dict(sorted(statuses.items())))
    assert sum(statuses.values()) >= 2000
    assert statuses[200] > 300
    assert statuses[400] > 300
    assert statuses[415] > 30
    assert max(statuses) < 500


OF_HTTP = ("length", "header", "path", "trailer", "chunk", "pipelined", "no HTTP", "upgrade", "host", "origin")
"""Attacks on a server's HTTP, which is gunicorn's there; Azure has a proxy in front of it."""


@pytest.mark.parametrize("attack", [name for name in ATTACKS if not any(word in name for word in OF_HTTP)])
def test_malicious_bodies_are_answered_as_by_the_local_endpoint(
    attack: str, servers: dict[str, ScoringServer], local: Address
) -> None:
    head, _, body = ATTACKS[attack][0]().partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    headers = {"Content-Type": lines["Content-Type"]}
    here = ask_locally(local, "table", body, headers)

    assert servers["table"].request("POST", "/score", body, headers) == here
    assert here[0] < 500


def test_health_and_the_description_are_there_as_far_as_the_server_shows_them(
    servers: dict[str, ScoringServer],
) -> None:
    server = servers["mixed"]
    assert server.request("GET", "/") == (200, b"Healthy")
    status, text = server.request("GET", "/swagger.json?version=3.1")
    request = json.loads(text)["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    assert status == 200
    assert server.request("POST", "/score", json.dumps(request["example"]).encode(), JSON)[0] == 200
    assert server.request("GET", "/score")[0] == 405


def test_the_model_may_lie_below_the_folder_and_must_be_the_deployed_one(
    python: str, models: dict[str, Path], tmp_path: Path
) -> None:
    below = tmp_path / "m" / "7" / "model"
    shutil.copytree(models["table"], below)
    digest = model_files.read_model_files(below).sha256
    log = tmp_path / "log"
    code = scoring_code(tmp_path).files
    with ScoringServer(python, code, below.parent, scoring_variables("7", digest), log=log) as server:
        assert server.request("POST", "/score", json.dumps(TABLE).encode(), JSON)[0] == 200
    (below / "note.txt").write_text("x")
    with (
        pytest.raises(
            EndpointError, match=r"ends with 3: ModelError: the model's files are not those that were deployed"
        ),
        ScoringServer(python, code, below.parent, scoring_variables("7", digest), log=log),
    ):
        pass


def test_what_the_server_needs_is_what_the_table_says(python: str) -> None:
    import subprocess

    code = "import importlib.metadata as m, json; print(json.dumps(m.requires('azureml-inference-server-http')))"
    lines = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    needed = [Requirement(line) for line in lines]
    bounded = {
        need.name: need.specifier
        for need in needed
        if need.specifier and (need.marker is None or need.marker.evaluate({"extra": ""}))
    }
    assert bounded == {name: SpecifierSet(text) for name, text in SERVER_NEEDS.items()}


def collecting(sidecar: CollectorSidecar, folder: Path, **shares: int) -> dict[str, str]:
    """The variables by which the service turns the collector on."""
    config = {name: {"enabled": True, "sampleRatePercentage": share} for name, share in shares.items()}
    (folder / "mdc.json").write_text(json.dumps({"collections": config, "runMode": "cloud"}))
    return {"AZUREML_MDC_CONFIG_PATH": str(folder / "mdc.json"), "AZUREML_MDC_PORT": str(sidecar.port)}


def settled(sidecar: CollectorSidecar, number: int) -> None:
    deadline = time.monotonic() + 30
    while sidecar.received < number and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sidecar.received == number


def test_the_collected_rows_are_those_that_were_sent(python: str, models: dict[str, Path], tmp_path: Path) -> None:
    city = {"dataframe_records": [{"rooms": 3, "city": "Gra\u0308z \U0001f600", "new": True}]}
    records: dict[str, tuple[str, bytes, Any]] = {
        "by-record": ("application/json", json.dumps(TABLE).encode(), TABLE["dataframe_records"]),
        "by-list": ("application/json", b'{"input_data": [[1, 2, 0.1]]}', [{"age": 1, "bmi": 2, "bp": 0.1}]),
        "by-csv": ("text/csv", b"age,bmi,bp\n1,2,0.1\n", [{"age": "1", "bmi": "2", "bp": "0.1"}]),
    }
    with CollectorSidecar(tmp_path, "sample", "blue") as sidecar:
        variables = collecting(sidecar, tmp_path, model_inputs=100, model_outputs=100)
        with serving(python, models["table"], tmp_path / "log", **variables) as server:
            answers = {}
            for request_id, (kind, body, _) in records.items():
                status, answers[request_id] = server.request(
                    "POST", "/score", body, {"Content-Type": kind, "x-request-id": request_id}
                )
                assert status == 200
            server.request("POST", "/score", b"{}", JSON)  # refused, and so not collected
            probe = {**JSON, "x-nbops-probe": "1"}
            assert server.request("POST", "/score", json.dumps(TABLE).encode(), probe)[0] == 200
            settled(sidecar, 6)
        inputs, outputs = sidecar.events("model_inputs"), sidecar.events("model_outputs")
        with serving(python, models["mixed"], tmp_path / "log", **variables) as server:
            assert server.request("POST", "/score", json.dumps(city).encode(), JSON)[0] == 400  # no such city
            settled(sidecar, 6)

    assert {event["correlationid"]: event["data"] for event in inputs} == {
        request_id: rows for request_id, (_, _, rows) in records.items()
    }
    assert {event["correlationid"]: event["data"] for event in outputs} == {
        request_id: [{"prediction": value} for value in json.loads(answer)["predictions"]]
        for request_id, answer in answers.items()
    }
    assert {event["modelversion"] for event in inputs + outputs} == {"7"}
    assert {event["collectdatatype"] for event in inputs} == {"pandas.core.frame.DataFrame"}


def test_a_sample_has_the_inputs_of_each_prediction(python: str, models: dict[str, Path], tmp_path: Path) -> None:
    with CollectorSidecar(tmp_path, "sample", "blue") as sidecar:
        variables = collecting(sidecar, tmp_path, model_inputs=40, model_outputs=20)
        with serving(python, models["table"], tmp_path / "log", **variables) as server:
            for _ in range(100):
                server.request("POST", "/score", json.dumps(TABLE).encode(), JSON)
            settled(sidecar, 60)
    inputs, outputs = (
        {event["correlationid"] for event in sidecar.events(f"model_{of}")} for of in ("inputs", "outputs")
    )
    assert (len(inputs), len(outputs)) == (40, 20)
    assert outputs < inputs


def test_a_collector_that_fails_is_counted_and_never_the_callers_problem(
    python: str, models: dict[str, Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with CollectorSidecar(tmp_path, "sample", "blue") as sidecar:
        sidecar.refusing = True
        variables = collecting(sidecar, tmp_path, model_inputs=100, model_outputs=100)
        with serving(python, models["table"], log, **variables) as server:
            for _ in range(3):
                assert server.request("POST", "/score", json.dumps(TABLE).encode(), JSON)[0] == 200
            settled(sidecar, 6)
            sidecar.refusing = False
            assert server.request("POST", "/score", json.dumps(TABLE).encode(), JSON)[0] == 200
            settled(sidecar, 8)
    assert "requests could not be collected, 1 so far; the last: " in log.read_text()
    assert len(sidecar.events("model_inputs")) == 1, "it goes on when the sidecar is well again"

    (tmp_path / "mdc.json").write_text("{")
    with serving(python, models["table"], log, AZUREML_MDC_CONFIG_PATH=str(tmp_path / "mdc.json")) as server:
        for _ in range(2):
            assert server.request("POST", "/score", json.dumps(TABLE).encode(), JSON)[0] == 200
    assert "requests could not be collected, 1 so far; the last: Expecting property name" in log.read_text()
