"""Runs a workflow of GitHub on this machine, as far as our workflows go. What it does not know, it refuses.

Jobs run one after the other, each on a machine of its own. An action of somebody else is not run: ACTIONS says what it
does there, and for which `with` that is known.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.ci.github_expressions import Unknown, condition, fill
from tests.ci.machine import Died, Machine

KEYS = {
    "workflow": {"name", True, "permissions", "concurrency", "env", "jobs"},  # YAML 1.1 reads the key `on` as true
    "trigger": {"push", "pull_request", "workflow_dispatch", "workflow_call"},
    "input": {"description", "type", "options", "default", "required"},
    "job": {
        *("name", "if", "needs", "runs-on", "timeout-minutes", "environment", "concurrency", "permissions"),
        *("outputs", "steps"),
        *("uses", "with"),
    },
    "step": {"name", "id", "uses", "with", "run", "env"},
    "permissions": {"actions", "contents", "id-token"},
}
"""What may stand where; each is understood below."""
NAMES = {
    "github": {"event_name", "ref", "repository", "token", "event.pull_request.head.repo.full_name"},
    "vars": {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_COMPUTE"},
    "secrets": {
        "AZURE_CREDENTIALS",
        "WORKSPACE_NAME",
        "RESOURCE_GROUP",
        "SUBSCRIPTION_ID",
        "LOCATION",
        "FRIENDLY_NAME",
    },
}
"""Context -> what our workflows may ask it for; inputs, needs and steps are read in the file."""
READER = "a-read-only-application"
"""The id of an application that may not deploy."""
ACTIONS: dict[str, set[str]] = {
    "actions/checkout": {"persist-credentials", "fetch-depth"},
    "actions/setup-python": {"python-version"},
    "actions/upload-artifact": {"name", "path", "if-no-files-found", "include-hidden-files"},
    "azure/login": {"client-id", "tenant-id", "subscription-id"},
}
"""The actions of others -> what may stand under `with`."""


@dataclass
class Event:
    """What starts a workflow, and what the repository knows then."""

    name: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    ref: str = "refs/heads/main"
    fork: bool = False
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Environment -> its variables; "" has those of the repository. One that is not named here has none of its own."""
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Job:
    """How a job ended."""

    result: str = "skipped"
    title: str = ""
    """What people see, those who approve it before all; empty: the name in the file."""
    outputs: dict[str, str] = field(default_factory=dict)
    environment: str = ""
    log: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)
    summary: str = ""
    scripts: list[str] = field(default_factory=list)
    """The `run` lines that were run."""


MakeMachine = Callable[[str, Mapping[str, str]], Machine]
"""Returns a machine for the job of a name, with the variables of the system."""


def read(file: Path) -> dict[str, Any]:
    """Return a workflow. Raises Unknown if something in it is not known here."""
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    _known("workflow", content)
    _known("trigger", content[True])
    for trigger in content[True].values():
        for one in (trigger or {}).get("inputs", {}).values():
            _known("input", one)
    for name, job in content["jobs"].items():
        _known("job", job)
        _known("permissions", job.get("permissions", {}))
        if "uses" in job and set(job) - {"if", "needs", "permissions", "uses", "with"}:
            raise Unknown(f"{name}: a called workflow with {sorted(job)}")
        for step in job.get("steps", ()):
            _known("step", step)
            if "uses" in step:
                _known_action(step)
    return content


def _known(kind: str, content: Mapping[Any, Any]) -> None:
    if unknown := content.keys() - KEYS[kind]:
        raise Unknown(f"{kind}: {sorted(map(str, unknown))} is not known here")


def _known_action(step: Mapping[str, Any]) -> None:
    action = step["uses"].partition("@")[0]
    if action not in ACTIONS or (set(step.get("with", {})) - ACTIONS[action]) or "env" in step:
        raise Unknown(f"{step['uses']} with {step.get('with')} is not known here")


def starts(workflow: Mapping[Any, Any], event: Event) -> bool:
    """Return whether an event starts a workflow."""
    trigger = workflow[True].get(event.name, False)
    if trigger is False:
        return False
    if event.name in ("workflow_dispatch", "workflow_call"):
        return True
    branches, paths = (trigger or {}).get("branches"), (trigger or {}).get("paths")
    on_branch = branches is None or event.ref.removeprefix("refs/heads/") in branches
    return on_branch and (paths is None or any(fnmatch.fnmatch(each, path) for each in event.changed for path in paths))


