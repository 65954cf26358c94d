"""Collect the outputs of cells that an `ipywidgets.Output` or `interact` takes.

nbclient's own widget sends its whole state to the kernel with every output, beside the loop that waits for the cell's
reply, and now and then that loop never wakes. Kernels read such messages only between cells, so the state is sent then.
"""

from __future__ import annotations

from typing import Any

from nbclient.jsonutil import json_clean


class OutputWidget:
    """An `ipywidgets.Output`, which captures outputs in place of a cell. `client` runs the cells and limits outputs."""

    def __init__(self, comm_id: str, state: dict[str, Any], kernel_client: Any, client: Any) -> None:
        self._comm_id = comm_id
        self._client = client
        self._outputs: list[Any] = list(state.get("outputs") or [])
        self._captured_request = ""
        self._clear_next = False
        self._parent: dict[str, Any] = {}

    def handle_msg(self, msg: dict[str, Any]) -> None:
        """Handle a message from the kernel: the widget starts or stops capturing, or its outputs were set."""
        state = msg["content"]["data"].get("state", {})
        if "outputs" in state:
            self._outputs = list(state["outputs"] or [])
        if "msg_id" not in state:
            return
        hooks = self._client.output_hook_stack
        if self in hooks[self._captured_request]:
            hooks[self._captured_request].remove(self)
        self._captured_request = state["msg_id"] or ""
        if self._captured_request:
            hooks[self._captured_request].append(self)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> None:
        """Store an output in the widget, in place of the cell."""
        if self._clear_next:
            self._outputs.clear()
        self._clear_next = False
        cell_clears, self._client.clear_before_next_output = self._client.clear_before_next_output, False
        self._client.keep(self._outputs, msg, None, cell_index)
        self._client.clear_before_next_output = cell_clears
        self._changed(msg)

    def clear_output(self, outs: list[Any], msg: dict[str, Any], cell_index: int) -> None:
        """Clear the widget's outputs, now or when the next one arrives."""
        self._clear_next = bool(msg["content"].get("wait"))
        if not self._clear_next:
            self._outputs.clear()
            self._changed(msg)

    def _changed(self, msg: dict[str, Any]) -> None:
        self._parent = msg["parent_header"]
        self._client.widget_state[self._comm_id]["outputs"] = self._outputs
        self._client.changed_widgets[self._comm_id] = self

    def sync(self) -> None:
        """Send the widget's outputs to the kernel."""
        data = {"method": "update", "state": {"outputs": self._outputs}, "buffer_paths": []}
        content = json_clean({"data": data, "comm_id": self._comm_id})
        client = self._client.kc
        client.shell_channel.send(client.session.msg("comm_msg", content=content, parent=self._parent))
