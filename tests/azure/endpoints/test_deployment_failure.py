"""Of all that Azure and two containers say of a failed deployment, the user reads the cause, one line and the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from notebooks_lib.azure.endpoints.deployment_failure import explain_failure
from notebooks_lib.errors import AzureError

CRASHED = "slot blue failed: ResourceNotReady: User container has crashed or terminated: Liveness probe failed"
TRACEBACK = """\
2026-11-30 03:00:00 I [7] gunicorn - Starting
Traceback (most recent call last):
  File "/var/azureml-server/user_script.py", line 72, in invoke_init
    self._user_init()
  File "notebooks_lib.zip/notebooks_lib/serving/scoring_script.py", line 80, in from_environment
notebooks_lib.errors.ModelError: the model's files are not those that were deployed (digest abc)
Worker exiting (pid: 7)""".splitlines()
BARE = "AssertionError"
READY = "2026-11-30 03:00:00 I [7] azmlinfsrv - Worker with pid 7 ready for serving traffic"
CASES: list[tuple[str, str, Mapping[str, Sequence[str]], str, str, str]] = [
    (
        "ImageBuildFailure",
        "Image build failed: pip exit 1",
        {},
        "image",
        "ImageBuildFailure: Image build",
        "correct the",
    ),
    ("OutOfQuota", "OutOfQuota: Not enough quota", {}, "quota", "OutOfQuota: Not enough quota", "instance_type in"),
    ("SecretsInjectionError", "a secret", {}, "secret", "SecretsInjectionError: a secret", "check the secrets"),
    (
        "WorkspaceManagedNetworkNotReady",
        "the network",
        {},
        "network",
        "WorkspaceManagedNetworkNotReady: the network",
        "egress_public_network_access",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"InferenceServer": TRACEBACK},
        "user code",
        "notebooks_lib.errors.ModelError: the model's files are not those that were deployed (digest abc)",
        "correct the model",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"InferenceServer": ["Traceback (most recent call last):", "  x", "MemoryError: too much"]},
        "memory",
        "MemoryError: too much",
        "larger instance_type",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"InferenceServer": ["Worker (pid:7) was sent SIGKILL! Perhaps out of memory?"]},
        "memory",
        "Worker (pid:7) was sent SIGKILL! Perhaps out of memory?",
        "larger instance_type",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"StorageInitializer": ["requests: Name or service not known"]},
        "network",
        "requests: Name or service not known",
        "reaches storage",
    ),
    ("ResourceNotReady", CRASHED, {"InferenceServer": ["starting"]}, "probe", CRASHED, "raise initial_delay"),
    ("", "slot blue of endpoint x is still InProgress after 30 min", {}, "time", "slot blue of", "raise wait_minutes"),
    ("BadArgument", "the image could not be built", {}, "Azure", "BadArgument: the image could", "do it again"),
    ("BadArgument", "The ACR image build has failed", {}, "image", "BadArgument: The ACR", "correct the model's"),
    ("", "not replicated across zones", {}, "Azure", "not replicated", "do it again"),
    (
        "ResourceNotReady",
        CRASHED,
        {
            "InferenceServer": [
                "Traceback (most recent call last):",
                '  File "m.py", line 3, in f',
                "Loading: model",
                BARE,
            ]
        },
        "user code",
        BARE,
        "correct the model",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"InferenceServer": [f'  File "m.py", line {line}, in f' for line in range(49)] + ["xgboost.core.Broken: bad"]},
        "user code",
        "xgboost.core.Broken: bad",
        "correct the model",
    ),
    (
        "ResourceNotReady",
        CRASHED,
        {"InferenceServer": ["Traceback (most recent call last):", "ImportError: no telemetry", READY]},
        "probe",
        CRASHED,
        "raise initial_delay",
    ),
    ("InternalServerError", "something", {}, "Azure", "InternalServerError: something", "https://aka.ms/oe-tsg"),
]


@pytest.mark.parametrize(("code", "message", "logs", "cause", "line", "step"), CASES, ids=range(len(CASES)))
def test_the_line_that_matters_is_found(
    code: str, message: str, logs: Mapping[str, Sequence[str]], cause: str, line: str, step: str
) -> None:
    found = explain_failure(AzureError(message, code=code), logs)
    assert found.cause == cause
    assert found.line.startswith(line)
    assert step in found.step