class Run:
    """One run of a workflow; its failed jobs can be run again, with what the others have said kept."""

    def __init__(self, file: Path, event: Event, repository: Path, machine: MakeMachine, environment: Path) -> None:
        self.file, self.event, self.repository = file, event, repository
        self.workflow = read(file)
        self.machine, self.environment = machine, environment
        self.jobs: dict[str, Job] = {}
        self.inputs = self._inputs()
        self.called: dict[str, Run] = {}
        if not starts(self.workflow, event):
            raise AssertionError(f"{event} does not start {file.name}")

    def _inputs(self) -> dict[str, str]:
        declared = (self.workflow[True].get(self.event.name) or {}).get("inputs", {})
        if unknown := self.event.inputs.keys() - declared.keys():
            raise AssertionError(f"{sorted(unknown)} is no input")
        given = {name: self.event.inputs.get(name, one.get("default", "")) for name, one in declared.items()}
        for name, value in given.items():
            assert value in declared[name].get("options", [value])
            assert value or not declared[name].get("required")
        return given

    @property
    def group(self) -> str:
        """The name of the group in which at most one run is at work."""
        return fill(self.workflow["concurrency"]["group"], lambda name: self._look(name, {}, {}))

    def start(self, dies_when: Mapping[str, Callable[[], bool]] | None = None) -> dict[str, Job]:
        """Run all jobs that have not succeeded yet. `dies_when`: job -> when its machine dies."""
        for name, job in self.workflow["jobs"].items():
            if self.jobs.get(name, Job()).result != "success":
                self.jobs[name] = self._job(name, job, (dies_when or {}).get(name))
        return self.jobs

    def _ancestors(self, job: Mapping[str, Any]) -> set[str]:
        needs = job.get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*(self._ancestors(self.workflow["jobs"][name]) for name in direct))

    def _job(self, name: str, job: Mapping[str, Any], dies_when: Callable[[], bool] | None) -> Job:
        ancestors = {each: self.jobs[each].result for each in self._ancestors(job)}
        status = {
            "success": all(result == "success" for result in ancestors.values()),
            "failure": "failure" in ancestors.values(),
            "cancelled": False,
            "always": True,
        }
        needs = {each: self.jobs[each].outputs for each in ancestors}
        environment = fill(job.get("environment", ""), lambda name: self._look(name, {}, {}))
        look = lambda name: self._look(name, needs, {}, environment)  # noqa: E731
        if not condition(str(job.get("if", "success()")), look, status):
            return Job()
        if "uses" in job:
            return self._call(name, job)
        return self._steps(name, job, environment, needs, dies_when)

    def _call(self, name: str, job: Mapping[str, Any]) -> Job:
        file = self.file.parent / job["uses"].removeprefix("$/.github/workflows/")
        event = Event("workflow_call", job.get("with", {}), (), self.event.ref, environments=self.event.environments)
        if name not in self.called:
            self.called[name] = Run(file, event, self.repository, self.machine, self.environment)
        for each in self.called[name].workflow["jobs"].values():
            assert each["permissions"].items() <= job["permissions"].items(), "the caller limits what the called may do"
        results = {each.result for each in self.called[name].start().values()}
        return Job("failure" if "failure" in results else "success")

    def _look(
        self,
        name: str,
        needs: Mapping[str, Mapping[str, str]],
        steps: Mapping[str, Mapping[str, str]],
        environment: str = "",
    ) -> Any:
        context, _, rest = name.partition(".")
        if context == "inputs" and rest in self._declared():
            return self.inputs.get(rest, "")
        if context in NAMES and rest not in NAMES[context]:
            raise Unknown(f"{name} is not known here")
        if context == "github":
            owner = "stranger/project" if self.event.fork else "owner/project"
            known = {"event_name": self.event.name, "ref": self.event.ref, "repository": "owner/project"}
            known["token"] = "a-token-of-the-job"
            return {**known, "event.pull_request.head.repo.full_name": owner}[rest]
        if context == "vars":
            values = self.event.environments
            return {**values.get("", {}), **values.get(environment, {})}.get(rest, "")
        if context == "secrets":
            return self.event.secrets.get(rest, "")
        places = {"needs": needs, "steps": steps}.get(context)
        found = re.fullmatch(r"([\w-]+)\.outputs\.([\w-]+)", rest)
        if places is None or not found or found[1] not in places:
            raise Unknown(f"{name} is not known here")
        if context == "needs" and found[2] not in self.workflow["jobs"][found[1]].get("outputs", {}):
            raise Unknown(f"{name}: the job has no such output")
        return places[found[1]].get(found[2], "")

    def _declared(self) -> set[str]:
        triggers = self.workflow[True].values()
        return {name for trigger in triggers for name in (trigger or {}).get("inputs", {})}

    def _steps(
        self,
        name: str,
        job: Mapping[str, Any],
        environment: str,
        needs: Mapping[str, Mapping[str, str]],
        dies_when: Callable[[], bool] | None,
    ) -> Job:
        outputs: dict[str, dict[str, str]] = {}
        look = lambda name: self._look(name, needs, outputs, environment)  # noqa: E731
        done = Job("success", fill(job.get("name", ""), look), environment=environment)
        machine = self.machine(name, self._variables(job))
        machine.dies_when = dies_when
        own = lambda name: self._look(name, {}, {})  # noqa: E731 - here, variables of the environment are not known yet
        common = {key: fill(str(text), own) for key, text in self.workflow.get("env", {}).items()}
        files = {which: machine.temporary / which for which in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for step in job["steps"]:
            for file in files.values():
                file.touch()
            try:
                if "uses" in step:
                    self._act(step, machine, look, done)
                    continue
                variables = common | {key: fill(str(text), look) for key, text in step.get("env", {}).items()}
                done.scripts.append(fill(step["run"], look))
                script = machine.temporary / "script.sh"
                script.write_text(done.scripts[-1])
                variables |= {which: str(file) for which, file in files.items()}
                code, log = machine.run(["bash", "-e", str(script)], variables)
                done.log += log
            except Died as died:
                done.result, done.log = "failure", done.log + str(died)
                return done  # nothing of a lost machine reaches GitHub, its outputs neither
            written = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
            files["GITHUB_OUTPUT"].unlink()
            outputs[step.get("id", "")] = written
            if code:
                done.result = "failure"
                break
        done.summary = files["GITHUB_STEP_SUMMARY"].read_text()
        for step in job["steps"]:
            outputs.setdefault(step.get("id", ""), {})
        done.outputs = {key: fill(text, look) for key, text in job.get("outputs", {}).items()}
        return done

    def _variables(self, job: Mapping[str, Any]) -> dict[str, str]:
        """What GitHub gives to each step; the place that issues OIDC tokens, only with the permission."""
        known = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "owner/project"}
        known |= {"GITHUB_REF": self.event.ref, "GITHUB_EVENT_NAME": self.event.name}
        permissions = job.get("permissions", self.workflow["permissions"])
        return known | ({"ID_TOKEN": "write"} if permissions.get("id-token") == "write" else {})

    def _act(self, step: Mapping[str, Any], machine: Machine, look: Callable[[str], Any], done: Job) -> None:
        action = step["uses"].partition("@")[0]
        given = {key: fill(str(text), look) for key, text in step.get("with", {}).items()}
        if action == "actions/checkout":
            machine.clone(self.repository, self.environment, depth=int(given.get("fetch-depth", "1")))
        elif action == "azure/login":
            assert "ACTIONS_ID_TOKEN_REQUEST_URL" in machine.variables, "azure/login needs id-token: write"
            assert all(given.values()), f"azure/login without {given}"
            machine.variables = {**machine.variables, **machine.sign_in_cli(reader=given["client-id"] == READER)}
        elif action == "actions/upload-artifact":
            source = machine.sources / given["path"]
            assert source.is_file() or given.get("if-no-files-found") != "error", f"{source} is not there"
            kept = machine.folder / "artifacts" / given["name"]
            kept.parent.mkdir(exist_ok=True)
            shutil.copy(source, kept)
            done.artifacts[given["name"]] = kept
