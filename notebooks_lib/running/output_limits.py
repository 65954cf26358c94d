"""Keeps what cells put out within bounds, while it arrives: nbclient's client, with limits of its own."""

from __future__ import annotations

from typing import Any

from nbclient import NotebookClient
from nbformat.v4 import new_output, output_from_msg

from notebooks_lib.running.output_widgets import OutputModel
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
        self.clear_before_next_output: bool = False
        self._streams: dict[int, tuple[Any, BoundedText]] = {}  # keeps the output, so that its id stays its own
        self.changed_widgets: dict[str, OutputModel] = {}
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": OutputModel}}

    def cell_begins(self) -> None:
        """Nothing that a cell before put out grows any more; its widgets' state goes to the kernel before the cell."""
        self._streams.clear()
        for widget in self.changed_widgets.values():
            widget.sync()
        self.changed_widgets.clear()

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Give an output to the widget that listens, or keep it."""
        self._kept.save_sometimes(self.nb)
        hooks = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if hooks:
            return hooks[-1].output(outs, msg, display_id, cell_index)
        return self.keep(outs, msg, display_id, cell_index)

    def keep(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Add to a list of outputs: a stream is bounded as its messages arrive, not on save (docs/design trap 18)."""
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
        bound(out)
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
