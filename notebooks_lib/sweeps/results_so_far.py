"""Which trials need not be run: those that ended in an earlier session of the sweep, or, if asked for, anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.running.run_cache import Seen, same_data, words
from notebooks_lib.sweeps.records import Goal, Proposal, Trial
from notebooks_lib.sweeps.resume import Earlier
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owner import Start
from notebooks_lib.tracking.store import Store


class Known:
    """What was run before. A run counts while code, parameters, environment and data are what they were."""

    def __init__(
        self,
        store: Store,
        notebook: Notebook,
        goal: Goal | None,
        *,
        earlier: Mapping[int, Earlier],
        anywhere: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._settings = store.settings
        self._notebook = notebook
        self._goal = goal
        self._earlier = earlier
        self._seen = Seen(store, notebook) if anywhere else None
        self._here: dict[str, Trial] = {}
        self._tell = tell
        self._told = False

    def find(self, proposal: Proposal, start: Start) -> Trial | None:
        """How the trial ended before, if it need not be run."""
        before = self._earlier.get(proposal.number)
        if before is not None and before.trial.state in ("finished", "pruned"):
            if self._still(before, start):
                return dataclasses.replace(before.trial, values=proposal.values)
            if not self._told:
                self._tell("code, environment or data have changed since the last session: its trials are run anew")
            self._told = True
        if self._seen is None:
            return None
        if start.source_fingerprint in self._here:  # proposed twice
            twin = self._here[start.source_fingerprint]
            return dataclasses.replace(twin, number=proposal.number, state="skipped", reason=_same(twin.run_id))
        run = self._seen.find(start.source_fingerprint, start.parameters)
        if run is None:
            return None
        value = run.metrics.get(self._goal.metric) if self._goal is not None else None
        reason = _same(run.run_id)
        return Trial(proposal.number, proposal.values, "skipped", value, run.metrics, run.run_id, None, reason)

    def note(self, trial: Trial, start: Start) -> None:
        """A trial has ended: the same need not be run again."""
        if trial.state == "finished":
            self._here[start.source_fingerprint] = trial

    def _still(self, before: Earlier, start: Start) -> bool:
        same = before.run.tags.get(Tag.SOURCE_FINGERPRINT) == start.source_fingerprint
        return same and same_data(before.run, words(self._notebook, start.parameters), self._settings)


def _same(run_id: str | None) -> str:
    return f"run {run_id} has FINISHED with the same fingerprint"
