"""No client can tell the emulator from Azure: each of its rules, and what happens to who breaks it."""

from __future__ import annotations

import ast
import signal
import socket
import ssl
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.azure import emulator
from tests.azure.emulator import Emulated, certificates, record
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask, sign_in

pytestmark = pytest.mark.tracking

BLOBS = "https://account.blob.core.windows.net"


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def name() -> str:
    return f"n{uuid.uuid4().hex}"


def cluster(**more: Any) -> dict[str, Any]:
    return {"location": "westeurope", "properties": {"computeType": "AmlCompute", **more}}


# -- hosts


@pytest.mark.parametrize("host", ["example.org", "management.azure.com.example.org", "azure.com"])
def test_a_host_that_is_not_azures_is_refused_and_fails_the_test(
    anybody: Ask, azure_server: Emulated, host: str
) -> None:
    with (
        pytest.raises(AssertionError, match=f"not Azure's: {host}$"),
        azure_server.only_azure(),
        pytest.raises(requests.exceptions.ProxyError),
    ):
        anybody("GET", f"https://{host}/")

    assert azure_server.record.since()[-1] == record.Seen("CONNECT", host, "", "", 403)


def test_nothing_but_tls_goes_through_the_proxy(azure_server: Emulated) -> None:
    proxies = {"http": azure_server.environment["HTTPS_PROXY"]}

    assert requests.get("http://management.azure.com/", proxies=proxies, timeout=30).status_code == 403


@pytest.mark.parametrize("pattern", certificates.HOSTS)
def test_each_name_has_a_certificate_that_only_its_authority_vouches_for(azure_server: Emulated, pattern: str) -> None:
    host = pattern.replace("*", "some")
    ours = ssl.create_default_context(cafile=azure_server.environment["SSL_CERT_FILE"])
    with socket.create_connection(("127.0.0.1", azure_server.port)) as plain:
        ours.wrap_socket(plain, server_hostname=host).close()
    with (
        socket.create_connection(("127.0.0.1", azure_server.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def test_every_request_is_written_down_with_its_answer(anybody: Ask, azure_server: Emulated) -> None:
    began = azure_server.record.position()
    anybody("GET", f"{MANAGEMENT}/subscriptions?{VERSION}")

    assert azure_server.record.since(began) == [
        record.Seen("GET", "management.azure.com", "/subscriptions", VERSION, 401)
    ]


def test_it_uses_nothing_of_what_it_tests() -> None:
    for part in Path(emulator.__file__).parent.glob("*.py"):
        tree = ast.parse(part.read_text())
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
        assert not [module for module in imported if module.startswith("notebooks_lib")]


# -- signing in


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "nobody"}, 400, 700016),
        ({"client_assertion": "a.b.c"}, 401, 700021),
    ],
)
def test_who_signs_in_wrongly_is_told_why(anybody: Ask, change: dict[str, str], status: int, code: int) -> None:
    answer = sign_in(anybody, **change)

    assert (answer.status_code, answer.json()["error_codes"]) == (status, [code])
    assert answer.json()["error_description"].startswith(f"AADSTS{code}: ")


