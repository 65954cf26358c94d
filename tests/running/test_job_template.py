"""What is asked for wrongly is refused before anything is sent, with what to do; and what a job is made of."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from notebooks_lib import datasets, errors
from notebooks_lib.running import plan
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.running.job_template import JobDescription, JobTemplate, make_template
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Env, Tag
from tests import building
from tests.datasets.tables import csv, frame

AZURE = '[project]\nname = "sample"\n[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'


@pytest.fixture
def on_azure(empty_project: Settings) -> Settings:
    empty_project.layout.settings_file.write_text(AZURE)
    return load(empty_project.root, {})


def prepared(
    settings: Settings, on: str = "azureml:cpu", parameters: str = "alpha: float = 1.0  # a", **options: object
) -> tuple[JobTemplate, JobDescription]:
    path = building.write(settings.root / "experimentation" / "n b.ipynb", "alpha", parameters=parameters)
    made = plan.make_plan(path, settings, {"alpha": 2.0} if "alpha" in parameters else {})
    template = make_template(made, on, os.environ, **options)  # type: ignore[arg-type]
    return template, template.describe(made)


def job_file(settings: Settings, text: str, name: str = "job.yml") -> Path:
    folder = settings.root / "production" / "azure"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_place_that_is_none_is_refused(on_azure: Settings) -> None:
    with pytest.raises(errors.UsageError, match="did you mean azureml:cpu"):
        prepared(on_azure, "azure:cpu")


def test_without_a_workspace_the_ways_to_name_one_are_told(empty_project: Settings) -> None:
    with pytest.raises(
        errors.UsageError, match=r"--on azureml:cpu: no workspace is named: fill .azure. in .* config.json"
    ):
        prepared(empty_project)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("type: pipeline\njobs: {}\n", r"job.yml:1: type: describes a pipeline job, and a command job is wanted"),
        ("type: sweep\n", r"job.yml:1: type: describes a sweep job, and a command job is wanted"),
        ("resources:\n  instance_typ: x\n", r"job.yml:2: instance_typ: unknown key, did you mean instance_type\?"),
        ("command: python x.py\n", r"job.yml:1: command: nbops decides it"),
    ],
)
def test_a_job_file_that_is_none_is_refused_with_its_line(on_azure: Settings, text: str, answer: str) -> None:
    job_file(on_azure, text)
    with pytest.raises(errors.UsageError, match=answer):
        prepared(on_azure)


def test_a_job_file_that_is_not_there_is_refused_with_the_nearest(on_azure: Settings) -> None:
    there = job_file(on_azure, "limits: {timeout: 60}\n", "mpi.yml")
    with pytest.raises(errors.UsageError, match=r"no such file, did you mean .*mpi.yml\?"):
        prepared(on_azure, job_file=there.with_name("mpj.yml"))


def test_a_secret_that_the_job_would_not_have_is_refused(on_azure: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALES_TOKEN", "s3cret-value")
    secret = "from notebooks_lib import SecretStr\ntoken: SecretStr = 'SALES_TOKEN'  # for sales"
    with pytest.raises(errors.UsageError, match=r"parameter token is a secret that is read from SALES_TOKEN"):
        prepared(on_azure, parameters=secret)


def test_a_job_without_files_needs_no_sdk(on_azure: Settings, tmp_path: Path) -> None:
    template, job = prepared(on_azure, "azureml:serverless", options=["--timeout", "60"])

    assert (template.compute, template.instances, len(job.name)) == ("serverless", 1, 32)
    assert job.properties["jobType"] == "Command"
    assert job.properties["tags"][Tag.NOTEBOOK] == "experimentation/n b.ipynb"
    assert job.properties["experimentName"] == "sample"
    assert job.properties["displayName"] == "n b alpha=2.0"
    words = shlex.split(job.properties["command"])
    assert words[words.index("exec") :] == [
        "exec",
        "python",
        "-m",
        "notebooks_lib",
        "run",
        "experimentation/n b.ipynb",
        "--timeout",
        "60",
    ]
    request = JobRequest.received(job.properties["environmentVariables"])
    assert request is not None
    assert request.values == {"alpha": 2.0}
    assert {"experimentation/n b.ipynb", "production/settings.toml"} <= set(template.snapshot.files)


def test_settings_of_the_environment_go_along_but_not_where_runs_are_tracked(
    on_azure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NBOPS_KERNELS_WARM": "false",
        "NBOPS_TRACKING_URI": "sqlite:///x.db",
        "NBOPS_CLONE": "1",
        "OTHER": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureUSGovernment")
    variables = prepared(on_azure)[1].properties["environmentVariables"]

    assert (variables["NBOPS_KERNELS_WARM"], variables["AZUREML_CURRENT_CLOUD"]) == ("false", "AzureUSGovernment")
    assert not {"NBOPS_TRACKING_URI", "NBOPS_CLONE", "OTHER", Env.DATASETS} & set(variables)
    for folder, goes_along in {"tables": True, "../tables": False, "/mnt/tables": False}.items():
        monkeypatch.setenv("NBOPS_DATA_FOLDER", folder)
        assert ("NBOPS_DATA_FOLDER" in prepared(on_azure)[1].properties["environmentVariables"]) == goes_along


def test_a_job_gets_the_latest_versions_of_this_machine(on_azure: Settings) -> None:
    for rows in (60, 70):
        datasets.add(csv(on_azure.root, frame(rows)), "sales", on_azure, target="y", key="id")

    assert json.loads(prepared(on_azure)[1].properties["environmentVariables"][Env.DATASETS]) == {"sales": 2}


def test_a_version_that_was_chosen_for_this_process_is_the_latest_in_its_jobs_too(
    on_azure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--only-if` chooses the version that `nbops data newer` found."""
    datasets.add(csv(on_azure.root, frame(60)), "sales", on_azure, target="y", key="id")
    monkeypatch.setenv(Env.DATASETS, '{"sales": 7}')
    assert json.loads(prepared(on_azure)[1].properties["environmentVariables"][Env.DATASETS])["sales"] == 7


