"""Runs a pipeline of Azure DevOps on this machine, as far as our pipelines go. What it does not know, it refuses.

Stages run one after the other, each job on a machine of its own. A task is not run: what it does there is said here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.ci.azure_devops_expressions import evaluate, fill_macros, fill_parameters
from tests.ci.github_expressions import Unknown
from tests.ci.machine import Died, Machine

KEYS = {
    "pipeline": {"trigger", "pr", "resources", "parameters", "lockBehavior", "pool", "variables", "stages", "jobs"},
    "parameter": {"name", "displayName", "type", "default", "values"},
    "template": {"parameters", "steps"},
    "stage": {"stage", "dependsOn", "condition", "variables", "jobs"},
    "job": {"job", "timeoutInMinutes", "steps", "workspace"},
    "deployment": {"deployment", "timeoutInMinutes", "environment", "strategy"},
    "AzureCLI@2": {"azureSubscription", "scriptType", "scriptLocation", "inlineScript"},
}
"""What may stand where; each is understood below."""
STEPS: dict[str, set[str]] = {
    "template": {"parameters"},
    "checkout": {"persistCredentials", "fetchDepth"},
    "bash": {"name", "displayName", "env"},
    "publish": {"artifact"},
    "download": {"patterns", "continueOnError"},
    "task": {"displayName", "inputs", "env"},
}
"""The kinds of steps -> what may stand beside."""
TASKS = ("UsePythonVersion@0", "Cache@2", "AzureCLI@2")
SET = re.compile(r"(?m)^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$")


@dataclass
class StageResult:
    """How a stage ended."""

    result: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    """JOB.STEP.NAME, and for a deployment JOB.JOB.STEP.NAME, as a condition of a later stage names it."""
    environment: str = ""
    connections: list[str] = field(default_factory=list)
    log: str = ""
    scripts: list[str] = field(default_factory=list)


MakeMachine = Callable[[str, Mapping[str, str]], Machine]


def read(file: Path, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a pipeline with its parameters and templates filled in. Raises Unknown if something is not known here."""
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    _known("pipeline", content)
    values = {}
    for one in content.get("parameters", ()):
        _known("parameter", one)
        values[one["name"]] = (parameters or {}).get(one["name"], one["default"])
        assert values[one["name"]] in one.get("values", [values[one["name"]]])
    if unknown := (parameters or {}).keys() - values.keys():
        raise AssertionError(f"{sorted(unknown)} is no parameter")
    content = fill_parameters({**content, "parameters": None}, values)
    content.setdefault("stages", [{"stage": "__default", "jobs": content.pop("jobs", [])}])
    for stage in content["stages"]:
        _known("stage", stage)
        for job in stage["jobs"]:
            _known("deployment" if "deployment" in job else "job", job)
            if "deployment" in job:
                assert job["strategy"].keys() == {"runOnce"}
                assert job["strategy"]["runOnce"].keys() == {"deploy"}
                job["steps"] = job["strategy"]["runOnce"]["deploy"]["steps"]
            job["steps"] = [step for each in job["steps"] for step in _steps(file.parent, each)]
    return content


def _known(kind: str, content: Mapping[str, Any]) -> None:
    if unknown := content.keys() - KEYS[kind]:
        raise Unknown(f"{kind}: {sorted(unknown)} is not known here")


