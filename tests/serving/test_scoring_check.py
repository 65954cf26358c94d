"""`nbops azure check --scoring`: a registered version in the environment that Azure would build, or why it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.models import model_files, registry
from notebooks_lib.serving.scoring_check import check_scoring
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores
from tests.azure.fixtures import NbopsJson

pytestmark = pytest.mark.tracking

Registered = Callable[..., registry.Version]


@pytest.fixture
def registered(project: Settings, light: dict[str, Path], tmp_path: Path) -> Registered:
    """Register the model `double` as a version of `sample`, with these requirements and more files."""
    store = stores.connect(project)

    def registered(requirements: str = "mlflow==3.15.0\n", **files: str) -> registry.Version:
        folder = shutil.copytree(light["double"], tmp_path / "model", dirs_exist_ok=True)
        for name, text in {"requirements.txt": requirements, **files}.items():
            (folder / name).write_text(text)
        run_id = store.client.create_run(store.experiment_id("any")).info.run_id
        store.client.log_artifacts(run_id, str(folder), "model")
        digest = model_files.read_model_files(folder).sha256
        return registry.register(store, "sample", run_id, tags={Tag.MODEL_SHA256: digest})

    return registered


def test_what_cannot_be_served_is_said_before_anything_is_built(
    registered: Registered, project: Settings, nbops_json: NbopsJson
) -> None:
    registered("mlflow==3.15.0\npydantic==2.14.3\n")
    code, content, _ = nbops_json("azure", "check", "--scoring", "sample")
    assert (code, content["ok"], content["faults"]) == (1, False, [])
    assert (
        "pydantic==2.14.3, and azureml-inference-server-http 1.5.1 needs pydantic~=2.12.0"
        in content["scoring"]["fault"]
    )

    registered(**{"conda.yaml": "dependencies: [python=3.11, rtree=1.4.0]\n"})
    code, content, _ = nbops_json("azure", "check", "--scoring", "sample@2")
    assert (code, content["scoring"]["version"]) == (1, "2")
    assert content["scoring"]["fault"].startswith("the model needs rtree=1.4.0 from conda")
    assert not list(project.layout.scoring.glob("*/bin"))


@pytest.mark.parametrize(
    ("model", "words"),
    [("sampel", "sample"), ("sample@4", "unknown version of sample '4' (known: 1)"), ("@1", "model")],
)
def test_an_unknown_version_is_asked_for_wrongly(
    model: str, words: str, registered: Registered, capsys: pytest.CaptureFixture[str]
) -> None:
    registered()
    assert program.run(["azure", "check", "--scoring", model]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.proof
def test_a_version_is_tried_on_the_real_server_in_an_environment_that_is_built_once(
    registered: Registered, project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    version = registered()
    try:
        assert program.run(["azure", "check", "--scoring", "sample"]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("sample@1: ok in nbops-scoring:")
        assert shown.out.endswith('its example is answered with {"predictions": [2.0, 4.0]}\n')
        assert "once, which can take minutes" in shown.err

        lines: list[str] = []
        assert check_scoring(project, "sample", "1", tell=lines.append).answer == {"predictions": [2.0, 4.0]}
        assert lines == ["starting the inference server"]

        stores.connect(project).client.set_model_version_tag("sample", "1", Tag.MODEL_SHA256, "0" * 64)
        fault = check_scoring(project, version.model).fault
        assert "ModelError: the model's files are not those that were deployed" in fault
        assert str(project.layout.scoring / "sample@1.log") in fault
    finally:
        shutil.rmtree(project.layout.scoring)


@pytest.mark.proof
def test_requirements_that_no_environment_has_are_named_and_leave_nothing(
    registered: Registered, project: Settings
) -> None:
    registered("mlflow==3.15.0\nrequests==2.34.2\nurllib3==1.20\n")
    fault = check_scoring(project, "sample").fault
    assert fault.startswith("the scoring environment cannot be made: ")
    assert "requests" in fault
    assert "urllib3" in fault
    assert not list(project.layout.scoring.glob("*/bin"))
