"""Online endpoints at the resource manager: rules of state, keys, logs, and a process for each deployment."""

from __future__ import annotations

import re
import secrets
import sys
import time
import uuid
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.azure.emulator.blobs import folder_of
from tests.azure.emulator.certificates import REGIONS
from tests.azure.emulator.collector_sidecar import CollectorSidecar
from tests.azure.emulator.faults import Fault, Faults
from tests.azure.emulator.record import SPLIT
from tests.azure.emulator.resource_manager import CORES, Document, ResourceManager, failed, not_found
from tests.azure.emulator.scoring_process import Collector, ScoringProcess
from tests.azure.emulator.sign_in import SignIn
from tests.azure.emulator.tracking_facade import SCOPE

HOST = "{endpoint}.{region}.inference.ml.azure.com"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")
MOST_MIRRORED = 50
CRASHED = "User container has crashed or terminated. See https://aka.ms/oe-tsg#error-resourcenotready"


class OnlineEndpoints:
    """The endpoints of all workspaces. Their documents are the resource manager's; this holds them to their rules."""

    def __init__(self, folder: Path, manager: ResourceManager, sign_in: SignIn, faults: Faults) -> None:
        self._folder, self.manager, self.sign_in, self.faults = folder, manager, sign_in, faults
        self.processes: dict[str, ScoringProcess] = {}
        self.secrets: dict[str, str] = {}
        self.python = sys.executable
        endpoint = f"/{SCOPE}/onlineEndpoints/{{endpoint}}"
        deployment = f"{endpoint}/deployments/{{slot}}"
        self.routes = [
            Route(endpoint, self.put_endpoint, methods=["PUT"]),
            Route(endpoint, self.delete, methods=["DELETE"]),
            Route(f"{endpoint}/{{action}}", self.secret, methods=["POST"]),
            Route(deployment, self.put_deployment, methods=["PUT"]),
            Route(deployment, self.delete, methods=["DELETE"]),
            Route(f"{deployment}/getLogs", self.logs, methods=["POST"]),
        ]

    # -- the resource manager's side

    async def put_endpoint(self, request: Request) -> Response:
        """Make an endpoint or change its traffic, if the traffic is one that an endpoint can have."""
        path, body = request.url.path, await request.json()
        own = body.get("properties") or {}
        slots = {
            each["name"]: each["properties"]["provisioningState"] for each in self.manager.below(f"{path}/deployments")
        }
        split = {"traffic": own.get("traffic") or {}, "mirror": own.get("mirrorTraffic") or {}, "slots": slots}
        request.scope[SPLIT] = split
        if not NAME.fullmatch(request.path_params["endpoint"]):
            return failed(400, "BadArgument", "Endpoint names have 3 to 32 letters, digits and -, a letter first.")
        if own.get("compute") and not self.manager.find(own["compute"]):
            return failed(400, "BadArgument", f"The compute {own['compute']} was not found.")
        if problem := self._wrong_traffic(path, own):
            return failed(400, "BadArgument", problem)
        answer = await self.manager.answer(request)
        if (document := self.manager.find(path)) is not None and answer.status_code < 300:
            host = HOST.format(endpoint=document["name"], region=document.get("location", REGIONS[0]))
            document["properties"] |= {
                "scoringUri": f"https://{host}/score",
                "swaggerUri": f"https://{host}/swagger.json",
            }
            self.secrets.setdefault(path.lower(), secrets.token_urlsafe(24))
        return answer

    def _wrong_traffic(self, path: str, own: Document) -> str:
        live = {slot: share for slot, share in (own.get("traffic") or {}).items() if share}
        mirror = {slot: share for slot, share in (own.get("mirrorTraffic") or {}).items() if share}
        if sum(live.values()) not in (0, 100):
            return f"The traffic sums to {sum(live.values())}, and must sum to 0 or 100."
        for slot in (*live, *mirror):
            document = self.manager.find(f"{path}/deployments/{slot}")
            if document is None:
                return f"Traffic is set for the deployment {slot}, which does not exist."
            if document["properties"]["provisioningState"] != "Succeeded":
                return f"Traffic is set for the deployment {slot}, which has not succeeded."
        if len(mirror) > 1 or any(share > MOST_MIRRORED for share in mirror.values()):
            return f"At most {MOST_MIRRORED} percent can be mirrored, to one deployment."
        if mirror.keys() & live.keys():
            return "A deployment cannot have live and mirrored traffic."
        return "Kubernetes endpoints cannot mirror traffic." if mirror and own.get("compute") else ""

    async def put_deployment(self, request: Request) -> Response:
        """Start the process of a deployment; the operation ends when it is healthy or gone."""
        path, body = request.url.path, await request.json()
        own, endpoint = body.get("properties") or {}, self.manager.find(path.partition("/deployments/")[0])
        if endpoint is None:
            return not_found(path.partition("/deployments/")[0])
        if missing := [key for key in ("endpointComputeType", "model", "environmentId") if key not in own]:
            return failed(400, "BadArgument", f"The request has no {missing[0]}.")
        if problem := self._wrong_deployment(path, body, endpoint):
            return failed(400, *problem)
        fault = self.faults.take(request, "image_build_fails", "container_crashes")
        answer = await self.manager.answer(request)
        if answer.status_code >= 300:
            return answer
        process = None
        if fault is None or fault.kind == "container_crashes":
            folder = self._folder / uuid.uuid4().hex
            model = self.manager.find(own["model"]) or {}
            self._lay_out(model["properties"]["modelUri"], folder / "model" / "model")
            code = self.manager.find(own["codeConfiguration"]["codeId"]) or {}
            self._lay_out(code["properties"]["codeUri"], folder / "code")
            variables = {key: str(value) for key, value in (own.get("environmentVariables") or {}).items()}
            script, collector = own["codeConfiguration"]["scoringScript"], self._collector(path, own)
            process = ScoringProcess(
                folder, script, variables, self.python, crashes=fault is not None, collector=collector
            )

        def outcome() -> Fault | bool | None:
            if process is None:
                return fault
            if process.healthy:
                self._replace(path, process)
                return None
            return True if process.running else Fault("operation_fails", code="ResourceNotReady", message=CRASHED)

        if process is not None and path.lower() not in self.processes:
            self.processes[path.lower()] = process
        self.manager.newest_operation(path).outcome = outcome
        return answer

    def _collector(self, path: str, own: Document) -> Collector | None:
        """Return what collects beside a deployment whose file asks for it."""
        collections = (own.get("dataCollector") or {}).get("collections") or {}
        shares = {
            name: 100 * each.get("samplingRate", 1)
            for name, each in collections.items()
            if str(each.get("dataCollectionMode")).lower() == "enabled"
        }
        workspace, _, names = path.partition("/onlineEndpoints/")
        endpoint, _, slot = names.partition("/deployments/")
        root = self._folder.parent / "blobs" / "blobstore"
        return Collector(CollectorSidecar(root, endpoint, slot, workspace=workspace), shares) if shares else None

    def _wrong_deployment(self, path: str, body: Document, endpoint: Document) -> tuple[str, str] | None:
        own = body.get("properties") or {}
        if not NAME.fullmatch(path.rpartition("/")[2]):
            return "BadArgument", "Deployment names have 3 to 32 letters, digits and -, a letter first."
        if (own["endpointComputeType"] == "Kubernetes") != bool(endpoint["properties"].get("compute")):
            return "BadArgument", "The compute type of the deployment is not that of its endpoint."
        for name in (own["model"], own["environmentId"], own["codeConfiguration"]["codeId"]):
            if self.manager.find(name) is None:
                return "BadArgument", f"{name} was not found."
        if own["endpointComputeType"] == "Managed":
            digits = re.sub(r"\D", " ", own["instanceType"]).split() or ["1"]
            cores = int(digits[0]) * int(body["sku"]["capacity"])
            if cores * 1.2 > CORES:  # a fifth is held back for upgrades
                return "OutOfQuota", f"Not enough quota available for {own['instanceType']}: {cores} cores and 20 %."
        return None

    def _replace(self, path: str, process: ScoringProcess) -> None:
        """Let a healthy process serve; the one before it ends only now."""
        before = self.processes.get(path.lower())
        if before is not process:
            if before is not None:
                before.stop()
            self.processes[path.lower()] = process

    def _lay_out(self, uri: str, folder: Path) -> None:
        source = self._folder.parent / "blobs" / folder_of(uri)
        for file in (each for each in source.rglob("*") if each.is_file()):
            target = folder / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())

    async def delete(self, request: Request) -> Response:
        """Delete an endpoint, or a deployment that has no traffic, and end what serves."""
        path = request.url.path
        endpoint = self.manager.find(path.partition("/deployments/")[0]) or {"properties": {}}
        slot = request.path_params.get("slot")
        for key in ("traffic", "mirrorTraffic"):
            if slot and (endpoint["properties"].get(key) or {}).get(slot):
                return failed(400, "BadRequest", f"The deployment {slot} has traffic and cannot be deleted.")
        for key in [key for key in self.processes if f"{key}/".startswith(f"{path.lower()}/")]:
            self.processes.pop(key).stop()
        return await self.manager.answer(request)

    async def secret(self, request: Request) -> Response:
        """The keys of an endpoint with keys, the token of one with Azure ML tokens."""
        path, action = request.url.path.rpartition("/")[0], request.path_params["action"]
        document = self.manager.find(path)
        if document is None:
            return not_found(path)
        mode, secret = document["properties"]["authMode"].lower(), self.secrets[path.lower()]
        if (action, mode) == ("listKeys", "key"):
            return JSONResponse({"primaryKey": secret, "secondaryKey": f"{secret}-2"})
        if (action, mode) == ("token", "amltoken"):
            later = int(time.time()) + 3600
            return JSONResponse({"accessToken": secret, "expiryTimeUtc": later, "refreshAfterTimeUtc": later - 600})
        return failed(400, "BadArgument", f"{action} is not for endpoints of auth mode {mode}.")

    async def logs(self, request: Request) -> Response:
        """The end of a container's log; before there is a container, there is none."""
        path, asked = request.url.path.rpartition("/")[0], await request.json()
        process = self.processes.get(path.lower())
        if self.manager.find(path) is None:
            return not_found(path)
        text = ""
        if process is not None:
            initializer = asked.get("containerType") == "StorageInitializer"
            text = "Downloaded the model.\n" if initializer else process.log.read_text(errors="replace")
        return JSONResponse({"content": "\n".join(text.split("\n")[-asked["tail"] - 1 :])})

    def stop(self) -> None:
        """End all processes, when the emulator ends."""
        for process in self.processes.values():
            process.stop()
