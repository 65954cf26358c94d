"""Text of any length that is appended to a run line by line, in tags that every store accepts. One process writes it.

A tag holds 1,000 characters and a run 50 tags, so the text is cut into pieces, and goes on in a further run when a run
is full. It is ASCII, so that nobody counts characters otherwise. A line of which only a part was written shows as a
part of a line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

PIECE = 1000
"""Characters in a tag."""
PIECES = 30
"""Tags of a run; a claim has others, too, and Azure ML allows 50."""
PAGE = PIECE * PIECES


class RunText:
    """The text of a run, to which lines are appended. The run has none yet."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        """The last run that holds a part of the text."""
        self._text = ""
        """What that run holds."""
        self._written = 0
        """How many pieces were written there, also by an attempt that failed."""

    def append(self, lines: Sequence[str]) -> None:
        """Add lines, each with its end. When it returns, the store has them.

        If it raises, the store may or may not have them, and the next call writes its own lines in their place. Raises
        ValueError for a line longer than PAGE.
        """
        page = ""
        for line in lines:
            if len(line) > PAGE:
                raise ValueError(f"a line of {len(line)} characters is longer than {PAGE}")
            if len(self._text) + len(page) + len(line) > PAGE:
                self._write(page)
                self._begin_page()
                page = ""
            page += line
        self._write(page)

    def _write(self, more: str) -> None:
        from mlflow.entities import RunTag

        text = self._text + more
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        # What a failed attempt wrote beyond the end is replaced by an empty line.
        pieces += ["\n"] * (self._written - len(pieces))
        self._written = len(pieces)
        begin = len(self._text) // PIECE
        tags = [RunTag(_key(begin + number), piece) for number, piece in enumerate(pieces[begin:])]
        if more:
            with translate_store_errors(self._store):
                self._store.client.log_batch(self._run_id, tags=tags)
            self._text = text

    def _begin_page(self) -> None:
        client = self._store.client
        with translate_store_errors(self._store):
            before = client.get_run(self._run_id)
            now = time.time_ns() // 1_000_000
            page = client.create_run(before.info.experiment_id, start_time=now, run_name=f"{before.info.run_name} …")
            client.set_terminated(page.info.run_id, "FINISHED")
            client.set_tag(self._run_id, Tag.CHANGE_NEXT, page.info.run_id)
        self._run_id, self._text, self._written = page.info.run_id, "", 0


def read_text(store: Store, run_id: str) -> str:
    """Return the text of a run."""
    with translate_store_errors(store):
        return "".join(_text_of(run) for run in _runs(store, run_id))


def delete_text(store: Store, run_id: str) -> None:
    """Delete a run and those in which its text goes on."""
    with translate_store_errors(store):
        for run in [*_runs(store, run_id)]:
            store.client.delete_run(run.info.run_id)


def _runs(store: Store, run_id: str) -> Iterator[Any]:
    while run_id:
        run = store.client.get_run(run_id)
        yield run
        run_id = run.data.tags.get(Tag.CHANGE_NEXT, "")


def _text_of(run: Any) -> str:
    tags = run.data.tags
    return "".join(tags[key] for key in sorted(tags) if key.startswith(Tag.CHANGE_JOURNAL_PREFIX))


def _key(number: int) -> str:
    return f"{Tag.CHANGE_JOURNAL_PREFIX}{number:02}"