def _steps(folder: Path, step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kind = next(iter(step))
    if kind not in STEPS or step.keys() - STEPS[kind] - {kind}:
        raise Unknown(f"a step {sorted(step)} is not known here")
    if kind == "task" and step["task"] not in TASKS:
        raise Unknown(f"the task {step['task']} is not known here")
    if kind == "task" and step["task"] == "AzureCLI@2":
        _known("AzureCLI@2", step["inputs"])
        assert (step["inputs"]["scriptType"], step["inputs"]["scriptLocation"]) == ("bash", "inlineScript")
    if kind != "template":
        return [step]
    content = yaml.safe_load((folder / step["template"]).read_text("utf-8"))
    _known("template", content)
    declared = {one["name"]: one.get("default") for one in content["parameters"]}
    given = step.get("parameters", {})
    assert given.keys() <= declared.keys()
    values = {**declared, **given}
    assert None not in values.values(), f"{step['template']} lacks a parameter"
    return [one for each in fill_parameters(content["steps"], values) for one in _steps(folder, each)]


class PipelineRun:
    """One run of a pipeline; its failed stages can be run again, with what the others have said kept."""

    def __init__(
        self,
        file: Path,
        repository: Path,
        machine: MakeMachine,
        environment: Path,
        *,
        parameters: Mapping[str, str] | None = None,
        reason: str = "Manual",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.pipeline = read(file, parameters)
        self.repository, self.machine, self.environment = repository, machine, environment
        self.system = {"Build.Reason": reason, "System.PullRequest.IsFork": "False", "System.StageAttempt": "1"}
        self.system |= variables or {}
        self.stages: dict[str, StageResult] = {}
        self.artifacts: dict[str, Path] = {}

    def start(self, dies_when: Mapping[str, Callable[[], bool]] | None = None) -> dict[str, StageResult]:
        """Run all stages that have not succeeded yet. `dies_when`: stage -> when the machine of its job dies."""
        before = None
        for stage in self.pipeline["stages"]:
            name, needs = stage["stage"], stage.get("dependsOn", [before] if before else [])
            before = name
            if self.stages.get(name, StageResult()).result != "succeeded":
                needs = [needs] if isinstance(needs, str) else needs
                self.stages[name] = self._stage(stage, needs, (dies_when or {}).get(name))
        return self.stages

    def _stage(self, stage: Mapping[str, Any], needs: list[str], dies_when: Callable[[], bool] | None) -> StageResult:
        results = [self.stages[each].result for each in needs]
        status = {"succeeded": all(each == "succeeded" for each in results), "failed": "failed" in results}
        status["canceled"] = False
        look = lambda name: self._look(name, needs)  # noqa: E731
        if not evaluate(stage.get("condition", "succeeded()"), look, status):
            return StageResult()
        done = StageResult("succeeded")
        variables = {**self.pipeline["variables"]}
        for name, text in stage.get("variables", {}).items():
            assert text.startswith("$[")
            variables[name] = str(evaluate(text.removeprefix("$[").removesuffix("]"), look))
        (job,) = stage["jobs"]
        done.environment = job.get("environment", "")
        self._job(job, variables, done, dies_when)
        return done

    def _look(self, name: str, needs: list[str]) -> str:
        found = re.fullmatch(r"variables\['([\w.]+)'\]", name)
        if found and found[1] in self.system:
            return self.system[found[1]]
        found = re.fullmatch(r"dependencies\.(\w+)\.outputs\['([\w.]+)'\]", name)
        if found and found[1] in needs:
            return self.stages[found[1]].outputs.get(found[2], "")
        found = re.fullmatch(r"stageDependencies\.(\w+)\.(\w+)\.outputs\['([\w.]+)'\]", name)
        if found and found[1] in needs:
            return self.stages[found[1]].outputs.get(f"{found[2]}.{found[3]}", "")
        raise Unknown(f"{name} is not known here")

    def _job(
        self,
        job: Mapping[str, Any],
        variables: Mapping[str, str],
        done: StageResult,
        dies_when: Callable[[], bool] | None,
    ) -> None:
        deployment = "deployment" in job
        machine = self.machine(job["deployment" if deployment else "job"], {"TF_BUILD": "True"})
        machine.dies_when = dies_when
        places = {"Pipeline.Workspace": str(machine.folder), "Agent.TempDirectory": str(machine.temporary)}
        known = {**self.system, **places, "System.AccessToken": machine.job_token, "Agent.OS": "Linux"}
        known |= {name: fill_macros(str(text), known) for name, text in variables.items()}
        shown = {name: text for name, text in known.items() if name != "System.AccessToken"}
        common = {re.sub(r"[. ]", "_", name).upper(): text for name, text in shown.items()}
        for step in job["steps"]:
            own = {name: fill_macros(str(text), known) for name, text in step.get("env", {}).items()}
            kind = next(iter(step))
            if kind == "checkout" and step["checkout"] == "self":
                machine.clone(self.repository, self.environment, depth=int(step["fetchDepth"]))
            elif kind == "publish":
                self.artifacts[fill_macros(step["artifact"], known)] = machine.sources / step["publish"]
            elif kind == "download":
                for name, source in self.artifacts.items():
                    shutil.copytree(source, machine.folder / name)
            elif kind == "bash" or step.get("task") == "AzureCLI@2":
                script = fill_macros(step["bash"], known) if kind == "bash" else step["inputs"]["inlineScript"]
                if kind == "task":
                    connection = step["inputs"]["azureSubscription"]
                    done.connections.append(connection)
                    signed_in = machine.sign_in_cli(reader=connection.endswith("-reader"))
                    own |= {**signed_in, **machine.service_connection(connection)}
                if not self._script(script, machine, common | own, step, job, done):
                    return

    def _script(
        self,
        script: str,
        machine: Machine,
        variables: Mapping[str, str],
        step: Mapping[str, Any],
        job: Mapping[str, Any],
        done: StageResult,
    ) -> bool:
        """Run a script and take what it sets; return whether it succeeded."""
        done.scripts.append(script)
        file = machine.temporary / "script.sh"
        file.write_text(script)
        try:
            code, log = machine.run(["bash", "--noprofile", "--norc", str(file)], variables)
        except Died as died:
            done.result, done.log = "failed", done.log + str(died)
            return False
        done.log += log
        name = job.get("deployment", job.get("job"))
        prefix = f"{name}.{name}" if "deployment" in job else name
        for variable, value in SET.findall(log) if "name" in step else ():
            done.outputs[f"{prefix}.{step['name']}.{variable}"] = value
        if code:
            done.result = "failed"
        return not code
