"""The emulator's pipelines keep the service's rules: order by data, reuse, failures, and what is told of a step."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.azure import emulator
from tests.azure.fixtures import Ask

HISTORY = f"https://westeurope.api.azureml.ms/history/v1.0{emulator.SCOPE}/runs"


@pytest.fixture
def component(ask: Ask) -> Any:
    """Make a component of a command; return its id."""
    environment = {"properties": {"image": "a"}}
    made = ask("PUT", "environments/pipelines/versions/1", environment)
    assert made.ok

    def component(command: str, *, inputs: str = "", deterministic: bool = True) -> str:
        spec = {
            "command": command,
            "environment": f"azureml:{made.json()['id']}",
            "is_deterministic": deterministic,
            "inputs": {name: {"type": "uri_file"} for name in inputs.split()},
            "outputs": {"o": {"type": "uri_file"}},
        }
        path = f"components/azureml_anonymous/versions/{uuid.uuid4()}"
        return str(ask("PUT", path, {"properties": {"componentSpec": spec}}).json()["id"])

    return component


def ended(ask: Ask, jobs: dict[str, Any], settings: dict[str, Any] | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Submit a pipeline; return its last state and its steps."""
    name = uuid.uuid4().hex
    properties = {
        "jobType": "Pipeline",
        "jobs": jobs,
        "settings": {"default_compute": "serverless", **(settings or {})},
    }
    assert ask("PUT", f"jobs/{name}", {"properties": properties}).status_code == 201
    deadline = time.monotonic() + 60
    while (state := ask("GET", f"jobs/{name}").json()["properties"]["status"]) not in ("Completed", "Failed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return state, ask("GET", f"{HISTORY}/{name}/children").json()["value"]


def taking(component: str, source: str) -> dict[str, Any]:
    value = {"job_input_type": "literal", "value": f"${{{{parent.jobs.{source}.outputs.o}}}}"}
    return {"componentId": component, "inputs": {"i": value}}


def test_a_step_starts_when_what_it_takes_is_there_and_finds_it(ask: Ask, component: Any) -> None:
    first = {"componentId": component("sleep 0.3; echo 42 > ${{outputs.o}}", deterministic=False)}
    second = taking(component("test $(cat ${{inputs.i}}) = 42", inputs="i", deterministic=False), "first")
    state, steps = ended(ask, {"second": second, "first": first})
    assert (state, [step["displayName"] for step in steps]) == ("Completed", ["first", "second"])
    document = ask("GET", f"jobs/{steps[0]['runId']}").json()
    assert document["properties"] is None, "a step is no job of its own"
    assert ask("GET", f"{HISTORY}/{steps[0]['runId']}").json()["parentRunId"] == steps[0]["parentRunId"]


@pytest.mark.parametrize("goes_on", [False, True])
def test_after_a_failure_nothing_starts_that_waits_for_it(ask: Ask, component: Any, *, goes_on: bool) -> None:
    bad = {"componentId": component("exit 3", deterministic=False)}
    after = taking(component("true", inputs="i", deterministic=False), "bad")
    state, steps = ended(ask, {"bad": bad, "after": after}, {"continue_on_step_failure": goes_on})
    assert (state, [(step["displayName"], step["status"]) for step in steps]) == ("Failed", [("bad", "Failed")])


@pytest.mark.proof
def test_only_a_step_that_is_the_same_and_deterministic_is_taken_from_before(ask: Ask, component: Any) -> None:
    same = {"componentId": component("echo $RANDOM > ${{outputs.o}}")}
    other = {"componentId": component("true", deterministic=False)}
    _, before = ended(ask, {"same": same, "other": other})
    _, after = ended(ask, {"same": same, "other": other})
    _, forced = ended(ask, {"same": same}, {"force_rerun": True})
    runs = {step["displayName"]: step["runId"] for step in before}
    reused = {step["displayName"]: step["properties"].get("azureml.reusedrunid") for step in after}
    assert reused == {"same": runs["same"], "other": None}
    assert forced[0]["properties"] == {}
    _, changed = ended(ask, {"same": same | {"environment_variables": {"A": "b"}}})
    assert changed[0]["properties"] == {}


def test_what_a_pipeline_names_must_be_there(ask: Ask, component: Any) -> None:
    there = component("true")
    for step in ({"componentId": f"{there}x"}, {"componentId": there, "computeId": f"{emulator.SCOPE}/computes/none"}):
        refused = ask("PUT", f"jobs/{uuid.uuid4().hex}", {"properties": {"jobType": "Pipeline", "jobs": {"a": step}}})
        assert refused.status_code == 400
