"""Loads a model in a process of its own, so that one that hangs or crashes takes nothing with it. It serves nothing.

`python -m notebooks_lib.serving.load_check FOLDER STARTER` prints one line of JSON,
`{"example", "grown"}` or `{"error"}`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError

_SHOWN_LOG = 8


def load(model: Path, log: Path, timeout: float, environment: dict[str, str]) -> dict[str, Any]:
    """What loading `model` and asking it its example came to: its `example`, and by how many bytes memory grew.

    Raises EndpointError when it does not load, does not answer, crashes, takes longer than `timeout` seconds, or needs
    more memory than the machine has left.
    """
    began = log.stat().st_size if log.exists() else 0
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "notebooks_lib.serving.load_check", str(model), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=model.parent,
            env=environment,
            start_new_session=os.name == "posix",
        )
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise EndpointError(
            f"the model is not loaded after {timeout:g} s; raise endpoint.start_timeout if it needs longer"
        ) from None
    finally:
        _end(process)
    try:
        answer = dict(json.loads(said.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        raise EndpointError(f"the model {_died(process.returncode)} while it was loaded{_tail(log, began)}") from None
    if "error" in answer:
        raise EndpointError(f"{answer['error']}{_tail(log, began)}")
    _check_room(int(answer["grown"]))
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process, and what the model may have started."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _check_room(grown: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if grown > free:
        raise EndpointError(
            f"the model needs {grown / 1e6:.0f} MB of memory and {free / 1e6:.0f} MB are free: loading it beside the "
            "others would endanger them; free memory or delete a slot first"
        )


def _died(code: int) -> str:
    if code >= 0:
        return f"ended the process with code {code}"
    with suppress(ValueError):
        return f"crashed with {signal.Signals(-code).name}"
    return f"crashed with signal {-code}"


def _tail(log: Path, began: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(began)
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    shown = "".join(f"\n  | {line}" for line in lines[-_SHOWN_LOG:])
    return f"; the log {log} ends:{shown}" if shown else ""


def main() -> None:
    """Run as a process of its own; see the module."""
    from notebooks_lib.serving import loading, starter

    starter.bind(int(sys.argv[2]))  # a model that hangs must not outlive a deployment that was killed
    out = os.dup(1)
    os.dup2(2, 1)  # what a model prints goes to the log
    import psutil

    try:
        loading.prepare()
        before = psutil.Process().memory_info().rss
        model = loading.load(Path(sys.argv[1]))
        told: dict[str, Any] = {"example": model.example, "grown": psutil.Process().memory_info().rss - before}
    except BaseException as error:  # noqa: BLE001 - a model is anybody's code; it is told, and with its traceback
        import traceback

        traceback.print_exc()
        told = {"error": str(error) or type(error).__name__}
    os.write(out, json.dumps(told).encode() + b"\n")
    os.close(out)
    os._exit(0)  # whatever threads the model has left


if __name__ == "__main__":
    main()