@pytest.mark.parametrize("way", ["secret", "assertion", "identity"])
def test_azures_own_credentials_sign_in(
    azure_server: Emulated, anybody: Ask, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    from azure import identity

    variables = azure_server.managed_identity if way == "identity" else azure_server.environment
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    credential: Any = identity.DefaultAzureCredential()
    if way == "assertion":
        address = f"https://{certificates.GITHUB}/token?api-version=2.0&audience=api://AzureADTokenExchange"
        job = {"Authorization": f"bearer {emulator.JOB_TOKEN}"}
        assertion = anybody("GET", address, headers=job).json()["value"]
        credential = identity.ClientAssertionCredential(emulator.TENANT, emulator.CLIENT, lambda: assertion)
    with credential:
        token = credential.get_token(f"{MANAGEMENT}/.default")

    assert 0 < token.expires_on - time.time() <= emulator.LIFETIMES["access"]
    answer = anybody(
        "GET", f"{MANAGEMENT}{emulator.SCOPE}?{VERSION}", headers={"Authorization": f"Bearer {token.token}"}
    )
    assert answer.json()["name"] == emulator.WORKSPACE


@pytest.mark.parametrize("host", [certificates.GITHUB, certificates.AZURE_PIPELINES])
def test_a_jobs_oidc_token_is_for_the_job_alone_and_dies(azure_server: Emulated, anybody: Ask, host: str) -> None:
    method, key = ("GET", "value") if host == certificates.GITHUB else ("POST", "oidcToken")
    address = f"https://{host}/token?audience=api://AzureADTokenExchange"
    assert anybody(method, address).status_code == 401

    with azure_server.lifetimes(assertion=-1):
        dead = anybody(method, address, headers={"Authorization": f"bearer {emulator.JOB_TOKEN}"}).json()[key]
    assert sign_in(anybody, client_assertion=dead).json()["error_codes"] == [700024]


def test_a_token_that_is_missing_foreign_expired_or_for_others_is_refused(azure_server: Emulated, anybody: Ask) -> None:
    import jwt

    with azure_server.lifetimes(access=-1):
        expired = sign_in(anybody).json()["access_token"]
    foreign = jwt.encode({"aud": MANAGEMENT, "exp": time.time() + 60}, "somebody else's key, which is long", "HS256")
    for host in (MANAGEMENT, "https://westeurope.api.azureml.ms"):
        for token, code in {
            "": "AuthenticationFailed",
            f"Bearer {foreign}": "InvalidAuthenticationToken",
            f"Bearer {expired}": "ExpiredAuthenticationToken",
            f"Bearer {sign_in(anybody, 'https://graph.microsoft.com/.default').json()['access_token']}": (
                "InvalidAuthenticationTokenAudience"
            ),
        }.items():
            answer = anybody("GET", f"{host}{emulator.SCOPE}", headers={"Authorization": token})
            assert error(answer) == (401, code)


# -- the resource manager


def test_what_is_not_there_or_not_asked_for_rightly_is_an_error_in_azures_form(ask: Ask) -> None:
    assert error(ask("GET", "computes/none")) == (404, "ResourceNotFound")
    assert error(ask("GET", "computes/none", query="")) == (400, "MissingApiVersionParameter")
    assert error(ask("PUT", f"onlineEndpoints/{name()}/deployments/blue", {})) == (404, "ResourceNotFound")
    assert error(ask("POST", "computes/none/listNodes")) == (404, "ResourceNotFound")
    assert error(ask("POST", "datastores/workspaceblobstore/dance")) == (404, "InvalidResourceType")
    assert error(ask("PATCH", "computes/none", {})) == (404, "ResourceNotFound")
    assert ask("DELETE", "computes/none").status_code == 204


def test_a_long_list_comes_in_pages(ask: Ask) -> None:
    asset = f"environments/{name()}/versions"
    for version in range(1, 8):
        archived = {"isArchived": version == 7}
        assert ask("PUT", f"{asset}/{version}", {"properties": {"image": "i", **archived}}).status_code == 201

    def listed(query: str) -> list[list[str]]:
        pages, answer = [], ask("GET", asset, query=f"{VERSION}&{query}").json()
        while True:
            pages.append([each["name"] for each in answer["value"]])
            if "nextLink" not in answer:
                return pages
            answer = ask("GET", answer["nextLink"]).json()

    assert listed("") == [["1", "2", "3"], ["4", "5", "6"]]
    assert listed("listViewType=All") == [["1", "2", "3"], ["4", "5", "6"], ["7"]]
    assert listed("$orderBy=createdtime desc")[0] == ["6", "5", "4"]
    newest = ask("GET", asset, query=f"{VERSION}&$orderBy=createdtime desc&$top=1").json()
    assert [each["name"] for each in newest["value"]] == ["6"]
    assert ask("GET", asset.removesuffix("/versions")).json()["properties"]["latestVersion"] == "7"


def test_a_version_never_changes_but_for_its_tags(ask: Ask) -> None:
    version = f"data/{name()}/versions/1"
    ask("PUT", version, {"properties": {"dataUri": "here", "tags": {}}})

    assert error(ask("PUT", version, {"properties": {"dataUri": "there"}})) == (409, "UserError")
    assert error(ask("PATCH", version, {"properties": {"dataUri": "there"}})) == (409, "UserError")
    assert ask("PUT", version, {"properties": {"dataUri": "here", "tags": {"rows": "3"}}}).status_code == 200
    kept = ask("GET", version).json()["properties"]
    assert (kept["dataUri"], kept["tags"]) == ("here", {"rows": "3"})


def test_what_takes_long_ends_after_several_polls(ask: Ask) -> None:
    path = f"computes/{name()}"
    made = ask("PUT", path, cluster(vmSize="STANDARD_DS3_V2"))
    assert (made.status_code, made.json()["properties"]["provisioningState"]) == (201, "Creating")
    assert made.headers["retry-after-ms"] == "30"

    def followed(answer: requests.Response) -> list[str]:
        return [ask("GET", answer.headers["Azure-AsyncOperation"]).json()["status"] for _ in range(4)]

    assert followed(made) == ["InProgress", "InProgress", "InProgress", "Succeeded"]
    there = ask("GET", path).json()
    assert (there["properties"]["provisioningState"], there["properties"]["vmSize"]) == ("Succeeded", "STANDARD_DS3_V2")
    assert there["type"] == "Microsoft.MachineLearningServices/workspaces/computes"

    gone = ask("DELETE", path)
    assert gone.status_code == 202
    assert ask("GET", path).json()["properties"]["provisioningState"] == "Deleting"
    assert followed(gone)[-1] == "Succeeded"
    assert error(ask("GET", path)) == (404, "ResourceNotFound")


def test_a_workspace_that_is_made_is_one_that_can_be_tracked_to(ask: Ask) -> None:
    path = f"{emulator.SCOPE}-{name()}"
    ask("PUT", f"{MANAGEMENT}{path}?{VERSION}", {"location": "northeurope", "properties": {"v1LegacyMode": False}})

    properties = ask("GET", f"{MANAGEMENT}{path}?{VERSION}").json()["properties"]
    assert properties["mlFlowTrackingUri"] == f"azureml://northeurope.api.azureml.ms/mlflow/v1.0{path}"
    assert properties["v1LegacyMode"] is False


def test_a_test_puts_what_the_service_alone_decides(azure_server: Emulated, ask: Ask) -> None:
    usages = (
        f"/subscriptions/{emulator.SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/{name()}/usages"
    )
    azure_server.put(usages, {"list": {"value": [{"currentValue": 3, "limit": 8}]}})

    assert ask("GET", f"{MANAGEMENT}{usages}?{VERSION}").json()["value"][0]["limit"] == 8


@pytest.mark.proof  # the SDK alone takes ten seconds to import
@pytest.mark.filterwarnings("ignore")  # it warns about itself
def test_the_sdk_makes_lists_and_deletes(azure_workspace: Any) -> None:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute, Environment
    from azure.core.exceptions import ResourceNotFoundError
    from azure.identity import DefaultAzureCredential

    client = MLClient(
        DefaultAzureCredential(),
        emulator.SUBSCRIPTION,
        emulator.RESOURCE_GROUP,
        emulator.WORKSPACE,
        show_progress=False,
    )
    cpu, asset = f"c{uuid.uuid4().hex[:10]}", name()
    made = client.compute.begin_create_or_update(AmlCompute(name=cpu, size="Standard_DS3_v2", max_instances=2)).result()
    assert (made.name, made.max_instances) == (cpu, 2)
    for version in "12345":
        client.environments.create_or_update(Environment(name=asset, version=version, image="image"))
    assert {each.version for each in client.environments.list(asset)} == set("12345")
    assert client.datastores.get_default().name == "workspaceblobstore"
    client.compute.begin_delete(cpu).result()
    with pytest.raises(ResourceNotFoundError):
        client.compute.get(cpu)


# -- blobs


def test_a_blob_is_reached_by_its_signed_address_alone_and_kept_once(anybody: Ask) -> None:
    blob = f"{BLOBS}/container/{name()}"
    once = {"If-None-Match": "*"}
    assert anybody("PUT", blob, data=b"one").status_code == 403
    assert anybody("PUT", f"{blob}?sig=signed", data=b"one", headers=once).status_code == 201
    again = anybody("PUT", f"{blob}?sig=signed", data=b"two", headers=once)

    assert (again.status_code, again.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    assert anybody("GET", f"{blob}?sig=signed", headers={"x-ms-range": "bytes=1-"}).content == b"ne"
    assert anybody("GET", f"{blob}-other?sig=signed").status_code == 404


# -- faults


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("too_many_requests", 429, "TooManyRequests"),
        ("server_error", 500, "InternalServerError"),
        ("expired_token", 401, "ExpiredAuthenticationToken"),
        ("forbidden", 403, "AuthorizationFailed"),
    ],
)
def test_a_fault_strikes_what_matches_as_often_as_it_is_told(
    azure_server: Emulated, ask: Ask, kind: str, status: int, code: str
) -> None:
    with azure_server.fault(kind, method="GET", host="management", path="/computes$", skip=1, retry_after=7):
        assert ask("GET", "computes").status_code == 200
        assert ask("GET", "environments").status_code == 200
        struck = ask("GET", "computes")
        assert error(struck) == (status, code)
        assert struck.headers.get("Retry-After") == ("7" if status == 429 else None)
        assert ask("GET", "computes").status_code == 200


