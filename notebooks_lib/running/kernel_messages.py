"""The messages of a kernel: each output reaches the cell that caused it, and a loss is reported.

nbclient drops messages that do not belong to the running cell, and ends a cell whose last message is late.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import zmq
from nbclient.exceptions import CellExecutionComplete, CellExecutionError
from nbformat.v4 import new_output

from notebooks_lib.running import ipython_startup_fixes
from notebooks_lib.running.output_limits import BoundedClient

LOOK_AGAIN = 1.0
"""Seconds after which a channel is read again, in case the loop was not woken for a message."""
SILENCE = 4.0
"""Seconds without a message, after the reply to a cell, until the kernel is asked for one."""
YIELD_EVERY = 50
"""Messages after which other tasks run, so that time limits hold while a cell prints without end."""
PATIENCE = 60.0
"""Seconds without a message, after the kernel was asked for one, until messages count as lost."""
LOST = "OutputLost"
ALLOWED = "raises-exception"
"""Jupyter's tag of a cell that may raise."""


class MessageClient(BoundedClient):
    """nbclient's client, which handles channels in another way: a cell ends when its last message has arrived."""

    def __init__(
        self, notebook: Any, executed: Any, *, look_again: float = LOOK_AGAIN, silence: float = SILENCE, **options: Any
    ) -> None:
        super().__init__(notebook, executed, **options)
        self._look_again = look_again
        self._silence = silence
        self._requests: dict[str, int] = {}  # id of a request -> index of its cell
        self._clears_next: dict[int, bool] = {}
        self._arrived = 0.0
        self._asked = ""
        self._answered = False

    @staticmethod
    def without_limit(client: Any) -> None:
        """Remove a client's limit on queued messages, at which messages are lost.

        Call this before its channels are opened.
        """
        client.context.setsockopt(zmq.RCVHWM, 0)

    def prepare_kernel(self, info: dict[str, Any]) -> None:
        """Send an IPython kernel the code of `ipython_startup_fixes.py`, which it runs before the first cell."""
        if info["content"].get("implementation") == "ipython":
            text = Path(ipython_startup_fixes.__file__).read_text("utf-8")
            code = f"exec(compile({text!r}, 'nbops', 'exec'), {{'__name__': 'nbops_startup_code'}})"
            self.kc.execute(code, silent=True, store_history=False, stop_on_error=False)

    async def drain(self, seconds: float = 1.0) -> None:
        """Deliver late messages to their cells: output of threads and tasks, and of a kernel that died.

        It takes at most `seconds`.
        """
        until = time.monotonic() + seconds
        while self.kc is not None and time.monotonic() < until:
            msg = receive(self.kc.iopub_channel)
            if msg is None:
                return
            self._deliver(msg)

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        self._requests[parent_msg_id] = cell_index
        count = 0
        while True:
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            msg = receive(self.kc.iopub_channel)
            if msg is None:
                await self.kc.iopub_channel.socket.poll(self._look_again * 1000)
            elif self._deliver(msg) == parent_msg_id:
                return

    def _deliver(self, msg: dict[str, Any]) -> str | None:
        """Deliver a message to its cell. Return the id of the request that it completes, if it does."""
        self._arrived = time.monotonic()
        parent = msg["parent_header"].get("msg_id")
        idle = msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle"
        if parent == self._asked and idle:
            self._answered = True
        index = self._requests.get(parent)
        if index is None:
            return None
        running_clears = self.clear_before_next_output
        self.clear_before_next_output = self._clears_next.get(index, False)
        try:
            self.process_message(msg, self.nb.cells[index], index)
        except CellExecutionComplete:
            return str(parent)
        finally:
            self._clears_next[index] = self.clear_before_next_output
            self.clear_before_next_output = running_clears
        return None

    async def _async_poll_for_reply(
        self, msg_id: str, cell: Any, timeout: int | None, outputs: asyncio.Future[Any], alive: asyncio.Future[Any]
    ) -> Any:
        reply = None
        while reply is None:
            msg = receive(self.kc.shell_channel)
            if msg is None:
                await self.kc.shell_channel.socket.poll(self._look_again * 1000)
            elif msg["parent_header"].get("msg_id") == msg_id:
                reply = msg
        await self._last_output(cell, outputs)
        alive.cancel()
        return reply

    async def _last_output(self, cell: Any, outputs: asyncio.Future[Any]) -> None:
        """Wait for a cell's last message; after a silence ask the kernel, whose answer comes after all others."""
        self._asked, self._answered, asked_at = "", False, 0.0
        self._arrived = time.monotonic()
        while not (await asyncio.wait({outputs}, timeout=self._look_again))[0]:
            silent = time.monotonic() - self._arrived
            if self._answered or (self._asked and min(silent, time.monotonic() - asked_at) > PATIENCE):
                outputs.cancel()
                message = "the kernel sent more than arrived: outputs of this cell are missing"
                cell.outputs.append(new_output("stream", name="stderr", text=f"… [{message}]\n"))
                raise CellExecutionError("", LOST, message)
            if not self._asked and silent > self._silence:
                self._asked, asked_at = self.kc.kernel_info(), time.monotonic()
        await outputs

    async def _check_raise_for_error(self, cell: Any, cell_index: int, exec_reply: Any) -> None:
        await super()._check_raise_for_error(cell, cell_index, exec_reply)
        for payload in (exec_reply or {}).get("content", {}).get("payload") or ():
            if payload.get("source") == "ask_exit":  # quit() in a kernel where it does not raise
                raise CellExecutionError("", "SystemExit", "")
        if ALLOWED not in cell.metadata.get("tags", []):
            # %run and %%capture show the error of their code but report success; papermill fails there as well.
            for output in cell.outputs:
                if output.output_type == "error":
                    raise CellExecutionError("", output.ename, output.evalue)


def receive(channel: Any) -> dict[str, Any] | None:
    """Return the next message that has arrived on a channel; None if there is none.

    It avoids asyncio, which is slow for many messages.
    """
    try:
        frames = zmq.Socket.shadow(channel.socket.underlying).recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
    message: dict[str, Any] = channel.session.deserialize(channel.session.feed_identities(frames)[1])
    return message
