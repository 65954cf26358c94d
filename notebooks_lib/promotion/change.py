"""One version on its way into a stage: each step stands in the journal before it is done, each move in the ledger.

    deploy    the version is loaded into a slot without traffic
    test      the slot keeps the contract
    share     some of the traffic, or of its copies, goes to it; it is watched beside the champion
    switch    it gets all traffic; from here on a change that is cut short is finished, before it is undone
    mark      the champion's mark moves
    empty     the endpoint is freed, where the settings say so

A step that fails takes everything back at once. A process that dies leaves a journal without an end: whoever changes
the stage next reads there how far it came, and finishes or undoes it first. Every step can be done twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from notebooks_lib.errors import ModelError, NbopsError, PromotionError
from notebooks_lib.promotion import golden, slots, verify
from notebooks_lib.promotion.canary import Seen, Watch
from notebooks_lib.promotion.golden import Golden
from notebooks_lib.promotion.journal import END, Desk, Journal, told
from notebooks_lib.promotion.verify import Check
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.settings import CanaryStep
from notebooks_lib.tracking import ledger, registry
from notebooks_lib.tracking.ledger import Entry, What
from notebooks_lib.tracking.registry import Version

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

Kind = Literal["promotion", "rollback", "repair"]
"""A repair brings an endpoint back in line with the champion's mark."""
NO_RETURN = "switch"
"""The step from which a change that was cut short is finished."""
_NEXT = "the next nbops promote --live or nbops rollback"


