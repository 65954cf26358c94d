"""Who has only the secrets of an older template is told, where the run fails, what each becomes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from azure.identity import CredentialUnavailableError

from notebooks_lib import errors
from notebooks_lib.azure.client import error_messages, old_secrets, workspace
from notebooks_lib.project_root import find_root
from notebooks_lib.settings import Settings

ROOT = find_root(Path(__file__))
SECRETS = ("AZURE_CREDENTIALS", "WORKSPACE_NAME", "RESOURCE_GROUP", "SUBSCRIPTION_ID", "LOCATION", "FRIENDLY_NAME")


@pytest.fixture
def with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "a-value-that-nobody-may-see")


def failed_sign_in() -> str:
    return str(error_messages.sign_in_error([("managed identity", CredentialUnavailableError("No identity"))]))


@pytest.mark.usefixtures("with_secrets")
def test_a_missing_sign_in_and_a_missing_workspace_name_each_secret(empty_project: Settings) -> None:
    with pytest.raises(errors.SettingsError) as missing:
        workspace.find_workspace(empty_project)
    for told in (failed_sign_in(), str(missing.value)):
        assert [line.split()[0] for line in told.splitlines()[1:-1]] == list(old_secrets.REPLACEMENTS)
        assert "a-value" not in told
    assert "  AZURE_CREDENTIALS becomes the variables AZURE_CLIENT_ID and AZURE_TENANT_ID" in failed_sign_in()


def test_without_them_nothing_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCATION", "the name of something else")
    monkeypatch.setenv("AZURE_CREDENTIALS", "")  # as GitHub sets a secret that is missing
    assert failed_sign_in().count("\n") == 0
    assert old_secrets.explain({"WORKSPACE_NAME": "set"}).splitlines()[1].startswith("  WORKSPACE_NAME becomes")


def test_ci_without_the_variables_of_its_sign_in_ends_before_it() -> None:
    told = old_secrets.check_variables(("AZURE_CLIENT_ID", "AZURE_TENANT_ID"), {"AZURE_CREDENTIALS": "set"})
    assert told.startswith("CI cannot sign in to Azure without AZURE_CLIENT_ID and AZURE_TENANT_ID: set them in")
    assert "\n  AZURE_CREDENTIALS becomes" in told
    given = {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "", "AZURE_CREDENTIALS": "set"}
    assert "without AZURE_TENANT_ID:" in old_secrets.check_variables(("AZURE_CLIENT_ID", "AZURE_TENANT_ID"), given)
    assert old_secrets.check_variables(("AZURE_CLIENT_ID",), given) == ""


def test_the_page_has_a_row_for_each() -> None:
    page = (ROOT / "docs/azure-ci.md").read_text("utf-8")
    for name in SECRETS:
        assert name in old_secrets.REPLACEMENTS
        assert re.search(rf"(?m)^\|.*`{name}`.*\|", page), name
