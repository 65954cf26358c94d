"""Plays the front end of `ipywidgets.Output` and `interact`: a widget that listens takes what a cell puts out.

nbclient's own sends the widget's whole state to the kernel with every output, from beside the loop that waits for the
cell's answer; now and then that loop then never wakes. A kernel reads its messages between cells, so there it is sent.
"""

from __future__ import annotations

from typing import Any

from nbclient.jsonutil import json_clean


class OutputModel:
    """One `ipywidgets.Output`; `client` runs the cells and keeps outputs within bounds."""

    def __init__(self, comm_id: str, state: dict[str, Any], kernel_client: Any, client: Any) -> None:
        self._comm_id = comm_id
        self._client = client
        self._outputs: list[Any] = list(state.get("outputs") or [])
        self._listens_to = ""
        self._clear_next = False
        self._parent: dict[str, Any] = {}

    def handle_msg(self, msg: dict[str, Any]) -> None:
        """The kernel has changed the widget: it begins or stops to listen, or outputs were put into it."""
        state = msg["content"]["data"].get("state", {})
        if "outputs" in state:
            self._outputs = list(state["outputs"] or [])
        if "msg_id" not in state:
            return
        hooks = self._client.output_hook_stack
        if self in hooks[self._listens_to]:
            hooks[self._listens_to].remove(self)
        self._listens_to = state["msg_id"] or ""
        if self._listens_to:
            hooks[self._listens_to].append(self)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> None:
        """Take one output in the cell's place."""
        if self._clear_next:
            self._outputs.clear()
        self._clear_next = False
        later, self._client.clear_before_next_output = self._client.clear_before_next_output, False
        self._client.keep(self._outputs, msg, None, cell_index)
        self._client.clear_before_next_output = later
        self._changed(msg)

    def clear_output(self, outs: list[Any], msg: dict[str, Any], cell_index: int) -> None:
        """Forget what was taken: now, or when the next output comes."""
        self._clear_next = bool(msg["content"].get("wait"))
        if not self._clear_next:
            self._outputs.clear()
            self._changed(msg)

    def _changed(self, msg: dict[str, Any]) -> None:
        self._parent = msg["parent_header"]
        self._client.widget_state[self._comm_id]["outputs"] = self._outputs
        self._client.changed_widgets[self._comm_id] = self

    def sync(self) -> None:
        """Tell the kernel what the widget holds now."""
        data = {"method": "update", "state": {"outputs": self._outputs}, "buffer_paths": []}
        content = json_clean({"data": data, "comm_id": self._comm_id})
        client = self._client.kc
        client.shell_channel.send(client.session.msg("comm_msg", content=content, parent=self._parent))
