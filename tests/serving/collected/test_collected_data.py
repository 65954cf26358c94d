"""What an endpoint collected becomes one table, the same from both collectors, and the next version of a dataset."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import DatasetError, EndpointError, UnknownNameError
from notebooks_lib.serving import targets
from notebooks_lib.serving.collected.collected_data import CollectedData, write_collected
from notebooks_lib.serving.collected.collected_labels import LabelTable
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import Settings, load
from tests.azure.emulator import Emulated
from tests.azure.emulator.collector_sidecar import CollectorSidecar
from tests.azure.fixtures import AzureProject, NbopsJson
from tests.serving.collected.collectors import AT, SINCE, Asked, collect_locally, collect_on_azure, storage
from tests.serving.test_scoring_server import collecting, python, serving, settled

__all__ = ["python"]

HOUSES = [
    Asked([{"rooms": 3, "city": "Graz"}, {"rooms": 4, "city": "Wörgl"}], [300.5, 400.0]),
    Asked([{"rooms": 5, "city": None}], [500.0], at=AT + timedelta(seconds=5), version="4", slot="green"),
]
OWN = ["request_id", "row", "time", "slot", "version"]

Answers = dict[str, list[float]]
"""Request id -> predictions."""
Collect = Callable[[Sequence[Asked]], tuple[Settings, str]]


@pytest.fixture(params=["local", "azure"])
def collect(request: pytest.FixtureRequest, project: Settings) -> Collect:
    """Let one of the collectors write requests; return the project and the endpoint."""

    def locally(asked: Sequence[Asked]) -> tuple[Settings, str]:
        collect_locally(project.layout.collected, "houses", asked)
        return project, "houses"

    def on_azure(asked: Sequence[Asked]) -> tuple[Settings, str]:
        settings = on_workspace(request.getfixturevalue("azure_workspace"))
        name = settings.project.name
        collect_on_azure(storage(request.getfixturevalue("azure_server")), name, asked)
        return settings, name

    return locally if request.param == "local" else on_azure


def on_workspace(project: AzureProject) -> Settings:
    """Give the stage prod an endpoint of the workspace."""
    file = project.settings.layout.settings_file
    file.write_text(f'{file.read_text()}\n[stages.prod]\nendpoint = "azureml:{{model}}"\n')
    return load(project.settings.root, {})


def table_of(
    settings: Settings, name: str, *, since: datetime = SINCE, labels: LabelTable | None = None, training: bool = False
) -> tuple[pd.DataFrame, CollectedData]:
    file = settings.root / "table.parquet"
    opened = targets.open_collected(settings, name, since)
    written = write_collected(opened, name, file, since, labels=labels, training=training)
    return pd.read_parquet(file), written


@pytest.mark.tracking
def test_both_collectors_give_the_same_table(collect: Collect) -> None:
    frame, written = table_of(*collect(HOUSES))
    late = AT + timedelta(seconds=5)
    expected = pd.DataFrame(
        {
            "request_id": ["r0", "r0", "r1"],
            "row": [0, 1, 0],
            "time": pd.to_datetime([AT, AT, late]),
            "slot": ["blue", "blue", "green"],
            "version": ["3", "3", "4"],
            "rooms": [3, 4, 5],
            "city": ["Graz", "Wörgl", None],
            "prediction": [300.5, 400.0, 500.0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    assert [str(frame[name].dtype) for name in ("rooms", "prediction")] == ["int64", "float64"]
    assert (written.requests, written.rows, written.first, written.last) == (2, 3, AT, late)
    assert (written.slots, written.columns.versions) == ({"blue", "green"}, {"3", "4"})
    assert written.columns.remarks() == []


def local(settings: Settings, *asked: Asked) -> tuple[pd.DataFrame, CollectedData]:
    collect_locally(settings.layout.collected, "houses", asked)
    return table_of(settings, "houses")


def test_an_endpoint_without_collected_data_is_told_from_one_that_is_nowhere(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown endpoint 'houses' .*nothing was collected under this name"):
        table_of(empty_project, "houses")
    assert len(local(empty_project, *HOUSES)[0]) == 3, "what a deleted endpoint collected is still read"
    there = replace(targets.TARGETS["local"], names=lambda _: ["houses"])
    monkeypatch.setitem(targets.TARGETS, "local", there)
    with pytest.raises(EndpointError, match="'houses' collected nothing since 2026-11-21T00:00:00"):
        table_of(empty_project, "houses", since=datetime(2026, 11, 21, tzinfo=UTC))


@pytest.mark.tracking
def test_an_endpoint_that_is_nowhere_in_the_workspace_is_unknown(azure_workspace: AzureProject) -> None:
    with pytest.raises(UnknownNameError, match="unknown endpoint 'none-such'"):
        table_of(on_workspace(azure_workspace), "none-such")


def test_columns_called_as_ours_stay_as_they_are(empty_project: Settings) -> None:
    row = {"version": 1.5, "slot": "am", "time": "08:00", "prediction": 7, "request_id": 3, "row": 9}
    frame, _ = local(empty_project, Asked([row], [1.0]))
    assert {name: frame[name][0] for name in row} == row
    assert [name for name in frame.columns if name not in row] == [f"nbops_{name}" for name in (*OWN, "prediction")]


def test_a_schema_that_changed_between_versions_gives_the_union(empty_project: Settings) -> None:
    new = Asked([{"rooms": 1, "garden": True}], [{"mean": 1.0, "low": 0.5}], at=AT + timedelta(seconds=9), version="4")
    frame, written = local(empty_project, HOUSES[0], new)
    assert list(frame.columns) == [
        *OWN,
        *("rooms", "city", "garden"),
        *("prediction", "prediction.mean", "prediction.low"),
    ]
    assert frame["garden"].tolist() == [None, None, True]
    assert frame["prediction.low"].isna().tolist() == [True, True, False]
    assert written.columns.remarks() == [
        "input 'city' came with version 3 only",
        "input 'garden' came with version 4 only",
    ]


@pytest.mark.parametrize("predictions", [[[0.1, 0.9]], [{"classes": {"a": [1]}}]])
def test_nested_values_and_probabilities_are_kept_as_json(empty_project: Settings, predictions: list[Any]) -> None:
    frame, _ = local(empty_project, Asked([{"embedding": [1, [2, None]], "meta": {"k": "ü"}}], predictions))
    assert [json.loads(frame[name][0]) for name in ("embedding", "meta")] == [[1, [2, None]], {"k": "ü"}]
    value = predictions[0]
    assert json.loads(frame.iloc[0, -1]) == (value if isinstance(value, list) else value["classes"])


def test_requests_without_rows_count_and_give_none(empty_project: Settings) -> None:
    frame, written = local(empty_project, Asked([], []), HOUSES[0])
    assert (written.requests, len(frame)) == (2, 2)


def test_missing_values_infinity_and_mixed_kinds_lose_nothing(empty_project: Settings) -> None:
    rows = [{"a": 1, "b": float("nan"), "ü ß": 2**60}, {"a": "x", "b": float("inf"), "ü ß": 1}, {"a": None}]
    frame, _ = local(empty_project, Asked(rows, [1, 2, None]))
    assert frame["a"].tolist() == ["1", "x", None]
    assert frame["b"].isna().tolist() == [True, False, True]
    assert frame["b"][1] == np.inf
    assert frame["ü ß"].dropna().tolist() == [2**60, 1]
    assert frame["prediction"].isna().tolist() == [False, False, True]


def test_requests_that_lost_a_record_are_counted(empty_project: Settings) -> None:
    collect_locally(empty_project.layout.collected, "houses", [HOUSES[0], replace(HOUSES[1], at=AT)])
    folder = empty_project.layout.collected / "houses"
    (lost,) = folder.glob("blue/model_outputs/**/*.parquet")
    lost.unlink()
    (lost,) = folder.glob("green/model_inputs/**/*.parquet")
    lost.write_bytes(b"PAR1")
    frame, written = table_of(empty_project, "houses")
    assert frame["rooms"].tolist() == [3, 4]
    assert (written.without_prediction, written.predictions_alone, written.damages.count) == (1, 1, 1)
    assert written.as_json()["damaged"][0]["file"].endswith(lost.name)


@pytest.mark.tracking
def test_damaged_lines_on_azure_are_named_and_the_others_read(
    azure_workspace: AzureProject, azure_server: Emulated
) -> None:
    settings = on_workspace(azure_workspace)
    name = settings.project.name
    collect_on_azure(storage(azure_server), name, HOUSES)
    (file,) = (storage(azure_server) / "modelDataCollector" / name / "blue" / "model_inputs").rglob("*.jsonl")
    good = file.read_text()
    event = json.loads(good)
    large = {key: value for key, value in event.items() if key != "data"} | {"dataref": "https://x/y"}
    file.write_text(f'{{"cut\n{good}\n{json.dumps(large)}\n[]\n{good[:40]}')
    frame, written = table_of(settings, name)
    assert frame["rooms"].tolist() == [3, 4, 5]
    (damaged,) = written.damages.as_json()
    assert damaged["count"] == 4
    assert damaged["first"].startswith("line 1: is no JSON")
    assert damaged["file"] == f"modelDataCollector/{name}/blue/model_inputs/2026/11/20/10/{file.name}"


def labels_of(settings: Settings, text: str, key: str) -> LabelTable:
    file = settings.root / "truth.csv"
    file.write_text(text)
    return LabelTable.read(file, key)


IDS = [
    Asked(
        [{"id": number, "x": number / 4}, {"id": number + 100, "x": 0.5}], [1.0, 2.0], at=AT + timedelta(seconds=number)
    )
    for number in range(20)
]


def test_labels_join_by_an_input_and_rows_without_one_are_left_out(empty_project: Settings) -> None:
    collect_locally(
        empty_project.layout.collected,
        "houses",
        [*IDS, Asked([{"id": 3, "x": 9.0}], [1.0], at=AT + timedelta(hours=1))],
    )
    labels = labels_of(empty_project, "id,price,sold\n3,30,true\n4,40,false\n104,,\n999,1,true\n", "id")
    frame, written = table_of(empty_project, "houses", labels=labels)
    assert frame[["id", "x", "price", "sold"]].values.tolist() == [
        [3, 0.75, 30, True],
        [4, 1.0, 40, False],
        [3, 9.0, 30, True],
    ]
    shown = written.as_json()["labels"]
    assert {key: shown[key] for key in ("labelled", "unlabelled", "unused", "empty")} == {
        "labelled": 3,
        "unlabelled": 38,
        "unused": 1,
        "empty": 1,
    }
    for_training, counted = table_of(empty_project, "houses", labels=labels, training=True)
    assert for_training.values.tolist() == [[4, 1.0, 40, False], [3, 9.0, 30, True]]
    assert list(for_training.columns) == ["id", "x", "price", "sold"]
    assert (counted.rows, counted.earlier) == (2, 1)


def test_a_request_id_labels_the_row_of_a_request_that_has_one_only(empty_project: Settings) -> None:
    asked = [Asked([{"x": 1}], [1.0], id="one"), Asked([{"x": 2}, {"x": 3}], [1.0, 2.0], id="two")]
    collect_locally(empty_project.layout.collected, "houses", asked)
    labels = labels_of(empty_project, "request_id,y\none,1\ntwo,2\n", "request_id")
    frame, written = table_of(empty_project, "houses", labels=labels)
    assert frame["x"].tolist() == [1]
    assert (written.labelled, written.unlabelled) == (1, 2)


def test_labels_for_other_rows_write_nothing(empty_project: Settings) -> None:
    collect_locally(empty_project.layout.collected, "houses", IDS)
    labels = labels_of(empty_project, "id,y\n7000,1\n", "id")
    with pytest.raises(DatasetError, match="has a label for none of 40 collected rows; their id is such as 0"):
        table_of(empty_project, "houses", labels=labels)
    assert not (empty_project.root / "table.parquet").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_for_training_is_the_next_version_of_the_dataset(empty_project: Settings, suffix: str) -> None:
    root = empty_project.root
    first = pd.DataFrame({"id": range(1000, 1060), "x": np.arange(60) / 4, "price": np.arange(60) * 2.0 + 0.5})
    first.to_csv(root / "first.csv", index=False)
    datasets.add(root / "first.csv", "sales", empty_project, target="price", key="id")
    asked = [
        Asked([{"id": n, "x": n / 8}], [0.0], id="same", at=datetime.now(UTC) - timedelta(seconds=n)) for n in range(80)
    ]
    collect_locally(empty_project.layout.collected, "houses", asked)
    (root / "truth.csv").write_text("id,price\n" + "".join(f"{n},{n / 4}\n" for n in range(80)))
    output = str(root / f"new{suffix}")
    command = ["data", "collected", "houses", "-o", output, "--labels", str(root / "truth.csv"), "--key", "id"]
    assert nbops([*command, "--for-training"]) == 0
    assert nbops(["data", "add", output, "--name", "sales"]) == 0

    sales = datasets.load("sales@2", empty_project)
    assert (sales.target, sales.key, sales.rows) == ("price", "id", 80)
    assert sales.columns == {"id": "integer", "x": "number", "price": "number"}
    slope = np.polyfit(sales.train.X["x"], sales.train.y, 1)[0]
    assert slope == pytest.approx(2.0)


def test_the_command_prints_what_it_wrote_and_its_doubts(
    empty_project: Settings, capsys: pytest.CaptureFixture[str], nbops_json: NbopsJson
) -> None:
    now = datetime.now(UTC)
    asked = [replace(each, at=now - timedelta(hours=1)) for each in HOUSES]
    collect_locally(empty_project.layout.collected, "houses", asked)
    (empty_project.layout.collected / "houses" / "blue" / "model_inputs" / "x.txt").write_text("")
    output = str(empty_project.root / "new.parquet")
    for _ in range(2):
        assert nbops(["data", "collected", "houses", "-o", output]) == 0
    shown = capsys.readouterr().out
    assert "3 rows of 2 requests in new.parquet\n" in shown
    assert "  versions  3, 4\n" in shown
    assert (
        "note: damaged, left out: .nbops/collected/houses/blue/model_inputs/x.txt: 1, as is no .parquet file" in shown
    )
    code, found, _ = nbops_json("data", "collected", "houses", "--since", "2h", "-o", output)
    assert (code, found["rows"], found["damaged_records"], found["columns"]["time"]) == (0, 3, 1, "time")
    code, found, _ = nbops_json("data", "collected", "houses", "--since", now.strftime("%Y-%m-%d"), "-o", output)
    assert code == (0 if now.hour else 1)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["-o", "x.json"], "expected a name that ends in .parquet or .csv"),
        (["-o", "there.csv"], "exists, and is no Parquet file that was written for 'houses'"),
        (["-o", "x.csv", "--since", "7"], "expected 30m, 12h, 7d, 2w"),
        (["-o", "x.csv", "--since", "999999w"], "expected 30m, 12h, 7d, 2w"),
        (["-o", "x.csv", "--since", "2999-01-01"], "has not come yet"),
        (["-o", "x.csv", "--labels", "truth.csv"], "--labels and --key belong together"),
        (["-o", "x.csv", "--for-training"], "add --labels FILE --key COLUMN"),
        (["-o", "x.csv", "--labels", "none.csv", "--key", "id"], "no such file"),
        (["-o", "x.csv", "--labels", "truth.csv", "--key", "order"], "unknown key column 'order'"),
        (["-o", "x.csv", "--labels", "truth.csv.gz", "--key", "id"], "files of type .gz are not read"),
        ([], "Missing option '-o'"),
    ],
)
def test_what_is_typed_wrongly_is_refused(
    empty_project: Settings, capsys: pytest.CaptureFixture[str], more: list[str], reason: str
) -> None:
    for name in ("there.csv", "truth.csv", "truth.csv.gz"):
        (empty_project.root / name).write_text("id,y\n1,2\n")
    collect_locally(empty_project.layout.collected, "houses", IDS)
    assert nbops(["data", "collected", "houses", *more]) == 2
    assert reason in capsys.readouterr().err
    assert not (empty_project.root / "x.csv").exists()


def sent() -> dict[str, tuple[str, bytes, list[dict[str, float]]]]:
    """Request id -> media type, body and rows, in the forms that an endpoint takes."""
    found, random = {}, np.random.default_rng(7)
    for number in range(90):
        rows = [
            dict(zip(("age", "bmi", "bp"), map(float, random.normal(size=3)), strict=True))
            for _ in range(1 + number % 2)
        ]
        names = [*rows[0]]
        forms: list[Any] = [
            {"dataframe_records": rows},
            {"dataframe_split": {"columns": names, "data": [[*row.values()] for row in rows]}},
            {"input_data": [[*row.values()] for row in rows]},
        ]
        found[f"r{number}"] = ("application/json", json.dumps(forms[number % 3]).encode(), rows)
    return found


@pytest.fixture(params=["local", "azure"])
def served(request: pytest.FixtureRequest, models: dict[str, Path], tmp_path: Path) -> tuple[Settings, str, Answers]:
    """A project and an endpoint that was asked `sent` by a server that collects; and what it answered."""
    if request.param == "local":
        here: Settings = request.getfixturevalue("endpoints")
        changed = {"collect": ("sample",), "collect_rotate": 1.0}
        here = here.model_copy(update={"endpoint": here.endpoint.model_copy(update=changed)})
        LocalEndpoint(here, "sample").deploy(
            "blue", ServedVersion.in_folder(models["table"], version="7"), traffic=True
        )
        connection = http.client.HTTPConnection("127.0.0.1", LocalEndpoint(here, "sample").status().port, timeout=60)

        def ask(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

        answers = all_answers(ask)
        connection.close()
        LocalEndpoint(here, "sample").stop()
        return here, "sample", answers
    interpreter = request.getfixturevalue("python")  # before the proxy, which leads to Azure's hosts only
    settings = on_workspace(request.getfixturevalue("azure_workspace"))
    root, name = storage(request.getfixturevalue("azure_server")), settings.project.name
    with CollectorSidecar(root, name, "blue") as sidecar:
        variables = collecting(sidecar, tmp_path, model_inputs=100, model_outputs=100)
        scoring = serving(interpreter, models["table"], tmp_path / "log", **variables)
        with scoring as server:
            answers = all_answers(lambda body, headers: server.request("POST", "/score", body, headers))
            settled(sidecar, 2 * len(answers))
    return settings, name, answers


def all_answers(ask: Callable[[bytes, dict[str, str]], tuple[int, bytes]]) -> Answers:
    answers = {}
    for request, (kind, body, _) in sent().items():
        status, answer = ask(body, {"Content-Type": kind, "x-request-id": request})
        assert status == 200, answer
        answers[request] = json.loads(answer)["predictions"]
    return answers


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.timeout(900)
def test_what_a_server_was_asked_and_answered_is_collected_and_trained_on(
    served: tuple[Settings, str, Answers],
) -> None:
    """The local server process, and score.py on Azure's inference server with the library of the data collector."""
    settings, name, answers = served
    since = datetime.now(UTC) - timedelta(hours=1)
    frame, written = table_of(settings, name, since=since)
    expected = pd.DataFrame(
        [
            {"request_id": request, "row": row, **values, "prediction": answers[request][row]}
            for request, (_, _, rows) in sent().items()
            for row, values in enumerate(rows)
        ]
    ).sort_values(["request_id", "row"], ignore_index=True)
    assert (written.requests, written.without_prediction, written.damages.count) == (90, 0, 0)
    assert written.columns.remarks() == []
    assert (set(frame["slot"]), set(frame["version"])) == ({"blue"}, {"7"})
    assert (frame["time"].max() - pd.Timestamp.now("UTC")).total_seconds() < 5
    found = frame.sort_values(["request_id", "row"], ignore_index=True)
    pd.testing.assert_frame_equal(found[list(expected.columns)], expected, check_exact=True)

    lines = [f"{request},{rows[0]['age'] * 3}" for request, (_, _, rows) in sent().items()]
    labels = labels_of(settings, "\n".join(["request_id,y", *lines]) + "\n", "request_id")
    frame, written = table_of(settings, name, since=since, labels=labels, training=True)
    assert (len(frame), written.unlabelled) == (45, 90)
    added = datasets.add(settings.root / "table.parquet", "sample-rows", settings, target="y")
    assert np.linalg.lstsq(added.train.X.to_numpy(), added.train.y.to_numpy(), rcond=None)[0] == pytest.approx(
        [3, 0, 0]
    )


@pytest.mark.proof
def test_many_requests_take_no_more_memory_than_few(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = Path(__file__).with_name("many_requests.py")
    took, grew = {}, {}
    for number in (5_000, 30_000):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path / str(number)), str(number)],
            capture_output=True,
            text=True,
            check=True,
        )
        took[number] = time.monotonic() - began
        rows, grew[number] = map(int, done.stdout.split())
        assert rows == number
    print(f"seconds {took}, MB above the start {grew}")
    assert grew[30_000] < grew[5_000] + 60, grew
