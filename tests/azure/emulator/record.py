"""Every request that the emulator saw, as JSON Lines in a file that tests read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REFUSED_HOST = 403
"""The proxy's status for a host that is not Azure's."""
NO_ANSWER = 0
"""The status of a request whose connection was cut."""
SPLIT = "emulator.split"
"""Where `Seen.split` is found in the scope of a request."""


@dataclass(frozen=True)
class Seen:
    """One request; the proxy's refusal of a host is a CONNECT without a path."""

    method: str
    host: str
    path: str
    query: str
    status: int
    split: dict[str, dict[str, Any]] | None = None
    """Of a change of an endpoint: "traffic" and "mirror" by slot, and the "slots" that it has then, with their states."""


class Record:
    """The file. A request stands in it before its answer is sent."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()

    def add(self, seen: Seen) -> None:
        """Append one request."""
        with self.file.open("a") as stream:
            known = {name: value for name, value in asdict(seen).items() if value is not None}
            stream.write(json.dumps(known) + "\n")

    def since(self, position: int = 0) -> list[Seen]:
        """Return the requests after a position that `position` told; one that is being written comes the next time."""
        with self.file.open() as stream:
            stream.seek(position)
            return [Seen(**json.loads(line)) for line in stream if line.endswith("\n")]

    def position(self) -> int:
        """Return where the next request will stand."""
        return self.file.stat().st_size
