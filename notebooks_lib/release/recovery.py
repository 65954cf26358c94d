"""Finish or undo a change that was cut short, from its journal. It begins no change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from notebooks_lib.errors import EndpointError, ModelError, PromotionError
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import END, Kind, describe
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.release.traffic_and_champion import StageMoves

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

NO_RETURN = "switch"
"""The step from which a change that was cut short is finished: the version passed its tests and gets all traffic."""


Outcome = Literal["finished", "undone", "given up"]


@dataclass(frozen=True)
class Recovered:
    """An interrupted change of a stage, and whether it was finished, undone or closed."""

    kind: Kind
    version: str
    """The version that was to enter."""
    outcome: Outcome
    text: str
    """The whole story, for people."""

    @property
    def back(self) -> bool:
        """True if the stage is back at an earlier version: a promotion was undone, or a rollback finished."""
        return (self.kind, self.outcome) in (("promotion", "undone"), ("rollback", "finished"))


def recover(store: Store, model: str, stage: str, *, giving_up: bool = False, cause: str = "") -> Recovered | None:
    """Finish or undo a change of a stage that was interrupted; return None if there is none.

    With `giving_up`, a change that can be neither finished nor undone is closed as it is, because a rollback must work
    when nothing else does. `cause` is written to the ledger. Raises StageBusyError when a process is changing the stage
    right now.
    """
    changes = changes_of(store.settings, model, stage, store=store)
    if changes.pending() is None:
        return None
    changes.take()
    try:
        return recover_locked(store, changes, giving_up=giving_up, cause=cause)
    finally:
        changes.release()


def recover_locked(store: Store, changes: StageChanges, *, giving_up: bool, cause: str = "") -> Recovered | None:
    """Finish or undo an interrupted change, as `recover` does. The caller already holds the stage's lock."""
    unfinished = changes.resume()
    if unfinished is None:
        return None
    moves, summary = StageMoves(store, unfinished), f"{describe(unfinished)}, was cut short"
    why = f"cut short {describe(unfinished).rpartition(', ')[2]}" + (f", undone by {cause}" if cause else "")
    try:
        outcome, text = _finish_or_undo(moves, why)
    except (EndpointError, ModelError, PromotionError) as error:
        if not giving_up:
            raise
        moves.failed(f"given up: {_first_line(error)}")
        unfinished.write(END, outcome="given up")
        text = f"{summary}, and can be neither finished nor undone: {error}"
        return Recovered(moves.kind, moves.number, "given up", text)
    return Recovered(moves.kind, moves.number, outcome, f"{summary}: {text}")


def _finish_or_undo(moves: StageMoves, why: str) -> tuple[Outcome, str]:
    steps = moves.journal.steps
    moves.catch_up()
    if NO_RETURN in steps and "undo" not in steps and moves.rival() is None:
        try:
            if "empty" not in steps:
                moves.load()
                moves.split({moves.slot: 100})
            moves.mark()
            if moves.empties:
                moves.empty()
        except (EndpointError, ModelError, PromotionError) as error:  # gone, or it cannot be served any more
            why = f"{why}; it cannot be finished: {_first_line(error)}"
        else:
            moves.journal.write(END, outcome="finished")
            return "finished", "finished"
    moves.journal.write("undo", reason=why)
    return "undone", f"undone, {moves.take_back(why)}"


def _first_line(error: Exception) -> str:
    """Return what happened, without the logs of containers below it."""
    return str(error).partition("\n")[0]
