"""A pipeline is completed on this machine: what each step gets, what is refused before anything is sent."""

from __future__ import annotations

import getpass
import json
import subprocess
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.running.pipeline_template import PipelineTemplate, make_pipeline_template
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import provenance
from tests import building

STEPS = """\
jobs:
  look: {command: nbops data newer sales --than-champion sales}
  train:
    command: nbops run experimentation/n.ipynb
    compute: azureml:gpu
    environment_variables: {OMP_NUM_THREADS: 2}
  other: {command: python other.py}
"""


@pytest.fixture
def project(empty_project: Settings) -> Settings:
    root = empty_project.root
    (root / "helper.py").write_text("x = 1\n")
    building.write(
        root / "experimentation" / "n.ipynb",
        "import helper\nfrom notebooks_lib import tracking\nrun = tracking.run('sales')",
    )
    text = '[project]\nname = "sample"\n[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'
    empty_project.layout.settings_file.write_text(text)
    (root / "production" / "azure" / "pipelines").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return load(root, {})


def made(project: Settings, content: str, on: str | None = None) -> PipelineTemplate:
    file = project.root / "production" / "azure" / "pipelines" / "p.yml"
    file.write_text(content)
    return make_pipeline_template(file, project, {}, on=on)


def test_steps_of_nbops_get_the_program_and_what_the_submitter_knows(project: Settings) -> None:
    template = made(project, STEPS)
    steps = template.values["jobs"]

    assert template.steps == ("look", "train", "other")
    assert steps["train"]["command"].endswith("exec python -m notebooks_lib run experimentation/n.ipynb")
    assert steps["train"]["environment_variables"]["OMP_NUM_THREADS"] == 2
    assert json.loads(steps["train"]["environment_variables"][Env.JOB])["user"]
    assert Env.DATASETS not in steps["train"]["environment_variables"], "a schedule runs it when there are newer ones"
    assert steps["other"] == {"command": "python other.py"}
    assert template.always_run == {"look"}
    assert template.values["tags"][Tag.PIPELINE] == "production/azure/pipelines/p.yml"
    assert template.values["experiment_name"] == "sales"
    assert {"experimentation/n.ipynb", "helper.py", "production/settings.toml"} <= template.snapshot.files.keys()


def test_two_people_on_two_branches_submit_the_same_pipeline(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for user, branch in (("ann", "main"), ("bob", "other")):
        git = provenance.Git(commit=branch * 10, branch=branch, dirty=False, diff="")
        monkeypatch.setattr(provenance, "git_state", lambda root, git=git: git)
        monkeypatch.setattr(getpass, "getuser", lambda user=user: user)
        template = made(project, STEPS)
        assert template.values["tags"]["mlflow.user"] == user
        digests.append(template.digest)
    assert digests[0] == digests[1]
    assert made(project, STEPS.replace("OMP_NUM_THREADS: 2", "OMP_NUM_THREADS: 3")).digest != digests[0]


def test_places_are_those_of_the_file_else_of_the_command_else_serverless(project: Settings) -> None:
    assert made(project, STEPS).computes == ("serverless", "gpu")
    assert made(project, f"settings: {{default_compute: azureml:cpu}}\n{STEPS}").computes == ("cpu", "gpu")
    assert made(project, f"settings: {{default_compute: azureml:cpu}}\n{STEPS}", "azureml:big").computes == (
        "big",
        "gpu",
    )


def test_what_the_file_says_is_kept(project: Settings) -> None:
    values = made(project, f"experiment_name: mine\ndisplay_name: nightly\ntags: {{a: b}}\n{STEPS}").values
    assert (values["experiment_name"], values["display_name"], values["tags"]["a"]) == ("mine", "nightly", "b")


def test_a_promotion_whose_endpoint_would_die_with_its_step_is_refused(project: Settings) -> None:
    refused = "step up: stage prod is served on the machine that promotes, which a step loses at its end"
    with pytest.raises(errors.UsageError, match=refused):
        made(project, "jobs:\n  up: {command: nbops promote --live}\n")
    made(project, "jobs:\n  up: {command: nbops promote}\n")
    for command in ("mkdir o && nbops promote --live", "nbops run n.ipynb && nbops promote --live"):
        with pytest.raises(errors.UsageError, match=refused):
            made(project, f"jobs:\n  up: {{command: '{command}'}}\n")
    (project.layout.settings_file).write_text(
        project.layout.settings_file.read_text() + '[stages.dev]\nendpoint = "azureml:"\n'
    )
    made(load(project.root, {}), "jobs:\n  up: {command: 'nbops promote --live --stages dev'}\n")


def test_what_is_asked_for_wrongly_is_refused(project: Settings, tmp_path: Path) -> None:
    file = project.root / "production" / "azure" / "pipelines" / "p.yml"
    file.write_text("jobs:\n  a: {comand: nbops run n.ipynb}\n")
    with pytest.raises(errors.UsageError, match="p.yml:2: comand: unknown key, did you mean command"):
        make_pipeline_template(file, project, {})
    with pytest.raises(errors.UsageError, match="pp.yml: no such file, did you mean .*/p.yml"):
        make_pipeline_template(file.with_name("pp.yml"), project, {})
    with pytest.raises(errors.UsageError, match="did you mean azureml:cpu"):
        make_pipeline_template(file, project, {}, on="azure:cpu")
    project.layout.settings_file.write_text("[project]\nname = 'a'\n")
    with pytest.raises(errors.UsageError, match="p.yml:2: comand: unknown key"):
        make_pipeline_template(file, load(project.root, {}), {})
    file.write_text("jobs:\n  a: {command: python a.py}\n")
    with pytest.raises(errors.UsageError, match="^no workspace is named"):
        make_pipeline_template(file, load(project.root, {}), {})
