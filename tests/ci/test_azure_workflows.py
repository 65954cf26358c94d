"""The workflows and pipelines for Azure, read and walked through without a machine: conditions, rights, order."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.azure.infrastructure import infrastructure
from tests.ci import azure_devops_pipeline, github_workflow
from tests.ci.azure_devops_pipeline import PipelineRun
from tests.ci.github_expressions import Unknown, condition, evaluate
from tests.ci.github_workflow import Event, Run
from tests.ci.machine import Machine
from tests.ci.runs_on_azure import PIPELINES, ROOT, VARIABLES, WORKFLOWS

NAMES = ("azure-infra", "azure-train", "azure-promote")
TOKEN = {"contents": "read", "id-token": "write"}
APPROVED = {**TOKEN, "actions": "read"}
"""It also reads whether its environment has reviewers."""
PERMISSIONS = {
    "azure-infra": {"what-if": TOKEN, "deploy": APPROVED},
    "azure-train": {"train": TOKEN, "promote": APPROVED},
    "azure-promote": {"dev": TOKEN, "test": APPROVED, "prod": APPROVED},
}
"""What each job may do; the workflows themselves may do nothing."""
ENVIRONMENTS = {
    "azure-infra": {"deploy": "azure-${{ inputs.stage || 'dev' }}"},
    "azure-train": {"train": "azure-train"},
    "azure-promote": {stage: f"azure-promote-{stage}" for stage in ("dev", "test", "prod")},
}
CONNECTIONS = {
    "azure-pipelines-infra": ["nbops-azure-reader", "nbops-azure-dev"],
    "azure-pipelines-train": ["nbops-azure-train"],
    "azure-pipelines-promote": [f"nbops-azure-promote-{stage}" for stage in ("dev", "test", "prod")],
}
Says = Mapping[str, str | None]
"""Job -> the stage that its promotion waits for; None: it fails."""


class DryMachine(Machine):
    """Runs nothing; says what `nbops promote` would say."""

    says: str | None = ""
    environments: list[Mapping[str, str]]

    def clone(self, repository: Path, environment: Path, *, depth: int) -> None:
        self.sources.mkdir()

    def run(self, command: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
        self.environments.append(variables)
        script = (self.temporary / "script.sh").read_text()
        if "setvariable" in script:
            return Machine.run(self, command, {**variables, "PATH": "/usr/bin:/bin"})
        if script == "make variables":
            return 0 if variables["AZURE_CLIENT_ID"] else 2, ""
        if script.startswith(".ci/"):
            return 0, ""
        if "GITHUB_OUTPUT" in variables:
            waiting = [f"waiting={self.says}"] if self.says else []
            lines = ["promoted=false", *waiting, "model=diabetes", "version=5", ""]
            Path(variables["GITHUB_OUTPUT"]).write_text("\n".join(lines))
            Path(variables["GITHUB_STEP_SUMMARY"]).write_text("waiting\n")
        return int(self.says is None), ""


Machines = Callable[[Says], Any]


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    """Makes machines; `seen` of it has the variables of each script."""

    numbers = itertools.count()

    def make(says: Says) -> Any:
        def machine(job: str, system: Mapping[str, str]) -> Machine:
            made = DryMachine(tmp_path / f"{next(numbers)}-{job}", system)
            made.says, made.environments = says.get(job, says.get(str(len(seen)), "")), seen
            return made

        seen: list[Mapping[str, str]] = []
        machine.seen = seen  # type: ignore[attr-defined]
        return machine

    return make


def start(name: str, machine: Any, event: str = "workflow_dispatch", **more: Any) -> Run:
    variables = more.pop("environments", VARIABLES)
    run = Run(WORKFLOWS / f"{name}.yml", Event(event, environments=variables, **more), Path(), machine, Path())
    run.start()
    return run


def results(run: Run) -> dict[str, str]:
    return {name: job.result for name, job in run.jobs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_rights_environments_and_limits_are_those_of_the_tables(name: str) -> None:
    content = github_workflow.read(WORKFLOWS / f"{name}.yml")
    assert content["permissions"] == {}
    assert {job: one["permissions"] for job, one in content["jobs"].items()} == PERMISSIONS[name]
    environments = {job: one["environment"] for job, one in content["jobs"].items() if "environment" in one}
    assert environments == ENVIRONMENTS[name]
    for job in content["jobs"].values():
        assert job.get("timeout-minutes", 0) <= 350, "GitHub ends a job after six hours"
        for step in job.get("steps", ()):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", ""), "values reach a script by its variables"
    text = (WORKFLOWS / f"{name}.yml").read_text("utf-8")
    assert all(re.fullmatch(r"secrets\.\w+ && 'set' ", each) for each in re.findall(r"secrets\.[^}]*", text))


def test_a_promotion_waits_for_its_turn_and_a_training_for_no_approval() -> None:
    """GitHub's queue holds one run otherwise, and cancels it for the next."""
    promote = github_workflow.read(WORKFLOWS / "azure-promote.yml")["concurrency"]
    assert (promote["cancel-in-progress"], promote["queue"]) == (False, "max")
    train = github_workflow.read(WORKFLOWS / "azure-train.yml")
    assert "concurrency" not in train, "it would hold `promote`, with its approvals, too"
    assert train["jobs"]["train"]["concurrency"] == {"group": "azure-train-${{ github.ref }}"}


