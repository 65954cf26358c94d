"""What `nbops azure verify` tries in a real workspace: one function for each thing that nothing else can show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib import errors, safe_text
from notebooks_lib.cli.throwaway_project import NOTEBOOK, SHORT_JOB, CommandResult, ThrowawayProject
from notebooks_lib.errors import AzureError

FIGURES_WAIT = 900.0
"""Seconds within which Azure Monitor must show the requests that were sent."""
LOOK_EVERY = 10.0
STATES = ("shown", "not shown", "not tried")


class NotShownError(Exception):
    """The workspace did something else than nbops promises."""


class NotTriedError(Exception):
    """What this needs did not work."""


@dataclass
class VerifiedWorkspace:
    """What the proofs have found so far, and where they are tried."""

    project: ThrowawayProject
    on: str
    """The address of the compute, such as azureml:serverless."""
    found: dict[str, Any] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when somebody has had enough: no further proof begins."""

    def needed(self, what: str) -> Any:
        """Return what an earlier proof has found. Raises NotTriedError if it has not."""
        if what not in self.found:
            raise NotTriedError(f"needs {what}, which was not made")
        return self.found[what]


@dataclass(frozen=True)
class Proof:
    """One thing to show. `show` returns what was seen in a few words, or raises NotShownError, NotTriedError."""

    part: str
    what: str
    show: Callable[[VerifiedWorkspace], str]


@dataclass(frozen=True)
class Outcome:
    """What came out of a proof."""

    part: str
    what: str
    state: str
    """One of STATES."""
    detail: str
    seconds: float


def show_all(verified: VerifiedWorkspace, groups: Sequence[Sequence[Proof]], *, at_once: bool) -> Iterator[Outcome]:
    """Yield the outcome of each proof as it comes. The proofs of a group go one after another, groups also at once.

    After Ctrl-C no further one begins.
    """

    def show_group(proofs: Sequence[Proof]) -> list[Outcome]:
        return [show(verified, proof) for proof in proofs if not verified.stopping.is_set()]

    pool = ThreadPoolExecutor(len(groups) if at_once else 1)
    try:
        for result in [pool.submit(show_group, group) for group in groups]:
            yield from result.result()
    except BaseException:
        verified.stopping.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def show(verified: VerifiedWorkspace, proof: Proof) -> Outcome:
    """Try one proof. No error of it ends the others."""
    began = time.monotonic()
    try:
        state, detail = "shown", proof.show(verified)
    except NotTriedError as error:
        state, detail = "not tried", str(error)
    except Exception as error:  # noqa: BLE001 - MLflow's own, too: the rest is tried, and the table printed
        state, detail = "not shown", safe_text.masked(errors.reason(error))
    return Outcome(proof.part, proof.what, state, detail, round(time.monotonic() - began, 1))


def check_permissions(verified: VerifiedWorkspace) -> str:
    """Show that the lines of `nbops doctor` about Azure are well."""
    findings = _content(verified.project.nbops("doctor", "--json"), any_code=True)["findings"]
    ours = [finding for finding in findings if finding["what"].startswith("azure")]
    wrong = [f"{finding['what']}: {finding['detail']}" for finding in ours if not finding["ok"]]
    _expect(bool(ours) and not wrong, "; ".join(wrong) or "doctor says nothing of Azure")
    return f"{len(ours)} lines of nbops doctor"


def push_twice(verified: VerifiedWorkspace) -> str:
    """Show that a version is pushed once, and the same one again is nothing."""
    dataset = f"{verified.project.dataset}@1"
    _add_table(verified.project)
    first, again = (_content(verified.project.nbops("data", "push", dataset, "--json")) for _ in range(2))
    _expect(bool(first["moved"]) and not again["moved"], f"moved: {first['moved']}, then {again['moved']}")
    verified.found["the dataset"] = dataset
    return f"{dataset}, with its {verified.project.workspace.name}"


def push_other_rows(verified: VerifiedWorkspace) -> str:
    """Show that other files under a version that is there are refused."""
    dataset = verified.needed("the dataset")
    with verified.project.with_other_rows() as colleague:
        _add_table(colleague)
        pushed = colleague.nbops("data", "push", dataset)
    _expect(pushed.code != 0, "other files were taken under the same version")
    return pushed.error


def track_run(verified: VerifiedWorkspace) -> str:
    """Show that a run on this machine is in the workspace, with metric, files and model."""
    result = _content(verified.project.nbops("run", NOTEBOOK, "--json"))
    _expect(result["status"] == "FINISHED", f"{result['status']}: {(result['failure'] or {}).get('message', '')}")
    compared = _content(verified.project.nbops("compare", verified.project.name, "--metric", "rmse", "--json"))
    ranked = [run["run_id"] for table in compared["tables"] for run in table["runs"]]
    _expect(result["run_id"] in ranked, "nbops compare does not find the run")
    verified.found["a run on this machine"] = result
    return f"run {result['run_id']}, rmse {result['metrics']['rmse']:.6g}"


