"""Jobs that really run: the command in a folder with the snapshot, with the variables of the service, bounded in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router

from tests.azure import distributions
from tests.azure.emulator import batch_endpoints
from tests.azure.emulator.certificates import MANAGEMENT, REGIONS
from tests.azure.emulator.faults import Fault, Faults
from tests.azure.emulator.pipeline_jobs import PipelineJob, ids_of
from tests.azure.emulator.resource_manager import RETRY, ResourceManager, failed, not_found
from tests.azure.emulator.sign_in import SignIn
from tests.azure.emulator.sweep_jobs import SweepJob
from tests.azure.emulator.tracking_facade import SCOPE, TrackingFacade

LONGEST = 300.0
"""Seconds that a job may take at most."""
GRACE = 10.0
"""Seconds that a cancelled job has to end by itself."""
LOOK = 0.05
ANY_NUMBER = 1000
"""Of machines, where no cluster has an end."""
ENDED = ("Completed", "Failed", "Canceled")
MLFLOW_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
RESULTS = (
    f"/subscriptions/{{sub}}/providers/Microsoft.MachineLearningServices/locations/{REGIONS[0]}/mfeOperationResults"
)


class Job:
    """One job: its document, its processes, and what is wrong with it."""

    def __init__(self, jobs: Jobs, path: str, properties: dict[str, Any], fault: Fault | None) -> None:
        self.jobs, self.path, self.properties, self.fault = jobs, path, properties, fault
        self.name = path.rsplit("/", 1)[-1]
        self.error: dict[str, str] | None = None
        self.logs: list[str] = []
        self.cancelled = threading.Event()
        self.began = datetime.now(UTC).isoformat()
        self.times: dict[str, str] = {}
        self.timed_out = False
        self.outputs: dict[str, str] = {}
        """Of a pipeline's step: output -> where it lies."""
        self.batch: tuple[dict[str, Any], dict[str, Any], dict[str, str]] | None = None
        """Endpoint, deployment and places of the files of a batch."""

    @property
    def status(self) -> str:
        return str(self.properties["status"])

    def run(self) -> None:
        """Bring the job from its submission to its end."""
        kind = self.fault.kind if self.fault else ""
        self.properties["status"] = "Preparing"
        if kind == "image_build_fails" and self.fault:
            self.error = {"code": self.fault.code, "message": self.fault.message}
            self._end("Failed")
            return
        self.properties["status"] = "Queued"
        if kind == "never_starts":
            self.cancelled.wait(LONGEST)
        with self.jobs.machine_for(self):
            self._run(kind)

    def _run(self, kind: str) -> None:
        """Run the job on the machine that it has."""
        if kind == "evicted" and self.fault:
            self._execute(self.fault.retry_after)
            self.properties["status"] = "Queued"  # a low-priority VM went away; the job starts again
            self.cancelled.wait(1)
        if self.batch is not None:
            self._score()
            return
        codes = self._execute(LONGEST)
        if self.cancelled.is_set() or self.timed_out:
            self._end("Canceled")
            return
        if bad := [(rank, code) for rank, code in enumerate(codes) if code]:
            where = f" (process {bad[0][0]})" if len(codes) > 1 else ""
            message = f"Execution failed. User process '{self.properties['command'][:20]}' exited with status code {bad[0][1]}{where}."
            self.error = {"code": "UserError", "message": message}
        self._end("Failed" if bad else "Completed")

    def _score(self) -> None:
        """Run the job of a batch endpoint."""
        self.properties["status"] = "Running"
        self.times["startTimeUtc"] = datetime.now(UTC).isoformat()
        _, deployment, places = self.batch or ({}, {}, {})
        message = batch_endpoints.score_files(self, deployment, places)
        if message:
            self.error = {"code": "UserError", "message": message}
        self._end("Canceled" if self.cancelled.is_set() else "Failed" if message else "Completed")

    def _execute(self, seconds: float) -> list[int]:
        if self.cancelled.is_set():
            return []
        folder = self.jobs.folder / self.name
        shutil.rmtree(folder, ignore_errors=True)
        self.jobs.copy_code(self.properties.get("codeId"), folder)
        variables = distributions.processes(self.properties)
        self.properties["status"] = "Running"
        self.times["startTimeUtc"] = datetime.now(UTC).isoformat()
        running = []
        for rank, own in enumerate(variables):
            log = "user_logs/std_log.txt" if len(variables) == 1 else f"user_logs/std_log_process_{rank:02d}.txt"
            file = self.jobs.tracking.artifact_file(self.name, log)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as stream:
                command = ["sh", "-c", self.properties["command"]]
                environment = self.jobs.variables(self) | own
                options: dict[str, Any] = {"cwd": folder, "env": environment, "start_new_session": True}
                options["preexec_fn"] = self.jobs.with_parent
                running.append(subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, **options))
            self.logs.append(log)
        limit = self.jobs.seconds((self.properties.get("limits") or {}).get("timeout"))
        deadline = time.monotonic() + min(seconds, limit or LONGEST)
        with contextlib.suppress(subprocess.TimeoutExpired):
            while any(each.poll() is None for each in running) and not self.cancelled.is_set():
                self.timed_out = time.monotonic() > deadline and 0 < limit < seconds
                if time.monotonic() > deadline or any(each.poll() for each in running):
                    break  # out of time, or one failed: the service ends the others
                time.sleep(LOOK)
        polite = self.cancelled.is_set() or any(each.poll() for each in running)
        return [_ended(each, GRACE if polite else 0) for each in running]

    def _end(self, status: str) -> None:
        for process in psutil.process_iter(["cmdline"]):  # as with a container, nothing is left that began in it
            if any(self.jobs.home(self) in word for word in process.info["cmdline"] or ()):
                process.kill()
        self.jobs.tracking.end_run(self.name, MLFLOW_STATUS[status])
        self.times["endTimeUtc"] = datetime.now(UTC).isoformat()
        self.properties["status"] = status

    def details(self) -> dict[str, Any]:
        """What the run history tells of the job."""
        files = {log: self.jobs.tracking.address(self.name, log) for log in dict.fromkeys(self.logs)}
        answer = {
            "runId": self.name,
            "status": self.status,
            "createdTimeUtc": self.began,
            "logFiles": files,
        } | self.times
        return answer | ({"error": {"error": self.error}} if self.error else {})


