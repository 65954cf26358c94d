"""Move traffic and the champion's mark: each move is in the journal before it is made, and in the ledger after.

Every move can be repeated safely. `canary_deployment.py` decides which moves are made and when, `recovery.py` does so
after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.errors import EndpointError, ModelError, PromotionError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.release import golden, version_deployment
from notebooks_lib.release.golden import Golden
from notebooks_lib.release.journal import END, Journal, Kind, LedgerNote, TrafficMove
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import EndpointStatus
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.release_ledger import LedgerEntry, What

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


class StageMoves:
    """Moves traffic and the champion mark for one change of a stage, as its journal describes it."""

    def __init__(self, store: Store, journal: Journal) -> None:
        change = journal.change
        self.store = store
        self.journal = journal
        self.kind: Kind = change.kind
        self.model = change.model
        self.stage = change.stage
        self.reason = change.reason
        self.name = change.endpoint or store.settings.stages.endpoint(change.stage, change.model)
        """Name of the endpoint."""
        self.endpoint = targets.endpoint_for(store.settings, self.name, self.stage)
        versions = {version.version: version for version in registry.versions(store, self.model)}
        self.before = versions.get(change.before)
        """The champion when the change began."""
        self.number = change.version
        self._version = versions.get(self.number)
        self._golden: dict[str, Golden] = {}

    @property
    def version(self) -> Version:
        """Return the version that the change brings into service. Raises PromotionError when it was deleted."""
        if self._version is None:
            raise PromotionError(f"version {self.number} of {self.model!r} is gone from the registry")
        return self._version

    @property
    def status(self) -> EndpointStatus:
        """Return the current status of the endpoint."""
        return self.endpoint.status()

    @property
    def slot(self) -> str:
        """Return the slot that holds the version of this change. Raises PromotionError when none does any more."""
        slot = version_deployment.slot_holding(self.status, self.version)
        if not slot:
            raise PromotionError(f"no slot of endpoint {self.name!r} holds version {self.number} any more")
        return slot

    @property
    def empties(self) -> bool:
        """True if the endpoint is freed after the change: a promotion to a stage with `empty_after`."""
        return self.kind == "promotion" and self.store.settings.stages.of(self.stage).empty_after

    def golden(self, version: Version) -> Golden:
        """Return the golden predictions of a version, fetched once."""
        if version.version not in self._golden:
            self._golden[version.version] = golden_predictions(self.store, version)
        return self._golden[version.version]

    def champion_slot(self) -> tuple[str, Golden] | None:
        """Return slot and golden predictions of the champion.

        None when no other version serves as champion, or its golden predictions cannot be made.
        """
        if self.before is None or self.before.version == self.number:
            return None
        status = self.status
        slot = version_deployment.slot_holding(status, self.before)
        if not slot or not status.slots[slot].traffic:
            return None
        try:
            return slot, self.golden(self.before)
        except (PromotionError, ModelError):  # no example, or no files: it is replaced without a comparison
            return None

    def rival(self) -> Version | None:
        """Return a version that another machine or a person made champion during this change; None if there is none."""
        now = champions.champion(self.store, self.model, self.stage)
        mine = {self.number, self.before.version if self.before else ""}
        return now if now is not None and now.version not in mine else None

    def load(self, *, todays_settings: bool = False) -> str:
        """Load the version into a slot without traffic and return the slot.

        With `todays_settings`, a slot that was deployed by other settings does not count. In a rollback of an endpoint
        that does not start any more, the slot that already holds the version gets all traffic instead.
        """
        try:
            return version_deployment.deploy_version(
                self.store, self.endpoint, self.version, reason=self.reason, todays_settings=todays_settings
            )
        except EndpointError:
            status = version_deployment.endpoint_status(self.endpoint)
            slot = version_deployment.slot_holding(status, self.version)
            if self.kind != "rollback" or not slot or status is None or status.state == "running":
                raise
        # The version with the traffic does not start any more, so nothing is lost when the traffic moves first.
        self.split({slot: 100})
        self.endpoint.start()
        return slot

    def split(self, shares: dict[str, int], *, mirror: dict[str, int] | None = None, reason: str = "") -> None:
        """Set the traffic to these percentages by slot. Mirroring ends, unless `mirror` is given."""
        status = version_deployment.endpoint_status(self.endpoint)
        if status is None:
            return
        before = version_deployment.traffic_by_version(status)
        after = version_deployment.shares_by_version(status, shares)
        self.journal.write("traffic", TrafficMove(before, after, reason))
        self.endpoint.set_traffic(shares, mirror=mirror or {})
        self._note("traffic", before, after, reason=reason)

    def mark(self) -> None:
        """Move the champion mark. A rollback also withdraws the version that is replaced."""
        back, old = self.kind == "rollback", self.before
        champions.mark_champion(self.store, self.version, reason=self.reason, stage=self.stage, back=back)
        if back and old is not None and old.version != self.number:
            champions.withdraw(self.store, old, stage=self.stage)
        self._note("mark", old.version if old else "", self.number)

    def empty(self) -> None:
        """Free the endpoint: remove traffic and slots."""
        status = version_deployment.endpoint_status(self.endpoint)
        self.split({}, reason="it has passed; the settings say empty_after")
        for slot in status.slots if status else ():
            self.endpoint.delete_slot(slot)

    def take_back(self, why: str) -> str:
        """Give all traffic back to the current champion; if none served before, stop the endpoint.

        The version of this change stays in its slot, without traffic, where that costs nothing.
        """
        champion, status = (
            champions.champion(self.store, self.model, self.stage),
            version_deployment.endpoint_status(self.endpoint),
        )
        if champion is None or (self.empties and champion.version != self.number):
            if status is not None and status.state != "stopped":
                self.split({}, reason=why)
                self.endpoint.stop()
            outcome = f"nothing serves at endpoint {self.name!r}, as before"
        else:
            slot = version_deployment.deploy_version(self.store, self.endpoint, champion)
            self.split({slot: 100}, reason=why)
            outcome = f"version {champion.version} serves as before and is champion" + self._clear_slot(champion)
        self.failed(why)
        self.journal.write(END, outcome="undone")
        return outcome

    def _clear_slot(self, champion: Version) -> str:
        """Delete the slot of a version that was not promoted, where it costs money; return a text about it."""
        costs = self.kind == "promotion" and self.endpoint.capabilities.idle_slots_cost
        if not costs or self._version is None or champion.version == self.number:
            return ""
        slot = version_deployment.slot_holding(self.status, self.version)
        if not slot:
            return ""
        try:
            self.endpoint.delete_slot(slot)
        except (EndpointError, UsageError) as error:
            command = f"nbops endpoint delete-slot {self.name} {slot}"
            return f"; slot {slot!r} still costs money, delete it: {command} ({str(error).partition(chr(10))[0]})"
        return f"; slot {slot!r} of version {self.number} is deleted"

    def failed(self, why: str) -> None:
        """Record in the ledger that the version did not enter the stage, with the reason `why`."""
        champion = champions.champion(self.store, self.model, self.stage)
        self._note("failed", champion.version if champion else "", self.number, reason=why)

    def catch_up(self) -> None:
        """Write the ledger entry of a move that was made but not recorded, because of a crash."""
        moves = (entry.detail for entry in reversed(self.journal.entries))
        move = next((detail for detail in moves if isinstance(detail, TrafficMove | LedgerNote)), None)
        if isinstance(move, LedgerNote):
            release_ledger.write_entry(self.store, move.entry, move.key)
        elif move is not None:
            status = version_deployment.endpoint_status(self.endpoint)
            if version_deployment.traffic_by_version(status) == move.after:
                self._note("traffic", move.before, move.after, reason=move.reason)

    def _note(self, what: What, before: str, after: str, *, reason: str = "") -> None:
        """Write one ledger entry; it stands in the journal first, so that it is added only once."""
        if before == after and what in ("mark", "traffic"):
            return
        reason = f"{self.kind}: {reason or self.reason}"
        run, who = self.journal.change.run, self.journal.change.who
        entry = LedgerEntry(self.model, self.stage, what, before, after, reason, run=run, who=who)
        # A mark moves once in a change; the same share of the traffic may come again.
        key = f"{self.journal.id}-{len(self.journal.entries) + 1 if what == 'traffic' else what}"
        self.journal.write("ledger", LedgerNote(key, entry))
        release_ledger.write_entry(self.store, entry, key)


def golden_predictions(store: Store, version: Version) -> Golden:
    """Return a version's golden predictions. If none are stored, make them from its example and its dataset."""
    return golden.golden_of(store, version, lambda: version_deployment.known_rows(store, version))
