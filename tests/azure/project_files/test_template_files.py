"""Each file is the project's own if it has one, else the one that nbops brings; a prefix tells projects apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.project_files import template_files
from notebooks_lib.azure.project_files.template_files import default_prefix, find_files, write_missing_files
from notebooks_lib.settings import Settings, load
from notebooks_lib.stages import STAGES


@pytest.fixture
def folder(empty_project: Settings) -> Path:
    folder = empty_project.root / "production" / "infra"
    folder.mkdir(parents=True)
    return folder


def test_a_project_without_a_name_is_refused_where_its_folder_would_name_the_deployment(
    empty_project: Settings,
) -> None:
    """Azure Pipelines clones each repository into a folder `s`."""
    nameless = Settings(root=empty_project.root)
    with pytest.raises(errors.UsageError) as refused:
        find_files(nameless, "dev")
    assert str(refused.value) == (
        'nothing names the deployment in each clone alike: write name = "NAME" under [project] in'
        f" production/settings.toml; until now it was the folder's, {empty_project.root.name!r}"
    )


def test_without_files_those_are_taken_that_nbops_brings_and_can_be_written(empty_project: Settings) -> None:
    empty_project = load(empty_project.root, {"NBOPS_PROJECT_NAME": "sales"})
    for stage in STAGES:
        files = find_files(empty_project, stage)
        assert files.template.read_text("utf-8").startswith("// An Azure Machine Learning workspace")
        assert files.parameters.name == f"parameters.{stage}.json"
        assert files.prefix == default_prefix("sales", stage)
    root = empty_project.root
    assert write_missing_files(root) == [f"production/infra/{name}" for name in template_files.FILES]
    assert write_missing_files(root) == []
    assert find_files(empty_project, "dev").template == root / "production" / "infra" / "main.bicep"


def test_own_parameters_count_without_a_template_and_stay_when_the_rest_is_written(
    empty_project: Settings, folder: Path
) -> None:
    own = folder / "parameters.dev.json"
    own.write_text('{"parameters": {"prefix": {"value": "sales"}, "stage": {"value": "dev"}}}')
    files = find_files(empty_project, "dev")
    assert (files.parameters, files.prefix, files.template.parent == folder) == (own, "sales", False)
    assert "production/infra/parameters.dev.json" not in write_missing_files(empty_project.root)
    assert find_files(empty_project, "dev").prefix == "sales"


def test_a_module_without_a_template_is_refused(empty_project: Settings, folder: Path) -> None:
    (folder / "wake.bicep").write_text("")
    with pytest.raises(errors.UsageError, match=r"has wake\.bicep, but no main\.bicep: `nbops azure up --write-files`"):
        find_files(empty_project, "dev")


def test_own_template_needs_own_parameters(empty_project: Settings, folder: Path) -> None:
    write_missing_files(empty_project.root)
    (folder / "main.bicep").write_text("param stage string\n")
    (folder / "parameters.test.json").unlink()
    wanted = r"parameters\.test\.json is missing \(there are parameters for dev, prod\)"
    with pytest.raises(errors.UsageError, match=wanted):
        find_files(empty_project, "test")
    (folder / "parameters.dev.json").write_text('{"parameters": {"stage": {"value": "dev"}}}')
    assert find_files(empty_project, "dev").prefix == ""


def test_a_prefix_of_two_stages_is_refused(empty_project: Settings, folder: Path) -> None:
    for stage in ("dev", "test"):
        text = f'{{"parameters": {{"prefix": {{"value": "sales"}}, "stage": {{"value": "{stage}"}}}}}}'
        (folder / f"parameters.{stage}.json").write_text(text)
    with pytest.raises(errors.UsageError, match=r"prefix: 'sales' is that of parameters\.dev\.json: each stage needs"):
        find_files(empty_project, "test")


@pytest.mark.parametrize("project", ["sales", "sales-north", "sales-south", "Größe", "2026 plan", "0", "X"])
def test_a_prefix_is_made_of_project_and_stage(project: str) -> None:
    for stage in STAGES:
        assert re.fullmatch(r"[a-z][a-z0-9]{2,8}", default_prefix(project, stage))
        assert default_prefix(project, stage).endswith(stage)


def test_projects_that_begin_alike_have_different_prefixes() -> None:
    assert default_prefix("sales", "test") == "salestest"
    made = {default_prefix(f"sales-{where}", stage) for where in ("north", "south", "east") for stage in STAGES}
    assert len(made) == 9
