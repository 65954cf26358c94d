"""The forms of secrets: tokens of one issuer each, and names of values that are secrets.

Guesses by entropy or by names of variables alone were wrong more often than right (docs/rules.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FORMS = {
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
_SECRETS = [(kind, re.compile(form)) for kind, form in FORMS.items()]
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


def find_secrets(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the kind and the text of each secret in `text`."""
    if not _CANDIDATE.search(text):
        return
    for number, line in enumerate(text.split("\n"), 1):
        for kind, form in _SECRETS if _CANDIDATE.search(line) else ():
            for match in form.finditer(line):
                if not _PLACEHOLDER.search(match[0]) and _varies(match[0]):
                    yield number, kind, match[0]


def is_secret(name: str, value: str) -> bool:
    """Return whether a value is a secret because of its name, such as `api_key`, and no variable's name or example."""
    return bool(_SECRET_NAME.fullmatch(name) and not _NO_SECRET.fullmatch(value) and not _PLACEHOLDER.search(value))


def _varies(text: str) -> bool:
    """Return whether a text is more than one character repeated, as in a placeholder."""
    return len(set(text[-20:])) > 4
