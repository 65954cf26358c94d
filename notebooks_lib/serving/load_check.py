"""Load a model in a child process first: there a hang or a crash harms nothing.

`python -m notebooks_lib.serving.load_check FOLDER STARTER_PID` prints one line of JSON,
`{"example", "grown"}` (memory, in bytes) or `{"error"}`.
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
from notebooks_lib.serving.model_loading import load_model, prepare_process

_SHOWN_LOG = 8


def check_load(model: Path, log: Path, timeout: float, environment: dict[str, str]) -> dict[str, Any]:
    """Load `model` in a child process and let it predict its example; return that `example` and the memory `grown`.

    The memory is in bytes. Raises EndpointError when the model does not load, does not predict, crashes, takes longer
    than `timeout` seconds, or needs more memory than the machine has left.
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
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise EndpointError(
            f"the model is not loaded after {timeout:g} s; raise endpoint.start_timeout if it needs longer"
        ) from None
    finally:
        _kill(process)
    try:
        answer = dict(json.loads(output.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        raise EndpointError(
            f"the model {_exit_text(process.returncode)} while it was loaded{_log_tail(log, began)}"
        ) from None
    if "error" in answer:
        raise EndpointError(f"{answer['error']}{_log_tail(log, began)}")
    _check_memory(int(answer["grown"]))
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and whatever the model started."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _check_memory(grown: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if grown > free:
        raise EndpointError(
            f"the model needs {grown / 1e6:.0f} MB of memory and {free / 1e6:.0f} MB are free: loading it beside the "
            "others would endanger them; free memory or delete a slot first"
        )


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"ended the process with code {code}"
    with suppress(ValueError):
        return f"crashed with {signal.Signals(-code).name}"
    return f"crashed with signal {-code}"


def _log_tail(log: Path, began: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(began)
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    shown = "".join(f"\n  | {line}" for line in lines[-_SHOWN_LOG:])
    return f"; the log {log} ends:{shown}" if shown else ""


def main() -> None:
    """Run the child process of `check_load`: load the model in a folder, and print its example or an error as JSON.

    The arguments are the folder and the pid of the process that waits for the answer. The line is `{"example": …,
    "grown": bytes of memory}` or `{"error": …}`.
    """
    from notebooks_lib import parent_process

    parent_process.exit_with_parent(
        int(sys.argv[2])
    )  # a model that hangs must not outlive a deployment that was killed
    out = os.dup(1)
    os.dup2(2, 1)  # what a model prints goes to the log
    import psutil

    try:
        prepare_process()
        before = psutil.Process().memory_info().rss
        model = load_model(Path(sys.argv[1]))
        report: dict[str, Any] = {"example": model.example, "grown": psutil.Process().memory_info().rss - before}
    except BaseException as error:  # noqa: BLE001 - a model may run any code; the error is reported with its traceback
        import traceback

        traceback.print_exc()
        report = {"error": str(error) or type(error).__name__}
    os.write(out, json.dumps(report).encode() + b"\n")
    os.close(out)
    os._exit(0)  # whatever threads the model has left


if __name__ == "__main__":
    main()
