"""score.py answers as the local endpoint does, and serves only what was deployed. In process; see test_scoring_server."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from notebooks_lib.errors import ModelError
from notebooks_lib.models import model_files
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import app
from notebooks_lib.serving.scoring_code import scoring_code
from notebooks_lib.serving.scoring_script import ScoringScript, check_digest, find_model_folder, scoring_variables
from notebooks_lib.serving.slots import Slot, Slots
from tests.serving.conftest import TestClient

ROW = {"age": 0.5, "bmi": 2.0, "bp": 0.0}
CSV = b"age,bmi,bp\n0.5,2,0\n"
REQUESTS: list[tuple[str, bytes]] = [
    ("application/json", json.dumps({"dataframe_records": [ROW]}).encode()),
    ("application/json", json.dumps({"dataframe_records": [ROW | {"age": None}]}).encode()),
    ("application/json; charset=utf-8", json.dumps({"inputs": {"age": [1], "bmi": ["2"], "bp": [0.5]}}).encode()),
    ("application/json", json.dumps({"input_data": [[1, 2, 3]], "params": {}}).encode()),
    ("application/json", json.dumps({"input_data": [[1, 2]]}).encode()),
    ("application/json", b"{"),
    ("application/json", b""),
    ("application/json", b"[" * 100),
    ("application/json", b'{"dataframe_records": [{"age": NaN, "bmi": 1, "bp": 2}]}'),
    ("application/json; charset=utf-16", b"{}"),
    ("text/csv", CSV),
    ("text/csv", CSV.replace(b"bmi", b"bmii")),
    ("text/csv", b"\xff"),
    ("text/plain", b"{}"),
    ("", b"{}"),
    *[("application/json", b" " * size) for size in (999, 1000, 1001, 4000, 4001, 100_000)],
]


@pytest.fixture(scope="module")
def table(models: dict[str, Path]) -> ServedModel:
    return ServedModel.load(models["table"])


def score(script: ScoringScript, content_type: str, body: bytes, method: str = "POST", **more: str) -> Any:
    headers = Headers({"Content-Length": str(len(body)), **more})
    if content_type:
        headers["Content-Type"] = content_type
    return script.answer(method, headers, io.BytesIO(body))


@pytest.mark.parametrize(("content_type", "body"), REQUESTS)
def test_the_status_and_the_json_are_those_of_the_local_endpoint(
    content_type: str, body: bytes, table: ServedModel
) -> None:
    slots = Slots({"blue": Slot(table, {})}, {"blue": 100})
    client = TestClient(app.App("sample", slots, limits=app.RequestLimits(body=1000)))
    here = client.post("/score", content=body, headers={"Content-Type": content_type})
    there = score(ScoringScript(table, body_limit=1000), content_type, body)

    assert (there.status, there.body) == (here.status_code, here.content)


def test_a_body_without_a_length_has_the_same_limit(table: ServedModel) -> None:
    given = ScoringScript(table, body_limit=1000).answer(
        "POST", Headers({"Content-Type": "text/csv"}), io.BytesIO(b" " * 10_000_000)
    )
    assert given.status == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_other_methods_are_405_as_there(method: str, table: ServedModel) -> None:
    given = score(ScoringScript(table), "", b"", method)
    assert (given.status, json.loads(given.body)["error_code"]) == (405, "METHOD_NOT_ALLOWED")


def test_a_body_that_breaks_off_is_the_clients_fault(table: ServedModel) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("gone")

    given = ScoringScript(table).answer("POST", Headers({"Content-Type": "text/csv"}), Broken())
    assert given.status == 400


def test_the_model_is_the_one_below_the_folder_that_azure_names(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["table"], tmp_path / "3" / "model")
    (tmp_path / "3" / "model" / "part").mkdir()
    (tmp_path / "3" / "model" / "part" / "MLmodel").touch()  # a model inside the model
    assert find_model_folder(tmp_path) == tmp_path / "3" / "model"

    (tmp_path / "other").mkdir()
    with pytest.raises(ModelError, match="found none"):
        find_model_folder(tmp_path / "other")
    shutil.copytree(models["table"], tmp_path / "other" / "model")
    with pytest.raises(ModelError, match=r"found .*/3/model, .*/other/model"):
        find_model_folder(tmp_path)


def test_files_that_were_not_deployed_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(models["table"], tmp_path / "model")
    deployed = model_files.read_model_files(folder).sha256
    check_digest(folder, deployed)
    with pytest.raises(ModelError, match="NBOPS_MODEL_SHA256 is not set"):
        check_digest(folder, "")
    (folder / "requirements.txt").write_text("mlflow\n")
    with pytest.raises(ModelError, match=f"not those that were deployed .* deployed {deployed[:12]}"):
        check_digest(folder, deployed)


IN_A_PROCESS = """
import importlib.metadata, io, json, os, sys
from pathlib import Path
installed = importlib.metadata.distributions
importlib.metadata.distributions = lambda **by: (each for each in installed(**by) if each.name != "nbops")  # as there
home, before = Path(os.environ["AML_APP_ROOT"]), set(sys.modules)
sys.path[:] = [str(home / "notebooks_lib.zip"), *sys.path]
from notebooks_lib.serving.scoring_script import ScoringScript
imported = set(sys.modules) - before
script = ScoringScript.from_environment(os.environ)
headers = {"Content-Type": "application/json"}
answers = [script.answer("POST", headers, io.BytesIO(text.encode())) for text in sys.argv[1:]]
print(json.dumps({
    "answers": [answer.body.decode() for answer in answers],
    "imported": sorted(imported),
    "ours": sorted(name for name in sys.modules if name.startswith("notebooks_lib")),
    "from": sys.modules["notebooks_lib"].__file__,
}))
"""
OURS = {
    *("", ".errors", ".old_names", ".safe_text", ".text_values", ".models", ".serving"),
    *(".models.fast_scorer", ".models.input_schema", ".models.model_files", ".models.model_folder"),
    *(".models.predict_method", ".models.prediction_json", ".models.served_model", ".models.trusted_flavors"),
    *(".serving.azure_data_collector", ".serving.body_complexity", ".serving.data_collector", ".serving.inference"),
    *(".serving.invocation", ".serving.model_loading", ".serving.openapi", ".serving.request_formats"),
    ".serving.scoring_script",
}


@pytest.mark.proof
def test_it_imports_little_and_all_of_ours_from_beside_it(models: dict[str, Path], tmp_path: Path) -> None:
    """The environment has an older pydantic, no settings, and no nbops: what is imported there must not need them."""
    for name, content in scoring_code(tmp_path).files.items():
        (tmp_path / name).write_bytes(content)
    digest = model_files.read_model_files(models["table"]).sha256
    environment = {"AML_APP_ROOT": str(tmp_path), "AZUREML_MODEL_DIR": str(models["table"])}
    texts = [json.dumps({"input_data": [[1, 2, 3]]}), json.dumps({"input_data": [[1, "2", 3]]}), "{}"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", IN_A_PROCESS, *texts],
        env=environment | scoring_variables("7", digest),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])

    assert set(seen["ours"]) == {f"notebooks_lib{name}" for name in OURS}
    assert seen["from"].startswith(str(tmp_path / "notebooks_lib.zip"))
    others = {name.partition(".")[0] for name in seen["imported"]} - {"notebooks_lib"} - sys.stdlib_module_names
    assert others <= {"pydantic_core", "typing_extensions"}
    assert seen["answers"][0] == seen["answers"][1]
    assert json.loads(seen["answers"][2])["error_code"] == "BAD_REQUEST"
    document = json.loads((tmp_path / "swagger3.1.json").read_text())  # which the server shows at /swagger.json
    assert (list(document["paths"]), document["info"]["version"]) == (["/score"], "7")