MAKE_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
ATTACK = "$(shell touch made){}"


@pytest.mark.parametrize(
    ("target", "variables", "command"),
    [
        ("infra", {}, "azure up --stage dev --what-if --markdown .nbops/infra/report.md"),
        (
            "infra",
            {"STAGE": "prod", "GROUP": "a b", "DEPLOY": "--yes"},
            "azure up --stage prod --resource-group a b --yes --markdown .nbops/infra/report.md",
        ),
        ("promote", {}, "promote --live --stages dev,test,prod"),
        ("promote", {"STAGE": "dev", "EXPERIMENT": "x"}, "promote --live --stages dev,test,prod -p experiment=x"),
        ("promote", {"STAGE": "test", "APPROVED": "x@1"}, "promote --continue x@1 --stage test"),
        ("propose", {"LIVE": "--live"}, "promote --live"),
    ],
)
def test_make_hands_variables_to_the_shell_and_carries_none_out(
    target: str, variables: Mapping[str, str], command: str, tmp_path: Path
) -> None:
    """What stands in a variable of CI may come from others: an experiment's name, a group, an approved version."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / ".venv" / ".ready").touch()
    (programs / "nbops").write_text('#!/bin/sh\necho "called $*"\n')
    (programs / "nbops").chmod(0o755)

    def made(given: Mapping[str, str]) -> str:
        words = ["make", "--silent", "--directory", str(tmp_path), target]
        done = subprocess.run(
            words, env=MAKE_ENVIRONMENT | given, capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout

    assert f"called {command}\n" in made(variables)
    for name in ("STAGE", "GROUP", "DEPLOY", "EXPERIMENT", "APPROVED", "LIVE", "BASE", "COMPUTE"):
        made({"STAGE": "test", **variables, name: ATTACK.format(name)})
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("says", "ended", "asked"),
    [
        ({"dev": "test", "test": "prod"}, "success success success", ["dev", "test", "prod"]),
        ({"dev": "prod"}, "success skipped success", ["dev", "prod"]),
        ({"dev": ""}, "success skipped skipped", ["dev"]),
        ({"dev": None}, "failure skipped skipped", ["dev"]),
        ({"dev": "test", "test": None}, "success failure skipped", ["dev", "test"]),
        ({"dev": "test", "test": ""}, "success success skipped", ["dev", "test"]),
        ({"dev": "test", "test": "prod", "prod": None}, "success success failure", ["dev", "test", "prod"]),
    ],
)
def test_a_stage_follows_when_the_version_waits_for_it(
    says: Says, ended: str, asked: list[str], machines: Machines
) -> None:
    machine = machines(says)
    run = start("azure-promote", machine, inputs={"experiment": "sales"})
    assert results(run) == dict(zip(("dev", "test", "prod"), ended.split(), strict=True))
    assert [job.environment for job in run.jobs.values() if job.environment] == [f"azure-promote-{s}" for s in asked]
    before = {"dev": "make variables"}
    assert [job.scripts for job in run.jobs.values() if job.scripts] == [
        [before.get(s, '.ci/require-reviewers "$ENVIRONMENT"'), f"make promote STAGE={s}"] for s in asked
    ]
    assert [job.title for job in run.jobs.values() if job.title] == [f"{s} diabetes@5" for s in asked if s != "dev"]
    assert [each["ENVIRONMENT"] for each in machine.seen if "ENVIRONMENT" in each] == [
        f"azure-promote-{s}" for s in asked if s != "dev"
    ]
    machine.seen[:] = [each for each in machine.seen if "EXPERIMENT" in each or "APPROVED" in each]
    assert run.group == "azure-promote-sales"
    assert [each.get("APPROVED", "") for each in machine.seen] == ["", *["diabetes@5"] * (len(asked) - 1)]
    for each in machine.seen:
        assert each["NBOPS_STAGES_APPROVAL"] == "test,prod", "whatever the project's settings say"
        assert (each["AZURE_CLIENT_ID"], each["AZURE_TENANT_ID"]) != ("", "")


@pytest.mark.parametrize(
    ("says", "ended"),
    [
        ({"0": "test", "2": "prod"}, "succeeded succeeded succeeded"),
        ({"0": "prod"}, "succeeded skipped succeeded"),
        ({"0": ""}, "succeeded skipped skipped"),
        ({"0": None}, "failed skipped skipped"),
        ({"0": "test", "2": None}, "succeeded failed skipped"),
    ],
)
def test_a_stage_of_azure_devops_follows_when_the_version_waits_for_it(
    says: Says, ended: str, machines: Machines
) -> None:
    machine = machines(says)
    file = PIPELINES / "azure-pipelines-promote.yml"
    stages = PipelineRun(file, Path(), machine, Path(), parameters={"experiment": "sales"}).start()
    found = {name: stage.result for name, stage in stages.items()}
    assert found == dict(zip(("dev", "test", "prod"), ended.split(), strict=True))
    approved = [each["APPROVED"] for each in machine.seen if "APPROVED" in each]
    assert approved == ["", *["diabetes@5"] * (len(approved) - 1)]
    assert all(each["NBOPS_STAGES_APPROVAL"] == "test,prod" for each in machine.seen)
    assert machine.seen[0]["EXPERIMENT"] == "sales"


def test_a_push_trains_where_there_is_a_workspace_and_then_promotes(machines: Machines) -> None:
    changed = ("data/sales/3/train.parquet",)
    run = start("azure-train", machines({"dev": ""}), "push", changed=changed)
    assert results(run) == {"train": "success", "promote": "success"}
    assert results(run.called["promote"])["dev"] == "success"
    assert run.called["promote"].group == "azure-promote-diabetes"
    run = start("azure-train", machines({}), "push", changed=changed, environments={})
    assert results(run) == {"train": "skipped", "promote": "skipped"}
    with pytest.raises(AssertionError, match="does not start"):
        start("azure-train", machines({}), "push", changed=("README.md",))
    topic = start("azure-train", machines({}), ref="refs/heads/topic")
    assert results(topic) == {"train": "success", "promote": "skipped"}


@pytest.mark.parametrize("name", NAMES)
def test_each_workflow_hands_over_the_names_of_old_secrets_and_no_value(name: str, machines: Machines) -> None:
    machine = machines({"train": None, "dev": None, "deploy": None})
    old = dict.fromkeys(("AZURE_CREDENTIALS", "WORKSPACE_NAME", "LOCATION"), "a-value-that-nobody-may-see")
    run = start(name, machine, environments={}, secrets=old)
    (first, *_) = (job for job in run.jobs.values() if job.result == "failure")
    assert first.scripts[-1] == "make variables"
    seen = machine.seen[-1]
    names = ("AZURE_CREDENTIALS", "LOCATION", "FRIENDLY_NAME", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")
    assert [seen[name] for name in names] == ["set", "set", "", "", ""]
    assert "a-value" not in str(machine.seen)


@pytest.mark.parametrize("name", CONNECTIONS)
def test_file_and_page_say_which_checks_a_service_connection_must_have(name: str) -> None:
    """It holds the rights, and a branch's own pipeline can name it: an approval of an environment does not stop that."""
    header = (PIPELINES / f"{name}.yml").read_text("utf-8").partition("\ntrigger:")[0]
    page = (ROOT / "docs" / "azure-ci.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.lstrip().startswith("| `nbops-azure-")]
    for connection in CONNECTIONS[name]:
        (row,) = (row for row in rows if f"`{connection}`" in row)
        deploys = re.search("-(test|prod|dev)$", connection) and connection != "nbops-azure-promote-dev"
        if connection != "nbops-azure-reader":
            assert "*Branch control*: `refs/heads/main`" in row
            assert '"Branch control" (refs/heads/main)' in " ".join(header.replace("\n#", "").split())
        assert ("*Approvals*" in row) == bool(deploys)


def test_what_decides_what_is_deployed_or_trained_starts_it() -> None:
    """In both systems: the settings name the workspace, its region, the folder of the data and what a promotion asks."""
    for name, wanted in {
        "infra": {"production/infra", "production/settings.toml"},
        "train": {
            *("experimentation", "data", "production/azure", "production/settings.toml"),
            *("environment.yml", "requirements.lock"),
        },
    }.items():
        pushed = github_workflow.read(WORKFLOWS / f"azure-{name}.yml")[True]["push"]["paths"]
        assert {path.removesuffix("/**") for path in pushed} == wanted
        pipeline = yaml.safe_load((PIPELINES / f"azure-pipelines-{name}.yml").read_text("utf-8"))
        assert set(pipeline["trigger"]["paths"]["include"]) == wanted


def test_a_deployment_ends_with_a_line_before_ci_ends_it_without_one() -> None:
    setup = 10 * 60
    job = github_workflow.read(WORKFLOWS / "azure-infra.yml")["jobs"]["deploy"]
    stage = azure_devops_pipeline.read(PIPELINES / "azure-pipelines-infra.yml")["stages"][2]["jobs"][0]
    for minutes in (job["timeout-minutes"], int(stage["timeoutInMinutes"])):
        assert infrastructure.LONGEST + setup < 60 * minutes <= 3600, "the free grant of Azure DevOps has 60 minutes"


def test_a_forks_pull_request_asks_azure_nothing(machines: Machines) -> None:
    changed = ("production/infra/main.bicep",)
    run = start("azure-infra", machines({}), "pull_request", changed=changed, fork=True)
    assert results(run) == {"what-if": "skipped", "deploy": "skipped"}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_each_stage_of_azure_devops_has_a_connection_and_an_environment_of_its_own(name: str) -> None:
    content = azure_devops_pipeline.read(PIPELINES / f"{name}.yml")
    jobs = [job for stage in content["stages"] for job in stage["jobs"]]
    tasks = [step for job in jobs for step in job["steps"] if step.get("task") == "AzureCLI@2"]
    assert [task["inputs"]["azureSubscription"] for task in tasks] == CONNECTIONS[name]
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))
    assert {task["inputs"]["inlineScript"].split()[1] for task in tasks} <= targets
    for job in jobs:
        assert 0 < int(job["timeoutInMinutes"]) <= 350
        assert job["steps"][0].get("checkout") == "none" or job["steps"][0]["persistCredentials"] == "false"
    infra = azure_devops_pipeline.read(PIPELINES / "azure-pipelines-infra.yml", {"stage": "prod"})
    (deploy,) = infra["stages"][2]["jobs"]
    assert (deploy["environment"], deploy["steps"][-1]["inputs"]["azureSubscription"]) == (
        *("azure-prod", "nbops-azure-prod"),
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c["jobs"]["dev"]["steps"][2].update(shell="pwsh"), "step: ['shell'] is not known"),
        (lambda c: c["jobs"]["dev"].update(strategy={}), "job: ['strategy'] is not known"),
        (lambda c: c["jobs"]["test"].update({"if": "contains(needs.dev.outputs.waiting, 'x')"}), "no function of ours"),
        (lambda c: c["jobs"]["test"].update({"if": "needs.dev.outputs.wating == ''"}), "no such output"),
        (lambda c: c["jobs"]["test"].update({"if": "needs.prod.outputs.x == ''"}), "is not known here"),
        (lambda c: c["jobs"]["dev"]["steps"][0].update(uses="actions/cache@v1"), "actions/cache@v1 with"),
        (lambda c: c["jobs"]["dev"].update(environment="${{ vars.STAGE }}"), "vars.STAGE is not known here"),
        (lambda c: c["jobs"]["dev"]["permissions"].update(packages="write"), "permissions: ['packages'] is not known"),
    ],
)
def test_what_the_interpreter_does_not_know_it_refuses(
    change: Callable[[Any], None], problem: str, machines: Machines, tmp_path: Path
) -> None:
    content = yaml.safe_load((WORKFLOWS / "azure-promote.yml").read_text("utf-8"))
    change(content)
    file = tmp_path / "azure-promote.yml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(Unknown, match=re.escape(problem)):
        Run(file, Event("workflow_dispatch", environments=VARIABLES), Path(), machines({"dev": "test"}), Path()).start()


def test_expressions_mean_what_they_mean_on_github() -> None:
    names = {"a.b": "x", "a.none": ""}
    look = names.__getitem__
    assert evaluate("a.none || a.b && 'y' || 'z'", look) == "y"
    assert evaluate("!(a.b == 'X') || false", look) is False
    assert evaluate("'it''s' != a.b", look) is True
    failed = {"success": False, "failure": True, "cancelled": False, "always": True}
    assert condition("a.b == 'x'", look, failed) is False, "it means success() && …"
    assert condition("${{ failure() && a.b == 'x' }}", look, failed) is True
    for wrong in ("a.b ==", "(a.b", "a.b 'x'", "a.b == true", "format('x')", "a.b[0]", ""):
        with pytest.raises(Unknown):
            evaluate(wrong, look)
