"""A pipeline file is Azure's own; each fault of its steps, and of what they take and give, is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from notebooks_lib.azure.project_files import file_check, pipeline_file_kind

RETRAIN = Path(__file__).parents[3] / "production" / "azure" / "pipelines" / "retrain.yml"
VALID = """\
type: pipeline
settings: {default_compute: azureml:cpu, force_rerun: true}
inputs: {alpha: 0.5}
tags: {team: sales}
jobs:
  prepare:
    command: python prepare.py --to ${{outputs.table}}
    environment: azureml:sklearn:3
    outputs: {table: {type: uri_file}}
  train:
    command: nbops run n.ipynb -p alpha=${{inputs.alpha}} --out ${{outputs.result}}
    compute: azureml:gpu
    limits: {timeout: 3600}
    inputs:
      alpha: ${{parent.inputs.alpha}}
      table: {type: uri_file, path: "${{parent.jobs.prepare.outputs.table}}"}
    outputs: {result: {type: uri_file}}
"""


def faults(tmp_path: Path, content: str) -> list[str]:
    file = file_check.folder(tmp_path) / "pipelines" / "retrain.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    checked = file_check.check(tmp_path, {}, by_sdk=False)
    return [fault.shown(tmp_path).removeprefix("production/azure/pipelines/retrain.yml:") for fault in checked.faults]


def test_a_valid_file_and_that_of_this_repository_have_no_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, VALID) == []
    assert faults(tmp_path, RETRAIN.read_text("utf-8")) == []


@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
@pytest.mark.proof
def test_the_sdk_takes_both_as_they_are_completed(tmp_path: Path) -> None:
    for content in (VALID, RETRAIN.read_text("utf-8")):
        assert faults(tmp_path, content) == []
        checked = file_check.check(tmp_path, {})
        assert not checked.faults
        (file,) = [each for each in checked.files if each.kind.name == "pipeline"]
        assert all(step["code"] == "azureml:SNAPSHOT:1" for step in file.completed["jobs"].values())


WITHOUT_STEPS = "jobs: is missing: write a step below it, such as train:, with command: nbops run NOTEBOOK"
FAULTY = [
    ("type: pipeline", "type: pipelin", "1: type: describes a pipelin job, and a pipeline is wanted"),
    ("name: x\n", "", "1: name: nbops decides it: each submission has a name of its own; take it out"),
    ("azureml:cpu", "cpu", "2: default_compute: 'cpu' is no compute: write azureml:NAME or azureml:serverless"),
    ("force_rerun: true", "force_rerun: often", "2: force_rerun: 'often' is not true or false"),
    ("team: sales", "nbops.x: a", "4: nbops.x: tags that begin with nbops. are written by nbops"),
    ("  train:", "  Train-1:", "10: Train-1: is no name of a step: write small letters, digits and _"),
    ("azureml:sklearn:3", "azureml:sklearn@latest", "8: environment: is no version of an environment"),
    ("compute: azureml:gpu", "compute: azure:gpu", "12: compute: 'azure:gpu' is no compute"),
    ("compute: azureml:gpu", "code: src", "12: code: nbops decides it: each step gets the snapshot of the project"),
    ("compute: azureml:gpu", "display_name: x", "12: display_name: nbops decides it: it is the key of the step, by"),
    ("compute: azureml:gpu", "compte: x", "12: compte: unknown key, did you mean compute?"),
    (
        "compute: azureml:gpu",
        "type: sweep",
        "12: train.type: nbops runs steps of type command, not sweep: write `command:",
    ),
    ("compute: azureml:gpu", "component: file:a.yml", "12: component: nbops makes the component of each step"),
    ("timeout: 3600", "timeout: 0", "13: timeout: 0 s is too short"),
    ("limits: {timeout: 3600}", "environment_variables: {NBOPS_JOB: a}", "13: NBOPS_JOB: nbops and the service set"),
    ("parent.inputs.alpha", "parent.inputs.alpa", "15: alpha: the pipeline has no input alpa, did you mean alpha?"),
    ("jobs.prepare.", "jobs.prepar.", "16: table: there is no other step prepar, did you mean prepare?"),
    (
        "prepare.outputs.table",
        "prepare.outputs.tabl",
        "16: table: step prepare has no output tabl, did you mean table?",
    ),
    ("prepare.outputs.table", "train.outputs.result", "16: table: there is no other step train"),
    ("=${{inputs.alpha}}", "=${{inputs.alhpa}}", "11: command: ${{inputs.alhpa}} is not among the inputs of the step"),
    ("out ${{outputs.result}}", "out ${{outputs.x}}", "11: command: ${{outputs.x}} is not among the outputs"),
    ("inputs: {alpha: 0.5}", "inputs: [alpha]", "3: inputs: is no mapping: write NAME: VALUE below inputs:"),
    ("inputs: {alpha: 0.5}", "inputs: 3", "3: inputs: is no mapping"),
    ("outputs: {result: {type: uri_file}}", "outputs: [result]", "17: outputs: is no mapping"),
    ("python prepare.py", "python prepare.py ${HOME}", "7: command: a ${NAME} here would be replaced by its value"),
    ("command: nbops run", "comand: nbops run", "11: comand: unknown key, did you mean command?"),
]


@pytest.mark.parametrize(("right", "wrong", "expected"), FAULTY, ids=[expected for *_, expected in FAULTY])
def test_each_fault_is_named_with_its_line(tmp_path: Path, right: str, wrong: str, expected: str) -> None:
    content = VALID.replace(right, wrong) if right in VALID else right + VALID
    found = faults(tmp_path, content)
    assert any(fault.startswith(expected) for fault in found), found
    assert len(found) == 1 or "no mapping" in expected, "what uses a part that is no mapping does not find it there"


def test_a_file_without_steps_and_one_of_another_kind_say_so(tmp_path: Path) -> None:
    assert faults(tmp_path, "type: pipeline\n") == [f"1: {WITHOUT_STEPS}"]
    assert faults(tmp_path, "command: nbops run n.ipynb\n") == [
        "1: command: describes a command job, and a pipeline is wanted: write type: pipeline, and steps below jobs:"
    ]


def test_steps_that_wait_for_each_other_are_named(tmp_path: Path) -> None:
    values = yaml.safe_load(VALID)
    values["jobs"]["prepare"]["inputs"] = {"back": "${{parent.jobs.train.outputs.result}}"}
    (found,) = faults(tmp_path, yaml.safe_dump(values, sort_keys=False))
    assert "prepare: waits for itself: prepare, train take each other's outputs; take one of them out" in found


def test_steps_keep_what_they_say_themselves() -> None:
    filled = pipeline_file_kind.with_filled_steps(yaml.safe_load(VALID), "azureml:c", "azureml:e")
    prepare, train = filled["jobs"]["prepare"], filled["jobs"]["train"]
    assert (prepare["environment"], prepare["code"]) == ("azureml:sklearn:3", "azureml:c")
    assert (train["environment"], train["display_name"], train["type"]) == ("azureml:e", "train", "command")
