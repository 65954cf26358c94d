"""Records in a job's run which cell has started, for those who follow the job. The notebook never waits for it."""

from __future__ import annotations

import json
import threading
from types import TracebackType

from notebooks_lib import safe_text
from notebooks_lib.running.cell_usage_table import first_line
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.prepared_notebook import prepare
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

PAUSE = 0.5
"""Seconds between two writes; if several cells start in between, only the last one is recorded."""
_LONGEST_LINE = 120


class JobProgress:
    """Records progress while a `with` block runs. If the store does not answer, only the progress is lost."""

    def __init__(self, store: Store, run_id: str, plan: Plan) -> None:
        self._store = store
        self._run_id = run_id
        cells = prepare(plan.notebook, plan.overrides, plan.secrets).notebook.cells
        self._lines = [safe_text.masked(first_line(cell.source))[:_LONGEST_LINE] for cell in cells]
        self._news: str | None = None
        self._changed = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, name="nbops-progress", daemon=True)

    def __enter__(self) -> JobProgress:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        self._changed.set()
        self._thread.join(PAUSE * 4)

    def cell(self, index: int, total: int) -> None:
        """Record soon that a cell has started; `index` counts from 0."""
        line = self._lines[index] if index < len(self._lines) else ""
        self._news = json.dumps({"cell": index, "of": total, "line": line}, ensure_ascii=False)
        self._changed.set()

    def _write(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            news, self._news = self._news, None
            if news is not None:
                try:
                    self._store.client.set_tag(self._run_id, Tag.PROGRESS, news)
                except Exception:  # noqa: BLE001, S110 - whatever a store raises, the notebook runs on
                    pass
            if self._over.is_set() and self._news is None:
                return
            self._over.wait(PAUSE)