def find_runs_by_dataset(verified: VerifiedWorkspace) -> str:
    """Show that runs are found by the dataset that they used."""
    run = verified.needed("a run on this machine")["run_id"]
    used = _content(verified.project.nbops("data", "models", verified.needed("the dataset"), "--json"))
    _expect(run in [each["run_id"] for each in used], "nbops data models does not name the run")
    return f"{len(used)} run of {verified.found['the dataset']}"


def mark_champion(verified: VerifiedWorkspace) -> str:
    """Show that a version is registered from the run, marked as champion, and read back."""
    from notebooks_lib.models import champions, registry
    from notebooks_lib.tracking.store import connect

    store, model = connect(verified.project.settings), verified.project.name
    version = registry.register(store, model, verified.needed("a run on this machine")["run_id"])
    champions.mark_champion(store, version, reason="nbops azure verify")
    champion = champions.champion(store, model)
    _expect(champion is not None and champion.version == version.version, f"the champion is {champion}")
    verified.found["a registered version"] = version.version
    return f"{model} version {version.version}"


def run_job(verified: VerifiedWorkspace) -> str:
    """Show that the same notebook as a job gives the same metric."""
    here = verified.needed("a run on this machine")["metrics"]["rmse"]
    result = _content(verified.project.nbops("run", NOTEBOOK, "--on", verified.on, "--json"), any_code=True)
    _expect(result.get("status") == "FINISHED", _failure(result))
    verified.found["a job"] = result["run_id"]
    there = result["metrics"]["rmse"]
    _expect(abs(there - here) <= 1e-9 * abs(here), f"rmse {there!r} there, {here!r} here")
    return f"job {result['run_id']}, {result['seconds']:.0f} s of notebook"


def submit_again(verified: VerifiedWorkspace) -> str:
    """Show that a job that is submitted again under its name does not run again."""
    from notebooks_lib.azure.client import rest_client
    from notebooks_lib.azure.jobs import jobs

    name, workspace = verified.needed("a job"), verified.project.workspace
    client = rest_client.resource_manager()
    before = jobs.find_document(client, workspace, name)
    kept = ("jobType", "command", "codeId", "environmentId", "computeId", "experimentName", "resources", "identity")
    own = {key: value for key, value in before["properties"].items() if key in kept and value is not None}
    try:
        jobs.submit(client, workspace, name, own)
        seen = "Azure answers with the same job"
    except AzureError as error:
        seen = f"refused: {error.cause}"
    after = jobs.find_job(client, workspace, name)
    same = after.ended and after.created == str((before.get("systemData") or {}).get("createdAt") or "")
    _expect(same, f"it is {after.status} again, created {after.created}")
    return seen


def stop_job(verified: VerifiedWorkspace) -> str:
    """Show that a job is listed while it runs, is stopped, and its run ends as KILLED."""
    verified.needed("the dataset")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            verified.project.nbops, "run", NOTEBOOK, "--on", verified.on, "-p", "wait=900.0", "--json"
        )
        mine: list[Mapping[str, Any]] = []
        while not mine and not waiting.done() and not verified.stopping.is_set():
            time.sleep(LOOK_EVERY / 5)
            listed = _content(verified.project.nbops("azure", "jobs", "list", "--json"))["jobs"]
            mine = [job for job in listed if job["experiment"] == verified.project.name and _waits(job)]
        _expect(bool(mine), f"no job that runs was listed; {waiting.result().error if waiting.done() else ''}")
        stopped = _content(verified.project.nbops("azure", "jobs", "stop", mine[0]["name"], "--json"))
        result = waiting.result().content or {}
    _expect(stopped["status"] == "Canceled", f"Azure says {stopped['status']}")
    _expect(result.get("status") == "KILLED", f"its run is {result.get('status')}")
    return f"job {mine[0]['name']}: its run is KILLED"


def reach_time_limit(verified: VerifiedWorkspace) -> str:
    """Show that a job that reaches limits.timeout ends, and differs from one that was stopped."""
    verified.needed("the dataset")
    if not (verified.project.root / SHORT_JOB).is_file():
        raise NotTriedError("job.yml has limits of its own")
    ran = verified.project.nbops("run", NOTEBOOK, "--on", verified.on, "--job", SHORT_JOB, "-p", "wait=600.0", "--json")
    failure = (ran.content or {}).get("failure") or {}
    _expect(failure.get("kind") == "timeout", f"{failure or ran.error}")
    return str(failure.get("message", ""))


