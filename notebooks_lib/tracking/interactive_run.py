"""The run of a notebook without an owner: opened in JupyterLab, VS Code or a script, ended when that process ends."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any

from notebooks_lib import current_notebook
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import provenance
from notebooks_lib.tracking.store import Store


class InteractiveRun:
    """The run that this process opened because it has no owner. It stays open when a cell raises."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.store: Store | None = None
        self.error: BaseException | None = None
        self._watching = False

    def open(self, store: Store, experiment: str, name: str | None) -> Any:
        """Open a run and make it MLflow's active run.

        An earlier run of this process is ended and tagged as superseded.
        """
        import mlflow

        stem, notebook = _name(store)
        here = store.settings
        lock = provenance.lock_sha256(here.layout)
        tags = provenance.source_tags(notebook, provenance.git_state(here.root), lock)
        tags |= provenance.owner_tags()
        earlier = self.run_id
        self.end()
        opened = mlflow.start_run(experiment_id=store.experiment_id(experiment), run_name=name or stem, tags=tags)
        if earlier is not None:
            store.client.set_tag(earlier, Tag.SUPERSEDED_BY, opened.info.run_id)
        self.run_id, self.store, self.error = opened.info.run_id, store, None
        self._watch()
        return opened.info

    def end(self) -> None:
        """End the run: FAILED when the last cell raised, else FINISHED."""
        import mlflow

        if self.run_id is None or self.store is None:
            return
        status = "FINISHED" if self.error is None else "FAILED"
        while mlflow.active_run() is not None:
            mlflow.end_run(status)
        if self.error is not None:
            self.store.client.set_tag(self.run_id, Tag.FAILURE, type(self.error).__name__)
            self.store.client.set_tag(
                self.run_id, Tag.FAILURE_MESSAGE, str(self.error)[: self.store.limits.tag_characters]
            )
        self.store.client.set_terminated(self.run_id, status=status)
        self.store.client.set_tag(self.run_id, Tag.END, status)
        self.run_id = None

    def _watch(self) -> None:
        if self._watching:
            return
        self._watching = True
        atexit.register(self.end)
        shell = current_notebook.running_shell()
        if shell is not None:
            shell.events.register("post_run_cell", self._cell_done)
        else:
            sys.excepthook = self._noting(sys.excepthook)

    def _cell_done(self, result: Any) -> None:
        self.error = result.error_before_exec or result.error_in_exec

    def _noting(self, hook: Any) -> Any:
        def noting(kind: Any, error: BaseException, trace: Any) -> None:
            self.error = error
            hook(kind, error, trace)

        return noting


_session = InteractiveRun()


def open_run(store: Store, experiment: str, name: str | None) -> Any:
    """Open the run of this process, and return MLflow's info about it."""
    return _session.open(store, experiment, name)


def _name(store: Store) -> tuple[str, str]:
    """Return the run's name and source: the notebook's path from the project root, if it is known."""
    path = current_notebook.notebook()
    if path is None:
        script = Path(sys.argv[0]).name if sys.argv and current_notebook.running_shell() is None else ""
        return (Path(script).stem or "notebook", script or "notebook")
    if not path.is_absolute():
        return path.stem, path.name
    root = store.settings.root
    return path.stem, path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
