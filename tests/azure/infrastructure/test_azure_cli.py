"""The Azure CLI is found or its place is named, runs with a bound, and each of its failures is one line."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil
import pytest

from notebooks_lib import errors
from notebooks_lib.azure.infrastructure import azure_cli
from notebooks_lib.azure.infrastructure.azure_cli import AzureCli


def put_az(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> AzureCli:
    """An `az` that runs a shell script."""
    program = folder / "bin" / "az"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return AzureCli(patience=20)


def test_without_it_one_reads_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UsageError) as refused:
        AzureCli()
    assert str(refused.value) == "the Azure CLI (az) is not installed; install it: https://aka.ms/install-azure-cli"


def test_what_it_prints_is_read_and_it_cannot_ask_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = put_az(
        tmp_path, 'echo WARNING: new version >&2; read answer; printf \'["%s", "%s"]\' "$*" "$answer"', monkeypatch
    )
    assert cli.run("group", "show", what="it") == ["group show --output json --only-show-errors", ""]
    assert put_az(tmp_path, "", monkeypatch).run("x", what="it") is None
    with pytest.raises(errors.AzureError, match=r"it: `az x` printed no JSON: <html>; update the Azure CLI"):
        put_az(tmp_path, "echo '<html>'", monkeypatch).run("x", what="it")


def test_who_is_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"id": "S", "name": "Sales", "user": {"name": "ada@example.com"}}'
    assert str(put_az(tmp_path, f"echo '{answer}'", monkeypatch).account()) == "'Sales' (S) as ada@example.com"
    nobody = put_az(tmp_path, "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1", monkeypatch)
    with pytest.raises(errors.UsageError, match=r"^the Azure CLI is not signed in: run `az login`$"):
        nobody.account()


def test_a_command_that_does_not_answer_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real `az` may be a script, whose child would keep our pipes open."""
    cli = put_az(tmp_path, f"sleep 60 &\necho $! > {tmp_path}/child\nwait", monkeypatch)
    began = time.monotonic()
    with pytest.raises(
        errors.AzureError, match=r"^it: `az group show` did not answer within 0\.5 s; check the network"
    ):
        cli.run("group", "show", "--name", "x", what="it", patience=0.5)
    assert time.monotonic() - began < 10
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int((tmp_path / "child").read_text()))
        assert child.status() == psutil.STATUS_ZOMBIE or child.wait(5) is None


