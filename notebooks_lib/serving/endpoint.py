"""An endpoint that serves versions of a model from slots: the protocol, and the values that it speaks in.

It knows no port, file, process or cloud. `targets.py` opens the endpoint of a name; releases and commands use nothing
of an endpoint but what stands here.

A slot holds one version. Requests that name no slot are answered by the slots with traffic. Percentages are whole
numbers from 0 to 100, by slot; slots without a number have 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from notebooks_lib import json_shape
from notebooks_lib.errors import EndpointError, InputError, UnknownNameError, UsageError
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.request_counts import RequestCounts

SLOTS = ("blue", "green")
"""Names of the slots of an endpoint that releases use."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFUSALS = (400, 413, 415)


def check_name(kind: str, name: str) -> str:
    """Return `name` if it can be used as a folder and in an address.

    Raises UsageError, naming its `kind`, otherwise.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{kind} {name!r}: expected letters, digits, '.', '_' or '-', starting with a letter or digit")
    return name


@dataclass(frozen=True)
class FetchedModel:
    """The fetched files of a model version, with the digest that they must have."""

    folder: Path
    """The folder of an MLflow model."""
    sha256: str = ""
    """Digest that the files must have, also whenever they are loaded later; empty: the digest that they have now."""
    note: str = ""
    """What is known about the digest; kept with the slot."""


@dataclass(frozen=True)
class DeploymentDetail:
    """What is known about a deployed version beside its number. A field is empty when it is unknown."""

    model: str = ""
    """Name of the registered model."""
    run_id: str = ""
    """The run that logged the model."""
    dataset: str = ""
    """The datasets of that run, as "name@version"; several are separated by commas."""
    reason: str = ""
    """Why it was deployed."""
    files: str = ""
    """What is known about the digest of its files: `FetchedModel.note`."""

    def as_json(self) -> dict[str, str | None]:
        """Return the fields as plain values: null for an unknown dataset, no key for unknown files, none at all when
        nothing is known.
        """
        if self == DeploymentDetail():
            return {}
        files = {"files": self.files} if self.files else {}
        return {
            "model": self.model,
            "run_id": self.run_id,
            "dataset": self.dataset or None,
            "reason": self.reason,
            **files,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str = "") -> Self:
        """Restore the fields from what `as_json` returned. Raises ValueError for a value that is no text.

        `where` precedes the key in the message.
        """
        values = {
            attribute.name: content[attribute.name]
            for attribute in fields(cls)
            if content.get(attribute.name) is not None
        }
        json_shape.expect_keys(values, dict.fromkeys(values, str), where)
        return cls(**values)


@dataclass(frozen=True)
class ServedVersion:
    """A model version to put into a slot. Its files are fetched only where they are needed."""

    version: str
    detail: DeploymentDetail
    """What the slot's status shows beside the version."""
    fetch: Callable[[Path], FetchedModel]
    """Copies the files under an empty folder. Raises EndpointError, ModelError or PromotionError when they cannot be
    had, or are not those that were scored."""

    @classmethod
    def in_folder(
        cls, folder: Path, *, version: str, detail: DeploymentDetail | None = None, sha256: str = ""
    ) -> ServedVersion:
        """Return a version whose files are in a folder on this machine, with their expected digest, if known."""
        return cls(version, detail or DeploymentDetail(), lambda _: FetchedModel(folder, sha256))


