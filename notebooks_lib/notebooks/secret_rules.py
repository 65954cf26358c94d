"""The rule about secrets: in source, in kept outputs, and as the default of a parameter.

Only texts in the form of one issuer's tokens are reported: guesses by entropy or by names of variables were wrong more
often than right (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from notebooks_lib import secret_forms
from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule
from notebooks_lib.notebooks.parameter_schema import read_schema

CODE = "NB030"


def secrets(notebook: Notebook) -> Findings:
    """Yield texts that have the form of a secret. A finding names the kind of secret, never the text."""
    return (finding for finding, _ in find_secrets(notebook))


def find_secrets(notebook: Notebook) -> Iterator[tuple[Finding, str]]:
    """Yield each finding with the secret itself: to be compared, never to be shown."""
    for cell in notebook.cells:
        for line, kind, secret in secret_forms.find_secrets(cell.source):
            yield Finding(cell.index, f"{kind}", line), secret
        if KEEP_OUTPUT_TAG in cell.tags:
            for text in _output_texts(notebook.raw["cells"][cell.index]):
                for _, kind, secret in secret_forms.find_secrets(text):
                    yield Finding(cell.index, f"{kind} in the kept output", cause=kind), secret
    place = notebook.parameters_cell.index if notebook.parameters_cell else 0
    for parameter in read_schema(notebook).parameters:
        default = parameter.default
        if parameter.secret or not isinstance(default, str):
            continue
        if secret_forms.is_secret(parameter.name, default):
            yield Finding(place, f"parameter {parameter.name!r} has a text as default"), default


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
