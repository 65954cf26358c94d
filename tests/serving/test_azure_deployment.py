"""A deployment is deleted when Azure says that it failed, never because a look at it did."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from notebooks_lib.errors import AzureError, EndpointError
from notebooks_lib.settings import Settings
from tests.serving.azure_documents import ENDPOINT, Documents, changes, held, serving

FORBIDDEN = AzureError("no permission for slot green", "ask for the role AzureML Data Scientist", status=403)
BUSY = AzureError("Azure refuses slot green: Conflict: another operation is in progress", "wait for it", status=409)
FAILED = AzureError("slot green failed: InternalServerError: x", "correct it", status=200, code="InternalServerError")


class Unseen(Documents):
    """The deployment is made, or is going on, and the last look at it raises."""

    def __init__(self, state: str, error: AzureError) -> None:
        super().__init__()
        self.state, self.error = state, error

    def operation(self, method: str, path: str, api_version: str, *, body: Any = None, **more: Any) -> Any:
        super().operation(method, path, api_version, body=body, **more)
        if method == "PUT" and path.endswith("/green"):
            self.there[path]["properties"]["provisioningState"] = self.state
            raise self.error
        return self.there.get(path)


@pytest.mark.parametrize(
    ("state", "error", "said", "remains"),
    [
        ("Succeeded", FORBIDDEN, "", True),
        (
            "Creating",
            FORBIDDEN,
            "ask for the role AzureML Data Scientist; slot 'green' may still be made: nbops endpoint status houses",
            True,
        ),
        ("Failed", FAILED, "do it again; https://aka.ms/oe-tsg explains the code", False),
    ],
)
def test_what_is_deleted_is_what_azure_calls_failed(
    state: str, error: AzureError, said: str, remains: bool, empty_project: Settings
) -> None:
    documents = Unseen(state, error)
    documents.there = serving(empty_project, blue=100).there
    del documents.there[f"{ENDPOINT}/deployments/green"]
    change = changes(documents, empty_project)
    with pytest.raises(EndpointError, match=said) if said else nullcontext():
        change.at.fill("green", held(change, "green"), "westeurope")
    assert ("green" in documents.deployments) == remains


def test_a_deployment_of_another_process_is_left_alone_and_the_reason_says_what_to_do(empty_project: Settings) -> None:
    documents = serving(empty_project, blue=100)
    documents.broken = {"green": BUSY}
    change = changes(documents, empty_project)
    with pytest.raises(EndpointError, match="another operation is in progress; wait for it"):
        change.at.fill("green", replace(held(change, "green"), version="3"), "westeurope")
    assert documents.deployments == ["blue", "green"]
