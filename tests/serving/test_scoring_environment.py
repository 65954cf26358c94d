"""The environment of a model on Azure: its own requirements, the inference server's, and a refusal where they clash."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from notebooks_lib.azure.project_files import file_kinds
from notebooks_lib.errors import ModelError
from notebooks_lib.pinned_versions import parse_lock
from notebooks_lib.serving.scoring_environment import scoring_requirements

LOCK = Path(__file__).parents[2] / "requirements.lock"


def model(folder: Path, requirements: str | None, python: str = "3.11.7", conda: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    flavors = {"python_function": {"loader_module": "mlflow.sklearn", "python_version": python}}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    if conda:
        (folder / "conda.yaml").write_text(conda)
    return folder


def test_it_holds_the_models_pins_the_server_and_the_collector(tmp_path: Path) -> None:
    needed = scoring_requirements(model(tmp_path, "# made by nbops\nmlflow==3.15.0\nScikit_Learn==1.9.1 # pickled\n"))
    environment = needed.environment()

    assert environment.name == "nbops-scoring"
    assert environment.properties["image"] == file_kinds.BASE_IMAGE
    assert yaml.safe_load(environment.properties["condaFile"]) == {
        "channels": ["conda-forge"],
        "dependencies": [
            "python=3.11",
            "pip",
            {
                "pip": [
                    "azureml-ai-monitoring==1.0.0",
                    "azureml-inference-server-http==1.5.1",
                    "gunicorn==26.2.0",
                    "mlflow==3.15.0",
                    "pandas==2.3.3",
                    "Scikit_Learn==1.9.1",
                ]
            },
        ],
    }


def test_models_with_the_same_requirements_share_it(tmp_path: Path) -> None:
    def version(name: str, text: str) -> str:
        return scoring_requirements(model(tmp_path / name, text)).environment().version

    first = version("a", "mlflow==3.15.0\nscikit-learn==1.9.1\n")
    assert version("b", "scikit-learn==1.9.1\n# a remark\nmlflow==3.15.0\n") == first
    assert version("c", "mlflow==3.15.0\nscikit-learn==1.9.0\n") != first


@pytest.mark.parametrize(
    ("line", "both"),
    [
        ("pydantic==2.14.3", "pydantic==2.14.3, and azureml-inference-server-http 1.5.1 needs pydantic~=2.12.0"),
        ("Flask===2.3.0", "Flask===2.3.0, and azureml-inference-server-http 1.5.1 needs flask~=3.1.0"),
        (
            "azureml-ai-monitoring==0.1.0",
            "azureml-ai-monitoring==0.1.0, and score.py needs azureml-ai-monitoring==1.0.0",
        ),
        ("azureml-inference-server-http==1.4.0", "score.py needs azureml-inference-server-http==1.5.1"),
    ],
)
def test_a_pin_that_the_server_does_not_take_is_refused_with_both_versions(
    line: str, both: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        scoring_requirements(model(tmp_path, f"mlflow==3.15.0\n{line}\n"))
    assert both in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["pydantic==2.12.5", "pydantic>=2", "pydantic", "gunicorn==23.0.0", "flask==3.1.*"])
def test_what_pip_can_resolve_stays_as_the_model_says(line: str, tmp_path: Path) -> None:
    packages = scoring_requirements(model(tmp_path, f"{line}\n")).packages
    assert line in packages
    assert len([name for name in packages if name.startswith(line[:5])]) == 1


def test_each_line_of_a_package_counts_by_its_marker(tmp_path: Path) -> None:
    lines = ("pydantic==2.14.3 ; sys_platform == 'win32'", "pydantic==2.12.5 ; sys_platform != 'win32'")
    assert set(lines) <= set(scoring_requirements(model(tmp_path, "\n".join(lines))).packages)


def test_nbops_itself_is_brought_along_and_not_installed(tmp_path: Path) -> None:
    assert not any("nbops" in line for line in scoring_requirements(model(tmp_path, "nbops==0.2.0\n")).packages)


@pytest.mark.parametrize("line", ["-r other.txt", "./wheels/mine.whl", "-e .", "mine =="])
def test_what_no_other_machine_can_install_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="requires"):
        scoring_requirements(model(tmp_path, f"{line}\n"))


def test_an_index_and_an_address_are_passed_on(tmp_path: Path) -> None:
    lines = (
        "--extra-index-url https://example.org/simple",
        "git+https://example.org/mine.git",
        "a @ https://example.org/a.whl",
    )
    assert set(lines) <= set(scoring_requirements(model(tmp_path, "\n".join(lines))).packages)


def test_a_conda_file_counts_where_it_says_more(tmp_path: Path) -> None:
    conda = """
channels: [conda-forge, mine]
dependencies: [python=3.12.1, pip<=23, pip-tools, libspatialindex=2.0, {pip: [rtree==1.4.0]}]
"""
    needed = scoring_requirements(model(tmp_path, None, "3.12.1", conda))

    assert (needed.python, needed.conda) == ("3.12", ("pip-tools", "libspatialindex=2.0"))
    assert "rtree==1.4.0" in needed.packages
    content = yaml.safe_load(needed.environment().properties["condaFile"])
    assert content["channels"] == ["conda-forge", "mine"]
    assert content["dependencies"][:3] == ["python=3.12", "pip-tools", "libspatialindex=2.0"]


@pytest.mark.parametrize("text", ["", "[", "dependencies: 3"])
def test_a_damaged_conda_file_is_named(text: str, tmp_path: Path) -> None:
    (model(tmp_path, None) / "conda.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"conda.yaml is not a conda file"):
        scoring_requirements(tmp_path)


def test_a_model_of_an_older_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Python 3.9.1, and score.py needs 3.11"):
        scoring_requirements(model(tmp_path, "mlflow==3.15.0\n", "3.9.1"))


def test_gunicorn_is_the_one_that_is_locked(tmp_path: Path) -> None:
    """A model that pins the whole lock file must not clash with what is added here."""
    gunicorn = parse_lock(LOCK.read_text("utf-8"))["gunicorn"]
    assert f"gunicorn=={gunicorn}" in scoring_requirements(model(tmp_path, "")).packages
