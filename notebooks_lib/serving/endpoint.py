"""Local endpoints: deploy, start, stop, status, invoke, logs. The folder under .nbops/endpoints is the truth.

Every change of an endpoint is made under its lock, in an order that leaves the old or the new state whenever it is
cut short. The server process speaks for itself; this module never loads a model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from notebooks_lib.errors import EndpointError, UnknownNameError, UsageError
from notebooks_lib.serving import champion, client, process, state
from notebooks_lib.serving.client import Address
from notebooks_lib.serving.launching import PROBE_TIMEOUT, launch, listens_at
from notebooks_lib.serving.process import Server
from notebooks_lib.serving.state import SLOT, Folder, State
from notebooks_lib.settings import Settings


@dataclass(frozen=True)
class Status:
    """What is known of an endpoint. The key is not part of it."""

    name: str
    state: Literal["running", "stopped", "broken"]
    """broken: meant to run, but it does not; `last_error` says why."""
    address: str
    port: int
    pid: int | None
    version: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What came with the deployment: model, run_id, dataset, reason."""
    curl: str = ""
    """A request that works as it stands; empty for a model without example."""
    since: str = ""
    """When this version was deployed."""
    memory_mb: float | None = None
    last_error: str = ""
    changed: bool = True
    """False when there was nothing to do."""

    def as_json(self) -> dict[str, Any]:
        """The object that `nbops endpoint status --json` prints."""
        return asdict(self)


def deploy(settings: Settings, name: str, model_dir: Path, *, version: str, detail: Mapping[str, Any]) -> Status:
    """Serve the model in `model_dir` at endpoint `name`, in place of what it served; port and key stay.

    The new model is loaded and answers its example before the old server is stopped. Raises EndpointError with the
    reason when it cannot be served; the old version serves then as before.
    """
    folder = Folder(settings, name)
    if not (model_dir / "MLmodel").is_file():
        raise UsageError(f"{model_dir}: holds no MLmodel file; expected the folder of an MLflow model")
    with folder.locked():
        return _deploy(settings, folder, model_dir, version, detail)


def start(settings: Settings, name: str) -> Status:
    """Serve again what `name` served last, on the same port with the same key; the champion of model `name` at first.

    Does nothing when it runs. Raises UnknownNameError when there is neither an endpoint nor a champion of that name.
    """
    folder = Folder(settings, name)
    found = None if folder.exists() else champion.find(settings, name)
    with folder.locked():
        current = folder.read()
        if current is None and found is not None:
            with tempfile.TemporaryDirectory() as scratch:
                model_dir = found.fetch(Path(scratch))
                return _deploy(settings, folder, model_dir, found.version, found.detail)
        current = _state(folder)
        if _status(folder, current).state == "running":
            if current["wanted"] != "running":
                folder.write({**current, "wanted": "running"})
            return _status(folder, {**current, "wanted": "running"}, changed=False)
        server = process.running(folder)
        if server is not None:  # it is there but does not answer
            process.stop(server)
        try:
            launch(settings, folder, {**current, "wanted": "running", "last_error": None}, replaces=None)
        except EndpointError as error:
            _noted(folder, current, error)
            raise
        return _now(folder)


def stop(settings: Settings, name: str) -> Status:
    """End the server process; model, port and key are kept for `start`."""
    folder = _existing(settings, name)
    with folder.locked():
        current = _state(folder)
        server = process.running(folder)
        was_running = server is not None or current["wanted"] == "running"
        try:
            folder.write({**current, "wanted": "stopped", "last_error": None})
        finally:  # also when the disk is full
            if server is not None:
                process.stop(server)
        folder.server.unlink(missing_ok=True)
        return _status(folder, _state(folder), changed=was_running)


def status(settings: Settings, name: str) -> Status:
    """How an endpoint is. Never starts anything and never waits for a lock; a damaged state is a status too."""
    folder = _existing(settings, name)
    try:
        current = folder.read()
    except EndpointError as error:
        return Status(name, "broken", "", 0, None, "", last_error=str(error))
    if current is None:
        raise UnknownNameError("endpoint", name, state.known(settings))
    return _status(folder, current)


def listed(settings: Settings) -> list[Status]:
    """The status of every endpoint that was ever deployed in this project."""
    return [status(settings, name) for name in state.known(settings)]


def invoke(settings: Settings, name: str, payload: object) -> Any:
    """What endpoint `name` answers to `payload`, a request in one of MLflow's formats or Azure's.

    Raises InputError when the endpoint refuses it, EndpointError when it is not running or its model fails.
    """
    found = status(settings, name)
    if found.state != "running":
        reason = f" ({found.last_error})" if found.last_error else ""
        raise EndpointError(f"endpoint {name!r} is {found.state}{reason}; start it with: nbops endpoint start {name}")
    folder = Folder(settings, name)
    address = listens_at(_state(folder))
    return client.invoke(address, payload, key="" if address.loopback else folder.secret())