def test_a_connection_is_cut_in_the_middle_of_an_upload(azure_server: Emulated, anybody: Ask) -> None:
    blob = f"{BLOBS}/container/{name()}?sig=signed"
    with azure_server.fault("cut", host="blob"), pytest.raises(requests.exceptions.ConnectionError):
        anybody("PUT", blob, data=b"x" * 3_000_000)

    assert azure_server.record.since()[-1].status == record.NO_ANSWER
    assert anybody("GET", blob).status_code == 404
    assert anybody("PUT", blob, data=b"x" * 3_000_000).status_code == 201


@pytest.mark.parametrize("done", [True, False])
def test_a_request_is_held_until_its_client_is_gone(azure_server: Emulated, anybody: Ask, done: bool) -> None:
    blob, words = f"{BLOBS}/container/{name()}?sig=signed", {"data": b"one two"}
    with azure_server.fault("held", method="PUT", body="two$", done=done):
        assert anybody("PUT", f"{BLOBS}/container/{name()}?sig=signed", data=b"two three").status_code == 201
        with pytest.raises(requests.exceptions.ReadTimeout):
            anybody("PUT", blob, **words, timeout=0.5)

    assert azure_server.record.since()[-1].status == record.NO_ANSWER
    assert anybody("GET", blob).status_code == (200 if done else 404)
    assert anybody("PUT", blob, **words).status_code == 201


