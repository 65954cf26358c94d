"""Requests to an online endpoint: signed in by its auth mode, a slot named only where it is asked for, never repeated.

The SDK's own `invoke` names a slot in all later requests of a process, once it was named in one.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure.core import exceptions
from azure.core.rest import HttpRequest, HttpResponse

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, error_messages, http_pipeline
from notebooks_lib.azure.client.credential import credential
from notebooks_lib.azure.client.http_pipeline import HttpLimits

LIMITS = HttpLimits(connect=10, read=185, total=200, retries=0)
"""Azure answers a request within 180 s at most. A prediction is not asked for twice."""
_OF_MODEL = "ms-azureml-model-error-statuscode"
_PASSED_ON = 424


@dataclass(frozen=True)
class ScoringAnswer:
    """The answer to one request."""

    status: int
    """The status of the model's own server: that of the gateway, 424, is replaced by the one behind it."""
    content: Any
    """The JSON of the answer, or an object with its text as `message`."""
    slot: str
    """The slot that answered; empty if Azure did not say."""
    request_id: str
    """By which logs on both sides name the request."""


class ScoringClient:
    """Sends requests to one scoring address. Several threads can use it at once."""

    def __init__(self, address: str, auth_mode: str, read_secret: Callable[[], str]) -> None:
        self.address = address
        self._auth_mode = auth_mode
        self._read_secret = read_secret
        self._secret = ""
        self._lock = threading.Lock()
        self._pipeline = http_pipeline.pipeline(LIMITS)

    def ask(self, body: bytes, *, slot: str | None = None, probe: bool = False) -> ScoringAnswer:
        """Send a request and return its answer, whatever its status. Raises AzureError when there is none."""
        answer = self._send(body, slot, probe=probe, secret=self._signed_in())
        if answer.status_code == 401:  # the keys were made anew, or the token has ended
            answer = self._send(body, slot, probe=probe, secret=self._signed_in(again=True))
        status = answer.status_code
        if status == _PASSED_ON and answer.headers.get(_OF_MODEL, "").isdigit():
            status = int(answer.headers[_OF_MODEL])
        return ScoringAnswer(
            status=status,
            content=_content(answer),
            slot=answer.headers.get("azureml-model-deployment", ""),
            request_id=answer.headers.get("x-ms-client-request-id") or answer.headers.get("x-request-id", ""),
        )

    def _signed_in(self, *, again: bool = False) -> str:
        """Return what the request signs in with. A key is read once; the credential keeps its own tokens."""
        if self._auth_mode == "aadtoken":
            return str(credential().get_token(f"{clouds.current().studio}/.default").token)
        with self._lock:
            if again or not self._secret:
                self._secret = self._read_secret()
            return self._secret

    def _send(self, body: bytes, slot: str | None, *, probe: bool, secret: str) -> HttpResponse:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {secret}",
            "x-ms-client-request-id": uuid.uuid4().hex,
            **({"azureml-model-deployment": slot} if slot else {}),
            **({"x-nbops-probe": "1"} if probe else {}),
        }
        request = HttpRequest("POST", self.address, headers=headers, content=body)
        try:
            answer: HttpResponse = self._pipeline.run(request).http_response
            answer.read()
        except exceptions.AzureError as error:
            raise error_messages.describe(error, f"the endpoint at {self.address}") from error
        return answer


def _content(answer: HttpResponse) -> Any:
    text = answer.content.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return {"message": errors.reason(Exception(text), 300) if text else f"no text, status {answer.status_code}"}
