"""An endpoint without a process: models are loaded and asked in the process of the tests.

It keeps what `Endpoint` promises, as tests/serving/test_endpoint.py says, so that tests of releases need no server.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from notebooks_lib.errors import EndpointError, InputError, ModelError, PredictionError, UnknownNameError, UsageError
from notebooks_lib.models import model_files
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import model_loading
from notebooks_lib.serving.endpoint import (
    SLOTS,
    DeploymentDetail,
    Endpoint,
    EndpointAnswer,
    EndpointSession,
    EndpointStatus,
    ServedVersion,
    SlotStatus,
    check_name,
    check_shares,
    require_slot,
)
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.serving.inference import predict
from notebooks_lib.serving.prediction_diff import SAME, compare_answers
from notebooks_lib.serving.request_counts import RequestCounts
from notebooks_lib.serving.slots import Slot, Slots
from notebooks_lib.serving.targets import TARGETS, EndpointTarget
from notebooks_lib.settings import Settings


@dataclass(frozen=True)
class HeldVersion:
    """What a slot holds."""

    version: str
    detail: DeploymentDetail
    since: str
    folder: Path
    sha256: str


class InMemoryEndpoint(Endpoint):
    def __init__(self, name: str, folder: Path) -> None:
        self.name = check_name("endpoint", name)
        self.held: dict[str, HeldVersion] | None = None
        """What each slot holds; None when nothing was ever deployed."""
        self.refuse: Callable[[str | None], bool] = lambda slot: False
        """Whether requests to a slot are refused, as by a version that cannot read them."""
        self.confirms = True
        """Whether the next move of traffic is confirmed; a server that ends meanwhile does not."""
        self.can = EndpointCapabilities()
        self._folder = folder
        self._slots = Slots()
        self._traffic: dict[str, int] = {}
        self._mirror: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._running = False
        self._lines: list[str] = []
        self._lock = threading.RLock()

    @property
    def capabilities(self) -> EndpointCapabilities:
        return self.can

    def status(self) -> EndpointStatus:
        slots: dict[str, SlotStatus] = {}
        for name, held in self._known().items():
            error = self._failed.get(name, "")
            state: Literal["ready", "failed", "stopped"] = "failed" if error else "ready"
            state = state if self._running else "stopped"
            traffic, mirror = self._traffic.get(name, 0), self._mirror.get(name, 0)
            slots[name] = SlotStatus(held.version, held.detail, held.since, traffic, mirror, state, error, held.sha256)
        main = self._main()
        serving = slots[main] if main and slots[main].traffic else None
        return EndpointStatus(
            name=self.name,
            state="running" if self._running else "stopped",
            address=f"memory:{self.name}",
            version=serving.version if serving else "",
            detail=serving.detail if serving else DeploymentDetail(),
            since=serving.since if serving else "",
            slots=slots,
        )

    def deploy(self, slot: str, version: ServedVersion, *, traffic: bool = False) -> EndpointStatus:
        check_name("slot", slot)
        scratch = self._folder / f"scratch-{time.monotonic_ns()}"
        scratch.mkdir(parents=True)
        model = version.fetch(scratch)
        if not (model.folder / "MLmodel").is_file():
            raise UsageError(f"{model.folder}: holds no MLmodel file")
        with self._lock:
            if self._traffic.get(slot) and not traffic:
                raise UsageError(f"slot {slot!r} of {self.name!r} has {self._traffic[slot]} % of the traffic")
            copy = self._folder / f"{check_name('version', version.version)}-{time.monotonic_ns()}"
            shutil.copytree(model.folder, copy)
            try:
                digest = model_files.read_model_files(copy).sha256
                if model.sha256 and digest != model.sha256:
                    raise EndpointError(f"the files of version {version.version} are not those that were deployed")
                loaded = _load_model(copy)
            except (ModelError, EndpointError) as error:
                raise EndpointError(
                    f"endpoint {self.name!r} cannot serve version {version.version}: {error}"
                ) from error
            detail = replace(version.detail, files=model.note)
            held = HeldVersion(version.version, detail, f"at {time.monotonic_ns()}", copy, digest)
            self.held = {**(self.held or {}), slot: held}
            self._traffic = {slot: 100} if traffic else self._traffic
            self._mirror = {other: percent for other, percent in self._mirror.items() if other != slot}
            self._lines.append(f"slot {slot}: version {version.version} is loaded")
            if not self._running:
                self._load(must={slot})
            self._failed.pop(slot, None)
            self._serve({**self._slots.ready, slot: Slot(loaded, {}, slot)})
            self._running = True
            return self.status()

    def delete_slot(self, slot: str) -> EndpointStatus:
        with self._lock:
            require_slot(slot, self._known())
            if self._traffic.get(slot):
                raise UsageError(f"slot {slot!r} of {self.name!r} has {self._traffic[slot]} % of the traffic")
            self.held = {name: held for name, held in self._known().items() if name != slot}
            self._mirror.pop(slot, None)
            self._serve({name: ready for name, ready in self._slots.ready.items() if name != slot})
            self._running = self._running and bool(self.held)
            return self.status()

    def set_traffic(self, shares: Mapping[str, int], *, mirror: Mapping[str, int] | None = None) -> EndpointStatus:
        with self._lock:
            check_shares(self.name, self._known(), self._traffic, shares=shares, mirror=mirror)
            self._check_loaded({**shares, **(mirror or {})})
            self._traffic = {slot: percent for slot, percent in shares.items() if percent}
            mirrored = self._mirror if mirror is None else mirror
            self._mirror = {s: percent for s, percent in mirrored.items() if percent and s not in self._traffic}
            self._serve(self._slots.ready)
            if not self.confirms:
                self.confirms = True
                raise EndpointError(f"endpoint {self.name!r}: its server process ended meanwhile")
            return self.status()

    def set_mirror(self, shares: Mapping[str, int]) -> EndpointStatus:
        with self._lock:
            check_shares(self.name, self._known(), self._traffic, mirror=shares)
            self._check_loaded(shares)
            self._mirror = {slot: percent for slot, percent in shares.items() if percent}
            self._serve(self._slots.ready)
            return self.status()

    def start(self, first: ServedVersion | None = None) -> EndpointStatus:
        with self._lock:
            if not self.held and first is not None:
                return self.deploy(SLOTS[0], first, traffic=True)
            if not self.held:
                raise EndpointError(f"endpoint {self.name!r} has no slot left to serve")
            changed = not self._running
            if changed:
                self._load(must=set(self._traffic))
                self._running = True
            return replace(self.status(), changed=changed)

    def stop(self) -> EndpointStatus:
        with self._lock:
            self._known()
            changed, self._running = self._running, False
            return replace(self.status(), changed=changed)

    def idle_slot(self) -> str:
        for slot in SLOTS:
            if not self._traffic.get(slot):
                return slot
        raise EndpointError(f"endpoint {self.name!r}: both slots have traffic")

    def is_intact(self, slot: str) -> bool:
        require_slot(slot, self._known())
        held = self._known()[slot]
        return model_files.read_model_files(held.folder).sha256 == held.sha256

    def example(self, *, slot: str | None = None) -> dict[str, Any]:
        chosen = slot if slot is not None else self._main()
        require_slot(chosen, self._known())
        example = self._slots.ready[chosen].model.example
        if not example:
            raise EndpointError(f"endpoint {self.name!r}: its model was logged without an example")
        return dict(example)

    def invoke(self, payload: object, *, slot: str | None = None, probe: bool = False) -> Any:
        session = self.session(probe=probe)
        if slot is not None:
            require_slot(slot, self._known())
        return session.ask(payload, slot=slot).result()

    def session(self, *, probe: bool = True) -> EndpointSession:
        self._known()
        if not self._running:
            raise EndpointError(f"endpoint {self.name!r} is stopped; start it with: nbops endpoint start {self.name}")
        return MemorySession(self, probe)

    def counts(self, since: Mapping[str, RequestCounts] | None = None) -> dict[str, RequestCounts]:
        self.session()
        with self._lock:
            counts = {name: slot.tally.counts() for name, slot in self._slots.ready.items()}
        return {slot: now - (since or {}).get(slot, RequestCounts()) for slot, now in counts.items()}

    def logs(self, lines: int = 50, *, slot: str | None = None) -> list[str]:
        self._known()
        return self._lines[-lines:]

    def answer(self, payload: object, slot: str | None, *, probe: bool) -> EndpointAnswer:
        """Answer one request as the server of a local endpoint does."""
        try:
            body = json.dumps(payload).encode()
        except (TypeError, ValueError) as error:
            raise InputError(f"the request cannot be written as JSON: {error}") from error
        with self._lock:
            if not self._running:
                raise EndpointError(f"memory:{self.name} does not answer")
            chosen = self._slots.choose() if slot is None else self._slots.ready.get(slot)
            if chosen is None:
                code, message = (503, "no slot has traffic") if slot is None else (404, f"no slot {slot!r}")
                return EndpointAnswer(code, {"message": message}, f"memory:{self.name}")
            began = time.perf_counter()
            code, content = self._predict(chosen, body)
            chosen.tally.answered(code, time.perf_counter() - began, probe=probe)
            copied = self._slots.copies_to(chosen) if slot is None and code == 200 else None
            if copied is not None:
                self._mirrored(copied, body, content["predictions"], probe=probe)
        return EndpointAnswer(code, content, f"memory:{self.name}")

    def _predict(self, slot: Slot, body: bytes) -> tuple[int, Any]:
        try:
            if self.refuse(slot.name):
                raise InputError("a test refuses it")
            return 200, json.loads(predict(slot.model, "application/json", body))
        except InputError as error:
            return 400, {"message": str(error)}
        except PredictionError as error:
            return 500, {"message": str(error)}

    def _mirrored(self, slot: Slot, body: bytes, known: Any, *, probe: bool) -> None:
        code, content = self._predict(slot, body)
        slot.tally.mirrored += 1
        slot.tally.probes += probe
        if code != 200:
            slot.tally.mirror_failed += 1
            return
        found = compare_answers(known, content["predictions"])
        slot.tally.rows_compared += found.rows
        slot.tally.rows_different += found.different
        slot.tally.rows_misshapen += found.misshapen
        if found.largest > SAME:
            slot.tally.differed(found.largest)

    def _check_loaded(self, shares: Mapping[str, int]) -> None:
        broken = [slot for slot, percent in shares.items() if percent and slot in self._failed and self._running]
        if broken:
            raise EndpointError(f"slot {broken[0]!r} could not be loaded ({self._failed[broken[0]]})")

    def _load(self, must: set[str]) -> None:
        """Load what the slots hold anew, as a server that starts does; the slots in `must` may not fail."""
        ready, self._failed = {}, {}
        for name, held in self._known().items():
            try:
                if model_files.read_model_files(held.folder).sha256 != held.sha256:
                    raise EndpointError(f"the files of version {held.version} are not those that were deployed")
                ready[name] = Slot(_load_model(held.folder), {}, name)
            except (ModelError, EndpointError) as error:
                if name in must:
                    raise EndpointError(f"{self.name!r} cannot serve version {held.version}: {error}") from error
                self._failed[name] = str(error)
        self._serve(ready)

    def _serve(self, ready: Mapping[str, Slot]) -> None:
        self._slots.replace(ready, self._traffic, self._mirror)

    def _main(self) -> str:
        return min(self._known(), key=lambda name: -self._traffic.get(name, 0), default="")

    def _known(self) -> dict[str, HeldVersion]:
        if self.held is None:
            raise UnknownNameError("endpoint", self.name, ())
        return self.held


@dataclass(frozen=True)
class MemorySession(EndpointSession):
    endpoint: InMemoryEndpoint
    probe: bool

    def ask(self, payload: object, *, slot: str | None = None) -> EndpointAnswer:
        return self.endpoint.answer(payload, slot, probe=self.probe)


def _load_model(folder: Path) -> ServedModel:
    """Load a model as the process of a server does: no other model's code is there, and none is written beside it."""
    for name, module in list(sys.modules.items()):
        if "/code/" in (getattr(module, "__file__", None) or ""):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if Path(path).name != "code"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "dont_write_bytecode", True)
        return model_loading.load_model(folder)


@contextmanager
def in_memory(folder: Path) -> Iterator[dict[tuple[Path, str], InMemoryEndpoint]]:
    """In the block the endpoints of all projects are in memory: releases and commands cannot tell."""
    endpoints: dict[tuple[Path, str], InMemoryEndpoint] = {}

    def opened(settings: Settings, name: str, stage: str) -> InMemoryEndpoint:
        key = settings.root, name
        return endpoints.setdefault(key, InMemoryEndpoint(name, folder / name))

    def names(settings: Settings) -> list[str]:
        return [name for (root, name), each in endpoints.items() if root == settings.root and each.held is not None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "local", EndpointTarget(opened, names))
        yield endpoints
