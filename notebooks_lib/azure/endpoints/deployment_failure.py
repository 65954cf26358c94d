"""Why a deployment failed: of all that Azure and the containers say, the one line that matters, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from notebooks_lib import errors

Cause = Literal["image", "quota", "secret", "network", "user code", "memory", "probe", "time", "Azure"]
_STEPS: Mapping[Cause, str] = {
    "image": "correct the model's requirements, then log and promote it again; the build's log is in the portal",
    "quota": "ask for more quota in the portal (Quotas), or name a smaller instance_type in deployment.yml; Azure holds"
    " a fifth back for upgrades",
    "secret": "check the secrets in environment_variables of deployment.yml, and whether the endpoint's identity may"
    " read them",
    "network": "check egress_public_network_access in deployment.yml, and whether the endpoint reaches storage and"
    " registry",
    "user code": "correct the model or its requirements, then log and promote it again",
    "memory": "name a larger instance_type in deployment.yml",
    "probe": "raise initial_delay and failure_threshold of the probes in deployment.yml if the model loads slowly",
    "time": "raise wait_minutes of the stage if it needs longer; the first image of an environment takes longest",
    "Azure": "do it again; https://aka.ms/oe-tsg explains the code",
}
_CODES: Mapping[str, Cause] = {
    "ImageBuildFailure": "image",
    "EnvironmentBuildFailure": "image",
    "OutOfQuota": "quota",
    "QuotaExceeded": "quota",
    "OutOfCapacity": "quota",
    "SecretsInjectionError": "secret",
    "WorkspaceManagedNetworkNotReady": "network",
}
_TOLD: tuple[tuple[re.Pattern[str], Cause], ...] = (
    (re.compile(r"(?i:image.{0,20}build)|\bACR\b"), "image"),
    (re.compile(r"quota|not enough cores", re.I), "quota"),
    (re.compile(r"secret|key ?vault", re.I), "secret"),
    (re.compile(r"managed network|private endpoint|egress", re.I), "network"),
)
"""What Azure's own message speaks of, where its code says little."""
_MEMORY = re.compile(r"out of memory|MemoryError|OOMKilled|Cannot allocate memory", re.I)
_NETWORK = re.compile(
    r"Name or service not known|name resolution|Connection (?:refused|timed out)|Network is unreachable"
)
_PROBE = re.compile(r"(?:liveness|readiness) probe", re.I)
_RAISED = re.compile(
    r"(?:[A-Za-z_]\w*\.)+[A-Z]\w*(?:: .+)?|[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)(?:: .+)?"
)
"""The last line of a traceback: a name with its module or the ending of an exception, perhaps a message."""
_FRAME = re.compile(r'  File ".+", line \d+, in ')
_READY = "ready for serving traffic"
"""The inference server logs it once score.py has been set up (azureml-inference-server-http 1.5, create_app.py)."""


@dataclass(frozen=True)
class DeploymentFailure:
    """What went wrong, in one line, and the step that may mend it."""

    cause: Cause
    line: str
    step: str


def explain_failure(error: errors.AzureError, logs: Mapping[str, Sequence[str]]) -> DeploymentFailure:
    """Return the line that matters of a failed deployment, from Azure's error and the ends of its containers' logs."""
    lines = [line for log in logs.values() for line in log]
    azure = f"{error.code}: {error.cause}" if error.code and error.code not in error.cause else error.cause
    if error.code in _CODES:
        return _failure(_CODES[error.code], azure)
    if raised := _last_raised(lines):
        cause: Cause = "memory" if _MEMORY.search(raised) else "network" if _NETWORK.search(raised) else "user code"
        return _failure(cause, raised)
    for pattern, found in ((_MEMORY, "memory"), (_NETWORK, "network")):
        if matching := [line for line in lines if pattern.search(line)]:
            return _failure("memory" if found == "memory" else "network", matching[-1].strip())
    if " is still " in error.cause:
        return _failure("time", azure)
    for pattern, cause in _TOLD:
        if pattern.search(error.cause):
            return _failure(cause, azure)
    if _PROBE.search(error.cause):
        return _failure("probe", azure)
    refused = error.status is None or error.status >= 400  # else the operation failed, of which its error says little
    return DeploymentFailure("Azure", azure, (refused and error.step) or _STEPS["Azure"])


def _last_raised(lines: Sequence[str]) -> str:
    """Return the exception that ended a process; empty when no log holds a traceback.

    A server that was ready afterwards had survived it. The end of a log may begin within a traceback.
    """
    ready = max((number for number, line in enumerate(lines) if _READY in line), default=-1)
    after = lines[ready + 1 :]
    frames = [number for number, line in enumerate(after) if _FRAME.match(line)]
    begun = [number for number, line in enumerate(after) if "Traceback (most recent call last)" in line]
    if not begun and not frames:
        return ""
    raised = [line.strip() for line in after[(begun or frames)[-1] + 1 :] if _RAISED.fullmatch(line.rstrip())]
    return raised[0] if raised else ""


def _failure(cause: Cause, line: str) -> DeploymentFailure:
    return DeploymentFailure(cause, line, _STEPS[cause])
