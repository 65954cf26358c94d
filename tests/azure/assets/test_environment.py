"""Environments: named by the hash of their content, found before they are made, made once, never changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.assets import environment
from notebooks_lib.azure.assets.environment import read_environment
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.project_files import file_kinds
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

CONDA = "name: mine\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n"


def write(root: Path, text: str, conda: str = CONDA) -> None:
    (root / "production" / "azure").mkdir(parents=True, exist_ok=True)
    (root / "production" / "azure" / "environment.yml").write_text(text)
    (root / "environment.yml").write_text(conda)


def test_without_files_it_is_the_base_image_and_what_nbops_needs(tmp_path: Path) -> None:
    found = read_environment(tmp_path, {})

    assert found.properties["image"] == file_kinds.BASE_IMAGE
    assert "- mlflow==3.15.0" in found.properties["condaFile"]
    assert "distributed" not in found.properties["condaFile"]


def test_a_lock_file_stands_for_a_conda_file_with_the_markers_for_the_jobs_platform(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        "nbops==0.2.0 \\\n    --hash=sha256:aa\n-e .\nxgboost==3.1.0 \\\n    --hash=sha256:bb\n"
        "only-there==1 ; sys_platform == 'none'\nNumpy==1 ; python_version < '3'\nnumpy==2; python_version >= '3'\n"
        "own @ https://example.org/own.whl\n"
    )

    conda = yaml.safe_load(read_environment(tmp_path, {}).properties["condaFile"])
    assert conda["dependencies"][1:] == [
        "pip",
        {
            "pip": [
                "Numpy==1 ; python_version < '3'",
                "numpy==2; python_version >= '3'",
                "only-there==1 ; sys_platform == 'none'",
                "own @ https://example.org/own.whl",
                "xgboost==3.1.0",
            ]
        },
    ]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("./vendored", r"a job cannot install './vendored': write production/azure/environment.yml"),
        ("-r more.txt", r"a job cannot install '-r more.txt'"),
        ("--extra-index-url https://me:hunter2@example.org/simple", "the address of a package holds a password"),
        ("--find-links=./wheels", "'--find-links=./wheels' names a folder of this machine, which a job lacks: write"),
        ("own @ https://me:hunter2@example.org/own.whl", "the address of a package holds a password"),
    ],
)
def test_a_lock_file_that_a_job_cannot_obey_is_refused(tmp_path: Path, line: str, answer: str) -> None:
    (tmp_path / "requirements.lock").write_text(f"a==1\n{line}\n")

    with pytest.raises(errors.UsageError, match=answer) as refused:
        read_environment(tmp_path, {})
    assert "hunter2" not in str(refused.value)


def test_a_lock_file_keeps_from_where_its_packages_come(tmp_path: Path) -> None:
    lines = (
        "--extra-index-url https://pkgs.example.org/simple",
        "--pre",
        "own @ git+https://example.org/own@v1",
        "a==1",
    )
    (tmp_path / "requirements.lock").write_text("\n".join(lines) + " --hash=sha256:0\n")

    conda = yaml.safe_load(read_environment(tmp_path, {}).properties["condaFile"])
    assert conda["dependencies"][-1] == {"pip": sorted(lines)}


def test_the_projects_conda_file_stands_without_a_file_of_azures(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(CONDA)

    assert read_environment(tmp_path, {}).properties == {"image": file_kinds.BASE_IMAGE, "condaFile": CONDA}


def test_its_version_is_the_hash_of_its_content(tmp_path: Path) -> None:
    text = "image: registry.example.org/base:1\nconda_file: ../../environment.yml\n"
    write(tmp_path, text)
    first = read_environment(tmp_path, {}).version
    write(tmp_path, text, f"# a comment\n{CONDA}")
    commented = read_environment(tmp_path, {}).version
    write(tmp_path, text, f"{CONDA}  - pip\n")
    another = read_environment(tmp_path, {}).version
    write(tmp_path, text.replace("base:1", "base:2"))

    assert first == commented
    assert len({first, another, read_environment(tmp_path, {}).version}) == 3


def test_each_file_beside_a_dockerfile_counts(tmp_path: Path) -> None:
    write(tmp_path, "build:\n  path: docker\n")
    folder = tmp_path / "production" / "azure" / "docker"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "sub" / "list.txt").write_text("one\n")
    first = read_environment(tmp_path, {})
    (folder / "sub" / "list.txt").write_text("two\n")

    assert sorted(first.context) == ["Dockerfile", "sub/list.txt"]
    assert read_environment(tmp_path, {}).version != first.version


def test_of_a_dockerfiles_folder_goes_what_git_tracks_and_anything_else_is_asked_about(tmp_path: Path) -> None:
    write(tmp_path, "build:\n  path: docker\n")
    folder = tmp_path / "production" / "azure" / "docker"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / ".env").write_text("PASSWORD=x\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)

    with pytest.raises(errors.UsageError, match=r"neither tracks nor ignores \.env"):
        read_environment(tmp_path, {})
    (tmp_path / ".gitignore").write_text(".env\n")
    assert list(read_environment(tmp_path, {}).context) == ["Dockerfile"]
    (folder / "link").symlink_to(tmp_path / ".gitignore")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    with pytest.raises(errors.UsageError, match="link leads outside"):
        read_environment(tmp_path, {})


def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "image: x\nversion: 3\n")

    with pytest.raises(errors.UsageError, match=r"^production/azure/environment.yml:2: version: nbops decides it"):
        read_environment(tmp_path, {})


@pytest.mark.tracking
def test_the_same_content_is_made_once(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    root = azure_workspace.settings.root
    write(
        root,
        f"image: registry.example.org/{azure_workspace.settings.project_name}:1\nconda_file: ../../environment.yml\n",
    )
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    lines: list[str] = []
    described = read_environment(root, {})
    made = environment.find_or_create_environment(client, place, described, tell=lines.append)
    began = azure_server.record.position()

    assert environment.find_or_create_environment(client, place, described, tell=lines.append) == made
    assert made == f"{emulator.SCOPE}/environments/nbops/versions/{described.version}"
    assert [seen.method for seen in azure_server.record.since(began) if seen.host == "management.azure.com"] == ["GET"]
    assert len(lines) == 1


@pytest.mark.tracking
def test_a_dockerfiles_folder_is_uploaded_as_the_build_context(
    azure_workspace: AzureProject, ask: Ask, anybody: Ask
) -> None:
    root = azure_workspace.settings.root
    write(root, "build:\n  path: docker\n  dockerfile_path: Own.Dockerfile\n")
    (root / "production" / "azure" / "docker").mkdir()
    content = f"FROM {azure_workspace.settings.project_name}\n"
    (root / "production" / "azure" / "docker" / "Own.Dockerfile").write_text(content)
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    described = read_environment(root, {})
    environment.find_or_create_environment(client, place, described)

    build = ask("GET", f"environments/nbops/versions/{described.version}").json()["properties"]["build"]
    assert build["dockerfilePath"] == "Own.Dockerfile"
    assert anybody("GET", f"{build['contextUri']}Own.Dockerfile?sig=signed").text == content
