"""A batch on this machine: the champion's predictions of every row, in the order of the input, or nothing at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from notebooks_lib.errors import BatchError, InputError, ModelError, UnknownNameError, UsageError
from notebooks_lib.models import registry
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.batch.batch_request import BatchRequest, BatchSummary, ResultRows
from notebooks_lib.serving.batch.local_batch import score_here
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import connect
from tests.serving.batch.conftest import ROWS, register

pytestmark = pytest.mark.tracking


def score(settings: Settings, data: str = "rows.csv", output: str = "out.parquet", **more: Any) -> BatchSummary:
    return score_here(BatchRequest("table", data, Path(output), **more), settings)


def expected(models: dict[str, Path], rows: pd.DataFrame = ROWS) -> list[float]:
    found: list[float] = ServedModel.load(models["table"]).predict(rows)
    return found


@pytest.fixture
def rows(scoring: Settings) -> Settings:
    ROWS.to_csv("rows.csv", index=False)
    return scoring


def test_the_result_is_the_same_whatever_the_format_and_the_size_of_mini_batches(
    rows: Settings, models: dict[str, Path]
) -> None:
    ROWS.to_parquet("rows.parquet")
    ROWS.to_json("rows.jsonl", orient="records", lines=True)
    for data in ("rows.csv", "rows.parquet", "rows.jsonl"):
        for size in (1, 3, 100):
            summary = score(rows, data, mini_batch_size=size)
            found = pd.read_parquet("out.parquet")
            assert found.columns.tolist() == ["row", "prediction"]
            assert found["row"].tolist() == [0, 1, 2, 3]
            assert np.allclose(found["prediction"], expected(models), rtol=1e-15)
            assert (summary.rows, summary.refused, summary.version, summary.on) == (4, 0, "1", "local")


def test_a_dataset_keeps_its_key_and_its_rows_have_their_numbers(rows: Settings, models: dict[str, Path]) -> None:
    from notebooks_lib.datasets import add

    many = pd.concat([ROWS] * 50, ignore_index=True) + np.arange(200)[:, None]
    many.assign(id=[f"c{number}" for number in range(200)], y=1.0).to_csv("many.csv", index=False)
    add("many.csv", name="sales", key="id", target="y", settings=rows)
    summary = score(rows, "sales", mini_batch_size=7)
    found = pd.read_parquet("out.parquet")
    assert (summary.data, summary.rows + summary.held_out, summary.unused) == ("sales@1", 200, ["id", "y"])
    assert summary.held_out > 10
    assert (found["id"] == "c" + found["row"].astype(str)).all()
    assert np.allclose(found["prediction"], np.array(expected(models, many))[found["row"]])


def test_refused_rows_end_the_batch_unless_they_are_allowed(rows: Settings) -> None:
    Path("bad.csv").write_text("id,age,bmi,bp\na,1,2,3\nb,x,2,3\nc,1\nd,4,5,6\n")
    with pytest.raises(BatchError, match=r"bad\.csv, row 1: column 'age': found 'x'; expected a number; nothing was"):
        score(rows, "bad.csv")
    with pytest.raises(BatchError, match="2 rows were refused, and 1 may be; the first: bad.csv, row 1"):
        score(rows, "bad.csv", error_threshold=1)
    assert not Path("out.parquet").exists()
    for allowed in (2, -1):
        summary = score(rows, "bad.csv", keep=["id"], error_threshold=allowed, mini_batch_size=2)
        found = pd.read_parquet("out.parquet")
        assert found["id"].tolist() == ["a", "b", None, "d"]
        assert found["prediction"].isna().tolist() == [False, True, True, False]
        assert found["error"].tolist() == [None, *(each["cause"] for each in summary.first_refused), None]
        assert [each["row"] for each in summary.first_refused] == [1, 2]
        assert summary.refused == 2


def test_kept_columns_of_json_do_not_depend_on_where_mini_batches_end(rows: Settings) -> None:
    kept = [1, "a", 2, None, {"x": ["é"]}, 2.5]
    lines = [
        json.dumps({"age": 1, "bmi": 2, "bp": 3, "k": value, "n": 1 if row < 3 else 0.5})
        for row, value in enumerate(kept)
    ]
    Path("rows.jsonl").write_text("\n".join(lines))
    for size in (1, 2, 100):
        score(rows, "rows.jsonl", keep=["k", "n"], mini_batch_size=size)
        found = pd.read_parquet("out.parquet")
        assert found["k"].tolist() == ["1", "a", "2", None, '{"x": ["é"]}', "2.5"]
        assert found["n"].tolist() == [1, 1, 1, 0.5, 0.5, 0.5]


def test_a_mini_batch_of_refused_rows_alone_is_a_part_of_the_result(rows: Settings) -> None:
    Path("bad.csv").write_text("age,bmi,bp\nx,2,3\n1\n4,5,6\nx,2,3\n")
    for size in (1, 2, 4):
        summary = score(rows, "bad.csv", error_threshold=-1, mini_batch_size=size)
        found = pd.read_parquet("out.parquet")
        assert (found["prediction"].dtype, found["prediction"].isna().tolist()) == (float, [True, True, False, True])
        assert summary.refused == 3
    Path("bad.csv").write_text("age,bmi,bp\nx,2,3\n")
    assert score(rows, "bad.csv", error_threshold=-1).refused == 1
    assert pd.read_parquet("out.parquet").columns.tolist() == ["row", "prediction", "error"]


def test_a_kept_list_is_json_in_csv(rows: Settings) -> None:
    pa_table = pa.Table.from_pandas(ROWS.assign(tags=[["a"], [], None, ["é", "b"]]))
    parquet.write_table(pa_table, "rows.parquet")
    score(rows, "rows.parquet", "out.csv", keep=["tags"])
    assert pd.read_csv("out.csv", keep_default_na=False)["tags"].tolist() == ['["a"]', "[]", "", '["é", "b"]']


def test_a_folder_with_the_name_of_a_dataset_does_not_hide_it(rows: Settings) -> None:
    from notebooks_lib.datasets import add

    many = pd.concat([ROWS] * 20, ignore_index=True) + np.arange(80)[:, None]
    many.assign(row=[f"c{number}" for number in range(80)]).to_csv("many.csv", index=False)
    add("many.csv", name="sales", key="row", settings=rows)
    Path("sales").mkdir()
    assert score(rows, "sales").data == "sales@1"
    assert pd.read_parquet("out.parquet")["row"].tolist() == list(range(80)), "a key of that name is not kept"


def test_rows_that_cannot_be_read_are_counted_before_any_is_scored(rows: Settings) -> None:
    """As a batch on Azure does before it sends them: the first one is named, of whatever mini-batch."""
    Path("bad.csv").write_text("age,bmi,bp\n1,2,3\n1\n4,5,6\n1,2\n")
    request = BatchRequest("table", "bad.csv", Path("out.csv"), error_threshold=1)
    data = request.open_input(rows)
    counted = ResultRows(request, data, lambda names, others: list(names))
    first, second = data.batches(None, 2)
    counted.check_read(first)
    with pytest.raises(BatchError, match="2 rows were refused, and 1 may be; the first: bad.csv, row 1: has 1 values"):
        counted.check_read(second)


def test_all_columns_can_be_kept_and_a_name_of_the_result_cannot(rows: Settings) -> None:
    score(rows, output="out.csv", keep=["all"])
    assert pd.read_csv("out.csv").columns.tolist() == ["row", "age", "bmi", "bp", "prediction"]
    ROWS.assign(row=1).to_csv("rows.csv", index=False)
    score(rows)
    with pytest.raises(UsageError, match="the result has a column 'row' of its own"):
        score(rows, keep=["row"])
    with pytest.raises(UnknownNameError, match="did you mean 'bmi'"):
        score(rows, keep=["bmy"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("age,bmi,bp\n", "there are no rows"),
        ("", "missing columns 'age', 'bmi', 'bp'"),
        ("age,bmi\n1,2\n", "missing column 'bp'"),
    ],
)
def test_a_table_without_rows_or_columns_is_refused(content: str, message: str, rows: Settings) -> None:
    Path("rows.csv").write_text(content)
    with pytest.raises(InputError, match=rf"rows\.csv: {message}"):
        score(rows)
    assert not Path("out.parquet").exists()


def test_the_input_is_never_replaced_by_the_result(rows: Settings) -> None:
    Path("link.csv").symlink_to("rows.csv")
    for output in ("rows.csv", "link.csv"):
        with pytest.raises(UsageError, match="is the file to score"):
            score(rows, output=output)


def test_the_champion_of_the_stage_scores_unless_a_version_is_named(rows: Settings, models: dict[str, Path]) -> None:
    register(rows, "table", models["other"], champion=False)
    assert [score(rows).version, score(rows, version="2").version] == ["1", "2"]
    with pytest.raises(UsageError, match="no champion in dev: name a version"):
        score(rows, stage="dev")
    with pytest.raises(UnknownNameError, match="version of table"):
        score(rows, version="9")
    with pytest.raises(UnknownNameError, match="did you mean 'table'"):
        score_here(BatchRequest("tabel", "rows.csv", Path("out.csv")), rows)


def test_files_that_were_changed_after_they_were_scored_are_refused(
    rows: Settings, models: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["table"], tmp_path / "changed")
    version = register(rows, "table", folder)
    registry.set_tags(connect(rows), version, {Tag.MODEL_SHA256: "0" * 64})
    with pytest.raises(ModelError, match=r"not those that were scored \(digest .* scored 000000000000\)"):
        score(rows)
    registry.set_tags(connect(rows), version, {Tag.MODEL_SHA256: "", Tag.CARD: "x"})
    with pytest.raises(ModelError, match="the digest of version 2 of 'table' is gone"):
        score(rows)


def test_progress_is_told_now_and_then(rows: Settings) -> None:
    lines: list[str] = []
    score_here(
        BatchRequest("table", "rows.csv", Path("out.csv"), mini_batch_size=2),
        rows,
        tell=lines.append,
        progress_seconds=-1,
    )
    assert [line.split(" rows, ")[0] for line in lines] == ["2", "4"]


def test_what_a_model_prints_is_no_part_of_the_answer(
    rows: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from notebooks_lib import __main__ as program

    predict = ServedModel.predict
    monkeypatch.setattr(ServedModel, "predict", lambda *given: print("noise") or predict(*given))
    assert program.run(["batch", "run", "table", "--data", "rows.csv", "-o", "out.csv", "--json"]) == 0
    shown = capfd.readouterr()
    assert (json.loads(shown.out)["rows"], "noise" in shown.err) == (4, True)


@pytest.mark.proof
def test_a_batch_that_is_killed_or_interrupted_leaves_no_result(rows: Settings) -> None:
    pd.concat([ROWS] * 200_000).to_csv("many.csv", index=False)
    command = [sys.executable, "-m", "notebooks_lib", "batch", "run", "table", "--data", "many.csv", "-o", "big.csv"]
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen([*command, "--mini-batch-size", "500"], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not list(Path().glob(".big-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else -9)
        assert not Path("big.csv").exists()
        assert len(list(Path().glob(".big-*"))) == (0 if number == signal.SIGINT else 1)


PEAK = """
import sys
from pathlib import Path
from notebooks_lib.__main__ import run
code = run(sys.argv[1:])
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
sys.exit(code)
"""
"""It tells its own peak: what the system counts of a child begins with the memory of this process."""


@pytest.mark.proof
def test_memory_does_not_grow_with_the_number_of_rows(rows: Settings) -> None:
    peaks = []
    for times in (5_000, 250_000):
        pd.concat([ROWS] * times).to_parquet("many.parquet", row_group_size=50_000)
        command = ["batch", "run", "table", "--data", "many.parquet", "-o", "o.csv", "--json"]
        shown = subprocess.check_output([sys.executable, "-c", PEAK, *command], text=True)
        peaks.append(int(shown.splitlines()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 30, peaks
