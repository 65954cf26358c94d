"""Plain requests to Azure's REST APIs: tokens, pages, long operations, and every failure as one line.

It imports within a quarter of a second; `azure.ai.ml` takes ten. What only reads, or is one plain request, comes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from azure.core import PipelineClient, exceptions
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.polling.base_polling import BadResponse, BadStatus
from azure.core.rest import HttpRequest
from azure.mgmt.core.polling.arm_polling import ARMPolling

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, error_messages, http_pipeline
from notebooks_lib.azure.client.credential import Credential, credential
from notebooks_lib.azure.client.http_pipeline import USUAL, HttpLimits

POLL_INTERVAL = 5
"""Seconds between two looks at a long operation, if Azure names no other interval."""


class _BoundedPolling(ARMPolling):
    """Looks at a long operation until it ends, or raises TimeoutError."""

    def __init__(self, wait_seconds: float, on_poll: Callable[[str], None], patience: float) -> None:
        super().__init__(POLL_INTERVAL)
        self.deadline = time.monotonic() + wait_seconds
        self._on_poll = on_poll
        self._patience = patience
        self._seen = time.monotonic()

    def update_status(self) -> None:
        """Ask for the operation's status."""
        if time.monotonic() > self.deadline:
            raise TimeoutError
        try:
            super().update_status()
        except (exceptions.AzureError, BadStatus, BadResponse):
            if time.monotonic() - self._seen > self._patience:
                raise
            self._on_poll(f"{self.status()} when last seen")
            return
        self._seen = time.monotonic()
        self._on_poll(str(self.status()))


class RestClient:
    """Requests to one host of Azure. Every failure is an AzureError of one line, with its cause and the next step.

    `what` names the resource in messages; `if_missing` is the next step when there is none.
    """

    def __init__(
        self, base_url: str, scope: str, *, sign_in: Credential | None = None, limits: HttpLimits = USUAL
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._pipeline = http_pipeline.pipeline(limits, BearerTokenCredentialPolicy(sign_in or credential(), scope))

    def request(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        what: str,
        if_missing: str = "",
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request to a path, or to a whole URL; return the JSON of the answer, or None if it is empty."""
        with error_messages.translated(what, if_missing):
            return _json(self._run(method, path, api_version, query, body, headers), what)

    def pages(
        self, path: str, api_version: str, *, what: str, if_missing: str = "", query: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        """Yield the items of a list, page after page."""
        page = self.request("GET", path, api_version, what=what, if_missing=if_missing, query=query)
        yield from page["value"]
        while page.get("nextLink"):
            page = self.request("GET", page["nextLink"], "", what=what, if_missing=if_missing)
            yield from page["value"]

    def operation(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        what: str,
        if_missing: str = "",
        body: object = None,
        wait_seconds: float,
        on_poll: Callable[[str], None] = lambda status: None,
        patience: float = 0.0,
    ) -> Any:
        """Start a long operation and wait for its end; return the JSON of the resource, or None if it is gone.

        `on_poll` is called with the operation's status after each look at it. For `patience` seconds, looks may fail.
        Raises AzureError when it fails, and soon after `wait_seconds`: it then goes on in Azure.
        """
        with error_messages.translated(what, if_missing):
            started = self._run(method, path, api_version, None, body)
            polling = _BoundedPolling(wait_seconds, on_poll, patience)
            polling.initialize(
                PipelineClient(self.base_url, pipeline=self._pipeline), started, lambda end: _json(end, what)
            )
            try:
                polling.run()
            except TimeoutError as error:
                cause = f"{what} is still {polling.status()} after {wait_seconds / 60:.3g} min"
                step = "Azure goes on with it: do it again to wait longer, or look at it in the portal"
                raise errors.AzureError(cause, step) from error
            return None if method == "DELETE" else polling.resource()

    def _run(
        self,
        method: str,
        path: str,
        api_version: str,
        query: Mapping[str, str] | None,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        url = path if path.startswith("https://") else self.base_url + path
        parameters = dict(query or {}) | ({"api-version": api_version} if api_version else {})
        answer = self._pipeline.run(HttpRequest(method, url, params=parameters, json=body, headers=dict(headers or {})))
        answer.http_response.raise_for_status()
        return answer


def _json(answer: Any, what: str) -> Any:
    """Return the JSON of an answer, or None if it is empty."""
    try:
        return answer.http_response.json() if answer.http_response.content else None
    except ValueError as error:
        cause = f"the answer about {what} is not JSON, so it is not Azure's"
        raise errors.AzureError(
            cause, "check HTTPS_PROXY, and whether a web page asks you to sign in to the network"
        ) from error


def resource_manager(limits: HttpLimits = USUAL) -> RestClient:
    """Return a client of Azure Resource Manager in the cloud in force."""
    cloud = clouds.current()
    return RestClient(cloud.resource_manager, cloud.scope, limits=limits)
