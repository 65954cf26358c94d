"""Schedules at the resource manager: their rules, and the jobs that they start when somebody asks for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.azure.emulator.jobs import Jobs
from tests.azure.emulator.resource_manager import Document, failed, not_found
from tests.azure.emulator.tracking_facade import SCOPE

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
SPELLED = ("frequency", "triggerType", "weekDays")
"""Enumerations that are answered with a capital, whatever came in."""


class Schedules:
    """The schedules of all workspaces. Their documents are the resource manager's; this holds them to their rules."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self._manager = jobs, jobs.manager
        schedule = f"/{SCOPE}/schedules/{{name}}"
        self.routes = [
            Route(schedule, self.put, methods=["PUT"]),
            Route(schedule, self.delete, methods=["DELETE"]),
            Route(f"{schedule}/trigger", self.trigger, methods=["POST"]),
            Route(f"/{SCOPE}/schedules", self.list, methods=["GET"]),
            Route(f"/{SCOPE}/jobs", self.list_jobs, methods=["GET"]),
        ]

    async def put(self, request: Request) -> Response:
        """Make or change a schedule, if it could run."""
        path, own = request.url.path, (await request.json()).get("properties") or {}
        is_new = self._manager.find(path) is None
        if not NAME.fullmatch(request.path_params["name"]):
            return failed(400, "InvalidScheduleName", "A schedule's name has letters, digits, - and _.")
        problem = _wrong_trigger(own.get("trigger") or {}) or self._wrong_action(path, own.get("action") or {})
        if problem:
            return failed(400, "UserError", problem)
        answer = await self._manager.answer(request)
        if (document := self._manager.find(path)) is not None and answer.status_code < 300:
            document["properties"].setdefault("isEnabled", True)
            document["properties"] |= {"provisioningState": "Succeeded", "displayName": own.get("displayName")}
            document["properties"]["trigger"] = _spelled(_completed(document["properties"]["trigger"]))
            if job := document["properties"]["action"].get("jobDefinition"):
                job |= {"status": "NotStarted", "services": {}, "description": job.get("description")}
            if is_new and document["properties"]["isEnabled"] and not (own.get("trigger") or {}).get("startTime"):
                await self._start(path, document, datetime.now(UTC))  # it has no time to wait for
        return answer

    def _wrong_action(self, path: str, action: Document) -> str:
        kind = str(action.get("actionType")).lower()
        if kind == "createjob":
            job = action.get("jobDefinition") or {}
            if str(job.get("jobType")).lower() != "pipeline":
                return "Only pipeline jobs can be scheduled."
            ids = [step.get("componentId") for step in (job.get("jobs") or {}).values()]
            missing = [each for each in ids if not self._manager.find(str(each))]
            return f"The component {missing[0]} was not found." if missing else "" if ids else "The pipeline is empty."
        if kind == "createmonitor":
            return self._wrong_monitor(path, action.get("monitorDefinition") or {})
        return f"The action {action.get('actionType')} is not supported."

    def _wrong_monitor(self, path: str, monitor: Document) -> str:
        target = (monitor.get("monitoringTarget") or {}).get("deploymentId") or ""
        deployment = self._manager.find(target)
        if deployment is None:
            return f"The deployment {target} was not found."
        collector = (deployment["properties"].get("dataCollector") or {}).get("collections") or {}
        signals = monitor.get("signals") or {}
        for name, signal in signals.items():
            production, reference = signal.get("productionData") or {}, signal.get("referenceData") or {}
            collection = collector.get(production.get("dataContext")) or {}
            if str(collection.get("dataCollectionMode")).lower() != "enabled":
                return f"Signal {name}: the deployment does not collect {production.get('dataContext')}."
            for data in (production, reference):
                asset = self._asset(path, str(data.get("uri")))
                if asset is None or asset["properties"]["dataType"] != str(data.get("jobInputType")).lower():
                    return f"Signal {name}: {data.get('jobInputType')} {data.get('uri')} was not found."
        return "" if signals else "The monitor has no signals."

    def _asset(self, path: str, uri: str) -> Document | None:
        name, _, version = uri.removeprefix("azureml:").partition(":")
        scope = path.partition("/schedules/")[0]
        return self._manager.find(uri) or self._manager.find(f"{scope}/data/{name}/versions/{version}")

    async def delete(self, request: Request) -> Response:
        """Delete a schedule that is off."""
        document = self._manager.find(request.url.path)
        if document is not None and document["properties"].get("isEnabled"):
            return failed(400, "UserError", "An enabled schedule cannot be deleted. Disable it first.")
        return await self._manager.answer(request)

    async def trigger(self, request: Request) -> Response:
        """Start what a schedule starts, as a job of its own."""
        path, asked = request.url.path.removesuffix("/trigger"), await request.json()
        document = self._manager.find(path)
        if document is None:
            return not_found(path)
        own = document["properties"]
        if not own["isEnabled"]:
            return failed(400, "UserError", "A disabled schedule cannot be triggered.")
        moment = datetime.fromisoformat(asked["scheduleTime"]).astimezone(UTC)
        name = await self._start(path, document, moment)
        return JSONResponse({"submissionId": name, "scheduleActionType": own["action"]["actionType"]})

    async def _start(self, path: str, document: Document, moment: datetime) -> str:
        """Start what a schedule starts; return the name of the job."""
        own = document["properties"]
        name = f"{document['name']}-{moment:%Y%m%dT%H%M%S.%fZ}".replace(".", "-")
        scope, kind = path.partition("/schedules/")[0], own["action"]["actionType"]
        properties: dict[str, Any] = {"jobType": "Pipeline", **own["action"].get("jobDefinition", {})}
        properties["displayName"] = f"{document['name']}-{moment:%Y%m%dT%H%M%SZ}"
        properties["properties"] = {"azureml.schedule": document["name"]}
        if kind.lower() == "createjob":
            await self._jobs.start(f"{scope}/jobs/{name}", properties)
        else:  # there is no Spark here: that it ran is written down
            self._manager.put(f"{scope}/jobs/{name}", {"properties": properties | {"status": "Completed"}})
        return name

    async def list(self, request: Request) -> Response:
        """List schedules; those that are off only for whoever asks for all."""
        answer = await self._manager.answer(request)
        return answer if request.query_params.get("listViewType") == "All" else self._enabled(request)

    def _enabled(self, request: Request) -> Response:
        found = [one for one in self._manager.below(request.url.path) if one["properties"].get("isEnabled")]
        return JSONResponse({"value": found})

    async def list_jobs(self, request: Request) -> Response:
        """List the jobs that a schedule started, the newest first; other lists are the resource manager's."""
        if (name := request.query_params.get("scheduleId")) is None:
            return await self._manager.answer(request)
        found = [
            one
            for one in self._manager.below(request.url.path)
            if (one["properties"].get("properties") or {}).get("azureml.schedule") == name
        ]
        return JSONResponse({"value": found[::-1]})


def _wrong_trigger(trigger: Document) -> str:
    kind = str(trigger.get("triggerType")).lower()
    if kind not in ("cron", "recurrence"):
        return f"The trigger type {trigger.get('triggerType')} is not supported."
    if kind == "cron" and len(str(trigger.get("expression")).split()) != 5:
        return f"The cron expression {trigger.get('expression')} is invalid."
    if "/" in str(trigger.get("timeZone")):
        return f"The time zone {trigger['timeZone']} is not supported."
    return ""


def _completed(trigger: Document) -> Document:
    """A trigger as it is answered: it has a start always, and what it has none of is null."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"  # in whatever zone the trigger is
    none = {"schedule": None} if str(trigger.get("triggerType")).lower() == "recurrence" else {}
    return {**none, "endTime": None, **trigger, "startTime": trigger.get("startTime") or now}


def _spelled(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {inner: _spelled(each, inner) for inner, each in value.items()}
    if isinstance(value, list):
        return [_spelled(each, key) for each in value]
    return value.capitalize() if key in SPELLED and isinstance(value, str) else value
