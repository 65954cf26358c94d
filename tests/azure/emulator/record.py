"""Every request that the emulator saw, as JSON Lines in a file that tests read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

REFUSED_HOST = 403
"""The proxy's status for a host that is not Azure's."""
NO_ANSWER = 0
"""The status of a request whose connection was cut."""


@dataclass(frozen=True)
class Seen:
    """One request; the proxy's refusal of a host is a CONNECT without a path."""

    method: str
    host: str
    path: str
    query: str
    status: int


class Record:
    """The file. A request stands in it before its answer is sent."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()

    def add(self, seen: Seen) -> None:
        """Append one request."""
        with self.file.open("a") as stream:
            stream.write(json.dumps(asdict(seen)) + "\n")

    def since(self, position: int = 0) -> list[Seen]:
        """Return the requests after a position that `position` told."""
        with self.file.open() as stream:
            stream.seek(position)
            return [Seen(**json.loads(line)) for line in stream]

    def position(self) -> int:
        """Return where the next request will stand."""
        return self.file.stat().st_size
