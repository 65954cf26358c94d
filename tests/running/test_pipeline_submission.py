"""The same pipeline is in the workspace once while it has not ended, whoever submits it, and again after that."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import pipeline_job
from notebooks_lib.running import pipeline_submission
from notebooks_lib.running.pipeline_submission import SubmittedPipeline
from notebooks_lib.tags import Tag

WORKSPACE = Workspace("s", "g", "w")
PROPERTIES: dict[str, Any] = {"jobType": "Pipeline", "tags": {Tag.PIPELINE: "p.yml", Tag.PIPELINE_DIGEST: "d1"}}


class Azure:
    """The jobs of a workspace, as far as pipelines need them."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.listed = True
        self.lost = False

    def request(self, method: str, path: str, version: str, *, what: str, body: Any = None, **_: Any) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        if method == "PUT":
            assert name not in self.jobs, "a name is taken once"
            own = {**body["properties"], "status": "Running"}
            self.jobs[name] = {"name": name, "properties": own, "systemData": {"createdAt": f"{len(self.jobs):03d}"}}
            if self.lost:
                raise errors.AzureError("no answer", "do it again")
        if name not in self.jobs:
            raise errors.AzureError("none", "", status=404)
        return self.jobs[name]

    def pages(self, path: str, version: str, *, what: str, query: dict[str, str]) -> Any:
        assert query["tag"] == Tag.PIPELINE
        return iter(list(self.jobs.values()) if self.listed else [])

    def submit(self) -> SubmittedPipeline:
        return pipeline_submission.submit_pipeline(self, WORKSPACE, PROPERTIES)  # type: ignore[arg-type]

    def end(self, name: str) -> None:
        self.jobs[name]["properties"]["status"] = "Completed"


def test_one_that_has_not_ended_is_found_and_one_that_has_is_submitted_anew() -> None:
    azure = Azure()
    first, again = azure.submit(), azure.submit()
    assert (first.is_new, again.is_new, again.job.name) == (True, False, first.job.name)
    azure.end(first.job.name)
    second = azure.submit()
    assert second.is_new
    assert second.job.name != first.job.name
    azure.end(second.job.name)
    assert len({first.job.name, second.job.name, azure.submit().job.name}) == 3


def test_two_at_once_choose_the_same_name_even_if_azure_does_not_list_it_yet() -> None:
    azure = Azure()
    azure.listed = False
    first, second = azure.submit(), azure.submit()
    assert (second.is_new, second.job.name) == (False, first.job.name)
    azure.end(first.job.name)
    assert azure.submit().job.name == pipeline_job.job_name("d1", first.job.name)


def test_after_a_lost_answer_it_is_looked_for() -> None:
    azure = Azure()
    azure.lost = True
    first = azure.submit()
    assert (first.is_new, list(azure.jobs)) == (True, [first.job.name])


def test_a_pipeline_of_other_content_is_another_one() -> None:
    azure = Azure()
    first = azure.submit()
    azure.jobs[first.job.name]["properties"]["tags"] = {Tag.PIPELINE: "p.yml", Tag.PIPELINE_DIGEST: "other"}
    other = {**PROPERTIES, "tags": {Tag.PIPELINE: "p.yml", Tag.PIPELINE_DIGEST: "d2"}}
    second = pipeline_submission.submit_pipeline(azure, WORKSPACE, other)  # type: ignore[arg-type]
    assert second.is_new


def test_a_refusal_is_told() -> None:
    class Refusing(Azure):
        def request(self, method: str, path: str, version: str, *, what: str, body: Any = None, **_: Any) -> Any:
            raise errors.AzureError("forbidden", "ask for the role", status=403)

    with pytest.raises(errors.AzureError, match="forbidden"):
        Refusing().submit()
