"""Batch endpoints: their documents by the service's rules, and jobs that really run score.py over files, in two workers.

A worker is this same file, run as a program: it calls `init` once, then `run` with the paths of each mini-batch.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tests.azure.emulator.jobs import Jobs

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")
AUDIENCES = ("https://ml.azure.com",)
WORKERS = 2


class BatchEndpoints:
    """The batch endpoints of all workspaces; the documents are the resource manager's."""

    def __init__(self, jobs: Jobs) -> None:
        from starlette.routing import Route

        from tests.azure.emulator.tracking_facade import SCOPE

        self.jobs, self.manager = jobs, jobs.manager
        endpoint = f"/{SCOPE}/batchEndpoints/{{endpoint}}"
        self.routes = [
            Route(endpoint, self.put_endpoint, methods=["PUT"]),
            Route(f"{endpoint}/deployments/{{deployment}}", self.put_deployment, methods=["PUT"]),
        ]
        self.invocations = Route("/jobs", self.invoke, methods=["POST"])

    async def put_endpoint(self, request: Request) -> Response:
        """Make an endpoint, or choose its default, which must be there."""
        from tests.azure.emulator.certificates import REGIONS
        from tests.azure.emulator.resource_manager import failed

        path, body = request.url.path, await request.json()
        own = body.get("properties") or {}
        if not NAME.fullmatch(request.path_params["endpoint"]):
            return failed(400, "BadArgument", "Endpoint names have 3 to 32 letters, digits and -, a letter first.")
        if str(own.get("authMode")).lower() != "aadtoken":
            return failed(400, "BadArgument", "Batch endpoints support AADToken authentication only.")
        default = (own.get("defaults") or {}).get("deploymentName")
        if default and self.manager.find(f"{path}/deployments/{default}") is None:
            return failed(400, "BadArgument", f"The default deployment {default} was not found.")
        answer = await self.manager.answer(request)
        if (document := self.manager.find(path)) is not None and answer.status_code < 300:
            host = f"{document['name']}.{document.get('location', REGIONS[0])}.inference.ml.azure.com"
            document["properties"] |= {
                "scoringUri": f"https://{host}/jobs",
                "swaggerUri": f"https://{host}/swagger.json",
            }
        return answer

    async def put_deployment(self, request: Request) -> Response:
        """Keep a deployment if what it names is there."""
        from tests.azure.emulator.resource_manager import failed

        own = (await request.json()).get("properties") or {}
        if not NAME.fullmatch(request.path_params["deployment"]):
            return failed(400, "BadArgument", "Deployment names have 3 to 32 letters, digits and -, a letter first.")
        for name in (own["model"]["assetId"], own["environmentId"], own["codeConfiguration"]["codeId"], own["compute"]):
            if self.manager.find(name) is None:
                return failed(400, "BadArgument", f"{name} was not found.")
        return await self.manager.answer(request)

    async def invoke(self, request: Request) -> Response:
        """Start the job of an invocation: of the named deployment, else of the default."""
        from starlette.responses import JSONResponse

        from tests.azure.emulator.resource_manager import failed, not_found

        path = self.manager.path_of("batchEndpoints", (request.url.hostname or "").partition(".")[0])
        if refusal := self.jobs.sign_in.refuse(request, AUDIENCES):
            return refusal
        document = self.manager.find(path)
        if document is None:
            return not_found(path or "batchEndpoints")
        default = (document["properties"].get("defaults") or {}).get("deploymentName", "")
        name = request.headers.get("azureml-model-deployment", default)
        deployment = self.manager.find(f"{path}/deployments/{name}")
        asked = (await request.json())["properties"]
        job = f"{path.partition('/batchEndpoints/')[0]}/jobs/{asked['name']}"
        if deployment is None:
            return failed(404, "UserError", f"The deployment {name!r} was not found.")
        if self.manager.find(job):
            return failed(400, "UserError", "A job with this ID already exists.")
        [source] = asked["inputData"].values()
        places = {"source": source["uri"], "target": asked["outputData"]["score"]["uri"]}
        properties = {"jobType": "Pipeline", "displayName": asked["name"], "experimentName": document["name"]}
        properties["computeId"] = deployment["properties"]["compute"]
        fault = self.jobs.faults.take(
            request, "image_build_fails", "never_starts", "mini_batch_fails", "output_is_lost"
        )
        await self.jobs.start(job, properties, fault, batch=(self.manager.find(path) or {}, deployment, places))
        return JSONResponse({"id": job, "name": asked["name"], "properties": asked | {"status": "Preparing"}}, 201)


