"""One credential signs in wherever nbops runs, by the first way that is there; it never waits for a person."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds
from notebooks_lib.azure.client import credential as module
from notebooks_lib.azure.client.credential import credential, signed_in_as
from tests.azure.emulator import Emulated, plain_server, sign_in
from tests.azure.emulator.certificates import AZURE_PIPELINES, GITHUB, LOGIN

pytestmark = pytest.mark.tracking

SCOPE = "https://management.azure.com/.default"
OTHER_SCOPE = "https://ml.azure.com/.default"
CLIENT = {"AZURE_CLIENT_ID": sign_in.CLIENT, "AZURE_TENANT_ID": sign_in.TENANT}
SECRET = {**CLIENT, "AZURE_CLIENT_SECRET": sign_in.SECRET}
ON_GITHUB = {
    **CLIENT,
    "ACTIONS_ID_TOKEN_REQUEST_URL": f"https://{GITHUB}/token?api-version=2.0",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": sign_in.JOB_TOKEN,
}
ON_AZURE_PIPELINES = {
    "AZURESUBSCRIPTION_CLIENT_ID": sign_in.CLIENT,
    "AZURESUBSCRIPTION_TENANT_ID": sign_in.TENANT,
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "connection",
    "SYSTEM_OIDCREQUESTURI": f"https://{AZURE_PIPELINES}/organisation/oidctoken",
    "SYSTEM_ACCESSTOKEN": sign_in.JOB_TOKEN,
}


class Machine:
    """A machine that reaches Azure, on which nothing says yet how to sign in, and its stand-in for `az`."""

    def __init__(self, azure: Emulated, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.azure = azure
        self.folder = folder
        self.environment = environment

    def set(self, variables: dict[str, str]) -> None:
        for name, value in variables.items():
            self.environment.setenv(name, value)

    def install_az(self, output: str = "", error: str = "") -> Path:
        """Put an `az` on PATH; return the file in which it notes each of its calls."""
        calls, program = self.folder / "calls", self.folder / "az"
        end = f"printf '%s' '{output}'" if output else f'echo "{error}" >&2; exit 1'
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{end}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        calls.touch()
        return calls


@pytest.fixture
def machine(azure_server: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, value in azure_server.environment.items():
        if name not in SECRET:
            monkeypatch.setenv(name, value)
    for name in ("https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(folder))  # a real `az` is not to be found
    with plain_server.running() as metadata, azure_server.only_azure():
        metadata.answers = [(400, {"error": "invalid_request", "error_description": "Identity not found"})]
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.address)  # in place of 169.254.169.254
        yield Machine(azure_server, folder, monkeypatch)


def token_of(lifetime: int = 3600) -> str:
    """A token as the Azure CLI has it."""
    claims = json.dumps({"upn": "ann@example.org", "tid": "t-1"}).encode()
    payload = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    return json.dumps({"accessToken": f"header.{payload}.signature", "expires_on": int(time.time()) + lifetime})


def requests_to(machine: Machine, host: str, began: int) -> list[str]:
    return [str(seen) for seen in machine.azure.record.since(began) if seen.host == host]


@pytest.mark.parametrize(
    ("variables", "method", "host"),
    [
        (ON_GITHUB, "GitHub's OIDC token", GITHUB),
        (ON_GITHUB | {"AZURE_CLIENT_SECRET": ""}, "GitHub's OIDC token", GITHUB),
        (ON_AZURE_PIPELINES, "Azure Pipelines' OIDC token", AZURE_PIPELINES),
        (SECRET, "AZURE_* variables", LOGIN),
    ],
)
def test_it_signs_in_by_what_the_environment_offers(
    variables: dict[str, str], method: str, host: str, machine: Machine
) -> None:
    machine.set(variables)
    began = machine.azure.record.position()

    token = credential().get_token_info(SCOPE)

    assert credential().method is not None
    assert credential().method.name == method
    assert signed_in_as(token.token) == f"{sign_in.CLIENT} (tenant {sign_in.TENANT})"
    assert requests_to(machine, host, began)


@pytest.mark.parametrize(("variables", "host"), [(ON_GITHUB, GITHUB), (ON_AZURE_PIPELINES, AZURE_PIPELINES)])
def test_a_job_asks_for_its_oidc_token_anew_each_time(variables: dict[str, str], host: str, machine: Machine) -> None:
    machine.set(variables)
    began = machine.azure.record.position()

    with machine.azure.lifetimes(access=0):  # so that each token has ended when the next one is asked for
        for _ in range(3):
            credential().get_token(SCOPE)

    assert len(requests_to(machine, host, began)) == 3


def test_workload_identity(machine: Machine, tmp_path: Path) -> None:
    machine.set(ON_GITHUB)
    file = tmp_path / "token"
    file.write_text(module._github_token())
    machine.environment.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    machine.set({"AZURE_FEDERATED_TOKEN_FILE": str(file)})

    assert credential().get_token(SCOPE).token
    assert credential().method.name == "workload identity"


def test_managed_identity(machine: Machine) -> None:
    machine.set({name: machine.azure.managed_identity[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})

    assert credential().get_token(SCOPE).token
    assert credential().method.name == "managed identity"


def test_the_identity_of_a_compute_is_named(machine: Machine) -> None:
    endpoint = {"MSI_ENDPOINT": machine.azure.managed_identity["IDENTITY_ENDPOINT"], "MSI_SECRET": sign_in.IDENTITY}
    machine.set({**endpoint, "DEFAULT_IDENTITY_CLIENT_ID": sign_in.IDENTITY_CLIENT})

    assert credential().get_token(SCOPE).token
    assert credential().method.name == "managed identity"


def test_the_azure_cli(machine: Machine) -> None:
    calls = machine.install_az(token_of())

    for scope in (SCOPE, SCOPE, OTHER_SCOPE):
        assert signed_in_as(credential().get_token(scope).token) == "ann@example.org (tenant t-1)"

    assert credential().method.name == "Azure CLI"
    told = calls.read_text().splitlines()  # once for each scope: it takes up to a second
    assert [line.rpartition(" ")[2] for line in told] == ["https://management.azure.com", "https://ml.azure.com"]


def test_a_token_of_the_azure_cli_is_renewed_before_it_ends(machine: Machine) -> None:
    calls = machine.install_az(token_of(lifetime=module.RENEWAL - 10))

    for _ in range(2):
        credential().get_token(SCOPE)

    assert len(calls.read_text().splitlines()) == 2


def test_the_order(machine: Machine) -> None:
    machine.set({**ON_AZURE_PIPELINES, **ON_GITHUB, **SECRET, "AZURE_FEDERATED_TOKEN_FILE": "token"})

    assert [method.name for method in credential().methods] == [
        "GitHub's OIDC token",
        "Azure Pipelines' OIDC token",
        "AZURE_* variables",
        "workload identity",
        "managed identity",
        "Azure CLI",
    ]


def test_it_is_the_same_until_the_environment_changes(machine: Machine) -> None:
    machine.set(SECRET)
    first = credential()

    assert credential() is first
    machine.set({"AZURE_CLIENT_SECRET": "another"})
    assert credential() is not first


def test_another_cloud_signs_in_at_its_own_host(machine: Machine) -> None:
    with plain_server.running() as proxy:
        proxy.answers = [(403,)]
        machine.set({**SECRET, "AZUREML_CURRENT_CLOUD": "AzureUSGovernment", "HTTPS_PROXY": proxy.address})
        with pytest.raises(errors.AzureError, match="the proxy on the way to Azure"):
            credential().get_token(clouds.current().scope)

    assert set(proxy.seen) == {"CONNECT login.microsoftonline.us:443"}


EXPIRED = "ERROR: AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 1234"
NOBODY = "ERROR: Please run 'az login' to setup account."
TRIED = "managed identity: none on this machine; Azure CLI: {}"


@pytest.mark.parametrize(
    ("variables", "az", "expected"),
    [
        (
            {},
            None,
            f"not signed in to Azure ({TRIED.format('`az` is not installed')}); install the Azure CLI"
            " (https://aka.ms/install-azure-cli), then run `az login`; in CI use a federated credential, or else set"
            " AZURE_TENANT_ID and AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
        ),
        (
            CLIENT,
            NOBODY,
            f"not signed in to Azure ({TRIED.format('nobody is signed in')}); run `az login`, or set AZURE_CLIENT_SECRET",
        ),
        (
            {"GITHUB_ACTIONS": "true"},
            None,
            f"not signed in to Azure ({TRIED.format('`az` is not installed')}); give the job `permissions: id-token: write`,"
            " and set AZURE_CLIENT_ID and AZURE_TENANT_ID",
        ),
        (
            {"TF_BUILD": "True"},
            None,
            f"not signed in to Azure ({TRIED.format('`az` is not installed')}); run it in an AzureCLI@2 task, with"
            " `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` under env",
        ),
        (
            {},
            EXPIRED,
            "cannot sign in to Azure by Azure CLI: AADSTS700082: The refresh token has expired due to inactivity; sign in"
            " again: `az login`",
        ),
        (
            SECRET | {"AZURE_CLIENT_SECRET": "wrong"},
            None,
            "cannot sign in to Azure by AZURE_* variables: AADSTS7000215: Invalid client secret provided; put the value of"
            " the secret, not its id, into AZURE_CLIENT_SECRET",
        ),
        (
            SECRET | {"AZURE_CLIENT_ID": "another"},
            None,
            "cannot sign in to Azure by AZURE_* variables: AADSTS700016: Application was not found in the directory; check"
            " AZURE_CLIENT_ID and AZURE_TENANT_ID",
        ),
        (
            ON_GITHUB | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong"},
            None,
            "GitHub issues no OIDC token for this job: it answers 401; give the job `permissions: id-token: write`",
        ),
        (
            ON_AZURE_PIPELINES | {"SYSTEM_ACCESSTOKEN": "wrong", "TF_BUILD": "True"},
            None,
            "cannot sign in to Azure by Azure Pipelines' OIDC token: Unexpected response from OIDC token endpoint; run it in"
            " an AzureCLI@2 task, with `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` under env",
        ),
    ],
)
def test_who_cannot_sign_in_reads_why_and_what_to_do(
    variables: dict[str, str], az: str | None, expected: str, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.set(variables)
    if az:
        machine.install_az(error=az)

    with pytest.raises(errors.AzureError) as raised:
        credential().get_token(SCOPE)

    assert str(raised.value) == expected
    assert capfd.readouterr() == ("", "")


def test_without_a_network_the_next_step_is_about_it(machine: Machine) -> None:
    machine.set({**SECRET, "HTTPS_PROXY": "http://127.0.0.1:9"})
    began = time.monotonic()

    with pytest.raises(errors.AzureError, match="the proxy on the way to Azure does not answer: .*; check HTTPS_PROXY"):
        credential().get_token(SCOPE)
    assert time.monotonic() - began < 10


def test_after_signing_in_it_works_without_a_new_start(machine: Machine) -> None:
    machine.install_az(error=NOBODY)
    with pytest.raises(errors.AzureError):
        credential().get_token(SCOPE)

    machine.install_az(token_of())
    assert credential().get_token(SCOPE).token


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.bnVsbA.c", "a.e30.c"])
def test_a_token_in_another_form_names_nobody(token: str) -> None:
    assert signed_in_as(token) == ""
