"""A secret is recognised by the form of its issuer; its text is never shown."""

from __future__ import annotations

import pytest

from notebooks_lib import secret_forms
from notebooks_lib.notebooks import secret_rules
from tests.notebooks.building import code, md, notebook

MIXED = "a1B2c3D4e5F6g7H8i9J0"
TOKENS = {
    "an AWS access key": "AKIA" + "Q3EGRIT2P5XY7ZKB",
    "an Azure storage key": "AccountKey=" + (MIXED * 5)[:86] + "==",
    "a signed Azure address": "https://x.blob.core.windows.net/c?sv=1&sig=" + (MIXED * 3)[:43] + "%3D",
    "a Databricks token": "dapi" + "0123456789abcdef" * 2,
    "a GitHub token": "ghp_" + MIXED * 2,
    "a GitLab token": "glpat-" + MIXED,
    "a Google API key": "AIza" + (MIXED * 2)[:35],
    "a Hugging Face token": "hf_" + "abcdefghIJKLMNOPqr" + "stuvwxyzABCDEFGH",
    "a JSON web token": "eyJ" + MIXED + ".eyJ" + MIXED + "." + MIXED,
    "an npm token": "npm_" + (MIXED * 2)[:36],
    "an OpenAI or Anthropic key": "sk-proj-" + MIXED * 2,
    "a PyPI token": "pypi-AgE" + MIXED * 3,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a SendGrid key": "SG." + (MIXED * 2)[:22] + "." + (MIXED * 3)[:43],
    "a Slack token": "xoxb-" + "123456789012-" + MIXED,
    "a Stripe key": "sk_live_" + MIXED,
    "a password in an address": "postgresql://me:hunter2@db.internal/sales",
}


def kinds(*cells: object) -> list[tuple[int, str]]:
    return [(one.cell, one.message) for one in secret_rules.secrets(notebook(*cells))]  # type: ignore[arg-type]


def test_every_form_is_tried() -> None:
    assert list(TOKENS) == list(secret_forms.FORMS)


@pytest.mark.parametrize("kind", TOKENS)
def test_each_form_is_recognised_and_not_shown(kind: str) -> None:
    token = TOKENS[kind]
    assert kinds(md("a"), code(f"x = 1\ntoken = '{token}'")) == [(1, kind)]
    assert token not in str(kinds(code(f"token = '{token}'")))
    assert kinds(md(f"Use `{token}`")) == [(0, kind)]


def test_kept_outputs_are_read() -> None:
    shown = {"outputs": [{"output_type": "stream", "text": [TOKENS["a GitHub token"], "\n"]}]}
    assert kinds(code("print(token)", "keep_output", **shown)) == [(0, "a GitHub token in the kept output")]
    assert kinds(code("print(token)", **shown)) == [], "NB001 says that it must go"


@pytest.mark.parametrize(
    ("parameter", "reported"),
    [
        ("password: str = 'hunter2'", True),
        ("db_api_key: str = 'a1b2c3'", True),
        ("password: str = ''", False),
        ("password: str = 'DB_PASSWORD'", False),
        ("password: str = '<your password>'", False),
        ("password: SecretStr = 'DB_PASSWORD'", False),
        ("password: str | None = None", False),
        ("eos_token: str = 'end'", False),
        ("tokenizer: str = 'bert'", False),
        ("connection_string: str = 'sqlite:///x.db'", False),
    ],
)
def test_a_default_that_is_a_password_is_reported(parameter: str, reported: bool) -> None:
    name = parameter.partition(":")[0]
    found = kinds(md("# T"), code(parameter, "parameters"))
    assert found == ([(1, f"parameter {name!r} has a text as default")] if reported else [])


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "postgresql://user:password@host/db",
        "postgresql://{user}:{password}@host/db",
        "https://github.com/a/b",
        "git+ssh://git@github.com/a/b",
        "ghp_" + "x" * 36,
        "sk-learn is a library with a long name but no key at all",
        "hf_model",
    ],
)
def test_placeholders_and_ordinary_texts_are_not_reported(text: str) -> None:
    assert kinds(code(f"x = {text!r}")) == []
