"""The rule about secrets: in source, in kept outputs, and as the default of a parameter.

Only texts in the form of one issuer's tokens are reported: guesses by entropy or by names of variables were wrong more
often than right (docs/rules.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule
from notebooks_lib.notebooks.parameter_schema import read_schema

CODE = "NB030"
_FORMS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an Azure storage key": r"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "a signed Azure address": r"[?&]sig=[A-Za-z0-9%+/]{40,}(?:%3D|=)",
    "a Databricks token": r"\bdapi[0-9a-f]{32}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})\b",
    "a GitLab token": r"\bglpat-[\w-]{20,}",
    "a Google API key": r"\bAIza[\w-]{35}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "a JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "an OpenAI or Anthropic key": r"\bsk-(?:proj-|svcacct-|ant-\w+-)?[A-Za-z0-9_-]{32,}",
    "a PyPI token": r"\bpypi-AgE[\w-]{50,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a SendGrid key": r"\bSG\.[\w-]{22}\.[\w-]{43}\b",
    "a Slack token": r"\bxox[abeoprs]-(?:\d+-)+[\w-]{10,}|hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}",
    "a Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{20,}",
    "a password in an address": r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@{}<>$'\"]{1,80}:[^\s/:@{}<>$*'\"]{3,80}@[\w.-]+",
}
_SECRETS = [(kind, re.compile(form)) for kind, form in _FORMS.items()]
_CANDIDATE = re.compile(
    r"AKIA|ASIA|AccountKey=|[?&]sig=|dapi|gh[pousr]_|github_pat_|glpat-|AIza|hf_|eyJ|npm_|sk-|pypi-|PRIVATE KEY|SG\."
    r"|xox|hooks\.slack|k_live_|://[^\s/]*@"
)
"""What every form above contains: one search says for nearly every cell that there is none."""
_PLACEHOLDER = re.compile(
    r"example|your|placeholder|dummy|sample|redacted|changeme|x{4}|\.{3}|:pass(?:word|wd)?@|:secret@|:pwd@",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"(?:\w+_)?(?:password|passwd|pwd|secret|api_?key|access_?key|account_?key|client_secret|auth_?token|access_?token"
    r"|api_?token|bearer_?token|connection_?string|sas_?token)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"[A-Z][A-Z0-9_]*|[<\[{$].*|\W*|.*(?:\s|://[^@]*$).*", re.DOTALL)
"""A name of a variable, a placeholder, punctuation, a sentence, an address without a password."""


def secrets(notebook: Notebook) -> Findings:
    """Yield texts that have the form of a secret. A finding names the kind of secret, never the text."""
    return (finding for finding, _ in find_secrets(notebook))


def find_secrets(notebook: Notebook) -> Iterator[tuple[Finding, str]]:
    """Yield each finding with the secret itself: to be compared, never to be shown."""
    for cell in notebook.cells:
        for line, kind, secret in _secrets_in(cell.source):
            yield Finding(cell.index, f"{kind}", line), secret
        if KEEP_OUTPUT_TAG in cell.tags:
            for text in _output_texts(notebook.raw["cells"][cell.index]):
                for _, kind, secret in _secrets_in(text):
                    yield Finding(cell.index, f"{kind} in the kept output", cause=kind), secret
    place = notebook.parameters_cell.index if notebook.parameters_cell else 0
    for parameter in read_schema(notebook).parameters:
        default = parameter.default
        if parameter.secret or not isinstance(default, str) or not _SECRET_NAME.fullmatch(parameter.name):
            continue
        if not _NO_SECRET.fullmatch(default) and not _PLACEHOLDER.search(default):
            yield Finding(place, f"parameter {parameter.name!r} has a text as default"), default


def _secrets_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, kind, and the secret itself."""
    if not _CANDIDATE.search(text):
        return
    for number, line in enumerate(text.split("\n"), 1):
        for kind, form in _SECRETS if _CANDIDATE.search(line) else ():
            for match in form.finditer(line):
                if not _PLACEHOLDER.search(match[0]) and _varies(match[0]):
                    yield number, kind, match[0]


def _varies(text: str) -> bool:
    """Return whether a text is more than one character repeated, as in a placeholder."""
    return len(set(text[-20:])) > 4


def _output_texts(cell: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of a cell's outputs; images are left out."""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            data = output.get("data")
            texts = [output.get("text"), output.get("traceback"), output.get("evalue")]
            texts += [data.get(kind) for kind in ("text/plain", "text/html")] if isinstance(data, dict) else []
            for text in texts:
                yield "\n".join(map(str, text)) if isinstance(text, list) else str(text or "")


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        CODE,
        "a secret in source, in a kept output, or as the default of a parameter",
        "Everybody who can read the repository has the secret, and git keeps it for good.",
        'Revoke it. Read the next one from the environment: `token: SecretStr = "NAME_OF_THE_VARIABLE"`.',
        secrets,
        bad='store = "postgresql://me:hunter2@db.internal/sales"',
        good='from notebooks_lib import secret\nstore = secret("SALES_DB")\n',
    ),
)
