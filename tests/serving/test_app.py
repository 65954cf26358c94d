"""Over HTTP: the answers of `mlflow models serve`, and reasons instead of tracebacks."""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import app
from notebooks_lib.serving.access_log import AccessLog
from notebooks_lib.serving.asgi_requests import HttpRequest, as_json
from notebooks_lib.serving.data_collector import DataCollector
from notebooks_lib.serving.slots import Slot, Slots
from tests.serving.conftest import TestClient
from tests.serving.fuzzed_requests import BODIES

INFO = {"model": "sample", "version": "3", "run_id": "r1", "dataset": "diabetes@1", "since": "2026-01-01", "detail": {}}

Client = Callable[[str], TestClient]


def client_of(model: ServedModel | None, **options: Any) -> TestClient:
    slots = Slots({"blue": Slot(model, INFO)}, {"blue": 100}) if model is not None else Slots()
    return TestClient(app.App("sample", slots, **options))


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, ServedModel]:
    return {name: ServedModel.load(folder) for name, folder in models.items()}


@pytest.fixture
def client(loaded: dict[str, ServedModel]) -> Client:
    return lambda name: client_of(loaded[name])


X = pd.DataFrame({"age": [0.5, -1.0], "bmi": [2.0, 0.25], "bp": [0.0, 3.0]})

REQUESTS: dict[str, dict[str, Any]] = {
    "split": {"dataframe_split": X.to_dict(orient="split")},
    "records": {"dataframe_records": X.to_dict(orient="records")},
    "reordered": {"dataframe_records": X[["bp", "age", "bmi"]].to_dict(orient="records")},
    "whole numbers as numbers": {"dataframe_records": [{"age": 1, "bmi": 0, "bp": 1}]},
    "instances": {"instances": X.to_dict(orient="records")},
    "inputs": {"inputs": X.to_dict(orient="list")},
    "inputs by row": {"inputs": X.to_dict(orient="records")},
}
AZURE: dict[str, dict[str, Any]] = {
    "azure table": {"input_data": X.to_dict(orient="split")},
    "azure rows": {"input_data": X.to_numpy().tolist()},
    "azure records": {"input_data": X.to_dict(orient="records")},
}


def mlflow_app(folder: Path) -> TestClient:
    """The application behind `mlflow models serve`."""
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    return TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)))


@pytest.fixture(scope="module")
def mlflow_served(models: dict[str, Path]) -> TestClient:
    return mlflow_app(models["table"])


@pytest.mark.parametrize("name", ["table", "classes", "pair"])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
def test_each_mlflow_format_is_answered_as_mlflow_serve_does(
    name: str, request_: dict[str, Any], client: Client, models: dict[str, Path]
) -> None:
    answer = client(name).post("/invocations", json=request_)
    theirs = mlflow_app(models[name]).post("/invocations", json=request_)
    assert (answer.status_code, answer.json()) == (200, theirs.json())


@pytest.mark.parametrize("request_", AZURE.values(), ids=list(AZURE))
def test_azures_format_gives_the_same_predictions(request_: dict[str, Any], client: Client) -> None:
    expected = client("table").post("/invocations", json=REQUESTS["split"]).json()
    assert client("table").post("/score", json=request_).json() == expected


@pytest.mark.parametrize("key", ["instances", "inputs", "input_data"])
def test_a_tensor_model_is_answered_as_pyfunc_predicts(key: str, client: Client, models: dict[str, Path]) -> None:
    import mlflow.pyfunc

    expected = mlflow.pyfunc.load_model(str(models["tensor"])).predict(X.to_numpy()).tolist()
    answer = client("tensor").post("/invocations", json={key: X.to_numpy().tolist()})
    assert answer.json() == {"predictions": expected}