@dataclass(frozen=True)
class SlotStatus:
    """The status of one slot."""

    version: str
    detail: DeploymentDetail
    """What was given at the deployment, with the note about its files."""
    since: str
    """When this version was deployed to the slot."""
    traffic: int
    """Percent of the requests that name no slot."""
    mirror: int
    """Percent of the requests that are mirrored to it."""
    state: Literal["ready", "loading", "failed", "stopped"]
    error: str = ""
    sha256: str = ""
    """Digest of the model's files; empty where an older nbops deployed it."""


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """The status of an endpoint. It holds no key or token."""

    name: str
    state: Literal["running", "stopped", "broken"]
    """broken: it should run but does not; `last_error` says why."""
    address: str = ""
    version: str = ""
    """Version in the slot with most of the traffic; empty without traffic."""
    detail: DeploymentDetail = field(default_factory=DeploymentDetail)
    """That of the same slot."""
    curl: str = ""
    """A request that works as it stands; empty for a model without an example."""
    since: str = ""
    """When that version was deployed."""
    last_error: str = ""
    changed: bool = True
    """False when there was nothing to do."""
    slots: Mapping[str, SlotStatus] = field(default_factory=dict)

    @property
    def facts(self) -> Mapping[str, str]:
        """Return more facts to display that depend on the kind of endpoint: label and text."""
        return {}

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops endpoint status --json` prints."""
        slots = {name: {**asdict(slot), "detail": slot.detail.as_json()} for name, slot in self.slots.items()}
        return {**asdict(self), "detail": self.detail.as_json(), "slots": slots}


@dataclass(frozen=True)
class EndpointAnswer:
    """An endpoint's answer to one request: HTTP status, JSON content and the address that answered."""

    status: int
    """The HTTP status: 200 with predictions, 4xx when the request was refused, 5xx when the model failed.

    It is the status of the model's server. A gateway's own status (Azure: 424) is replaced by the one behind it.
    """
    content: Any
    """The JSON of the answer: `{"predictions": ...}`, or an object with a `message`."""
    source: str
    """The address that answered, for messages."""

    def result(self) -> Any:
        """Return the content of the answer.

        Raises InputError when the request was refused, EndpointError when it failed.
        """
        if self.status == 200:
            return self.content
        message = self.content.get("message", self.content) if isinstance(self.content, dict) else self.content
        if self.status in _REFUSALS:
            raise InputError(f"{self.source} refused the request ({self.status}): {message}")
        raise EndpointError(f"{self.source} answered {self.status}: {message}")


class EndpointSession(Protocol):
    """Sends many requests to a running endpoint. Several threads can use it at once."""

    def ask(self, payload: object, *, slot: str | None = None) -> EndpointAnswer:
        """Send a request in one of MLflow's formats or Azure's, and return the answer, whatever its status.

        With `slot`, that slot answers, even without traffic. Raises InputError when the payload cannot be written as
        JSON, EndpointError when the endpoint cannot be reached.
        """


class Endpoint(Protocol):
    """The interface of an endpoint, whatever runs it.

    A method that changes the endpoint waits until the change is in force: when it returns, the next request meets the
    new state. Each wait is bounded. If a method raises an error, the endpoint serves what it served before. If its
    process is killed, the endpoint is in the old or the new state, and the same command again completes the change. Two
    changes at once are made one after the other.

    Every method but `deploy`, `start` and `idle_slot` raises UnknownNameError when nothing was ever deployed under the
    name. A name that no endpoint can have raises UsageError when the endpoint is opened.
    """

    name: str

    @property
    def capabilities(self) -> EndpointCapabilities:
        """Return what this kind of endpoint can do. Nothing is asked or started for it."""

    def status(self) -> EndpointStatus:
        """Return the status.

        This changes and starts nothing, and waits for no change. A broken endpoint raises no error.
        """

    def deploy(self, slot: str, version: ServedVersion, *, traffic: bool = False) -> EndpointStatus:
        """Load a version into `slot`, while the other slots serve; no traffic moves.

        With `traffic` the slot gets all of it once the model has answered its example, even if it had some before. A
        stopped endpoint is started. Raises UsageError when the slot has traffic and `traffic` is not set, or the files
        are not an MLflow model. Raises EndpointError, with the reason and the log, when the model cannot be served or
        its files have another digest than expected.
        """

    def delete_slot(self, slot: str) -> EndpointStatus:
        """Delete a slot. When no slot is left, the endpoint stops, and keeps its address.

        Raises UsageError while the slot has traffic, UnknownNameError for an unknown slot.
        """

    def set_traffic(self, shares: Mapping[str, int], *, mirror: Mapping[str, int] | None = None) -> EndpointStatus:
        """Set each slot's percentage of the requests that name no slot. Their sum is 100 or 0; slots left out get 0.

        `mirror` sets the mirrored share in the same step, as `set_mirror` does; None keeps it. A slot that gets traffic
        is no longer mirrored to. A stopped endpoint applies the percentages from its next start on. Raises UsageError
        for invalid percentages, UnknownNameError for an unknown slot, EndpointError for a slot that failed to load.
        """

    def set_mirror(self, shares: Mapping[str, int]) -> EndpointStatus:
        """Copy this percentage of the requests to a slot without traffic. Its answers are never sent.

        They are compared, and mirrored up to a percentage, as `capabilities` says. At most one slot; an empty mapping,
        or 0, ends it. Raises UsageError for a slot with traffic or too high a percentage, and the errors of
        `set_traffic`.
        """

    def start(self, first: ServedVersion | None = None) -> EndpointStatus:
        """Start the endpoint with its slots, at the same address with the same key. If it runs, nothing changes.

        If there is no slot, `first` is deployed and gets all traffic. Raises EndpointError when there is neither, or
        when a slot with traffic cannot be loaded.
        """

    def stop(self) -> EndpointStatus:
        """Stop serving. Slots, percentages, address and key are kept for `start`."""

    def idle_slot(self) -> str:
        """Return the slot to deploy to next: one of SLOTS without traffic.

        Raises EndpointError when all have traffic.
        """

    def is_intact(self, slot: str) -> bool:
        """Return True if a slot still holds exactly the files that were deployed to it."""

    def bind_store(self, identity: str) -> None:
        """Let only the tracking store of this identity release to the endpoint, where other machines reach it.

        Locks and journals are in that store: another store would not see them. Nothing happens while nothing was
        deployed. Raises UsageError when the endpoint is bound to another store.
        """
        return

    def changed_settings(self, slot: str) -> list[str]:
        """Return the keys of the settings that have changed since a slot was deployed, and that only a new deployment
        takes over. Empty where there are no such settings.
        """
        return []

    def example(self, *, slot: str | None = None) -> dict[str, Any]:
        """Return a request that the model of `slot` answers; the default is the slot with most traffic.

        Raises EndpointError when the model was logged without an example.
        """

    def invoke(self, payload: object, *, slot: str | None = None, probe: bool = False) -> Any:
        """Return the JSON of the answer to one request; see `EndpointSession.ask` for `payload` and `slot`.

        A `probe` is a test request: it is counted separately and not collected. Raises UnknownNameError for an unknown
        slot, InputError when the request is refused, EndpointError when the endpoint does not run or its model fails.
        """

    def session(self, *, probe: bool = True) -> EndpointSession:
        """Return a session for many requests in a row, which need not be closed. `probe` marks them as test requests.

        Raises EndpointError when the endpoint does not run.
        """

    def counts(self, since: Mapping[str, RequestCounts] | None = None) -> dict[str, RequestCounts]:
        """Return the request counts by slot. With `since`, an earlier result, return only what came after it.

        After a new deployment to a slot, or a restart of the endpoint, counting begins again. Where requests are
        counted late, those of this object count at once after a mark, as `RequestCounts.unconfirmed`. Raises
        EndpointError when the endpoint does not run.
        """

    def logs(self, lines: int = 50, *, slot: str | None = None) -> list[str]:
        """Return the last `lines` lines of the log. If the endpoint keeps a log for each slot, `slot` selects one."""


def require_slot(slot: str, slots: Mapping[str, Any]) -> None:
    """Raise UnknownNameError, listing the known slots, unless `slot` is one of them."""
    if slot not in slots:
        raise UnknownNameError("slot", slot, slots, f"to make it: nbops endpoint deploy NAME --slot {slot}")


def check_shares(
    name: str,
    slots: Mapping[str, Any],
    traffic: Mapping[str, int],
    *,
    shares: Mapping[str, int] | None = None,
    mirror: Mapping[str, int] | None = None,
) -> None:
    """Check new percentages of traffic (`shares`) and of mirrored requests (`mirror`). `traffic` are the present ones.

    Raises UnknownNameError for an unknown slot, UsageError for percentages that an endpoint cannot have.
    """
    for slot, percent in {**(mirror or {}), **(shares or {})}.items():
        require_slot(slot, slots)
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
            raise UsageError(f"slot {slot!r}: found {percent!r} percent; expected a whole number from 0 to 100")
    total = sum((shares or {}).values())
    if total not in (0, 100):
        raise UsageError(f"endpoint {name!r}: the traffic of all slots comes to {total} %; expected 100, or 0")
    mirrored = [slot for slot, percent in (mirror or {}).items() if percent]
    if len(mirrored) > 1:
        raise UsageError(f"endpoint {name!r}: found {len(mirrored)} slots to mirror to; expected one at most")
    if mirrored and (traffic if shares is None else shares).get(mirrored[0]):
        raise UsageError(f"slot {mirrored[0]!r} of endpoint {name!r} has traffic; only one without is mirrored to")