@pytest.mark.parametrize(
    ("complaint", "line"),
    [
        (
            "WARNING: noise\nERROR: (ResourceGroupNotFound) Resource group 'g' could not be found.\nCode: ResourceGroupNotFound\n"
            "Message: Resource group 'g' could not be found.\n",
            "no it: ResourceGroupNotFound: Resource group 'g' could not be found;"
            " check the name of the resource group: `az group list`",
        ),
        (
            'ERROR: {"code": "InvalidTemplateDeployment", "message": "See inner errors.", "details": '
            '[{"code": "AuthorizationFailed", "message": "The client does not have authorization to perform action '
            "'Microsoft.Authorization/roleAssignments/write' over scope '/x'.\"}]}",
            "no permission for it: AuthorizationFailed: The client does not have authorization to perform action"
            " 'Microsoft.Authorization/roleAssignments/write' over scope '/x';"
            " ask for the role Role Based Access Control Administrator; a new role takes some minutes to hold",
        ),
        (
            'ERROR: {"status": "Failed", "error": {"code": "DeploymentFailed", "message": "Outer", "details": '
            '[{"code": "Conflict", "message": "{\\"error\\": {\\"code\\": \\"QuotaExceeded\\", \\"message\\": \\"no cores\\"}}"}]}}',
            "it failed: QuotaExceeded: no cores;"
            " ask for more quota in the portal (Quotas), or take fewer or smaller machines",
        ),
        (
            'ERROR: /p/main.bicep(12,3) : Error BCP018: Expected the "=" character.\n',
            'it failed: /p/main.bicep(12,3) : Error BCP018: Expected the "=" character;'
            " correct what the reason names, then do it again",
        ),
        (
            "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n",
            "it failed: KeyError: 'a'; correct what the reason names, then do it again",
        ),
        (
            "ERROR: unrecognized arguments: --validation-level ProviderNoRbac\n",
            "it: the Azure CLI is too old: unrecognized arguments: --validation-level ProviderNoRbac;"
            " update the Azure CLI: `az upgrade`",
        ),
        (
            "ERROR: InvalidTemplateDeployment - The template deployment 'nbops-dev' is not valid according to the validation"
            " procedure. The tracking id is '1'. See inner errors for details.\n"
            "PreflightValidationCheckFailed - Preflight validation failed. Please refer to the details for the specific"
            " errors.\nStorageAccountAlreadyTaken - The storage account named stx is already taken.\n",
            "it failed: StorageAccountAlreadyTaken: The storage account named stx is already taken;"
            " take another prefix: somebody else has this name",
        ),
        (
            'ERROR: {"code": "InvalidTemplateDeployment", "message": "See inner errors for details."}\n\n'
            'Inner Errors: \n{"code": "RequestDisallowedByPolicy", "message": "Resource \'st\' was disallowed by policy."}\n\n'
            'Inner Errors: \n{"code": "QuotaExceeded", "message": "no cores"}\n',
            "it failed: RequestDisallowedByPolicy: Resource 'st' was disallowed by policy | QuotaExceeded: no cores;"
            " ask who runs the subscription: a policy of your organisation forbids it;"
            " ask for more quota in the portal (Quotas), or take fewer or smaller machines",
        ),
        (
            "ERROR: (InvalidTemplateDeployment) See inner errors for details.\nCode: InvalidTemplateDeployment\n"
            "Message: See inner errors for details.\nException Details:\t(RequestDisallowedByPolicy) Resource 'st' was"
            " disallowed by policy.\n\tCode: RequestDisallowedByPolicy\n\tMessage: Resource 'st' was disallowed by policy.\n",
            "it failed: RequestDisallowedByPolicy: Resource 'st' was disallowed by policy;"
            " ask who runs the subscription: a policy of your organisation forbids it",
        ),
        (
            "ERROR: (BadRequest) Soft-deleted workspace exists. Please purge or recover it.\nCode: BadRequest\n",
            "it failed: BadRequest: Soft-deleted workspace exists. Please purge or recover it;"
            " purge or recover it: Recently deleted, on the portal's page of Azure Machine Learning; or take another name."
            " To keep no name, delete with `az ml workspace delete --permanently-delete`",
        ),
        (
            "ERROR: Error while attempting to download Bicep CLI: <urlopen error [Errno -2] Name or service not known>\n",
            "it failed: Error while attempting to download Bicep CLI: <urlopen error [Errno -2] Name or service not known>;"
            " check the network: the Azure CLI downloads Bicep at its first use (`az bicep install`)",
        ),
        (
            "ERROR: InvalidTemplateDeployment - Deployment failed with multiple errors: 'Authorization failed for template"
            " resource 'x' of type 'Microsoft.Authorization/roleAssignments'. The client 'c' with object id 'o' does not have"
            " permission to perform action 'Microsoft.Authorization/roleAssignments/write' at scope '/s'.'\n",
            "no permission for it: InvalidTemplateDeployment: Deployment failed with multiple errors: 'Authorization failed"
            " for template resource 'x' of type 'Microsoft.Authorization/roleAssignments'. The client 'c' with object id 'o'"
            " does not have permission to perform action 'Microsoft.Authorization/roleAssignments/write' at scope  …;"
            " ask for the role Role Based Access Control Administrator; a new role takes some minutes to hold",
        ),
        ("", "it failed: it failed without a word; correct what the reason names, then do it again"),
    ],
)
def test_each_form_of_its_errors_becomes_one_line(complaint: str, line: str) -> None:
    assert str(azure_cli.failure(complaint, "it")) == line
