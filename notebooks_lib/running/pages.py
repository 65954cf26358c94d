"""The executed notebook of a run as a page for the browser, rendered when somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.running.outputs import to_html, write_atomically
from notebooks_lib.tracking.store import Store, answering

FOLDER = "notebook"
"""Artifact folder of a run in which its executed notebook and its page lie."""
SWEEP = "sweep/summary.html"
"""What a sweep's own run has instead."""


def page(store: Store, run_id: str) -> Path:
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
            write_atomically(found, rendered, lasting=False)
            store.client.log_artifact(run_id, str(found), FOLDER)
    return found