def sweep_by_service(verified: VerifiedWorkspace) -> str:
    """Show that the service draws values for a sweep, and its trials are runs of ours."""
    verified.needed("the dataset")
    space = ("--space", "shrink=uniform(0.9, 1.1)", "--trials", "2", "--jobs", "2", "--sampler", "random")
    ran = verified.project.nbops(
        "sweep", NOTEBOOK, *space, "--metric", "rmse", "--on", verified.on, "--service", "--json"
    )
    states = [each["state"] for each in (ran.content or {}).get("trials", [])]
    _expect(states == ["finished"] * 2, f"trials: {', '.join(states) or 'none'}; {ran.error}")
    return f"sweep {ran.content['run_id']}" if "run_id" in ran.content else "two trials"


def deploy_champion(verified: VerifiedWorkspace) -> str:
    """Show that the champion is served from an online endpoint."""
    verified.needed("a registered version")
    began = time.monotonic()
    started = verified.project.nbops("endpoint", "start", verified.project.endpoint, wait_seconds=3000)
    _expect(started.code == 0, started.error)
    verified.found["an endpoint"] = verified.project.endpoint
    return f"endpoint {verified.project.endpoint}, {time.monotonic() - began:.0f} s"


def invoke_endpoint(verified: VerifiedWorkspace) -> str:
    """Show that the endpoint answers the model's example."""
    endpoint = verified.needed("an endpoint")
    verified.found["first request"] = time.time()
    given = [_content(verified.project.nbops("endpoint", "invoke", endpoint, "--json")) for _ in range(5)]
    _expect(all(answer.get("predictions") for answer in given), f"the answer is {given[-1]}")
    return f"five requests, {len(given[-1]['predictions'])} predictions each"


def count_requests(verified: VerifiedWorkspace) -> str:
    """Show that Azure Monitor counts the requests by slot and status, within minutes."""
    from notebooks_lib.azure.client import rest_client
    from notebooks_lib.azure.endpoints import endpoint_metrics

    began, endpoint = verified.needed("first request"), verified.needed("an endpoint")
    client, seen = rest_client.resource_manager(), 0
    while seen < 5 and time.time() - began < FIGURES_WAIT:
        if verified.stopping.wait(LOOK_EVERY):
            break
        at = client, verified.project.workspace, endpoint, 60 * (began // 60), time.time()
        figures = endpoint_metrics.requests_by_minute(*at)
        seen = sum(minute.answered for slot, minutes in figures.items() if slot for minute in minutes.values())
    _expect(seen >= 5, f"{seen} of 5 requests after {FIGURES_WAIT:.0f} s")
    return f"all after {time.time() - began:.0f} s at most"


FIRST: tuple[tuple[Proof, ...], ...] = (
    (
        Proof("workspace", "you may do what the rest needs", check_permissions),
        Proof("data", "a version is pushed once", push_twice),
        Proof("data", "other files under a version that is there are refused", push_other_rows),
        Proof("tracking", "a run on this machine is in the workspace", track_run),
        Proof("tracking", "runs are found by their dataset", find_runs_by_dataset),
        Proof("models", "a version is registered and marked as champion", mark_champion),
    ),
)
"""What the other groups build on."""
JOBS: tuple[tuple[Proof, ...], ...] = (
    (
        Proof("jobs", "the same notebook as a job gives the same metric", run_job),
        Proof("jobs", "a job submitted again under its name does not run again", submit_again),
    ),
    (Proof("jobs", "a job is listed, and stopped: its run is KILLED", stop_job),),
    (Proof("jobs", "a job that reaches its time limit is marked so", reach_time_limit),),
    (Proof("sweeps", "the service draws values, and its trials are runs", sweep_by_service),),
)
ENDPOINT: tuple[tuple[Proof, ...], ...] = (
    (
        Proof("endpoints", "the champion is served", deploy_champion),
        Proof("endpoints", "it answers the model's example", invoke_endpoint),
        Proof("endpoints", "Azure Monitor counts the requests by slot", count_requests),
    ),
)


def _add_table(project: ThrowawayProject) -> None:
    added = project.nbops("data", "add", "probe.csv", "--name", project.dataset, "--target", "outcome")
    _expect(added.code == 0, added.error)


def _waits(job: Mapping[str, Any]) -> bool:
    """Return whether a listed job is the one that waits, by its name: parameters are tracked at the end of a run."""
    return job["status"] == "Running" and str(job["display_name"]).endswith(" wait=900.0")


def _content(result: CommandResult, *, any_code: bool = False) -> Any:
    if result.content is None or (result.code != 0 and not any_code):
        raise NotShownError(result.error or f"exit code {result.code}")
    return result.content


def _failure(result: Mapping[str, Any]) -> str:
    failure = result.get("failure") or result.get("error") or {}
    return f"{result.get('status')}: {failure.get('message', '')}"


def _expect(well: bool, otherwise: str) -> None:
    if not well:
        raise NotShownError(otherwise)