def example(settings: Settings, name: str) -> dict[str, Any]:
    """A request that the endpoint's model answers. Raises EndpointError when the model was logged without one."""
    folder = _existing(settings, name)
    found = _state(folder)["slots"][SLOT].get("example")
    if not found:
        raise EndpointError(f"endpoint {name!r}: its model was logged without an example; send your own with --data")
    return dict(found)


def logs(settings: Settings, name: str, lines: int = 50) -> list[str]:
    """The last lines that the server processes of an endpoint wrote."""
    return _existing(settings, name).lines(lines)


def _deploy(settings: Settings, folder: Folder, model_dir: Path, version: str, detail: Mapping[str, Any]) -> Status:
    try:
        old = folder.read()
    except EndpointError:
        old = None  # damaged: a deployment is how one gets out of that
    copy = folder.keep_model(model_dir, version)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    slot = {"version": version, "model": copy.name, "detail": dict(detail), "since": since}
    new: State = {
        "name": folder.name,
        "wanted": "running",
        "host": settings.endpoint.host,
        "port": old["port"] if old else 0,
        "slots": {SLOT: slot},
        "traffic": {SLOT: 100},
        "last_error": None,
    }
    server = process.running(folder)
    try:
        launch(settings, folder, new, replaces=server)
    except EndpointError as error:
        if old is None:
            raise
        _restore(settings, folder, old, server, error)
        _noted(folder, old, error)
        serves = f"\nVersion {old['slots'][SLOT]['version']} serves as before." if server is not None else ""
        raise EndpointError(f"{error}{serves}") from error
    keep = {copy.name} | ({old["slots"][SLOT]["model"]} if old else set())
    folder.prune(keep)
    return _now(folder)


def _restore(settings: Settings, folder: Folder, old: State, served: Server | None, error: EndpointError) -> None:
    """Go back to `old` after `error`. Most failures come before the old server was touched."""
    now = process.running(folder)
    if now is not None and served is not None and now.process == served.process:
        return
    if now is not None:
        process.stop(now)
    try:
        if folder.read() != old:
            folder.write(old)
        if served is not None:
            launch(settings, folder, old, replaces=None)
    except EndpointError as second:
        raise EndpointError(f"{error}\nWhat it served before cannot be brought back either: {second}") from error


def _noted(folder: Folder, current: State, error: EndpointError) -> None:
    """Leave the error for `status`; that it cannot be written must not hide it."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(EndpointError):
        folder.write({**current, "last_error": f"{when}: {str(error).splitlines()[0]}"})


def _status(folder: Folder, current: State, *, changed: bool = True) -> Status:
    server = process.running(folder)
    address = listens_at(current)
    slot = current["slots"][SLOT]
    fault = str(current.get("last_error") or "")
    how: Literal["running", "stopped", "broken"]
    if server is not None:
        said = _health(address)
        how, fault = ("broken", said) if said else ("running", fault)
    elif current["wanted"] == "running":
        gone = "its server process is gone: it was killed, or the machine was started anew"
        how, fault = "broken", fault or gone
    else:
        how = "stopped"
    given = slot.get("example")
    return Status(
        name=folder.name,
        state=how,
        address=address.url,
        port=address.port,
        pid=server.process.pid if server else None,
        version=str(slot["version"]),
        detail=dict(slot["detail"]),
        curl=client.curl(address, given, example_file=folder.example, key_file=folder.key) if given else "",
        since=str(slot["since"]),
        memory_mb=server.memory_mb if server else None,
        last_error=fault,
        changed=changed,
    )


def _health(address: Address) -> str:
    """Empty when the endpoint is healthy, else what is wrong."""
    try:
        code, _ = client.ask(address, "GET", "/health", timeout=PROBE_TIMEOUT)
    except (OSError, EndpointError) as error:
        return f"its server process runs, but {address.url}/health does not answer: {error}"
    return "" if code == 200 else f"{address.url}/health answers {code}"


def _now(folder: Folder) -> Status:
    return _status(folder, _state(folder))


def _state(folder: Folder) -> State:
    current = folder.read()
    if current is None:
        raise EndpointError(f"{folder.path}: the endpoint was removed meanwhile")
    return current


def _existing(settings: Settings, name: str) -> Folder:
    folder = Folder(settings, name)
    if not folder.exists():
        raise UnknownNameError("endpoint", name, state.known(settings))
    return folder
