"""The executed notebook: written whole or not at all, at sensible moments, without secrets; and its HTML page."""

from __future__ import annotations

import contextlib
import copy
import html
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from notebooks_lib import errors, safe_files
from notebooks_lib.tracking.store import Store, answering

EVERY = 10.0
"""Seconds between two writes while cells run; more when writing itself is slow."""
MASK = "**********"
SHORTEST_SECRET = 4
"""Shorter values stand in ordinary text by chance; taking them out would garble it."""
DEPTH = 2
SHOWN = ("text/", "image/", "application/javascript", "application/pdf", "application/json")
"""Types of outputs that a page shows."""
WIDGET = "application/vnd.jupyter.widget-view+json"
"""Drawn by a script of the page."""


class ExecutedNotebook:
    """The file of the executed notebook. `save` never leaves half a file behind."""

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        self.path = path
        self._secrets = _spellings(secrets)
        self._every = EVERY
        self._saved = time.monotonic()

    def save_sometimes(self, notebook: Any) -> None:
        """Write if the last time is long ago; writing never takes more than a twentieth of the time.

        A full disk does not stop the cells: the last `save` tells of it, if it is still full then.
        """
        began = time.monotonic()
        if began - self._saved >= self._every:
            with contextlib.suppress(OSError):
                self.save(notebook, lasting=False)
            self._saved = time.monotonic()
            self._every = max(EVERY, 20 * (self._saved - began))

    def save(self, notebook: Any, *, lasting: bool = True) -> None:
        """Write now. Raises OSError when the disk does not take it; what was there before is still there then.

        What is `lasting` is on the disk afterwards, also if the machine loses its power.
        """
        safe_files.write(self.path, to_json(self.without_secrets(notebook)), durable=lasting)
        self._saved = time.monotonic()

    def without_secrets(self, notebook: Any) -> Any:
        """The notebook, or a copy with every text in it masked when there are secrets."""
        return nbformat.from_dict(self._mask_all(notebook)) if self._secrets else notebook

    def _mask_all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, Mapping):
            return {key: self._mask_all(inner) for key, inner in value.items()}
        return [self._mask_all(inner) for inner in value] if isinstance(value, list) else value

    def masked(self, text: str) -> str:
        """The text without any secret."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def to_json(notebook: Any) -> str:
    """The notebook as JSON that every parser takes, in UTF-8."""
    try:
        text = str(nbformat.writes(notebook, allow_nan=False))
        text.encode()
    except (TypeError, ValueError):  # bytes under a MIME type, NaN, half a character: it is an output, and is kept
        text = json.dumps(_plain(notebook), default=str, indent=1) + "\n"
    return text


def _plain(value: Any) -> Any:
    """The value with texts in the place of numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def to_html(notebook: Any, title: str) -> str:
    """The notebook as a page that a browser shows without Jupyter."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True)
    body, _ = exporter.from_notebook_node(_with_notes(notebook), resources={"metadata": {"name": title}})
    return str(body)


def _with_notes(notebook: Any) -> Any:
    """A copy in which a figure that only JupyterLab can draw is named: the page would be silent about it."""
    notebook = copy.deepcopy(notebook)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        data = output.get("data", {})
        hidden = [kind for kind in data if not kind.startswith(SHOWN) and kind != WIDGET]
        if hidden and not any(kind.startswith(SHOWN) and kind != "text/plain" for kind in data):
            note = f"[{', '.join(hidden)}: this page cannot show it; open the executed notebook in JupyterLab]"
            data["text/plain"] = "\n".join(filter(None, ["".join(data.get("text/plain", "")), note]))
    return notebook


def cell_figures(notebook: Any) -> list[Mapping[str, object]]:
    """Index in the executed notebook, seconds, peak memory and state of each code cell."""
    return [
        {
            "cell": index,
            "seconds": cell.metadata.get("papermill", {}).get("duration"),
            "peak_memory_mb": cell.metadata.get("nbops", {}).get("peak_memory_mb"),
            "status": cell.metadata.get("papermill", {}).get("status"),
            "line": first_line(cell.source),
        }
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    ]


def first_line(source: str) -> str:
    """The first line of a cell that says something."""
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:200]


def _spellings(secrets: Sequence[str]) -> list[str]:
    """Each secret as a text can hold it: plain, and escaped by repr, JSON or HTML, up to DEPTH times over."""
    found = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    for _ in range(DEPTH):
        quoted = [
            spelled
            for text in found
            for spelled in (repr(text), json.dumps(text), json.dumps(text, ensure_ascii=False))
        ]
        found |= {text[1:-1] for text in quoted}
        found |= {html.escape(text, quote=quote) for text in found for quote in (True, False)}
    return sorted(found, key=len, reverse=True)


FOLDER = "notebook"
"""Artifact folder of a run in which its executed notebook and its page lie."""
SWEEP = "sweep/summary.html"
"""What a sweep's own run has instead."""


def fetch_page(store: Store, run_id: str) -> Path:
    """The page of a run, as a file of this project; it is kept with the run as well, and rendered only once.

    Of a sweep's own run it is its summary.

    Raises UsageError when the run has no notebook, TrackingError when the store does not answer.
    """
    folder = store.settings.layout.state / "pages" / run_id
    with answering(store):
        kept = [artifact.path for artifact in store.client.list_artifacts(run_id, FOLDER)]
        html = next((path for path in kept if path.endswith(".html")), None)
        notebook = next((path for path in kept if path.endswith(".ipynb")), None)
        if html is None and notebook is None:
            if any(artifact.path == SWEEP for artifact in store.client.list_artifacts(run_id, Path(SWEEP).parent.name)):
                folder.mkdir(parents=True, exist_ok=True)
                return Path(store.client.download_artifacts(run_id, SWEEP, str(folder)))
            raise errors.UsageError(f"run {run_id} keeps no notebook: only runs of `nbops run` and `nbops sweep` do")
        folder.mkdir(parents=True, exist_ok=True)
        found = Path(store.client.download_artifacts(run_id, html or str(notebook), str(folder)))
        if html is None:
            import nbformat

            rendered = to_html(nbformat.read(found, as_version=4), found.stem)
            found = found.with_suffix(".html")
            safe_files.write(found, rendered, durable=False)
            store.client.log_artifact(run_id, str(found), FOLDER)
    return found