class Jobs:
    """All jobs of the workspace; every other request goes on to the resource manager."""

    def __init__(
        self, folder: Path, manager: ResourceManager, tracking: TrackingFacade, sign_in: SignIn, faults: Faults
    ) -> None:
        self.folder, self.manager, self.tracking, self.sign_in, self.faults = folder, manager, tracking, sign_in, faults
        self.environment: dict[str, str] = {}
        """What a process needs to reach Azure."""
        self.identity: dict[str, str] = {}
        """What a process of a job with an identity signs in with."""
        self.with_parent: Any = None
        self.loop: asyncio.AbstractEventLoop
        self._jobs: dict[str, Job | SweepJob | PipelineJob] = {}
        self.reusable: dict[str, Job] = {}
        """Steps that succeeded, by all that makes them what they are."""
        self._busy: dict[str, threading.Semaphore] = {}
        """Id of a compute -> its free machines."""
        self.router = Router(
            [
                Route(f"/{SCOPE}/jobs/{{name}}", self.submit, methods=["PUT"]),
                Route(f"/{SCOPE}/jobs/{{name}}", self.show, methods=["GET"]),
                Route(f"/{SCOPE}/jobs/{{name}}/cancel", self.cancel, methods=["POST"]),
                Route(f"{RESULTS}/{{name}}", self.result),
                Mount("/", self.manager.router),
            ]
        )
        runs = f"/history/v1.0/{SCOPE}/runs/{{name}}"
        self.history = [
            Route(f"{runs}/details", self.details),
            Route(f"{runs}/children", self.children),
            Route(runs, self.run),
        ]

    async def submit(self, request: Request) -> Response:
        """Start a job; what it names must be there, its name must not."""
        path, properties = request.url.path, (await request.json())["properties"]
        if self.manager.find(path):
            return failed(400, "UserError", "A job with this ID already exists.")  # azureml-previews#37
        named = properties | (properties.get("trial") or {})
        for key in ("computeId", "environmentId", "codeId"):
            if named.get(key) and not self.manager.find(named[key]):
                return failed(400, "UserError", f"The {key.removesuffix('Id')} {named[key]} was not found.")
        for each in ids_of(properties):
            if not self.manager.find(each):
                return failed(400, "UserError", f"{each} was not found.")
        fault = self.faults.take(request, "image_build_fails", "never_starts", "evicted")
        await self.start(path, properties, fault)
        return JSONResponse(self.manager.find(path), 201)

    async def start(
        self, path: str, properties: dict[str, Any], fault: Fault | None = None, batch: Any = None
    ) -> Job | SweepJob | PipelineJob:
        """Keep the document of a job, make its run, and let it run."""
        self.loop = asyncio.get_running_loop()
        document = self.manager.put(path, {"properties": properties | {"status": "NotStarted"}})
        kinds: dict[str, Any] = {"Sweep": SweepJob, "Pipeline": PipelineJob}
        kind = Job if batch else kinds.get(str(properties.get("jobType")), Job)
        job = self._jobs[path.rsplit("/", 1)[-1]] = kind(self, path, document["properties"], fault)
        if isinstance(job, Job):
            job.batch = batch
        await self.tracking.start_run(job.name, job.properties)
        threading.Thread(target=job.run, daemon=True).start()
        return job

    async def start_child(self, path: str, properties: dict[str, Any]) -> Job:
        """Start the job of a pipeline's step, which Azure Resource Manager does not list."""
        job = self._jobs[path.rsplit("/", 1)[-1]] = Job(self, path, properties | {"status": "NotStarted"}, None)
        await self.tracking.start_run(job.name, job.properties)
        threading.Thread(target=job.run, daemon=True).start()
        return job

    async def show(self, request: Request) -> Response:
        """The document of a job; of a pipeline's step, only that it is there."""
        path, name = request.url.path, request.path_params["name"]
        if name in self._jobs and not self.manager.find(path):
            return JSONResponse({"id": path, "name": name, "properties": None})
        return await self.manager.answer(request)

    @contextlib.contextmanager
    def machine_for(self, job: Job) -> Iterator[None]:
        """Wait until the job's cluster has a machine for it, or the job is cancelled."""
        place = job.properties.get("computeId") or ""
        own = (self.manager.find(place) or {"properties": {}})["properties"].get("properties") or {}
        most = int((own.get("scaleSettings") or {}).get("maxNodeCount") or ANY_NUMBER)
        busy, has_one = self._busy.setdefault(place, threading.Semaphore(most)), False
        while not has_one and not job.cancelled.is_set():
            has_one = busy.acquire(timeout=LOOK)
        try:
            yield
        finally:
            if has_one:
                busy.release()

    async def cancel(self, request: Request) -> Response:
        """Ask a job to end."""
        name = request.path_params["name"]
        if name not in self._jobs:
            return not_found(request.url.path)
        job = self._jobs[name]
        if job.status not in ENDED:
            job.properties["status"] = "CancelRequested"
            job.cancelled.set()
        place = RESULTS.format(sub=request.path_params["sub"])
        return Response(
            status_code=202, headers={"Location": f"https://{MANAGEMENT}{place}/{name}?api-version=1", **RETRY}
        )

    async def result(self, request: Request) -> Response:
        """Whether a job that was cancelled has ended."""
        if self._jobs[request.path_params["name"]].status in ENDED:
            return Response(status_code=200)
        return Response(status_code=202, headers={"Location": str(request.url).replace(":443", ""), **RETRY})

    async def details(self, request: Request) -> Response:
        """The state of a run that is a job's, with the addresses of its logs."""
        job = self._jobs.get(request.path_params["name"])
        return JSONResponse(job.details()) if job else not_found(request.url.path)

    async def children(self, request: Request) -> Response:
        """The steps of a pipeline that have started."""
        job = self._jobs.get(request.path_params["name"])
        return JSONResponse({"value": job.listed_children() if isinstance(job, PipelineJob) else []})

    async def run(self, request: Request) -> Response:
        """The run of a job; of a pipeline's step, with its parent."""
        name = request.path_params["name"]
        if name not in self._jobs:
            return not_found(request.url.path)
        parent = (self._jobs[name].properties.get("tags") or {}).get("mlflow.parentRunId")
        return JSONResponse({"runId": name, "status": self._jobs[name].status, "parentRunId": parent})

    def copy_code(self, code: str | None, folder: Path) -> None:
        """Lay the snapshot out as the job's working folder."""
        folder.mkdir(parents=True)
        if code and (document := self.manager.find(code)):
            blobs = self.tracking.blobs / urlsplit(document["properties"]["codeUri"]).path.lstrip("/")
            shutil.copytree(blobs, folder, dirs_exist_ok=True)

    def home(self, job: Job) -> str:
        """The home of a job's processes, which no other process of this machine has."""
        return str(self.folder / f"{job.name}-home")

    def variables(self, job: Job) -> dict[str, str]:
        """The environment of a job's process."""
        scope = job.path.partition("/jobs/")[0]
        _, _, subscription, _, group, *_, workspace = scope.split("/")
        programs = Path(sys.executable).parent
        Path(self.home(job)).mkdir(exist_ok=True)
        return {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": self.home(job),
            "TMPDIR": self.home(job),
            "LANG": "C.UTF-8",
            **self.environment,
            **(self.identity if job.properties.get("identity") else {}),
            "MLFLOW_TRACKING_URI": f"azureml://{REGIONS[0]}.api.azureml.ms/mlflow/v2.0{scope}",
            "MLFLOW_TRACKING_TOKEN": self.sign_in.issue(f"https://{MANAGEMENT}")[0],
            "MLFLOW_RUN_ID": job.name,
            "MLFLOW_EXPERIMENT_ID": self.tracking.experiment_of(job.name),
            "MLFLOW_EXPERIMENT_NAME": str(job.properties.get("experimentName", "Default")),
            "AZUREML_RUN_ID": job.name,
            "AZUREML_ARM_SUBSCRIPTION": subscription,
            "AZUREML_ARM_RESOURCEGROUP": group,
            "AZUREML_ARM_WORKSPACE_NAME": workspace,
            **(job.properties.get("environmentVariables") or {}),
        }

    @staticmethod
    def seconds(duration: str | None) -> float:
        """The seconds of an ISO 8601 duration of days, hours, minutes and seconds; 0 for none."""
        units = {"D": 86400, "H": 3600, "M": 60, "S": 1}
        return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([DHMS])", duration or ""))

    def stop(self) -> None:
        """End all jobs, when the emulator ends."""
        for job in self._jobs.values():
            job.cancelled.set()
        deadline = time.monotonic() + GRACE
        while any(job.status not in ENDED for job in self._jobs.values()) and time.monotonic() < deadline:
            time.sleep(LOOK)


def _ended(process: subprocess.Popen[bytes], grace: float) -> int:
    """End a process and its group, if it has not ended; return its exit code."""
    with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
        if grace and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(grace)
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
