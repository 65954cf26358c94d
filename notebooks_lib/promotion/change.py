"""One version on its way into a stage: each step stands in the journal before it is done, each move in the ledger.

    deploy    the endpoint serves the version
    verify    known rows come back through the endpoint as they should
    mark      the champion's mark moves; from here on a change that is cut short is finished, before it is undone

A step that fails takes everything back at once. A process that dies leaves a journal without an end: whoever changes
the stage next reads there how far it came, and finishes or undoes it first. Every step can be done twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from notebooks_lib.errors import NbopsError, PromotionError
from notebooks_lib.promotion import golden, slots, verify
from notebooks_lib.promotion.journal import END, Desk, Journal, told
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.tracking import ledger, registry
from notebooks_lib.tracking.ledger import Entry, What
from notebooks_lib.tracking.registry import Version

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

Kind = Literal["promotion", "rollback", "repair"]
"""A repair brings an endpoint back in line with the champion's mark."""
NO_RETURN = "mark"
"""The step from which a change that was cut short is finished."""
_NEXT = "the next nbops promote --live or nbops rollback"


class Change:
    """Call deploy, verify and mark in this order, then end. Only one process changes a stage at a time."""

    def __init__(self, store: Store, desk: Desk, journal: Journal) -> None:
        about = journal.change
        self.store = store
        self.kind: Kind = about["kind"]
        self.model = str(about["model"])
        self.stage = str(about["stage"])
        self.reason = str(about["reason"])
        self.name = str(about["endpoint"])
        """The endpoint's."""
        known = {each.version: each for each in registry.versions(store, self.model)}
        self.before = known.get(about["before"])
        """The champion when it began."""
        self.number = str(about["version"])
        self._version = known.get(self.number)
        self._served = str(about["served"])
        """The version that the endpoint served when it began."""
        self._desk = desk
        self._journal = journal

    @classmethod
    def begin(
        cls, store: Store, version: Version, *, kind: Kind, stage: str, name: str, reason: str, run_id: str = ""
    ) -> Change:
        """Lock the stage, mend what was cut short there, and open a journal.

        Raises PromotionError when another process is changing the stage.
        """
        desk = Desk(store.settings, version.model, stage)
        desk.take()
        try:
            _mend(store, desk)
            champion, served = registry.champion(store, version.model, stage), slots.status(store, name)
            about = {
                "kind": kind,
                "model": version.model,
                "stage": stage,
                "endpoint": name,
                "version": version.version,
                "before": champion.version if champion else "",
                "served": served.version if served is not None and served.state == "running" else "",
                "reason": reason,
                "run": run_id,
                "who": ledger.who(),
            }
            return cls(store, desk, desk.begin(about))
        except BaseException:
            desk.release()
            raise

    @property
    def version(self) -> Version:
        """What is to serve. Raises PromotionError when it was deleted since."""
        if self._version is None:
            raise PromotionError(f"version {self.number} of {self.model!r} is gone from the registry")
        return self._version

    def deploy(self) -> Status:
        """Let the endpoint serve the version. Raises PromotionError when it cannot; what served before serves on."""
        with self._step("deploy"):
            status = slots.serve(self.store, self.name, self.version, reason=self.reason)
            self._note("traffic", _all(self._served), _all(self.version.version))
        return status

    def verify(self) -> int:
        """How many known rows the endpoint answers right. Raises PromotionError when one is wrong."""
        with self._step("verify"):
            return check(self.store, self.version, self.name)

    def mark(self) -> None:
        """Make the version champion of the stage."""
        rival = self._rival()
        if rival is not None:
            raise PromotionError(f"{beaten(rival)}; {self.undo(f'version {rival.version} became champion meanwhile')}")
        with self._step("mark"):
            self._mark()

    def end(self, outcome: str = "done") -> None:
        """Close the journal and let others in."""
        self._journal.write(END, outcome=outcome)
        self._desk.release()

    def undo(self, why: str) -> str:
        """Take everything back; say what serves now. What cannot be taken back is left to the next command."""
        self._journal.write("undo", reason=why)
        try:
            said = self._undo(why)
        finally:
            self._desk.release()
        return said

    def finish_or_undo(self) -> str:
        """Mend a change that was cut short; say how."""
        said = told(self._journal)
        self._repeat_note()
        steps = self._journal.steps
        if NO_RETURN in steps and "undo" not in steps and self._version is not None and self._rival() is None:
            slots.serve(self.store, self.name, self.version, reason=self.reason)
            self._mark()
            self._journal.write(END, outcome="finished")
            return f"{said}, was cut short: finished"
        why = f"it was cut short {said.rpartition(', ')[2]}"
        return f"{said}, was cut short: undone; {self._undo(why)}"

    def _mark(self) -> None:
        back = self.kind == "rollback"
        old = self.before
        registry.mark_champion(self.store, self.version, reason=self.reason, stage=self.stage, back=back)
        if old is not None and old.version != self.version.version and back:
            registry.withdraw(self.store, old, stage=self.stage)
        self._note("mark", old.version if old else "", self.version.version)

    def _rival(self) -> Version | None:
        """A champion that nobody knew of when this began: made on another machine, or by hand."""
        now = registry.champion(self.store, self.model, self.stage)
        known = {self.number, self.before.version if self.before else ""}
        return now if now is not None and now.version not in known else None

    def _undo(self, why: str) -> str:
        """Let the champion serve again, whoever it is by now. Can be done twice, as every step."""
        champion, now = registry.champion(self.store, self.model, self.stage), slots.status(self.store, self.name)
        serves = now.version if now is not None and now.state == "running" else ""
        if champion is None:
            if now is not None and now.state != "stopped":
                endpoint.stop(self.store.settings, self.name)
            said = f"endpoint {self.name!r} was stopped: there is no champion to go back to"
        else:
            slots.serve(self.store, self.name, champion)
            said = f"version {champion.version} serves again and is champion as before"
        stays = champion.version if champion else ""
        self._note("traffic", _all(serves), _all(stays), reason=why)
        self._note("failed", stays, self.number, reason=why)
        self._journal.write(END, outcome="undone")
        return said

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Write the step down and do it. When it fails, take the change back, or leave it to be finished; say which."""
        self._journal.write(name)
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            why = str(error) or type(error).__name__
            try:
                said = self._left() if name == NO_RETURN else self.undo(why)
            except NbopsError as second:
                said = f"it cannot be taken back now: {second}; {_NEXT} tries again"
            if isinstance(error, NbopsError):
                raise PromotionError(f"{why}; {said}") from error
            error.add_note(said)
            raise

    def _left(self) -> str:
        """The endpoint serves the version and it was verified: what is missing is that the registry says so."""
        self._desk.release()
        return f"version {self.number} serves; {_NEXT} finishes this"

    def _note(self, what: What, before: str, after: str, *, reason: str = "") -> None:
        """One entry of the ledger, written down whole before it is added, so that it is added once."""
        if before == after and what in ("mark", "traffic"):
            return
        about = self._journal.change
        entry = Entry(
            self.model,
            self.stage,
            what,
            before,
            after,
            reason=f"{self.kind}: {reason or self.reason}",
            run=str(about["run"]),
            who=str(about["who"]),
        )
        key = f"{self._journal.id}-{what}-{before}-{after}"
        self._journal.write("ledger", key=key, entry=vars(entry))
        ledger.write(self.store, entry, key)

    def _repeat_note(self) -> None:
        last = self._journal.last("ledger")
        if last is not None:
            ledger.write(self.store, Entry(**last["entry"]), str(last["key"]))


def check(store: Store, version: Version, name: str) -> int:
    """How many known rows endpoint `name` answers right for a version. Raises PromotionError when one is wrong."""
    known = golden.of(store, version, slots.known_rows(store, version))
    return verify.through_endpoint(store.settings, name, known, version.version)


def beaten(rival: Version) -> str:
    """Why a comparison does not count any more."""
    return (
        f"version {rival.version} of {rival.model!r} became champion while this run was compared with another; "
        "promote again to compare it with that one"
    )


def mend(store: Store, model: str, stage: str) -> str:
    """Finish or undo what was cut short in a stage; say which, or nothing when there was nothing.

    Raises PromotionError when a process is changing the stage right now.
    """
    desk = Desk(store.settings, model, stage)
    if desk.pending() is None:
        return ""
    desk.take()
    try:
        return _mend(store, desk)
    finally:
        desk.release()


def _mend(store: Store, desk: Desk) -> str:
    left = desk.pending()
    return "" if left is None else Change(store, desk, left).finish_or_undo()


def _all(version: str) -> str:
    """All traffic to one version, as the ledger says it."""
    return f"{version}=100" if version else ""
