"""Keeps what a cell prints within bounds: first and last part, progress bars as their last state. Pure text."""

from __future__ import annotations

import re

HEAD = 40_000
TAIL = 40_000
"""Characters kept of the beginning and of the end of one stream of one cell."""

_BACKSPACE = re.compile("[^\n\b]\b")


class BoundedText:
    """Text that grows by pieces and never holds more than HEAD + TAIL characters and one line.

    A carriage return starts the line again, as on a terminal; so a progress bar leaves its last state only.
    """

    def __init__(self) -> None:
        self._head = ""
        self._tail = ""
        self._line = ""
        self._dropped = 0

    def feed(self, piece: str) -> None:
        """Add a piece, as it came from the kernel."""
        *lines, self._line = (self._line + piece).split("\n")
        if lines:
            self._keep("\n".join(_settled(line.rstrip("\r")) for line in lines) + "\n")
        self._line = _settled(self._line)
        if len(self._line) > HEAD:  # a line without end would otherwise grow for ever
            self._keep(self._line)
            self._line = ""

    def _keep(self, text: str) -> None:
        room = HEAD - len(self._head)
        self._head += text[:room] if room > 0 else ""
        tail = self._tail + (text[room:] if room > 0 else text)
        self._dropped += max(0, len(tail) - TAIL)
        self._tail = tail[-TAIL:]

    def __str__(self) -> str:
        middle = f"\n… [{self._dropped:,} characters left out] …\n" if self._dropped else ""
        return f"{self._head}{middle}{self._tail}{self._line}"


def _settled(line: str) -> str:
    """The line as a terminal would show it: what stands before a carriage return is overwritten."""
    body = line.rstrip("\r")  # a run of them at the end erases nothing until something follows
    ending = "\r" if body != line else ""
    body = body[body.rfind("\r") + 1 :]
    while "\b" in body:
        shorter = _BACKSPACE.sub("", body)
        if shorter == body:
            break
        body = shorter
    return body + ending
