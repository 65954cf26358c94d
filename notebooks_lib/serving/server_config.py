"""The configuration of a server process, one line of JSON: what it serves, where, and with which options.

`ServerConfig.to_json` is its only writer and `from_json` its only reader; both are of the same version of nbops.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from notebooks_lib.serving.endpoint_state import EndpointState

if TYPE_CHECKING:
    from notebooks_lib.settings.sections import EndpointOptions


@dataclass(frozen=True)
class ServerOptions:
    """The [endpoint] settings that a server process needs, in a class that does not import pydantic, which is slow."""

    hosts: tuple[str, ...]
    body_limit: int
    concurrency: int
    read_timeout: float
    timeout: float
    access_log: bool
    collect: tuple[str, ...]
    collect_share: float
    collect_rotate: float

    @classmethod
    def from_settings(cls, settings: EndpointOptions) -> Self:
        """Copy the fields of this class from the [endpoint] settings."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read the options from JSON content that was written with `asdict`."""
        return cls(**{**content, "hosts": tuple(content["hosts"]), "collect": tuple(content["collect"])})


@dataclass(frozen=True)
class ServerConfig:
    """The configuration with which the server process of one endpoint is started."""

    state: EndpointState
    must: frozenset[str]
    """Slots without which it does not start."""
    endpoint: str
    host: str
    port: int
    """0: a free one."""
    protocol: int
    key: str | None
    """What requests must carry; None on loopback."""
    collected: Path
    """The folder of the collected requests of all endpoints."""
    options: ServerOptions

    def to_json(self) -> str:
        """Return the configuration as one line of JSON."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        state, options = self.state.as_json(), asdict(self.options)
        parts = {"state": state, "must": sorted(self.must), "collected": str(self.collected), "options": options}
        return json.dumps({**plain, **parts})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a configuration from the line that `to_json` returned."""
        content = json.loads(line)
        state, options = EndpointState.from_json(content["state"]), ServerOptions.from_json(content["options"])
        parts = {"state": state, "must": frozenset(content["must"]), "options": options}
        return cls(**{**content, **parts, "collected": Path(content["collected"])})
