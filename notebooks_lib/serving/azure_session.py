"""Requests to an online endpoint of Azure in a row: signed in once, each counted by the slot that answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from notebooks_lib.azure.endpoints.scoring_client import ScoringClient
from notebooks_lib.errors import AzureError, EndpointError, InputError
from notebooks_lib.serving.azure_counts import AzureCounts
from notebooks_lib.serving.endpoint import EndpointAnswer, EndpointSession

_MISSING = 404


@contextmanager
def as_endpoint_error(what: str) -> Iterator[None]:
    """Turn an AzureError within the block into an EndpointError about `what`: endpoints raise no other."""
    try:
        yield
    except AzureError as error:
        raise EndpointError(f"{what}: {error}") from error


@dataclass(frozen=True)
class AzureSession(EndpointSession):
    """Sends requests to one scoring address. Its key, or token, is in no answer and no message."""

    endpoint: str
    client: ScoringClient
    counts: AzureCounts
    probe: bool

    def ask(self, payload: object, *, slot: str | None = None) -> EndpointAnswer:
        """Send one request, which names a slot only if `slot` does."""
        try:
            body = json.dumps(payload).encode()
        except (TypeError, ValueError) as error:
            raise InputError(f"the request cannot be written as JSON: {error}") from error
        with as_endpoint_error(f"endpoint {self.endpoint!r}"):
            answer = self.client.ask(body, slot=slot, probe=self.probe)
        if answer.status == _MISSING:
            text = f"no slot {slot!r}" if slot else "no slot has traffic"
            return EndpointAnswer(_MISSING, {"message": text}, self.client.address)
        if answered := answer.slot or slot:
            self.counts.add(answered, answer.status, probe=self.probe)
        content = answer.content
        if answer.status != 200 and isinstance(content, dict) and answer.request_id:
            content = {**content, "message": f"{content.get('message', content)} (request {answer.request_id})"}
        return EndpointAnswer(answer.status, content, self.client.address)
