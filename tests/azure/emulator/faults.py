"""Faults that a test switches on: what the service does on a bad day, to requests that match."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

ANSWERS = {
    "too_many_requests": (429, "TooManyRequests", "Too many requests. Please retry after a while."),
    "server_error": (500, "InternalServerError", "An internal error has occurred."),
    "expired_token": (401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now."),
    "conflict": (409, "ContainerBeingDeleted", "The specified container is being deleted. Try operation later."),
    "not_found": (404, "ResourceNotFound", "The Resource was not found."),
    "forbidden": (403, "AuthorizationFailed", "The client does not have authorization to perform the action."),
}
"""Faults that answer in place of the service."""
JOB_FAULTS = ("image_build_fails", "never_starts", "evicted")
"""What befalls a job whose submission is struck; `retry_after` are the seconds until it is evicted."""
ENDPOINT_FAULTS = ("container_crashes", "figures_never_come")
"""What befalls a deployment, beside `image_build_fails`, and what Azure Monitor knows of one."""
BATCH_FAULTS = ("mini_batch_fails", "output_is_lost")
"""What befalls the job of a batch whose invocation is struck."""
BODY = "emulator.body"
"""Where the text of a body is found in the scope of a request, if some fault asks for it."""
KINDS = (
    *ANSWERS,
    "cut",
    "lost_answer",
    "held",
    "operation_fails",
    "operation_never_ends",
    *JOB_FAULTS,
    *ENDPOINT_FAULTS,
    *BATCH_FAULTS,
)


@dataclass
class Fault:
    """One switch: it strikes `times` requests that match (0: all of them), after it has let `skip` of them pass."""

    kind: str
    method: str = ""
    host: str = ""
    path: str = ""
    """A regular expression, as `host` and `body`, which are searched for."""
    body: str = ""
    times: int = 1
    skip: int = 0
    done: bool = True
    """For `held`: whether it is carried out; it is never answered, and its client waits until it is killed."""
    retry_after: int = 1
    """Seconds, for `too_many_requests`."""
    code: str = "InternalServerError"
    message: str = "The operation failed."
    """What an operation says that fails."""
    struck: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}: {', '.join(KINDS)}")


class Faults:
    """The switches that a test has set."""

    def __init__(self) -> None:
        self.on: list[Fault] = []

    @property
    def of_bodies(self) -> bool:
        """True if a switch goes by the bodies of requests."""
        return any(fault.body for fault in self.on)

    def clear(self) -> list[str]:
        """Switch all off and return the kinds of those that struck nothing."""
        unused = [fault.kind for fault in self.on if not fault.struck]
        self.on.clear()
        return unused

    def take(self, request: Request, *kinds: str) -> Fault | None:
        """Return the fault of `kinds` that strikes this request, and count it as used."""
        body = str(request.scope.get(BODY, ""))
        for fault in self.on:
            if fault.kind not in kinds or fault.method not in ("", request.method):
                continue
            if not re.search(fault.host, request.url.hostname or "") or not re.search(fault.path, request.url.path):
                continue
            if not re.search(fault.body, body):
                continue
            if fault.skip or fault.times < 0:
                fault.skip -= fault.skip > 0
                continue
            fault.struck = True
            fault.times = fault.times and (fault.times - 1 or -1)
            return fault
        return None

    def answer(self, request: Request) -> Response | None:
        """Return what a fault answers in place of the service; None when the service may answer."""
        fault = self.take(request, *ANSWERS)
        if fault is None:
            return None
        status, code, message = ANSWERS[fault.kind]
        headers = {"x-ms-error-code": code}  # where storage says it
        if status == 429:
            headers["Retry-After"] = str(fault.retry_after)
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
