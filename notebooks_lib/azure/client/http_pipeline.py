"""How every request to Azure is sent: time limits and retries. It knows nothing of what is asked or answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from azure.core.pipeline import Pipeline
from azure.core.pipeline.policies import RequestIdPolicy, RetryPolicy, UserAgentPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse

import notebooks_lib


@dataclass(frozen=True)
class HttpLimits:
    """Time limits in seconds, and retries, of a request."""

    connect: float = 5
    read: float = 30
    """The longest silence of a server."""
    total: float = 60
    """For a request with its retries and the waits between them; the last answer may take `read` more."""
    retries: int = 4
    """After 408, 429, 5xx and lost connections, each after Retry-After or a growing wait."""

    @property
    def options(self) -> dict[str, Any]:
        """The same as options of a credential or client of the Azure SDK."""
        return {
            "connection_timeout": self.connect,
            "read_timeout": self.read,
            "timeout": self.total,
            "retry_total": self.retries,
            "retry_connect": min(self.retries, 1),  # what cannot be connected to within 5 s is not there
        }


USUAL = HttpLimits()
QUICK = HttpLimits(connect=3, read=5, total=10, retries=1)
"""For commands that only look, such as `nbops doctor`."""


LONGEST_SLEEP = 60
"""Seconds between two looks at a long operation at most, whatever Retry-After says."""


class _Transport(RequestsTransport):  # type: ignore[misc]
    """One session, in which no wait is longer than LONGEST_SLEEP."""

    def sleep(self, duration: float) -> None:
        """Wait between two requests."""
        super().sleep(min(duration, LONGEST_SLEEP))


class BoundedRetryPolicy(RetryPolicy[HttpRequest, HttpResponse]):
    """Retries, but for an answer that asks for a longer wait than is left: that one is returned at once."""

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        """Remember when the request has to end."""
        settings = super().configure_retries(options)
        return settings | {"deadline": time.monotonic() + settings["timeout"]}

    def increment(self, settings: dict[str, Any], response: Any = None, error: Exception | None = None) -> bool:
        """Return whether to retry."""
        wait = self.get_retry_after(response) if error is None and response is not None else 0
        return super().increment(settings, response, error) and time.monotonic() + (wait or 0) < settings["deadline"]


def pipeline(limits: HttpLimits, *policies: Any) -> Pipeline[HttpRequest, HttpResponse]:
    """Return a pipeline with one session; `policies`, such as one that signs in, run again for each retry."""
    return Pipeline(
        _Transport(**limits.options),
        [
            RequestIdPolicy(),
            UserAgentPolicy(f"nbops/{notebooks_lib.__version__}"),
            BoundedRetryPolicy(**limits.options),
            *policies,
        ],
    )


def send(request: HttpRequest, limits: HttpLimits) -> HttpResponse:
    """Send one request that needs no sign-in."""
    with pipeline(limits) as opened:
        return opened.run(request).http_response
