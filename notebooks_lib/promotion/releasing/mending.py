"""Finishes or undoes a change that was cut short, from what its journal says. It begins none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.errors import EndpointError, ModelError, PromotionError
from notebooks_lib.promotion.releasing.journal import END, Desk, told
from notebooks_lib.promotion.releasing.moves import Moves

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

NO_RETURN = "switch"
"""The step from which a change that was cut short is finished: the version was found good, and gets all traffic."""


def mend(store: Store, model: str, stage: str, *, giving_up: bool = False) -> str:
    """Finish or undo what was cut short in a stage; say which, or nothing when there was nothing.

    With `giving_up` one that can be neither is closed as it is: a rollback is for when nothing else works. Raises
    PromotionError when a process is changing the stage right now.
    """
    desk = Desk(store.settings, model, stage)
    if desk.pending() is None:
        return ""
    desk.take()
    try:
        return mend_at(store, desk, giving_up=giving_up)
    finally:
        desk.release()


def mend_at(store: Store, desk: Desk, *, giving_up: bool) -> str:
    """The same for whoever holds the stage already."""
    left = desk.pending()
    if left is None:
        return ""
    moves, said = Moves(store, left), told(left)
    try:
        return f"{said}, was cut short: {_finish_or_undo(moves, said.rpartition(', ')[2])}"
    except (EndpointError, ModelError, PromotionError) as error:
        if not giving_up:
            raise
        moves.failed(f"given up: {error}")
        left.write(END, outcome="given up")
        return f"{said}, was cut short, and can be neither finished nor undone: {error}"


def _finish_or_undo(moves: Moves, where: str) -> str:
    steps, why = moves.journal.steps, f"cut short {where}"
    moves.catch_up()
    if NO_RETURN in steps and "undo" not in steps and moves.rival() is None:
        try:
            if "empty" not in steps:
                moves.put()
                moves.split({moves.slot: 100})
            moves.mark()
            if moves.empties:
                moves.empty()
        except (EndpointError, ModelError, PromotionError) as error:  # gone, or it cannot be served any more
            why = f"{why}; it cannot be finished: {error}"
        else:
            moves.journal.write(END, outcome="finished")
            return "finished"
    moves.journal.write("undo", reason=why)
    return f"undone, {moves.take_back(why)}"