def score_files(job: Any, deployment: dict[str, Any], places: dict[str, str]) -> str:
    """Score the files of a job's input in two workers; return the error of the job, empty if there is none."""
    from tests.azure.emulator.blobs import folder_of

    own, blobs = deployment["properties"], job.jobs.tracking.blobs
    folder = job.jobs.folder / job.name
    shutil.rmtree(folder, ignore_errors=True)
    job.jobs.copy_code(own["codeConfiguration"]["codeId"], folder / "code")
    model = (job.jobs.manager.find(own["model"]["assetId"]) or {})["properties"]["modelUri"]
    shutil.copytree(blobs / folder_of(model), folder / "model" / "model")
    shutil.copytree(blobs / folder_of(places["source"]), folder / "input")
    output = blobs / folder_of(places["target"])
    output.mkdir(parents=True, exist_ok=True)
    paths, size = sorted(map(str, (folder / "input").iterdir())), int(own["miniBatchSize"])
    queue = [paths[at : at + size] for at in range(0, len(paths), size)][::-1]  # in no order that a client expects
    fails = job.fault is not None and job.fault.kind == "mini_batch_fails"
    environment = job.jobs.variables(job) | {
        "AZUREML_MODEL_DIR": str(folder / "model"),
        "AZUREML_BI_OUTPUT_PATH": str(output),
        **{key: str(value) for key, value in (own.get("environmentVariables") or {}).items()},
        **({"EMULATED_FAILURE": queue[0][0]} if fails else {}),
    }
    log = job.jobs.tracking.artifact_file(job.name, "logs/user/error.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    job.logs.append("logs/user/error.txt")
    errors: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        script = folder / "code" / own["codeConfiguration"]["scoringScript"]
        with (
            log.open("ab") as stream,
            subprocess.Popen(
                [sys.executable, __file__, str(script)],
                cwd=folder / "code",
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            ) as worker,
        ):
            assert worker.stdin is not None
            assert worker.stdout is not None
            while not job.cancelled.is_set():
                with lock:
                    if not queue or len(errors) > own["errorThreshold"] >= 0:
                        break
                    batch = queue.pop(0)
                for _ in range(1 + int((own.get("retrySettings") or {}).get("maxRetries", 3))):
                    print(json.dumps(batch), file=worker.stdin, flush=True)
                    if worker.stdout.readline().strip() == str(len(batch)):
                        break
                else:
                    errors.extend([1] * len(batch))
            worker.kill()

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if job.fault is not None and job.fault.kind == "output_is_lost":
        next(iter(sorted(output.iterdir()))).unlink()
    if len(errors) > own["errorThreshold"] >= 0:
        return (
            f"The run() function failed for {len(errors)} files, more than the error threshold {own['errorThreshold']}."
        )
    return ""


def main(script: Path) -> None:
    """Answer each line with how many files of a mini-batch were scored; a failure is an empty line."""
    from scoring_process import SERVER, _stand_in

    if importlib.util.find_spec(SERVER) is None:
        _stand_in()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what score.py prints goes to the log
    spec = importlib.util.spec_from_file_location("score", script)
    assert spec is not None
    assert spec.loader is not None
    score: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    score.init()
    for line in sys.stdin:
        try:
            batch = json.loads(line)
            if os.environ.get("EMULATED_FAILURE") in batch:
                raise RuntimeError("the machine went away")
            print(len(score.run(batch)), file=answers, flush=True)
        except Exception:
            traceback.print_exc()
            print("", file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
