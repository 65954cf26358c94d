"""A server process for a profile: the endpoint's own application with one model, on loopback. It limits nothing.

`python -m notebooks_lib.serving.profile.profiled_server_main STARTER`, driven by `profile_child_processes.py`
in lines of JSON:

    reads   a ProfiledServerConfig                  once the limits are in force
    writes  {"port", "example", "seconds"} or {"error"}
    reads   the end of its input, and ends
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from notebooks_lib import parent_process
from notebooks_lib.serving import uvicorn_setup
from notebooks_lib.serving.server_config import ServerOptions


@dataclass(frozen=True)
class ProfiledServerConfig:
    """The model that a profiled server serves, and the number of cores that it is to see."""

    model: Path
    cores: int
    """How many cores the process is to find."""
    options: ServerOptions

    def to_json(self) -> str:
        """Return the configuration as one line; `from_json` reads it."""
        return json.dumps({"model": str(self.model), "cores": self.cores, "options": asdict(self.options)})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a configuration from the line that `to_json` returned."""
        content = json.loads(line)
        return cls(Path(content["model"]), content["cores"], ServerOptions.from_json(content["options"]))


def main() -> None:
    """Run the profiled server process: read its configuration, and serve until standard input closes."""
    parent_process.exit_with_parent(int(sys.argv[1]))
    line = sys.stdin.readline()
    if not line:
        return
    config = ProfiledServerConfig.from_json(line)
    out = os.dup(1)
    os.dup2(2, 1)  # what a model prints goes to the log
    parent_process.exit_when_stdin_closes()
    # What a machine of this size would say; the standard library does not look at the affinity.
    os.cpu_count = lambda: config.cores
    began = time.perf_counter()
    try:
        app, example = _load(config)
        listener = uvicorn_setup.listening_socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        report: dict[str, Any] = {"port": listener.getsockname()[1], "example": example}
        report["seconds"] = time.perf_counter() - began
    except Exception as error:  # noqa: BLE001 - a model may run any code; the error is reported with its traceback
        import traceback

        traceback.print_exc()
        os.write(out, json.dumps({"error": str(error) or type(error).__name__}).encode() + b"\n")
        os._exit(1)
    os.write(out, json.dumps(report).encode() + b"\n")
    os.close(out)
    _serve(app, listener)


def _load(config: ProfiledServerConfig) -> tuple[Any, Any]:
    """Make the application as serving/server.py does, but collect no requests and write no access log."""
    from notebooks_lib.serving import model_loading
    from notebooks_lib.serving.app import App
    from notebooks_lib.serving.slots import Slot, Slots

    model_loading.prepare_process()
    loaded = model_loading.load_model(config.model, complete=True)  # as an endpoint is some seconds after its start
    slots = Slots(
        {"profile": Slot(loaded, {"model": config.model.name, "version": "profile"}, "profile")}, {"profile": 100}
    )
    access = uvicorn_setup.access_log(config.options, Path(os.devnull))
    return App("profile", slots, limits=uvicorn_setup.request_limits(config.options), access=access), loaded.example


def _serve(app: Any, listener: socket.socket) -> None:
    """Serve as the endpoint's server does (serving/server.py)."""
    import uvicorn

    config = uvicorn_setup.uvicorn_config(app)
    server = uvicorn.Server(config)
    uvicorn_setup.run_in_loop(server, server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
