"""The Azure CLI, `az`: found, signed in, and run with a bound on the time. It knows nothing of what is asked of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors, safe_text
from notebooks_lib.azure.client import error_messages

PATIENCE = 120.0
"""Seconds in which a command must have answered."""
INSTALL = "install it: https://aka.ms/install-azure-cli"
_UPDATE = "update the Azure CLI: `az upgrade`"
_CODE = re.compile(r"^(?:\s*Exception Details:)?\s*\((\w+)\) (.+)$", re.MULTILINE)
"""How a request that Azure refused is printed, its details indented below."""
_PREFLIGHT = re.compile(r"^([A-Z]\w+) - (.+)$", re.MULTILINE)
"""How a deployment that Azure refused is printed: a line for each level, the reasons last."""
_CODE_LINE = re.compile(r"^Code: *(\w+)$", re.MULTILINE)
_MESSAGE_LINE = re.compile(r"^Message: *(.+)$", re.MULTILINE)
_OUTER = ("InvalidTemplateDeployment", "DeploymentFailed", "MultipleErrorsOccurred", "PreflightValidationCheckFailed")
"""Codes that only say that there are reasons."""


@dataclass(frozen=True)
class Account:
    """Who is signed in with `az login`, and in which subscription its commands work."""

    subscription: str
    name: str
    """The name of the subscription."""
    user: str
    is_application: bool = False
    """Whether no person is signed in, as in CI."""

    def __str__(self) -> str:
        return f"{self.name!r} ({self.subscription}) as {self.user}"


class AzureCli:
    """The `az` on the PATH. Raises UsageError, with how to get it, when there is none."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        program = shutil.which("az")
        if program is None:
            raise errors.UsageError(f"the Azure CLI (az) is not installed; {INSTALL}")
        self._program = program
        self._patience = patience

    def account(self) -> Account:
        """Return who is signed in. Raises UsageError when nobody is."""
        try:
            answer = self.run("account", "show", what="the account of the Azure CLI")
        except errors.AzureError as error:
            if "az login" in error.cause:
                raise errors.UsageError("the Azure CLI is not signed in: run `az login`") from error
            raise
        user = answer.get("user") or {}
        is_application = user.get("type") == "servicePrincipal"
        return Account(str(answer["id"]), str(answer.get("name") or ""), str(user.get("name")), is_application)

    def run(self, *arguments: str, what: str, patience: float = 0) -> Any:
        """Run a command and return the JSON that it prints; None if it prints nothing.

        `what` names the subject in messages. Raises AzureError when it fails, and after `patience` seconds.
        """
        command = [self._program, *arguments, "--output", "json", "--only-show-errors"]
        patience = patience or self._patience
        words = " ".join(["az", *itertools.takewhile(lambda word: not word.startswith("-"), arguments)])
        # A session of its own: `az` may be a script whose child would outlive it, and keep our pipes open.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"AZURE_CORE_NO_COLOR": "true"},
            start_new_session=True,
        )
        try:
            output, complaint = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            cause = f"{what}: `{words}` did not answer within {patience:.3g} s"
            raise errors.AzureError(cause, "check the network, then do it again") from error
        finally:
            _end(process)
        if process.returncode:
            raise failure(complaint.decode("utf-8", "replace"), what)
        text = output.decode("utf-8", "replace").strip()
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            cause = f"{what}: `{words}` printed no JSON: {safe_text.printable(text[:100])}"
            raise errors.AzureError(cause, _UPDATE) from error


def failure(complaint: str, what: str) -> errors.AzureError:
    """Return the error of a command that failed, from what it wrote to standard error."""
    lines = [line for line in complaint.splitlines() if line.strip() and not line.startswith("WARNING")]
    text = "\n".join(lines).rpartition("ERROR: ")[2].strip() or "it failed without a word"
    if "unrecognized arguments" in text:
        return errors.AzureError(f"{what}: the Azure CLI is too old: {text.splitlines()[0]}", _UPDATE)
    if content := [*_objects(text)]:  # the outer error, and those below "Inner Errors:"
        outer, *inner = [each.get("error") or each for each in content]
        return error_messages.of_error({**outer, "details": [*(outer.get("details") or ()), *inner]}, what)
    for pattern in (_PREFLIGHT, _CODE):
        if named := [{"code": code, "message": message} for code, message in pattern.findall(text)]:
            reasons = [each for each in named if each["code"] not in _OUTER] or named[-1:]
            return error_messages.of_error({"details": reasons}, what)
    code, message = _CODE_LINE.search(text), _MESSAGE_LINE.search(text)
    first, *_, last = [*text.splitlines()] * 2
    reason = message[1] if message else last if first.startswith("Traceback") else first
    return error_messages.of_error({"code": code[1] if code else "", "message": reason}, what)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that begin a line of a text."""
    decoder, position = json.JSONDecoder(), 0
    while match := re.compile(r"^\s*(?=\{)", re.MULTILINE).search(text, position):
        position = match.end() + 1
        with contextlib.suppress(ValueError):
            content, position = decoder.raw_decode(text, match.end())
            yield content


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children, if they have not ended, and close its pipes."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
