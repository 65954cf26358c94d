"""A subclass of nbclient's client that cuts the outputs of cells while they arrive.

The first and last part of a stream are kept, and the last state of a progress bar.
"""

from __future__ import annotations

import re
from typing import Any

from nbclient import NotebookClient
from nbformat.v4 import new_output, output_from_msg

from notebooks_lib.running.executed_notebook_writer import ExecutedNotebook
from notebooks_lib.running.output_widget import OutputWidget

HEAD = 40_000
TAIL = 40_000
"""Characters kept of the beginning and of the end of each stream of a cell."""

_BACKSPACE = re.compile("[^\n\b]\b")


class BoundedText:
    """Text that grows by pieces and holds at most HEAD + TAIL characters and one line.

    A carriage return restarts the line, as on a terminal, so only the last state of a progress bar stays.
    """

    def __init__(self) -> None:
        self._head = ""
        self._tail = ""
        self._line = ""
        self._dropped = 0

    def feed(self, piece: str) -> None:
        """Add a piece of text from the kernel."""
        *lines, self._line = (self._line + piece).split("\n")
        if lines:
            self._keep("\n".join(_as_shown(line.rstrip("\r")) for line in lines) + "\n")
        self._line = _as_shown(self._line)
        if len(self._line) > HEAD:  # else a line without end would grow without limit
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


def _as_shown(line: str) -> str:
    """Return the line as a terminal shows it: text before a carriage return is overwritten."""
    body = line.rstrip("\r")  # at the end they erase nothing until more text follows
    ending = "\r" if body != line else ""
    body = body[body.rfind("\r") + 1 :]
    while "\b" in body:
        shorter = _BACKSPACE.sub("", body)
        if shorter == body:
            break
        body = shorter
    return body + ending


CHARACTERS_LIMIT = 5_000_000
"""Of one output that is not an image; browsers do not open a page of ten megabytes."""
OUTPUTS_LIMIT = 1000
"""Outputs kept of one cell; an endless loop that displays would fill the notebook."""


class BoundedClient(NotebookClient):  # type: ignore[misc]  # nbclient's traits are untyped
    """Runs cells as nbclient does, but limits the size of outputs, so that the notebook can always be opened."""

    def __init__(self, notebook: Any, executed: ExecutedNotebook, **options: Any) -> None:
        super().__init__(notebook, **options)
        self._kept = executed
        self.clear_before_next_output: bool = False
        self._streams: dict[int, tuple[Any, BoundedText]] = {}  # holds the output, so that its id stays unique
        self.changed_widgets: dict[str, OutputWidget] = {}
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": OutputWidget}}

    def cell_begins(self) -> None:
        """Close the previous cell's streams, and send the kernel the state of its output widgets."""
        self._streams.clear()
        for widget in self.changed_widgets.values():
            widget.sync()
        self.changed_widgets.clear()

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Pass an output to the widget that captures outputs now, if any, else add it to the cell."""
        self._kept.save_sometimes(self.nb)
        hooks = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if hooks:
            return hooks[-1].output(outs, msg, display_id, cell_index)
        return self.keep(outs, msg, display_id, cell_index)

    def keep(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Add an output to the list `outs`.

        Streams are limited as messages arrive, not on save (docs/design trap 18).
        """
        if self.clear_before_next_output:
            self.clear_before_next_output = False
            outs.clear()
            self.clear_display_id_mapping(cell_index)
        stream = msg["msg_type"] == "stream"
        if stream and (grown := self._grow_stream(outs, msg["content"]["name"], msg["content"]["text"])) is not None:
            return grown
        if len(outs) >= OUTPUTS_LIMIT and msg["msg_type"] != "error":
            return self._too_many(outs)
        try:
            out = output_from_msg(msg)
        except ValueError:
            self.log.error("no output: a message of type %s", msg["msg_type"])
            return None
        cut_output(out)
        if stream:
            bounded = BoundedText()
            bounded.feed(out["text"])
            out["text"] = str(bounded)
            self._streams[id(out)] = (out, bounded)
        if display_id:
            self._display_id_map.setdefault(display_id, {}).setdefault(cell_index, []).append(len(outs))
        outs.append(out)
        return out

    def _grow_stream(self, outs: list[Any], name: str, text: str) -> Any:
        """Append to the stream of that name if only streams have come since. Return that stream, or None."""
        for out in reversed(outs):
            if out.output_type != "stream":
                return None
            if out.name == name and id(out) in self._streams:
                bounded = self._streams[id(out)][1]
                bounded.feed(text)
                out["text"] = str(bounded)
                return out
        return None

    def _too_many(self, outs: list[Any]) -> None:
        if len(outs) == OUTPUTS_LIMIT:
            outs.append(
                new_output("stream", name="stderr", text=f"… [only the first {OUTPUTS_LIMIT} outputs are kept]\n")
            )


def cut_output(output: Any) -> None:
    """Shorten the texts of one output: data of each MIME type, and an error's message and traceback."""
    for kind, text in (output.get("data") or {}).items():
        if isinstance(text, str) and len(text) > CHARACTERS_LIMIT and not kind.startswith("image/"):
            output["data"][kind] = f"… [{len(text):,} characters of {kind} left out]"
    if output.output_type == "error":
        output["evalue"] = cut_text(output["evalue"])
        output["traceback"] = [cut_text(line) for line in output["traceback"]]


def cut_text(text: str, room: int = 20_000) -> str:
    """Return the text, or its first `room` characters with a note when it is longer."""
    return text if len(text) <= room else f"{text[:room]}… [{len(text) - room:,} characters left out]"
