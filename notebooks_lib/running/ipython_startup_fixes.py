"""What an IPython kernel runs before the first cell: the text of this file is sent there, and none of its names stays.

It must run on any Python that has a kernel, and imports no module of this project.
"""

from __future__ import annotations

from typing import Any


def lose_nothing(shell: Any) -> None:
    """Make the kernel wait when its output is read too slowly. By default ZeroMQ drops messages."""
    import zmq

    thread = shell.kernel.iopub_thread
    thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))  # only that thread may touch its socket


def exit_at_once(shell: Any) -> None:
    """Make `exit` and `quit` end the notebook, as `sys.exit` does. By default the kernel runs the next cells."""

    class Exit(type(shell.exiter)):  # type: ignore[misc]  # IPython calls it when its name stands alone in a line
        def __call__(self, code: object = None, keep_kernel: object = None) -> None:
            raise SystemExit(code)

    shell.exiter = Exit(shell)
    for name in ("exit", "quit"):
        shell.user_ns[name] = shell.user_ns_hidden[name] = shell.exiter


def prepare(shell: Any) -> None:
    """Prepare the kernel with all steps of this file. A step that the kernel does not support is skipped."""
    for step in (lose_nothing, exit_at_once):
        try:
            step(shell)
        except Exception:  # noqa: BLE001, S110  # another version of IPython: its notebooks run without this step
            pass


if __name__ == "nbops_startup_code":
    prepare(get_ipython())  # type: ignore[name-defined]  # noqa: F821  # a builtin in IPython