@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_what_a_job_file_says_is_sent_as_the_sdk_would_send_it(
    on_azure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN", "from here")
    job_file(
        on_azure,
        "resources: {instance_count: 2, shm_size: 2g}\ndistribution: {type: pytorch, process_count_per_instance: 1}\n"
        "limits: {timeout: 3600}\nqueue_settings: {job_tier: spot}\nidentity: {type: managed}\n"
        'tags: {team: sales}\nenvironment_variables: {A: "${OWN}"}\n',
    )
    template, job = prepared(on_azure)
    properties = job.properties

    assert template.instances == 2
    assert properties["distribution"] == {"distributionType": "PyTorch", "processCountPerInstance": 1}
    assert properties["limits"] == {"jobLimitsType": "Command", "timeout": "PT1H"}
    assert properties["queueSettings"] == {"jobTier": "Spot"}
    assert properties["identity"] == {"identityType": "Managed"}
    assert properties["resources"]["instanceCount"] == 2
    assert properties["environmentVariables"]["A"] == "from here"
    assert properties["tags"]["team"] == "sales"
    assert Env.JOB in properties["environmentVariables"]
    assert properties["command"].endswith("run 'experimentation/n b.ipynb'")


def test_a_linked_notebook_runs_under_its_own_name_and_one_from_elsewhere_is_refused(
    on_azure: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = on_azure.root / "experimentation" / "link.ipynb"
    target = building.write(on_azure.root / "experimentation" / "n.ipynb", "1")
    link.symlink_to(target)
    template = make_template(plan.make_plan(link, on_azure), "azureml:cpu", os.environ)
    assert template.properties["command"].endswith("run experimentation/link.ipynb")
    assert template.snapshot.files["experimentation/link.ipynb"] == target.read_bytes()

    link.unlink()
    link.symlink_to(building.write(tmp_path_factory.mktemp("elsewhere") / "n.ipynb", "1"))
    with pytest.raises(errors.UsageError, match=r"link.ipynb leads to .* lies outside the project"):
        make_template(plan.make_plan(link, on_azure), "azureml:cpu", os.environ)


def test_jobs_of_one_template_differ_in_name_parameters_and_tags(on_azure: Settings) -> None:
    template, first = prepared(on_azure)
    path = on_azure.root / "experimentation" / "n b.ipynb"
    trial = plan.make_plan(path, on_azure, {"alpha": 3.0}, name="third", tags={Tag.TRIAL: "3"})
    second = template.describe(trial, {"nbops.trial.of.s1": "3"})

    assert first.name != second.name
    assert second.properties["displayName"] == "third"
    assert second.properties["tags"]["nbops.trial.of.s1"] == "3"
    request = JobRequest.received(second.properties["environmentVariables"])
    assert request is not None
    assert (request.values, request.tags) == ({"alpha": 3.0}, {Tag.TRIAL: "3"})
    shared = {"command", "jobType"}
    assert {key: first.properties[key] for key in shared} == {key: second.properties[key] for key in shared}
