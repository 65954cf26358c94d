"""Runs inside every IPython kernel before the first cell: the text of this file is sent there. No name is left behind.

It must run on any Python that has a kernel, and imports nothing of ours.
"""

from __future__ import annotations

from typing import Any


def lose_nothing(shell: Any) -> None:
    """Let the kernel wait when its output is not read as fast as it is written; ZeroMQ drops messages by default."""
    import zmq

    thread = shell.kernel.iopub_thread
    thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))  # only that thread may touch its socket


def exit_at_once(shell: Any) -> None:
    """Let `exit` and `quit` end the notebook there, as `sys.exit` does; a kernel goes on to the next cells."""

    class Exit(type(shell.exiter)):  # type: ignore[misc]  # IPython calls it when its name stands alone in a line
        def __call__(self, code: object = None, keep_kernel: object = None) -> None:
            raise SystemExit(code)

    shell.exiter = Exit(shell)
    for name in ("exit", "quit"):
        shell.user_ns[name] = shell.user_ns_hidden[name] = shell.exiter


def prepare(shell: Any) -> None:
    """All of it; what one kernel does not have does not keep the rest from it."""
    for step in (lose_nothing, exit_at_once):
        try:
            step(shell)
        except Exception:  # noqa: BLE001, S110  # an IPython of another age: its notebooks run as they always did
            pass


if __name__ == "nbops_in_kernel":
    prepare(get_ipython())  # type: ignore[name-defined]  # noqa: F821  # IPython puts it among the builtins