def test_csv_gives_the_same_predictions(client: Client) -> None:
    expected = client("table").post("/invocations", json=REQUESTS["split"]).json()
    answer = client("table").post("/invocations", content=X.to_csv(index=False), headers={"Content-Type": "text/csv"})
    assert answer.json() == expected
    wrong = client("table").post("/invocations", content="age,bmi\n1,2\n", headers={"Content-Type": "text/csv"})
    assert wrong.status_code == 400
    assert "missing column 'bp'" in wrong.json()["message"]
    for body in ("", "age,bmi,bp\n", "age,bmi,bp\n1,2,x\n", b"\xff\xfe"):
        refused = client("table").post("/invocations", content=body, headers={"Content-Type": "text/csv"})
        assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST"), body


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        (
            "table",
            {"dataframe_records": [{"age": "old", "bmi": 1, "bp": 1}]},
            ["column 'age', row 0: found 'old'", "a number"],
        ),
        ("table", {"dataframe_records": [{"age": [1], "bmi": 1, "bp": 1}]}, ["age"]),
        ("table", {"dataframe_records": [{"age": None, "bmi": 1, "bp": 1}]}, ["missing values in 'age'", "NaN"]),
        ("table", {"dataframe_records": [{"age": 1e400, "bmi": 1, "bp": 1}]}, ["infinity"]),
        ("table", {"inputs": {"age": [1, 2], "bmi": [1], "bp": [1]}}, ["column 'bmi' has 1", "expected 2"]),
        ("mixed", {"dataframe_records": [{"rooms": 1, "city": "Wien", "new": True}]}, ["Wien"]),
        ("mixed", {"dataframe_records": [{"rooms": 10**30, "city": "Graz", "new": True}]}, ["rooms"]),
        ("mixed", {"dataframe_records": [{"rooms": 1, "city": "Graz", "new": "no"}]}, ["'new'", "true or false"]),
        ("tensor", {"inputs": [[1, 2]]}, ["(1, 2)", "(-1, 3)"]),
        ("tensor", {"inputs": [[1, 2, 3], [1]]}, ["inhomogeneous"]),
        ("tensor", {"inputs": [["a", "b", "c"]]}, ["could not convert string to float"]),
        ("tensor", {"inputs": "x"}, ["x"]),
        ("tensor", {"inputs": []}, ["empty"]),
        ("tensor", {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, ["2 columns"]),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, payload: Any, words: list[str], client: Client) -> None:
    answer = client(name).post("/invocations", content=json.dumps(payload))
    body = answer.json()
    assert answer.status_code == 400, body
    assert set(body) == {"error_code", "message"}
    assert all(word in body["message"] for word in words), body["message"]
    assert "Traceback" not in answer.text


