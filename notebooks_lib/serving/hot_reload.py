"""Keep a running server in line with the endpoint's state file, and report its progress in serving.json.

A command that changes an endpoint replaces state.json and waits until serving.json names the new generation. Nothing is
sent to the server, so nothing can be lost: when the command dies in between, the change is made all the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import endpoint_state, local_endpoint_folder, model_loading
from notebooks_lib.serving.endpoint_state import Deployment, EndpointState, FollowReport, SlotReport, SlotState
from notebooks_lib.serving.slots import Slot, Slots

LOOK_EVERY = 0.05
"""Seconds between two looks at the state file."""
SETTLED = 1.0
"""Seconds after its start in which a server imports nothing more: its starter checks it, first requests arrive."""

log = logging.getLogger("nbops.endpoint")

T = TypeVar("T")


class HotReloader:
    """Follows the state file of an endpoint: loads the models that it names, then puts them in service."""

    def __init__(self, folder: Path, slots: Slots) -> None:
        self._folder = folder
        self._state = folder / local_endpoint_folder.STATE
        self._slots = slots
        self._held: dict[str, tuple[Deployment, Slot]] = {}
        self._failed: dict[str, tuple[Deployment, str]] = {}

    def load_first(self, state: EndpointState, must: set[str]) -> None:
        """Load all slots of the state before the server begins to serve.

        A slot in `must` that cannot be loaded raises its error; any other is marked as failed.
        """
        for name, entry in state.slots.items():
            try:
                self._keep(name, entry, self._load(entry))
            except Exception as error:
                if name in must:
                    raise
                self._mark_failed(name, entry, error)
        self._serve(state)

    def example(self) -> dict[str, dict[str, Any] | None]:
        """Return, for each loaded slot, the example of its model."""
        return {name: slot.model.example for name, (_, slot) in self._held.items()}

    async def follow(self) -> None:
        """Follow the state file until cancelled.

        A newer state does not wait for an older one that is still being loaded.
        """
        followed, applying = None, None
        asyncio.get_running_loop().call_later(SETTLED, lambda: _in_thread(self._complete))
        while True:
            now = _identity(self._state)
            if now is not None and now != followed:
                followed = now
                if applying is not None:
                    applying.cancel()
                applying = asyncio.create_task(self._apply())
            await asyncio.sleep(LOOK_EVERY)

    def _complete(self) -> None:
        """Import what the start left out to be quick."""
        for name, (_, slot) in list(self._held.items()):
            try:
                slot.model.complete()
            except Exception:
                log.exception("slot %s: what is not plain numbers cannot be answered", name)

    async def _apply(self) -> None:
        try:
            state = endpoint_state.read_state(self._state)
        except Exception:
            log.exception("the state cannot be read; what served before goes on serving")
            return
        for name, entry in state.slots.items():
            if self._holds(name, entry) or (name in self._failed and self._failed[name][0] == entry.deployment):
                continue
            try:
                model = await _in_thread(partial(self._load, entry, complete=True))
            except Exception as error:  # noqa: BLE001 - a model may raise anything; the other slots go on
                self._mark_failed(name, entry, error)
            else:
                self._keep(name, entry, model)
                log.info("slot %s: version %s is loaded", name, entry.version)
        self._serve(state)
        self._write_report(state)

    def _load(self, entry: SlotState, *, complete: bool = False) -> ServedModel:
        """Load the model of a slot after checking its digest, because loading a model runs code."""
        models = self._folder / "models"
        local_endpoint_folder.check_model(models, entry)
        return model_loading.load_model(models / entry.model, complete=complete)

    def _holds(self, name: str, entry: SlotState) -> bool:
        held = self._held.get(name)
        return held is not None and held[0] == entry.deployment

    def _keep(self, name: str, entry: SlotState, model: ServedModel) -> None:
        self._held[name] = entry.deployment, Slot(model, {**version_info(entry), "slot": name}, name)
        self._failed.pop(name, None)

    def _mark_failed(self, name: str, entry: SlotState, error: Exception) -> None:
        log.error("slot %s: version %s cannot be loaded", name, entry.version, exc_info=error)
        self._failed[name] = entry.deployment, str(error) or type(error).__name__

    def _serve(self, state: EndpointState) -> None:
        for name in [name for name in self._held if name not in state.slots]:
            del self._held[name]
        # A model that could not be loaded does not drive out what its slot held before.
        ready = {name: slot for name, (_, slot) in self._held.items()}
        self._slots.replace(ready, state.traffic, state.mirror)

    def _write_report(self, state: EndpointState) -> None:
        slots = {}
        for name, entry in state.slots.items():
            ready = self._holds(name, entry)
            error = "" if ready else self._failed[name][1] if name in self._failed else ""
            slots[name] = SlotReport("ready" if ready else "failed", error, entry.deployment)
        report = FollowReport(os.getpid(), state.generation, slots)
        with suppress(OSError):  # a full disk: the command that waits reports that the server does not follow
            path = self._folder / local_endpoint_folder.SERVING
            endpoint_state.write_draft(path, asdict(report), durable=False).replace(path)


def version_info(entry: SlotState) -> dict[str, Any]:
    """Return the answer of `/version` for a slot of the state."""
    detail = entry.detail
    return {
        "model": detail.model or None,
        "version": entry.version,
        "run_id": detail.run_id or None,
        "dataset": detail.dataset or None,
        "since": entry.since,
        "detail": {name: text for name, text in (("reason", detail.reason), ("files", detail.files)) if text},
    }


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run `work` in a thread that does not delay the server's end: a model may hang while it is loaded."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return  # a newer state has come meanwhile
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # what `work` returned

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - SystemExit too: it must not look like an answer
            error = raised if isinstance(raised, Exception) else RuntimeError(f"{type(raised).__name__}: {raised}")
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return future