class Change:
    """Call deploy, test, share for each step of a canary, switch, and end. One process changes a stage at a time."""

    def __init__(self, store: Store, desk: Desk, journal: Journal) -> None:
        about = journal.change
        self.store = store
        self.kind: Kind = about["kind"]
        self.model = str(about["model"])
        self.stage = str(about["stage"])
        self.reason = str(about["reason"])
        self.name = str(about["endpoint"])
        """The endpoint's."""
        versions = {each.version: each for each in registry.versions(store, self.model)}
        self.before = versions.get(about["before"])
        """The champion when it began."""
        self.number = str(about["version"])
        self._version = versions.get(self.number)
        self._desk = desk
        self._journal = journal
        self._golden: dict[str, Golden] = {}

    @classmethod
    def begin(cls, store: Store, version: Version, *, kind: Kind, stage: str, reason: str, run_id: str = "") -> Change:
        """Lock the stage, mend what was cut short there, and open a journal.

        Raises PromotionError when another process is changing the stage.
        """
        desk = Desk(store.settings, version.model, stage)
        desk.take()
        try:
            _mend(store, desk)
            champion = registry.champion(store, version.model, stage)
            about = {
                "kind": kind,
                "model": version.model,
                "stage": stage,
                "endpoint": store.settings.stages.endpoint(stage, version.model),
                "version": version.version,
                "before": champion.version if champion else "",
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

    @property
    def status(self) -> Status:
        """How the endpoint is now."""
        return endpoint.status(self.store.settings, self.name)

    def deploy(self) -> str:
        """The slot that the version was loaded into, without traffic; no other slot is touched."""
        with self._step("deploy"):
            return slots.put(self.store, self.name, self.version, reason=self.reason)

    def test(self) -> list[Check]:
        """What the slot was asked, and how it did. Raises PromotionError when it does not keep the contract."""
        with self._step("test"):
            beside = self._beside()
            checks = verify.contract(
                self.store.settings,
                self.name,
                self._slot(),
                self._known(self.version),
                champion=beside,
                ratio=self.store.settings.stages.of(self.stage).max_latency_ratio,
            )
            if verify.refused(checks):
                raise PromotionError(f"version {self.number} does not keep its contract: {verify.refused(checks)}")
            return checks

    def share(self, step: CanaryStep) -> Seen | None:
        """Give the version a share of the requests and look on; None where no champion serves to compare it with.

        Raises PromotionError as soon as it does worse than the settings of the stage allow.
        """
        beside = self._beside()
        if beside is None:
            return None
        settings, new, (old, theirs) = self.store.settings, self._slot(), beside
        with self._step("share", traffic=step.traffic, mirror=step.mirror):
            if step.traffic:
                self._split({old: 100 - step.traffic, new: step.traffic})
            else:
                self._split({old: 100})
                endpoint.mirror(settings, self.name, {new: step.mirror})
            mine = self._known(self.version)
            watch = Watch(settings, self.name, new, old, golden=mine, old_golden=theirs)
            return watch.until_done(step, settings.stages.of(self.stage))

    def switch(self) -> None:
        """Give the version all requests and the champion's mark; free the endpoint where the settings say so."""
        rival = self._rival()
        if rival is not None:
            raise PromotionError(f"{beaten(rival)}; {self.undo(f'version {rival.version} became champion meanwhile')}")
        with self._step(NO_RETURN):
            self._switch()
        with self._step("mark"):
            self._mark()
        if self.empties:
            with self._step("empty"):
                self._empty()

    @property
    def empties(self) -> bool:
        """Whether the endpoint is freed in the end."""
        return self.kind == "promotion" and self.store.settings.stages.of(self.stage).empty_after

    def end(self, outcome: str = "done") -> None:
        """Close the journal and let others in."""
        self._journal.write(END, outcome=outcome)
        self._desk.release()

    def undo(self, why: str) -> str:
        """Take everything back; say what serves now. What cannot be taken back is left to the next command."""
        self._journal.write("undo", reason=why)
        try:
            return self._undo(why)
        finally:
            self._desk.release()

    def finish_or_undo(self) -> str:
        """Mend a change that was cut short; say how."""
        said, steps = told(self._journal), self._journal.steps
        self._catch_up()
        if NO_RETURN in steps and "undo" not in steps and self._version is not None and self._rival() is None:
            if "empty" not in steps:
                slots.put(self.store, self.name, self.version, reason=self.reason)
                self._switch()
            self._mark()
            if self.empties:
                self._empty()
            self._journal.write(END, outcome="finished")
            return f"{said}, was cut short: finished"
        why = f"cut short {said.rpartition(', ')[2]}"
        self._journal.write("undo", reason=why)
        return f"{said}, was cut short: {self._undo(why)}"

    def _slot(self) -> str:
        slot = slots.holding(self.status, self.version)
        if not slot:
            raise PromotionError(f"no slot of endpoint {self.name!r} holds version {self.number} any more")
        return slot

    def _beside(self) -> tuple[str, Golden] | None:
        """The slot and the golden predictions of the champion, where it serves and is another version."""
        if self.before is None or self.before.version == self.number:
            return None
        status = self.status
        slot = slots.holding(status, self.before)
        if not slot or not status.slots[slot].traffic:
            return None
        try:
            return slot, self._known(self.before)
        except (PromotionError, ModelError):  # it came without an example, or its files are gone: it is to be replaced
            return None

    def _known(self, version: Version) -> Golden:
        if version.version not in self._golden:
            self._golden[version.version] = known(self.store, version)
        return self._golden[version.version]

    def _switch(self) -> None:
        self._split({self._slot(): 100})

    def _mark(self) -> None:
        back, old = self.kind == "rollback", self.before
        registry.mark_champion(self.store, self.version, reason=self.reason, stage=self.stage, back=back)
        if back and old is not None and old.version != self.number:
            registry.withdraw(self.store, old, stage=self.stage)
        self._note("mark", old.version if old else "", self.number)

    def _empty(self) -> None:
        found = slots.status(self.store, self.name)
        self._split({}, reason="it has passed; the settings say empty_after")
        for slot in found.slots if found else ():
            endpoint.delete(self.store.settings, self.name, slot)

    def _split(self, shares: dict[str, int], *, reason: str = "") -> None:
        """Move traffic, and say so in the ledger."""
        found = slots.status(self.store, self.name)
        if found is None:
            return
        before, after = slots.traffic(found), slots.shares(found, shares)
        self._journal.write("traffic", before=before, after=after, reason=reason)
        now = endpoint.split(self.store.settings, self.name, shares)
        if any(slot.mirror for slot in now.slots.values()):
            endpoint.mirror(self.store.settings, self.name, {})
        self._note("traffic", before, after, reason=reason)

    def _catch_up(self) -> None:
        """Add to the ledger what moved before a crash and does not stand there yet."""
        entries = self._journal.entries[1:]
        told = next((each for each in reversed(entries) if each["step"] in ("ledger", "traffic")), None)
        if told is not None and told["step"] == "ledger":
            ledger.write(self.store, Entry(**told["entry"]), str(told["key"]))
        elif told is not None and slots.traffic(slots.status(self.store, self.name)) == told["after"]:
            self._note("traffic", told["before"], told["after"], reason=told["reason"])

    def _rival(self) -> Version | None:
        """A champion that nobody knew of when this began: made on another machine, or by hand."""
        now = registry.champion(self.store, self.model, self.stage)
        mine = {self.number, self.before.version if self.before else ""}
        return now if now is not None and now.version not in mine else None

    def _undo(self, why: str) -> str:
        """Let the champion serve again, whoever it is by now. The version stays in its slot, without traffic."""
        champion, found = registry.champion(self.store, self.model, self.stage), slots.status(self.store, self.name)
        if champion is None or self._is_empty(champion):
            if found is not None and found.state != "stopped":
                self._split({}, reason=why)
                endpoint.stop(self.store.settings, self.name)
            said = f"endpoint {self.name!r} was stopped: nothing served there before"
        else:
            slot = slots.put(self.store, self.name, champion)
            self._split({slot: 100}, reason=why)
            said = f"version {champion.version} serves as before and is champion"
        self._note("failed", champion.version if champion else "", self.number, reason=why)
        self._journal.write(END, outcome="undone")
        return said

    def _is_empty(self, champion: Version) -> bool:
        """Whether the stage is one that was freed after the champion had passed it."""
        return self.empties and champion.version != self.number

    @contextmanager
    def _step(self, name: str, **detail: object) -> Iterator[None]:
        """Write the step down and do it. When it fails, take the change back, or leave it to be finished; say which."""
        self._journal.write(name, **detail)
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            why = str(error) or type(error).__name__
            try:
                said = self._left() if name in ("mark", "empty") else self.undo(why)
            except NbopsError as second:
                said = f"it cannot be taken back now: {second}; {_NEXT} tries again"
            if isinstance(error, NbopsError):
                raise PromotionError(f"{why}; {said}") from error
            error.add_note(said)
            raise

    def _left(self) -> str:
        """The version serves and keeps its contract: what is missing is that the registry says so."""
        self._desk.release()
        return f"version {self.number} serves; {_NEXT} finishes this"

    def _note(self, what: What, before: str, after: str, *, reason: str = "") -> None:
        """One entry of the ledger, written down whole before it is added, so that it is added once."""
        if before == after and what in ("mark", "traffic"):
            return
        about = self._journal.change
        reason = f"{self.kind}: {reason or self.reason}"
        entry = Entry(self.model, self.stage, what, before, after, reason, run=str(about["run"]), who=str(about["who"]))
        key = f"{self._journal.id}-{what}-{before}-{after}"
        self._journal.write("ledger", key=key, entry=vars(entry))
        ledger.write(self.store, entry, key)


def known(store: Store, version: Version) -> Golden:
    """The golden predictions of a version; made now, from its example and its dataset, when none were kept."""
    return golden.of(store, version, lambda: slots.known_rows(store, version))


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
