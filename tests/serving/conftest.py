"""Models to serve, saved once for all workers, and a way to ask an application in process."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from notebooks_lib.serving import local_endpoint_folder, server_process
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import Settings
from tests.conftest import made_once


class TestClient:
    """Asks an ASGI application in process; what the application lets escape becomes its 500."""

    __test__ = False

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, **more))

    def post(self, path: str, **more: Any) -> httpx.Response:
        if "content" in more:
            more["headers"] = {"Content-Type": "application/json", **more.get("headers", {})}
        return asyncio.run(self._ask("POST", path, **more))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)


def save(model: Any, folder: Path, x: Any, y: Any, **more: Any) -> Path:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow.sklearn
    from mlflow.models import infer_signature

    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=infer_signature(x, y, **more),
        input_example=x[:3],
        pip_requirements=[],
        serialization_format="cloudpickle",  # faster to load than skops; the form is another package's matter
    )
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """name -> folder: table (named columns), classes, tensor (unnamed), pair (two outputs), mixed (types)."""
    return {path.name: path for path in made_once(tmp_path_factory, "models", save_models).iterdir()}


def save_models(root: Path) -> None:
    import numpy as np
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(60, 3)), columns=["age", "bmi", "bp"])
    y = x["age"] - 2 * x["bmi"] + 0.1
    names = np.where(y > 0, "high", "low")
    mixed = pd.DataFrame(
        {
            "rooms": random.integers(1, 9, 60),
            "city": np.where(x["age"] > 0, "Graz", "Linz"),
            "new": x["bp"] > 0,
        }
    )
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hints: integer columns, pickles
        save(Ridge().fit(x, y), root / "table", x, y.to_numpy())
        save(Ridge(alpha=50).fit(x, y), root / "other", x, y.to_numpy())
        save(LogisticRegression().fit(x, names), root / "classes", x, names)
        save(Ridge().fit(x.to_numpy(), y), root / "tensor", x.to_numpy(), y.to_numpy())
        save(LinearRegression().fit(x, x[["bp", "age"]]), root / "pair", x, x[["bp", "age"]].to_numpy())
        save(make_pipeline(encoder, Ridge()).fit(mixed, y), root / "mixed", mixed, y.to_numpy())


LINEAR = """
import json, os, signal, time

SHIFT = 0

class Linear:
    def __init__(self, slope):
        self.slope = slope

    def predict(self, frame):
        return frame["x"].to_numpy() * self.slope + SHIFT

def _load_pyfunc(path):
    if os.path.getsize(path) > 100:
        raise OSError("the weights are damaged")
    with open(path) as file:
        weights = json.load(file)
    if weights == "crashing":
        os.kill(os.getpid(), signal.SIGSEGV)
    if weights == "hanging":
        time.sleep(3600)
    return Linear(weights)
"""


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that load without scikit-learn, in half the time: double, triple, shifted (2x + 1, with a module of the
    same name); and damaged, crashing and hanging, which do not load."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, at its first import
        import mlflow.pyfunc  # noqa: F401 - here, for the workers that find them saved
    root = made_once(tmp_path_factory, "light", save_light_models)
    return {path.name: path for path in root.iterdir() if path.is_dir()}


def save_light_models(root: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    x = pd.DataFrame({"x": [1.0, 2.0]})
    broken = {"damaged": "2", "crashing": '"crashing"', "hanging": '"hanging"'}
    for name, weights in {"double": "2", "triple": "3", "shifted": "2", **broken}.items():
        (root / "linear_model.py").write_text(LINEAR.replace("SHIFT = 0", f"SHIFT = {int(name == 'shifted')}"))
        (root / "weights.json").write_text(weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # there is an example, see below
            mlflow.pyfunc.save_model(
                str(root / name),
                loader_module="linear_model",
                data_path=str(root / "weights.json"),
                code_paths=[str(root / "linear_model.py")],
                signature=infer_signature(x, [1.0, 2.0]),
                pip_requirements=[],
            )
        example = {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}}
        (root / name / "serving_input_example.json").write_text(json.dumps(example))
        meta = root / name / "MLmodel"
        meta.write_text(
            meta.read_text()
            + "saved_input_example_info:\n  artifact_path: input_example.json\n  type: dataframe\n"
            + "  pandas_orient: split\n  serving_input_path: serving_input_example.json\n"
        )
    next((root / "damaged").rglob("weights.json")).write_text("9" * 200)


@pytest.fixture
def endpoints(empty_project: Settings) -> Iterator[Settings]:
    """A project whose endpoints are stopped afterwards, whatever has become of them."""
    yield empty_project
    for name in local_endpoint_folder.known_endpoints(empty_project):
        server = server_process.running_server(local_endpoint_folder.EndpointFolder(empty_project, name))
        if server is not None:
            server_process.stop_server(server)


@pytest.fixture
def deployed(endpoints: Settings, light: dict[str, Path]) -> Settings:
    """A project with the model `double` running at endpoint `sample`."""
    LocalEndpoint(endpoints, "sample").deploy(
        "blue", ServedVersion.in_folder(light["double"], version="1", detail=DETAIL), traffic=True
    )
    return endpoints


DETAIL = DeploymentDetail(model="sample", run_id="r1", dataset="diabetes@1", reason="first")
