"""`nbops azure check` refuses offline what a pipeline or a promotion would refuse before its first step."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib.azure.project_files import file_check
from notebooks_lib.release import azure_settings_check
from notebooks_lib.settings import Settings, load

PIPELINE = "jobs:\n  up:\n    command: nbops promote --live --stages dev\n"

NAMED = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'


def conflicts(root: Path, stages: str, **files: str) -> list[str]:
    (root / "production" / "settings.toml").write_text(f"[project]\nname = 'a'\n{stages}")
    for name, content in files.items():
        file = root / "production" / "azure" / f"{name.replace('__', '/')}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    checked = file_check.check(root, {}, by_sdk=False)
    found = azure_settings_check.find_conflicts(load(root, {}), checked.files)
    return [fault.shown(root) for fault in found]


def test_a_step_that_promotes_to_its_own_machine_is_named_by_its_line(empty_project: Settings) -> None:
    (fault,) = conflicts(empty_project.root, NAMED, pipelines__retrain=PIPELINE)
    assert fault.startswith("production/azure/pipelines/retrain.yml:3: ")
    assert "stage dev is served on the machine that promotes" in fault
    served = f'{NAMED}[stages.dev]\nendpoint = "azureml:"\n'
    assert not conflicts(empty_project.root, served, pipelines__retrain=PIPELINE)
    assert not conflicts(empty_project.root, "", pipelines__retrain=PIPELINE), "nothing can run it yet"


def test_a_canary_that_azure_cannot_do_is_named_by_its_stage(empty_project: Settings) -> None:
    step = '[stages.prod]\nendpoint = "azureml:"\ncanary = [{%s}]\n'
    (fault,) = conflicts(empty_project.root, step % "mirror = 60, minutes = 10")
    assert fault.startswith("production/settings.toml:3: [stages.prod] canary: mirror = 60: ")
    (fault,) = conflicts(empty_project.root, step % "traffic = 10, minutes = 1")
    assert "minutes = 1: a managed online endpoint of Azure counts requests up to 3 minutes late" in fault
    (fault,) = conflicts(
        empty_project.root, step % "mirror = 20, minutes = 10", prod__endpoint="compute: azureml:k8s\n"
    )
    assert "a Kubernetes online endpoint of Azure mirrors no requests" in fault


def test_a_file_with_faults_of_its_own_gets_no_second_one(empty_project: Settings) -> None:
    stage = '[stages.prod]\nendpoint = "azureml:"\n'
    assert (
        conflicts(empty_project.root, stage, endpoint="auth_mod: key\n", pipelines__p="jobs:\n  a: {comand: x}\n") == []
    )
