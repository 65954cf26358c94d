"""The executed notebook: saved whole or not at all, at sensible moments and without secrets."""

from __future__ import annotations

import contextlib
import html
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell

from notebooks_lib import atomic_private_files
from notebooks_lib.notebooks.secret_str import MASK
from notebooks_lib.run_result import Failure, RunStatus
from notebooks_lib.running.prepared_notebook import ERROR_TAG

EVERY = 10.0
"""Seconds between two writes while cells run; more when writing itself is slow."""
SHORTEST_SECRET = 4
"""Shorter values occur in ordinary text by chance; masking them would garble it."""
DEPTH = 2
"""How often a secret may be escaped and still be found."""


class ExecutedNotebook:
    """The file of the executed notebook. `save` writes it as a whole or not at all."""

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        self.path = path
        self._secrets = _spellings(secrets)
        self._every = EVERY
        self._saved = time.monotonic()

    def save_sometimes(self, notebook: Any) -> None:
        """Save the notebook unless it was saved recently; saving takes at most a twentieth of the run's time.

        A full disk does not stop the cells. If it is still full at the end, the last `save` raises.
        """
        started = time.monotonic()
        if started - self._saved >= self._every:
            with contextlib.suppress(OSError):
                self.save(notebook, lasting=False)
            self._saved = time.monotonic()
            self._every = max(EVERY, 20 * (self._saved - started))

    def save(self, notebook: Any, *, lasting: bool = True) -> None:
        """Save the notebook now, with its secrets masked.

        With `lasting`, the file also survives a power cut. Raises OSError when it cannot be written; the old file
        remains.
        """
        atomic_private_files.write(self.path, to_json(self.without_secrets(notebook)), durable=lasting)
        self._saved = time.monotonic()

    def without_secrets(self, notebook: Any) -> Any:
        """Return a copy of the notebook with its secrets masked; without secrets, the notebook itself."""
        return nbformat.from_dict(self._mask_all(notebook)) if self._secrets else notebook

    def _mask_all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, Mapping):
            return {key: self._mask_all(inner) for key, inner in value.items()}
        return [self._mask_all(inner) for inner in value] if isinstance(value, list) else value

    def masked(self, text: str) -> str:
        """Return the text with all secrets masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def to_json(notebook: Any) -> str:
    """Return the notebook as standard JSON that can be encoded in UTF-8."""
    try:
        text = str(nbformat.writes(notebook, allow_nan=False))
        text.encode()
    except (TypeError, ValueError):  # bytes under a MIME type, NaN, a lone surrogate: the output is kept all the same
        text = json.dumps(_plain(notebook), default=str, indent=1) + "\n"
    return text


def _plain(value: Any) -> Any:
    """Return the value with text in place of numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def annotate(notebook: Any, status: RunStatus, failure: Failure | None, cell: int | None) -> None:
    """Write the run's `status` and failure into the notebook's metadata.

    After a failure, text cells with the reason are added at the top and before `cell`, the index of the last cell that
    ran.
    """
    notebook.metadata["nbops"] = {"status": status, "failure": None if failure is None else dict(vars(failure))}
    if failure is None:
        return
    if cell is not None:
        anchor = '<span id="nbops-end" style="color:red">It ended in the next cell.</span>'
        notebook.cells.insert(cell, new_markdown_cell(anchor, metadata={"tags": [ERROR_TAG]}))
    summary = html.escape(str(failure).partition("\n")[0])
    link = " ([where](#nbops-end))" if cell is not None else ""
    note = f'<span style="color:red">**{status}**: {summary}</span>{link}'
    notebook.cells.insert(0, new_markdown_cell(note, metadata={"tags": [ERROR_TAG]}))


def _spellings(secrets: Sequence[str]) -> list[str]:
    """Return each secret as a text may hold it: plain, and escaped by repr, JSON or HTML, up to DEPTH times."""
    spellings = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    for _ in range(DEPTH):
        quoted = [
            spelled
            for text in spellings
            for spelled in (repr(text), json.dumps(text), json.dumps(text, ensure_ascii=False))
        ]
        spellings |= {text[1:-1] for text in quoted}
        spellings |= {html.escape(text, quote=quote) for text in spellings for quote in (True, False)}
    return sorted(spellings, key=len, reverse=True)
