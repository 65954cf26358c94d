"""Keeps what cells put out within bounds, while it arrives: nbclient's client, with limits of its own."""

from __future__ import annotations

from typing import Any

from nbclient import NotebookClient

from notebooks_lib.running.outputs import Output
from notebooks_lib.running.streams import BoundedText

CHARACTERS_LIMIT = 5_000_000
"""Of one output that is no image; a page of ten megabytes opens in no browser."""
OUTPUTS_LIMIT = 1000
"""Outputs kept of one cell; a loop that displays without end would fill the notebook."""


class BoundedClient(NotebookClient):  # type: ignore[misc]  # nbclient's traits are untyped
    """Runs cells as nbclient does; a notebook stays one that can be opened, whatever its cells print."""

    def __init__(self, notebook: Any, kept: Output, **options: Any) -> None:
        super().__init__(notebook, **options)
        self._kept = kept
        self._streams: dict[int, tuple[Any, BoundedText]] = {}  # keeps the output, so that its id stays its own

    def forget_streams(self) -> None:
        """A new cell begins."""
        self._streams.clear()

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Keep what a cell puts out: a stream is bounded as its messages arrive, not on save (docs/design trap 18)."""
        self._kept.save_sometimes(self.nb)
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if msg["msg_type"] == "stream" and not hooked and not self.clear_before_next_output:
            grown = self._grow_stream(outs, msg["content"]["name"], msg["content"]["text"])
            if grown is not None:
                return grown
        full = len(outs) >= OUTPUTS_LIMIT and not self.clear_before_next_output
        if full and msg["msg_type"] != "error" and not hooked:
            return self._too_many(outs)
        out = super().output(outs, msg, display_id, cell_index)
        if out is not None:
            bound(out)
        if out is not None and out.output_type == "stream":
            bounded = BoundedText()
            bounded.feed(out["text"])
            out["text"] = str(bounded)
            self._streams[id(out)] = (out, bounded)
        return out

    def _grow_stream(self, outs: list[Any], name: str, text: str) -> Any:
        """Append to the stream of that name if nothing but streams has come since; that stream, or None."""
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
            from nbformat.v4 import new_output

            outs.append(
                new_output("stream", name="stderr", text=f"… [only the first {OUTPUTS_LIMIT} outputs are kept]\n")
            )


def bound(output: Any) -> None:
    """Cut what one output holds: texts under a MIME type, the words and the traceback of an error."""
    for kind, text in (output.get("data") or {}).items():
        if isinstance(text, str) and len(text) > CHARACTERS_LIMIT and not kind.startswith("image/"):
            output["data"][kind] = f"… [{len(text):,} characters of {kind} left out]"
    if output.output_type == "error":
        output["evalue"] = cut(output["evalue"])
        output["traceback"] = [cut(line) for line in output["traceback"]]


def cut(text: str, room: int = 20_000) -> str:
    """The beginning of a text that is too long, with a note."""
    return text if len(text) <= room else f"{text[:room]}… [{len(text) - room:,} characters left out]"
