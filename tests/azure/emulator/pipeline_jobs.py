"""Pipelines that really run: each step a job of its own, in the order of their data, unchanged steps taken from before.

A step's job is a child of the pipeline's: Azure Resource Manager tells of it only that it is there, and the run history
has the rest, as azure-ai-ml reads it (`_is_pipeline_child_job`, `RunOperations.get_run_children`). What a step takes
from an earlier pipeline: how-to-debug-pipeline-reuse-issues.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.azure.emulator.faults import Fault

if TYPE_CHECKING:
    from tests.azure.emulator.jobs import Jobs

LOOK = 0.05
STORE = "blobstore"
"""The container of the default datastore."""
_SOURCE = re.compile(r"\$\{\{\s*parent\.(?:jobs\.(\w+)\.outputs|inputs)\.(\w+)\s*\}\}")
_USE = re.compile(r"\$\{\{\s*(inputs|outputs)\.(\w+)(?:\.path)?\s*\}\}")


def ids_of(properties: dict[str, Any]) -> list[str]:
    """Return the ids that a pipeline names: components, and computes that are not serverless."""
    steps = list((properties.get("jobs") or {}).values())
    computes = [(properties.get("settings") or {}).get("default_compute"), *(step.get("computeId") for step in steps)]
    return [step["componentId"] for step in steps] + [each for each in computes if each and each != "serverless"]


class PipelineJob:
    """One pipeline: its document, its steps, and what each has written."""

    def __init__(self, jobs: Jobs, path: str, properties: dict[str, Any], fault: Fault | None) -> None:
        self.jobs, self.path, self.properties, self.fault = jobs, path, properties, fault
        self.name = path.rsplit("/", 1)[-1]
        self.error: dict[str, str] | None = None
        self.cancelled = threading.Event()
        self.steps: dict[str, Any] = {}
        """Step -> its job, once it has started or was taken from an earlier pipeline."""
        self.children: list[dict[str, Any]] = []

    @property
    def status(self) -> str:
        return str(self.properties["status"])

    def run(self) -> None:
        """Bring the pipeline from its submission to its end."""
        self.properties["status"] = "Running"
        waiting = dict(self.properties["jobs"])
        goes_on = bool((self.properties.get("settings") or {}).get("continue_on_step_failure"))
        while waiting or self._running():
            failed = [name for name, job in self.steps.items() if job.status in ("Failed", "Canceled")]
            if self.cancelled.is_set() or (failed and not goes_on):
                waiting = {}
            if self.cancelled.is_set():
                for job in self._running():
                    job.cancelled.set()
            for name in [name for name, step in waiting.items() if self._is_ready(step)]:
                self._start(name, waiting.pop(name))
            if failed and not self._running() and not any(map(self._is_ready, waiting.values())):
                break  # the others wait for a step that failed
            time.sleep(LOOK)
        failed = [name for name, job in self.steps.items() if job.status != "Completed"]
        if failed:
            self.error = {
                "code": "UserError",
                "message": f"Pipeline has failed child jobs. Failed nodes: /{', /'.join(failed)}.",
            }
        self._end("Canceled" if self.cancelled.is_set() else "Failed" if failed else "Completed")

    def _running(self) -> list[Any]:
        return [job for job in self.steps.values() if job.status not in ("Completed", "Failed", "Canceled")]

    def _is_ready(self, step: dict[str, Any]) -> bool:
        needed = [match[1] for match in _sources(step) if match[1]]
        return all(name in self.steps and self.steps[name].status == "Completed" for name in needed)

    def _start(self, name: str, step: dict[str, Any]) -> None:
        spec = self.jobs.manager.find(step["componentId"])["properties"]["componentSpec"]  # type: ignore[index]
        place = step.get("computeId") or (self.properties.get("settings") or {}).get("default_compute")
        inputs = {key: self._input(key, step, spec) for key in spec.get("inputs") or {}}
        variables = step.get("environment_variables") or {}
        same = json.dumps([step["componentId"], inputs, place, variables, step.get("resources")], sort_keys=True)
        child = str(uuid.uuid4())
        began = datetime.now(UTC).isoformat()
        about = {"runId": child, "displayName": step.get("display_name") or name, "parentRunId": self.name}
        about |= {"rootRunId": self.name, "createdUtc": began, "startTimeUtc": began, "properties": {}}
        again = (self.properties.get("settings") or {}).get("force_rerun") or not spec.get("is_deterministic", True)
        if not again and (earlier := self.jobs.reusable.get(same)):
            self.steps[name] = earlier
            about["properties"] = {"azureml.isreused": "true", "azureml.reusedrunid": earlier.name}
            self.children.append(about | {"endTimeUtc": began})
            return
        outputs = {key: str(self._place(child, key)) for key in spec.get("outputs") or {}}
        values = {"inputs": inputs, "outputs": outputs}
        limits, identity = step.get("limits") or {}, step.get("identity") or {}
        properties = {
            "jobType": "Command",
            "command": _USE.sub(lambda match: values[match[1]][match[2]], spec["command"]),
            "codeId": str(spec.get("code") or "").removeprefix("azureml:"),
            "environmentId": str(spec["environment"]).removeprefix("azureml:"),
            "computeId": "" if place == "serverless" else place,
            "experimentName": self.properties.get("experimentName"),
            "displayName": about["displayName"],
            "environmentVariables": variables,
            "resources": _camel(step.get("resources")),
            "distribution": _camel(step.get("distribution")),
            "limits": {"timeout": limits.get("timeout")},
            "tags": {"mlflow.parentRunId": self.name, "mlflow.rootRunId": self.name},
            **({"identity": identity} if identity else {}),
        }
        path = f"{self.path.rpartition('/')[0]}/{child}"
        started = asyncio.run_coroutine_threadsafe(self.jobs.start_child(path, properties), self.jobs.loop)
        self.children.append(about)
        self.steps[name] = job = started.result(60)
        job.outputs = outputs
        if spec.get("is_deterministic", True):
            threading.Thread(target=self._remember, args=(same, job), daemon=True).start()

    def _remember(self, same: str, job: Any) -> None:
        """Keep a step that succeeded, for later pipelines with the same one."""
        while job.status not in ("Completed", "Failed", "Canceled"):
            time.sleep(LOOK)
        if job.status == "Completed":
            self.jobs.reusable[same] = job

    def _input(self, key: str, step: dict[str, Any], spec: dict[str, Any]) -> str:
        """The text that stands in the command for an input: a value, or where the data lies."""
        given = (step.get("inputs") or {}).get(key)
        if given is None:
            return str(spec["inputs"][key].get("default", ""))
        text = str(given.get("value") if "value" in given else given.get("uri"))
        match = _SOURCE.fullmatch(text)
        if match and match[1]:
            return str(self.steps[match[1]].outputs[match[2]])
        if match:
            ours = self.properties["inputs"][match[2]]
            return str(ours.get("value") if "value" in ours else ours.get("uri"))
        return text

    def _place(self, child: str, output: str) -> Any:
        """Where an output lies on the default datastore, as it is mounted for the step."""
        file = self.jobs.tracking.blobs / STORE / "azureml" / child / output
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _end(self, status: str) -> None:
        ended = {"Completed": "FINISHED", "Canceled": "KILLED"}.get(status, "FAILED")
        self.jobs.tracking.end_run(self.name, ended)
        self.properties["status"] = status

    def details(self) -> dict[str, Any]:
        """What the run history tells of the pipeline."""
        answer = {"runId": self.name, "status": self.status, "logFiles": {}}
        return answer | ({"error": {"error": self.error}} if self.error else {})

    def listed_children(self) -> list[dict[str, Any]]:
        """What the run history tells of the steps that have started."""
        listed = []
        for about, job in zip(list(self.children), list(self.steps.values()), strict=False):
            error = {"error": {"error": job.error}} if job.error else {}
            listed.append(
                about | {"status": job.status, **{k: v for k, v in job.times.items() if k not in about}, **error}
            )
        return listed


def _sources(step: dict[str, Any]) -> list[re.Match[str]]:
    texts = [str(each.get("value") or each.get("uri")) for each in (step.get("inputs") or {}).values()]
    return [match for match in map(_SOURCE.fullmatch, texts) if match]


def _camel(values: dict[str, Any] | None) -> dict[str, Any]:
    """The keys of a step's part as those of a command job."""
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), key): value for key, value in (values or {}).items()}
