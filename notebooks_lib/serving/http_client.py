"""Speak HTTP to an endpoint of this machine, never through a proxy. It knows no files."""

from __future__ import annotations

import http.client
import ipaddress
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError, InputError
from notebooks_lib.serving.endpoint import EndpointAnswer

TIMEOUT = 60.0
"""Seconds that a prediction may take."""

_LONGEST_CURL = 2000


@dataclass(frozen=True)
class Address:
    """The host and port on which an endpoint listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reachable(self) -> str:
        """Return the host to connect to from this machine: loopback for a server that listens on all addresses."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        """Return the URL, without a slash at its end."""
        host = self.reachable
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def send_request(
    address: Address,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    key: str = "",
    slot: str | None = None,
    probe: bool = False,
    timeout: float = TIMEOUT,
) -> tuple[int, Any]:
    """Send a request; return status and JSON content of the answer.

    `key` is the endpoint's key. `slot` selects a slot; without it, the traffic decides. A `probe` is marked as a test
    request: no caller waits for its answer. Raises OSError when there is no answer within `timeout` seconds,
    EndpointError when it is not JSON.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if slot is not None:
        headers["azureml-model-deployment"] = slot
    if probe:
        headers["x-nbops-probe"] = "1"
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(address.reachable, address.port, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{address.url} does not answer as an endpoint does ({type(error).__name__})") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError as error:
        raise EndpointError(f"{address.url}{path} answered {answer.status} with something that is not JSON") from error


def request_predictions(
    address: Address, payload: object, *, key: str = "", slot: str | None = None, probe: bool = False
) -> EndpointAnswer:
    """Send a prediction request and return the answer, whatever its status. `probe` marks a test request.

    Raises InputError when the payload cannot be written as JSON, EndpointError when the endpoint cannot be reached.
    """
    try:
        body = json.dumps(payload).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"the request cannot be written as JSON: {error}") from error
    try:
        status, content = send_request(address, "POST", "/invocations", body, key=key, slot=slot, probe=probe)
    except OSError as error:
        raise EndpointError(f"{address.url} does not answer: {error}; see nbops endpoint status") from error
    return EndpointAnswer(status, content, address.url)


def curl_command(address: Address, example: object, *, example_file: Path, key_file: Path) -> str:
    """Return a curl command that sends the example: inside the command if it is short, else from `example_file`.

    The key is read from `key_file` through a pipe, because every user of the machine can see a process's arguments in
    `ps`.
    """
    # A proxy that the shell names does not know this machine's loopback.
    parts = ["curl", "-sS", "--noproxy", "'*'", f"{address.url}/invocations", "-H", "'Content-Type: application/json'"]
    if not address.loopback:
        key = f'printf "Authorization: Bearer %s" "$(cat {shlex.quote(str(key_file))})" |'
        parts = [key, *parts, "-H", "@-"]
    text = json.dumps(example)
    body = shlex.quote(text if len(text) <= _LONGEST_CURL else f"@{example_file}")
    return " ".join([*parts, "--data-binary", body])