class Odd:
    """A model that answers, or raises, whatever it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, _: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def odd(answer: Any) -> TestClient:
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    meta = Model(flavors={"python_function": {"loader_module": "odd"}})
    return client_of(ServedModel(PyFuncModel(meta, Odd(answer))))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.array([1.5, np.nan, np.inf]), [1.5, None, None]),
        (np.array([[1, 2], [3, 4]], dtype=np.int32), [[1, 2], [3, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["2026-01-02"], dtype="datetime64[ns]"), ["2026-01-02T00:00:00"]),
        (pd.Series([1.0, np.nan], name="y"), [{"y": 1.0}, {"y": None}]),
        (
            pd.DataFrame({"p": [0.5], "when": [pd.Timestamp("2026-01-02")], "gone": [pd.NaT]}),
            [{"p": 0.5, "when": "2026-01-02T00:00:00", "gone": None}],
        ),
        (pd.DataFrame({("a", "b"): [1]}), [{"('a', 'b')": 1}]),
        ([np.float32(0.5), np.int64(2), np.bool_(True), None], [0.5, 2, True, None]),
        ({"mean": np.array([1.0]), "day": datetime.date(2026, 1, 2)}, {"mean": [1.0], "day": "2026-01-02"}),
        (np.array([{"a": np.nan}, pd.NA], dtype=object), [{"a": None}, None]),
        ("text", "text"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_model_answers_is_json(answer: Any, expected: Any) -> None:
    response = odd(answer).post("/invocations", json={"inputs": [1]})
    assert response.status_code == 200, response.text

    def strict(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(response.text, parse_constant=strict)["predictions"]
    if isinstance(found, list) and found and isinstance(found[0], str) and found[0].startswith("2026"):
        found = [text[: len("2026-01-02T00:00:00")] for text in found]
    assert found == expected


@pytest.mark.parametrize("error", [RuntimeError("boom"), ValueError("boom"), KeyError("boom"), SystemExit("boom")])
def test_a_model_that_raises_is_500_with_the_reason_and_the_traceback_in_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    client = odd(error)
    answer = client.post("/invocations", json={"inputs": [1]})
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "INTERNAL_ERROR"
    assert type(error).__name__ in answer.json()["message"]
    assert "boom" in answer.json()["message"]
    assert "Traceback" not in answer.text
    assert "Traceback" in caplog.text
    assert client.get("/health").status_code == 200


def test_health_waits_for_the_model(client: Client) -> None:
    waiting = client_of(None)
    for path in ("/health", "/ping", "/version"):
        assert waiting.get(path).status_code == 503
    assert waiting.post("/invocations", json={"inputs": [1]}).json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert client("table").get("/health").status_code == 200
    assert client("table").get("/ping").status_code == 200


def test_version_says_what_is_served(client: Client) -> None:
    assert client("table").get("/version").json() == {"endpoint": "sample", **INFO}


def test_openapi_comes_from_the_signature(client: Client) -> None:
    document = client("mixed").get("/openapi.json").json()
    body = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    forms = {form["title"]: form["properties"] for form in body["schema"]["oneOf"]}
    assert set(forms) == {"dataframe_split", "dataframe_records", "inputs", "instances", "input_data"}
    record = forms["dataframe_records"]["dataframe_records"]["items"]
    assert record["required"] == ["rooms", "city", "new"]
    assert [record["properties"][name]["type"] for name in record["required"]] == ["integer", "string", "boolean"]
    assert client("mixed").post("/invocations", json=body["example"]).status_code == 200
    page = client("mixed").get("/docs").text
    assert all(word in page for word in ("POST /invocations", "dataframe_split", "&quot;city&quot;", "openapi.json"))
    assert not re.search(r"<script|<link|https?:", page), "it loads nothing"
    tensor = client("tensor").get("/openapi.json").json()["paths"]["/score"]["post"]["requestBody"]["content"]
    inputs = tensor["application/json"]["schema"]["oneOf"][0]["properties"]["inputs"]
    assert inputs["items"] == {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "items": {"type": "number", "format": "double"},
    }


def test_the_example_is_one_row_that_the_model_answers(loaded: dict[str, ServedModel]) -> None:
    for name, model in loaded.items():
        assert model.example is not None
        answer = client_of(model).post("/invocations", json=model.example)
        assert len(answer.json()["predictions"]) == 1, name


def test_a_body_that_is_too_large_is_413(loaded: dict[str, ServedModel]) -> None:
    small = client_of(loaded["table"], limits=app.RequestLimits(body=100))
    for size in (101, 399, 401, 100_000):
        answer = small.post("/invocations", content=b" " * size)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")
        assert "100 bytes" in answer.json()["message"]

    async def chunks() -> Any:
        for _ in range(10):
            yield b" " * 60

    assert small.post("/invocations", content=chunks()).status_code == 413


def test_other_content_types_paths_and_methods_are_refused_in_json(client: Client) -> None:
    table = client("table")
    for kind in ("application/xml", "application/vnd.apache.parquet", "application/json; charset=latin-1"):
        answer = table.post("/invocations", content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    plain = table.post(
        "/invocations", json=REQUESTS["split"], headers={"Content-Type": "application/json; charset=UTF-8"}
    )
    assert plain.status_code == 200
    assert table.get("/nothing").json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert table.get("/invocations").json()["error_code"] == "METHOD_NOT_ALLOWED"


def test_with_a_key_only_health_is_open(loaded: dict[str, ServedModel]) -> None:
    keyed = client_of(loaded["table"], key="secret")
    good = {"Authorization": "Bearer secret"}
    assert keyed.get("/health").status_code == 200
    for header in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "secret"}, {"Authorization": "Bearer é"}):
        headers = {name: value.encode() for name, value in header.items()}
        for answer in (
            keyed.post("/invocations", json=REQUESTS["split"], headers=headers),
            keyed.get("/version", headers=headers),
            keyed.get("/docs", headers=headers),
        ):
            assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert keyed.post("/invocations", json=REQUESTS["split"], headers=good).status_code == 200
    assert keyed.get("/openapi.json", headers=good).json()["security"] == [{"key": []}]


class Slow:
    """A model that answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def predict(self, frame: Any) -> Any:
        self.go.wait(20)
        return [1.0] * len(frame)


