"""The HTML page of an executed notebook: rendered once, kept with the run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from notebooks_lib import atomic_private_files, errors
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owned_run import artifact_repository
from notebooks_lib.tracking.store import Store, translate_store_errors

SHOWN = ("text/", "image/", "application/javascript", "application/pdf", "application/json")
"""Types of outputs that a page shows."""


WIDGET = "application/vnd.jupyter.widget-view+json"
"""Type of output that a script of the page draws."""


def to_html(notebook: Any, title: str) -> str:
    """Return the notebook as an HTML page that a browser shows without Jupyter."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True)
    body, _ = exporter.from_notebook_node(_with_notes(notebook), resources={"metadata": {"name": title}})
    return str(body)


def _with_notes(notebook: Any) -> Any:
    """Return a copy with a note for each figure that only JupyterLab can draw, which the page would leave out."""
    notebook = copy.deepcopy(notebook)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        data = output.get("data", {})
        hidden = [kind for kind in data if not kind.startswith(SHOWN) and kind != WIDGET]
        if hidden and not any(kind.startswith(SHOWN) and kind != "text/plain" for kind in data):
            note = f"[{', '.join(hidden)}: this page cannot show it; open the executed notebook in JupyterLab]"
            data["text/plain"] = "\n".join(filter(None, ["".join(data.get("text/plain", "")), note]))
    return notebook


FOLDER = "notebook"
"""Artifact folder of a run that holds its executed notebook and its page."""


SWEEP, SUMMARY = "sweep", "summary.html"
"""Folder and artifact that the run of a sweep has instead."""


def fetch_page(store: Store, run_id: str) -> Path:
    """Fetch the HTML page of a run's notebook, or of a sweep's summary, as a file of this project.

    The page is rendered once and kept with the run.

    Raises UsageError when the run has no notebook, TrackingError when the store does not answer.
    """
    folder = store.settings.layout.state / "pages" / run_id
    with translate_store_errors(store):
        kept = artifact_repository(store, run_id)
        paths = [artifact.path for artifact in kept.list_artifacts(FOLDER)]
        html = next((path for path in paths if path.endswith(".html")), None)
        notebook = next((path for path in paths if path.endswith(".ipynb")), None)
        if html is None and notebook is None:
            report = store.client.get_run(run_id).data.tags.get(Tag.SWEEP_REPORT, SWEEP)
            summary = f"{report}/{SUMMARY}"
            if any(artifact.path == summary for artifact in kept.list_artifacts(report)):
                folder.mkdir(parents=True, exist_ok=True)
                return Path(store.client.download_artifacts(run_id, summary, str(folder)))
            raise errors.UsageError(f"run {run_id} keeps no notebook: only runs that nbops made and ended do")
        folder.mkdir(parents=True, exist_ok=True)
        file = Path(store.client.download_artifacts(run_id, html or str(notebook), str(folder)))
        if html is None:
            import nbformat

            rendered = to_html(nbformat.read(file, as_version=4), file.stem)
            file = file.with_suffix(".html")
            atomic_private_files.write(file, rendered, durable=False)
            store.client.log_artifact(run_id, str(file), FOLDER)
    return file
