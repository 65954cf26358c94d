"""The state of a local endpoint as values: each of its three files has one reader and one writer here.

state.json      EndpointState: what is meant to be: slots, traffic, mirror, host, port; replaced atomically
server.json     ServerRecord: what the server process wrote of itself before it served
serving.json    FollowReport: how far the running server has followed the state

A reader is strict with state.json, which cannot be made again; the other two are rewritten by each server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from notebooks_lib import atomic_private_files, json_shape
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving.endpoint import DeploymentDetail, check_name

FORMAT = 2
_READABLE = (1, FORMAT)
Deployment = tuple[str, str, str, str | None]
"""What identifies a deployment to a slot: model, version, since, id."""


@dataclass(frozen=True)
class SlotState:
    """The wanted content of one slot: its model version and details."""

    version: str
    model: str
    """The folder of the model under models/."""
    since: str
    """When it was deployed, in ISO form."""
    detail: DeploymentDetail = field(default_factory=DeploymentDetail)
    id: str | None = None
    """Identifies the deployment; None where an older nbops made it."""
    sha256: str = ""
    """Digest that the files must have; empty where an older nbops deployed them."""
    example: Mapping[str, Any] | None = None
    """A request that the model answers."""

    @property
    def deployment(self) -> Deployment:
        """Return model, version, time and id, which together identify the deployment to this slot."""
        return self.model, self.version, self.since, self.id

    def as_json(self) -> dict[str, Any]:
        """Return the slot as plain values for state.json; fields that are not known are left out."""
        content = {name: value for name, value in asdict(self).items() if name == "example" or value not in (None, "")}
        return {**content, "detail": self.detail.as_json()}

    @classmethod
    def from_json(cls, content: Any, where: str) -> Self:
        """Restore the slot from what `as_json` returned. Raises ValueError when a key is missing or has a wrong type.

        `where` names the slot in the message.
        """
        json_shape.expect_keys(content, {"model": str, "version": str, "since": str, "detail": dict}, where)
        optional = {"id": str, "sha256": str, "example": dict}
        optionals = {key: content[key] for key in optional if content.get(key) is not None}
        json_shape.expect_keys(optionals, {key: optional[key] for key in optionals}, where)
        check_name("model", content["model"].partition("~")[0])
        detail = DeploymentDetail.from_json(content["detail"], f"{where}detail.")
        return cls(content["version"], content["model"], content["since"], detail, **optionals)


@dataclass(frozen=True)
class EndpointState:
    """The wanted state of an endpoint: slots, traffic, mirror and address."""

    name: str
    host: str
    port: int
    """0: not chosen yet."""
    slots: Mapping[str, SlotState] = field(default_factory=dict)
    traffic: Mapping[str, int] = field(default_factory=dict)
    """Percent by slot; slots without traffic are left out."""
    mirror: Mapping[str, int] = field(default_factory=dict)
    wanted: str = "stopped"
    """running or stopped."""
    last_error: str = ""
    generation: int = 0
    """Grows with each write, so that a server can say which state it follows."""

    @property
    def main_slot(self) -> str:
        """Return the slot with most traffic; if none has traffic, the first; empty if there is no slot."""
        return min(self.slots, key=lambda name: -self.traffic.get(name, 0), default="")

    def with_slot(self, name: str, slot: SlotState) -> Self:
        """Return a copy of the state, in which the slot `name` is replaced by `slot`."""
        return replace(self, slots={**self.slots, name: slot})

    def as_json(self) -> dict[str, Any]:
        """Return the state as plain values for state.json."""
        slots = {name: slot.as_json() for name, slot in self.slots.items()}
        generation = self.generation
        plain = {name: value for name, value in asdict(self).items() if name != "generation"}
        return {
            **plain,
            "slots": slots,
            "last_error": self.last_error or None,
            "format": FORMAT,
            "generation": generation,
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Restore the state from what `as_json` returned, in this format or an older one.

        Raises ValueError when a key is missing or has a wrong type.
        """
        content = {"generation": 0, "traffic": {}, "mirror": {}, "name": "", **content}
        kinds = {"name": str, "host": str, "port": int, "generation": int, "wanted": str}
        json_shape.expect_keys(content, {**kinds, "slots": dict, "traffic": dict, "mirror": dict})
        if not 0 <= content["port"] <= 65535:
            raise ValueError(f"port {content['port']}: expected 0 to 65535")
        slots = {}
        for name, slot in content["slots"].items():
            slots[check_name("slot", name)] = SlotState.from_json(slot, f"slots.{name}.")
        for share in ("traffic", "mirror"):
            json_shape.expect_keys(content[share], dict.fromkeys(content[share], int), f"{share}.")
        shares = {share: content[share] for share in ("traffic", "mirror")}
        required = {key: content[key] for key in kinds}
        return cls(**required, **shares, slots=slots, last_error=str(content.get("last_error") or ""))


def read_state(path: Path) -> EndpointState:
    """Read state.json.

    Raises EndpointError for an unknown format; for a damaged file, ValueError and similar errors.
    """
    content = json.loads(path.read_text("utf-8"))
    try:
        json_shape.expect_format(content, _READABLE)
    except ValueError as error:
        raise EndpointError(f"{path}: {error}; deploy again") from error
    return EndpointState.from_json(content)


@dataclass(frozen=True)
class ServerRecord:
    """What a server process wrote about itself to server.json before it began to serve."""

    pid: int
    born: str
    """Identifies the process among all that had or will have its number."""
    host: str = ""
    port: int = 0
    protocol: int = 0
    """Version of the commands that it understands; 0: older than all that follow the state."""
    since: float = 0.0
    """Seconds since 1970."""


def read_server(path: Path) -> ServerRecord | None:
    """Read server.json; None if there is no readable one."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content = json.loads(path.read_text("utf-8"))
        values = {key: content[key] for key in ("host", "port", "protocol", "since") if key in content}
        return ServerRecord(int(content["pid"]), str(content.get("born") or content["created"]), **values)
    return None


@dataclass(frozen=True)
class SlotReport:
    """The server's report on one slot of the state: ready, or failed with an error."""

    state: Literal["ready", "failed"]
    error: str
    of: tuple[Any, ...]
    """The deployment that this is about; empty where an older nbops wrote it."""


@dataclass(frozen=True)
class FollowReport:
    """What a running server wrote to serving.json: which generation of the state it serves."""

    pid: int
    generation: int
    slots: Mapping[str, SlotReport] = field(default_factory=dict)


def read_report(path: Path) -> FollowReport | None:
    """Read serving.json; None if there is no readable one."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text("utf-8"))
        json_shape.expect_keys(content, {"pid": int, "generation": int, "slots": dict})
        slots = {}
        for name, slot in content["slots"].items():
            json_shape.expect_keys(slot, {"state": str, "error": str, "of": list}, f"slots.{name}.")
            slots[name] = SlotReport(slot["state"], slot["error"], tuple(slot["of"]))
        return FollowReport(content["pid"], content["generation"], slots)
    return None


def write_draft(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> Path:
    """Write JSON to a draft file beside `path`, which can replace `path` atomically; return the draft's path.

    A `durable` draft is on disk when this returns, so that even after a power cut the file at `path` is complete.
    """
    text = json.dumps(content, indent=2, default=str)
    return atomic_private_files.write_draft(path, text, durable=durable, draft=path.with_name(f".{path.name}.next"))