def together(served: app.App, *asked: dict[str, Any]) -> list[httpx.Response]:
    """Requests at the same time; a request may bring `after`, a function to call when the others are under way."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://localhost") as client:

            async def one(more: dict[str, Any]) -> httpx.Response:
                after = more.pop("after", None)
                if after:
                    await asyncio.sleep(0.05)
                headers = {"Content-Type": "application/json", **more.pop("headers", {})}
                answer = await client.post("/invocations", headers=headers, **more)
                if after:
                    after()
                return answer

            return await asyncio.gather(*map(one, asked))

    return asyncio.run(run())


def slow() -> tuple[Slow, ServedModel]:
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    model = Slow()
    meta = Model(flavors={"python_function": {"loader_module": "slow"}})
    return model, ServedModel(PyFuncModel(meta, model))


def test_more_predictions_than_allowed_at_once_are_429() -> None:
    model, served = slow()
    limited = app.App(
        "sample", Slots({"blue": Slot(served, INFO)}, {"blue": 100}), limits=app.RequestLimits(concurrency=2)
    )
    body = {"json": {"inputs": [1]}}
    *answered, refused = together(limited, {**body}, {**body}, {**body, "after": model.go.set})
    assert [each.status_code for each in answered] == [200, 200]
    assert (refused.status_code, refused.json()["error_code"]) == (429, "TOO_MANY_REQUESTS")
    assert refused.headers["retry-after"] == "1"
    assert together(limited, body)[0].status_code == 200  # and afterwards there is room again


def test_a_prediction_that_takes_too_long_is_504_and_holds_its_place_until_it_ends() -> None:
    model, served = slow()
    limits = app.RequestLimits(concurrency=1, timeout=0.05)
    limited = app.App("sample", Slots({"blue": Slot(served, INFO)}, {"blue": 100}), limits=limits)
    body = {"json": {"inputs": [1]}}
    late, refused = together(limited, {**body}, {**body, "after": lambda: None})
    assert {late.status_code, refused.status_code} == {504, 429}
    assert "longer than 0.05 s" in (late if late.status_code == 504 else refused).json()["message"]
    model.go.set()


def test_quick_predictions_are_made_at_once_and_slow_ones_in_a_thread(loaded: dict[str, ServedModel]) -> None:
    slot = Slot(loaded["table"], INFO)
    client = TestClient(app.App("sample", Slots({"blue": slot}, {"blue": 100})))
    answers, paces = [], []
    for pace in (math.inf, 0.0, 1.0):
        slot.pace = pace
        answers.append(client.post("/invocations", json=REQUESTS["split"]).json())
        paces.append(slot.pace)
    assert answers[0] == answers[1] == answers[2]
    assert paces[1] < app.AT_ONCE < paces[2]
    refused = client.post("/invocations", json={"dataframe_records": [{"age": "old", "bmi": 1, "bp": 1}]})
    assert refused.status_code == 400


def test_a_body_much_larger_than_the_last_ones_is_not_predicted_at_once(loaded: dict[str, ServedModel]) -> None:
    slot = Slot(loaded["table"], INFO)
    slot.took(0.0005, 60)
    assert slot.expected(60) < app.AT_ONCE < slot.expected(app.SMALL)
    for _ in range(50):
        slot.took(0.0005, app.SMALL)
    assert slot.expected(app.SMALL) < app.AT_ONCE


def test_a_slot_that_hangs_keeps_nobody_else_waiting(loaded: dict[str, ServedModel]) -> None:
    model, hanging = slow()
    both = Slots({"blue": Slot(loaded["table"], INFO), "green": Slot(hanging, INFO, "green")}, {"blue": 100})
    served = app.App("sample", both, limits=app.RequestLimits(concurrency=4))
    named = {"json": {"inputs": [1]}, "headers": {"azureml-model-deployment": "green"}}
    plain = {"json": {"inputs": REQUESTS["inputs by row"]["inputs"]}}
    asked = [{**named} for _ in range(6)]
    *hung, good = together(served, *asked, {**plain, "after": model.go.set})
    assert good.status_code == 200
    assert sorted(each.status_code for each in hung) == [200] * 4 + [429] * 2


def test_a_body_that_does_not_come_is_408(loaded: dict[str, ServedModel]) -> None:
    async def dripping() -> Any:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    limits = app.RequestLimits(read_timeout=0.05)
    answer = client_of(loaded["table"], limits=limits).post("/invocations", content=dripping())
    assert (answer.status_code, answer.json()["error_code"]) == (408, "REQUEST_TIMEOUT")


def test_bodies_that_take_their_time_keep_nobody_else_waiting(loaded: dict[str, ServedModel]) -> None:
    def slowly(number: int) -> dict[str, Any]:
        async def dripping() -> Any:
            yield b"{"
            await asyncio.sleep(0.15 + 0.05 * number)
            yield b"}"

        return {"content": dripping()}

    limits = app.RequestLimits(concurrency=1, uploads=3)
    served = app.App("sample", Slots({"blue": Slot(loaded["table"], INFO)}, {"blue": 100}), limits=limits)
    found = together(served, slowly(0), slowly(1), {"json": REQUESTS["split"], "after": lambda: None})
    assert [each.status_code for each in found] == [400, 400, 200]
    codes = [each.status_code for each in together(served, *map(slowly, range(4)))]
    assert sorted(codes) == [400, 400, 400, 429]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_known_by_its_id_from_the_header_to_the_log(
    loaded: dict[str, ServedModel], tmp_path: Path
) -> None:
    access = AccessLog(tmp_path / "access.log")
    client = client_of(loaded["table"], access=access)
    asked = {"x-request-id": "abc-1", "traceparent": TRACE}
    answer = client.post("/invocations", json=REQUESTS["split"], headers=asked)
    assert [answer.headers[name] for name in ("x-request-id", "traceparent", "azureml-model-deployment")] == [
        *asked.values(),
        "blue",
    ]
    improper = {"x-request-id": "a b" * 100, "traceparent": "00-none"}
    other = client.post("/invocations", json={"dataframe_records": [{"agee": 1}]}, headers=improper)
    assert len(other.headers["x-request-id"]) == 32
    assert "traceparent" not in other.headers
    client.get("/health")
    client.get("/nothing")
    access.close()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [(line["status"], line["slot"], line["path"]) for line in lines] == [
        (200, "blue", "/invocations"),
        (400, "blue", "/invocations"),
        (404, None, "/nothing"),
    ]
    assert (lines[0]["request_id"], lines[0]["traceparent"], lines[0]["version"]) == ("abc-1", TRACE, "3")
    assert lines[0]["bytes_in"] == len(json.dumps(REQUESTS["split"], separators=(",", ":")))
    assert lines[1]["request_id"] == other.headers["x-request-id"]


def test_the_access_log_stays_within_bounds(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", limit=10)
    request = HttpRequest({"method": "POST", "path": "/score", "headers": []}, receive=None)  # type: ignore[arg-type]
    for _ in range(3):
        log.write(request, as_json(200, {}), 0.1)
        log.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["access.log.1"]
    assert len((tmp_path / "access.log.1").read_text().splitlines()) == 1


def test_metrics_are_what_prometheus_reads(loaded: dict[str, ServedModel]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client = client_of(loaded["table"])
    for _ in range(3):
        client.post("/invocations", json=REQUESTS["split"])
    client.post("/invocations", json={})
    client.get("/nothing")
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
    assert found["nbops_requests_total", "200", "blue", "sample"] == 3
    assert found["nbops_requests_total", "400", "blue", "sample"] == 1
    assert found["nbops_requests_total", "", "404", "sample"] == 1
    assert found["nbops_prediction_seconds_count", "blue", "sample"] == 3
    assert found["nbops_slot_traffic_percent", "3", "blue", "sample"] == 100
    assert found["nbops_predictions_in_flight", "sample"] == 0
    assert 0 < found["nbops_prediction_seconds_sum", "blue", "sample"] < 60


GOOD = {"age": st.floats(-9, 9), "bmi": st.integers(-9, 9), "bp": st.sampled_from(["1", "2.5", True, 0])}
NEARLY = st.lists(
    st.fixed_dictionaries({name: good | st.sampled_from([None, "x", 10**20]) for name, good in GOOD.items()})
    | st.fixed_dictionaries(GOOD),
    min_size=1,
    max_size=3,
)


@given(rows=NEARLY, key=st.sampled_from(["dataframe_records", "dataframe_split", "instances", "inputs", "columns"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_answered_is_what_mlflow_serve_answers(
    rows: list[dict[str, Any]], key: str, loaded: dict[str, ServedModel], mlflow_served: TestClient
) -> None:
    by_column = {name: [row[name] for row in rows] for name in GOOD}
    by_row = {"columns": list(GOOD), "data": [list(row.values()) for row in rows]}
    payload = {"columns": {"inputs": by_column}, "dataframe_split": {key: by_row}}.get(key, {key: rows})
    body = {"content": json.dumps(payload), "headers": {"Content-Type": "application/json"}}
    ours = client_of(loaded["table"]).post("/invocations", **body)
    theirs = mlflow_served.post("/invocations", **body)
    assert (ours.status_code == 200) == (theirs.status_code == 200), (ours.text, theirs.text)
    if ours.status_code == 200:
        assert ours.json() == theirs.json()


@given(body=BODIES, name=st.sampled_from(["table", "classes", "tensor", "mixed"]))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_json_makes_the_endpoint_fail(body: Any, name: str, loaded: dict[str, ServedModel]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows in a model's arithmetic
        answer = client_of(loaded[name]).post("/invocations", content=json.dumps(body))
    assert answer.status_code in (200, 400), answer.text
    assert set(answer.json()) in ({"predictions"}, {"error_code", "message"})


def test_what_nbops_itself_asks_is_answered_and_not_collected(loaded: dict[str, ServedModel], tmp_path: Path) -> None:
    collector = DataCollector(tmp_path, "sample")
    client = client_of(loaded["table"], collector=collector)
    for headers in ({"x-nbops-probe": "1"}, {}, {"x-nbops-probe": "1", "azureml-model-deployment": "blue"}):
        assert client.post("/invocations", json=REQUESTS["split"], headers=headers).status_code == 200
    collector.close()
    assert (collector.collected, collector.dropped) == (1, 0)


def test_only_who_names_no_slot_is_mirrored_and_our_own_are_counted(loaded: dict[str, ServedModel]) -> None:
    names = ("blue", "green")
    slots = Slots({name: Slot(loaded["table"], INFO, name) for name in names}, {"blue": 100}, {"green": 100})
    client, probe = TestClient(app.App("sample", slots)), {"x-nbops-probe": "1"}

    async def ask() -> None:
        for named in ({}, {"azureml-model-deployment": "blue"}, {"azureml-model-deployment": "green"}):
            for headers in (named, {**named, **probe}):
                await client._ask("POST", "/invocations", json=REQUESTS["split"], headers=headers)
        async with asyncio.timeout(20):
            while slots.ready["green"].tally.mirrored < 2:
                await asyncio.sleep(0.001)

    asyncio.run(ask())
    blue, green = (slots.ready[name].tally.counts() for name in names)
    assert (blue.requests, blue.mirrored, blue.probes) == (4, 0, 2)
    assert (green.requests, green.mirrored, green.probes) == (2, 2, 2)


@pytest.mark.parametrize("key", ["dataframe_records", "dataframe_split", "inputs", "instances", "input_data"])
def test_a_classifier_gives_probabilities_when_asked(key: str, loaded: dict[str, ServedModel], client: Client) -> None:
    forms = {
        "dataframe_split": X.to_dict(orient="split"),
        "inputs": X.to_dict(orient="list"),
        "input_data": X.to_numpy().tolist(),
    }
    request = {key: forms.get(key, X.to_dict(orient="records"))}
    native = loaded["classes"]._model.get_raw_model()
    expected = [dict(zip(native.classes_, row, strict=True)) for row in native.predict_proba(X).tolist()]
    asked = {"params": {"predict_method": "predict_proba"}}
    assert client("classes").post("/invocations", json=request | asked).json() == {"predictions": expected}
    plain = client("classes").post("/invocations", json=request).json()
    assert plain == {"predictions": native.predict(X).tolist()}
    assert (
        client("classes").post("/invocations", json=request | {"params": {"predict_method": "predict"}}).json() == plain
    )


@pytest.mark.parametrize("method", ["predict_log_proba", "__class__", 5, None, ["predict_proba"]])
def test_another_method_is_refused(method: Any, client: Client) -> None:
    request = {"dataframe_records": X.to_dict(orient="records"), "params": {"predict_method": method}}
    answer = client("classes").post("/invocations", json=request)
    assert answer.status_code == (200 if method is None else 400)
    assert method is None or "expected predict or predict_proba" in answer.json()["message"]


def test_the_parameter_stands_in_the_signature_of_classifiers_only(client: Client) -> None:
    assert "predict_method" in client("classes").get("/openapi.json").text
    for name in ("table", "tensor", "pair"):
        assert "predict_method" not in client(name).get("/openapi.json").text
        request = {"inputs": X.to_numpy().tolist(), "params": {"predict_method": "predict_proba"}}
        assert client(name).post("/invocations", json=request).status_code == 400


def test_unfinished_uploads_take_so_much_memory_together(loaded: dict[str, ServedModel]) -> None:
    def large(pause: float) -> dict[str, Any]:
        async def dripping() -> Any:
            for _ in range(10):
                yield b" " * 100_000
                await asyncio.sleep(pause)

        return {"content": dripping()}

    limits = app.RequestLimits(body=1_500_000, held=1)
    served = app.App("sample", Slots({"blue": Slot(loaded["table"], INFO)}, {"blue": 100}), limits=limits)
    small = {"json": REQUESTS["split"], "after": lambda: None}
    codes = [each.status_code for each in together(served, large(0.02), large(0.02), large(0.02), small)]
    assert codes.count(429) >= 1, "three of 1 MB each do not fit into 1.5 MB"
    assert codes[-1] == 200, "a small one always has room"
    assert [each.status_code for each in together(served, large(0))] == [400], "what was held is free again"
    assert served._held == 0