def test_an_operation_fails_with_its_reason(azure_server: Emulated, ask: Ask) -> None:
    path = f"computes/{name()}"
    with azure_server.fault("operation_fails", path=path, code="OutOfQuota", message="no cores"):
        made = ask("PUT", path, cluster())
        polls = [ask("GET", made.headers["Azure-AsyncOperation"]).json() for _ in range(4)]

    assert [poll["status"] for poll in polls] == [*["InProgress"] * 3, "Failed"]
    assert polls[-1]["error"] == {"code": "OutOfQuota", "message": "no cores"}
    assert ask("GET", path).json()["properties"]["provisioningState"] == "Failed"


def test_an_operation_never_ends(azure_server: Emulated, ask: Ask) -> None:
    path = f"computes/{name()}"
    with azure_server.fault("operation_never_ends", path=path):
        made = ask("PUT", path, cluster())

    assert {ask("GET", made.headers["Azure-AsyncOperation"]).json()["status"] for _ in range(8)} == {"InProgress"}
    assert ask("GET", path).json()["properties"]["provisioningState"] == "Creating"


def test_an_operation_that_another_follows_changes_nothing_more(azure_server: Emulated, ask: Ask) -> None:
    path = f"computes/{name()}"
    with azure_server.fault("operation_fails", path=path):
        made = ask("PUT", path, cluster())
    again = ask("PUT", path, cluster())
    assert ask("GET", made.headers["Azure-AsyncOperation"]).json()["error"]["code"] == "OperationPreempted"
    while ask("GET", again.headers["Azure-AsyncOperation"]).json()["status"] == "InProgress":
        pass
    assert ask("GET", path).json()["properties"]["provisioningState"] == "Succeeded"


def test_a_fault_that_strikes_nothing_fails_the_test(azure_server: Emulated, ask: Ask) -> None:
    with pytest.raises(AssertionError, match="struck nothing: cut"), azure_server.fault("cut", path="/nowhere"):
        ask("GET", "computes")
    with pytest.raises(AssertionError, match="cannot set fault"), azure_server.fault("earthquake"):
        pass


# -- its life


@pytest.mark.proof
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_stopped(tmp_path: Path, migrated: Path, how: signal.Signals) -> None:
    process = emulator.launch(tmp_path / uuid.uuid4().hex, migrated / ".nbops" / "mlflow.db")
    deadline = time.monotonic() + 120
    while not (children := psutil.Process(process.pid).children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.wait(15)
    emulator.stop(process)

    assert children
    _gone, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
