"""The folder of a local endpoint: its lock, its state, its models, its key, its log. It starts and asks nothing.

.nbops/endpoints/NAME/
    state.json         what is meant to be: slots, traffic, mirror, host, port; replaced atomically
    server.json        what the server process says of itself: pid, when it was started, port
    serving.json       how far the running server has followed the state
    models/VERSION/    the model of a slot, complete or not there
    key                0600; wanted from clients when the host is not loopback
    example-SLOT.json  a request that the slot's model answers
    log, log.1         of the server process, bounded
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from notebooks_lib import atomic_private_files, safe_text
from notebooks_lib.errors import EndpointError, ModelError, UsageError
from notebooks_lib.models import model_files, model_folder
from notebooks_lib.serving import endpoint_state
from notebooks_lib.serving.endpoint import check_name
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.settings import Settings

STATE, SERVING = "state.json", "serving.json"
_SHORTEST_KEY = 16
_KEY = re.compile(rf"[\x21-\x7e]{{{_SHORTEST_KEY},512}}")


class EndpointFolder:
    """The folder of one endpoint, with all its files."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = check_name("endpoint", name)
        self.path = settings.layout.endpoints / name
        self.server = self.path / "server.json"
        self.serving = self.path / SERVING
        self.models = self.path / "models"
        self.key = self.path / "key"
        self.log = self.path / "log"
        self._state = self.path / STATE
        self._lock = settings.layout.endpoints / f".{name}.lock"
        self._patience = 2 * settings.endpoint.start_timeout + 30

    def example(self, slot: str) -> Path:
        """Return the path of the file with a request that the slot's model answers."""
        return self.path / f"example-{slot}.json"

    def exists(self) -> bool:
        """Return True if anything was ever deployed to this endpoint."""
        return self._state.exists()

    def read(self) -> EndpointState | None:
        """Return the endpoint's state; None when nothing was deployed.

        Raises EndpointError when its file is damaged.
        """
        try:
            return endpoint_state.read_state(self._state)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise EndpointError(
                f"{self._state}: cannot be read ({_reason(error)}); move {self.path} away and deploy again: "
                f"nbops endpoint start {self.name}"
            ) from error

    def write(self, state: EndpointState) -> None:
        """Replace the endpoint's state.

        Raises EndpointError when it cannot be written; the old state then stays in force.
        """
        with self.staged(state) as commit:
            commit()

    @contextmanager
    def staged(self, state: EndpointState) -> Iterator[Callable[[], None]]:
        """Write the new state beside the old one, and yield a function that puts the new one in force.

        Calling the function needs no disk space. Raises EndpointError when the state cannot be written.
        """
        with _saying(f"endpoint {self.name!r}: its state cannot be written"):
            state = replace(state, generation=self._generation() + 1)
            part = endpoint_state.write_draft(self._state, state.as_json())
        yield lambda: _commit(part, self._state)

    def _generation(self) -> int:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return int(json.loads(self._state.read_text("utf-8")).get("generation", 0))
        return 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock this endpoint within the block.

        Raises EndpointError when another process holds the lock for too long.
        """
        with _saying(f"endpoint {self.name!r}: its folder cannot be made"):
            atomic_private_files.make_folder(self._lock.parent.parent)
            atomic_private_files.make_folder(self._lock.parent)
            atomic_private_files.make_folder(self.path)
            lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=self._patience)
        except Timeout as error:
            raise EndpointError(
                f"endpoint {self.name!r}: another nbops has been starting or stopping it for {self._patience:.0f} s; "
                f"wait for it or end it, then try again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def secret(self) -> str:
        """Return the endpoint's key. The first call makes it, in a file that only its owner can read.

        Raises EndpointError when the file cannot be read or written, or others can read it.
        """
        if self.key.exists():
            return self._read_key()
        with suppress(FileExistsError), _saying(f"endpoint {self.name!r}: its key cannot be written"):
            descriptor, fresh = tempfile.mkstemp(prefix=".key-", dir=self.path)  # 0600 from the first moment
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_urlsafe(32))
                os.link(fresh, self.key)  # refuses to replace a key that may be in use
            finally:
                Path(fresh).unlink()
        return self._read_key()

    def _read_key(self) -> str:
        """Return the key in the file. Raises EndpointError where the file does not protect it."""
        again = f"remove it, and the next start makes another: rm {self.key}"
        try:
            if atomic_private_files.readable_by_others(self.key):
                raise EndpointError(f"{self.key}: other users of this machine may read the key; {again}")
            key = self.key.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise EndpointError(f"{self.key}: the key cannot be read ({error}); {again}") from error
        if not _KEY.fullmatch(key):
            raise EndpointError(
                f"{self.key}: expected a key of {_SHORTEST_KEY} to 512 letters, digits and signs in one line, found "
                f"{len(key)} characters; {again}"
            )
        return key

    def keep_model(self, source: Path, version: str) -> Path:
        """Copy the model folder `source` into the endpoint's folder, completely or not at all; return the copy's path.

        A version deployed again from the same files keeps its copy. From other files it gets another copy beside it,
        because the server may still read the first one. Raises EndpointError when the model cannot be copied, or when
        its files refer to others outside its folder.
        """
        check_name("version", version)
        try:
            model_folder.check_folder(source)
        except ModelError as error:
            raise EndpointError(f"endpoint {self.name!r} cannot serve version {version}: {error}") from error
        target = self.models / version
        number = 1
        while target.exists():
            if _same(source, target):
                return target
            number += 1
            target = self.models / f"{version}~{number}"
        part = self.models / f".{target.name}.{os.getpid()}"
        try:
            with _saying(f"endpoint {self.name!r}: the model cannot be copied from {source}"):
                self.models.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(source, part)
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return target

    def check_model(self, slot: SlotState) -> None:
        """Raise EndpointError when the files of a slot's model are not those that were deployed."""
        check_model(self.models, slot)

    def prune(self, keep: set[str]) -> None:
        """Remove all model folders except those named in `keep`, and what interrupted copies left behind."""
        if self.models.is_dir():
            for folder in self.models.iterdir():
                if folder.name not in keep:
                    shutil.rmtree(folder, ignore_errors=True)

    def lines(self, number: int, start: int = 0) -> list[str]:
        """Return the last `number` lines of the log that were written after byte `start`."""
        text = b""
        for path in (self.log,) if start else (self.log.with_name("log.1"), self.log):
            with suppress(OSError), path.open("rb") as file:
                file.seek(start)
                text += file.read()
        lines = text.decode("utf-8", "replace").split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
        return [safe_text.printable(line.removesuffix("\r")) for line in lines[-number:]] if number > 0 else []

    def log_size(self) -> int:
        """Return the size of the log in bytes, as `start` for a later call of `lines`."""
        try:
            return self.log.stat().st_size
        except OSError:
            return 0


def _reason(error: Exception) -> str:
    """Return the message where it is ours or the system's, else the kind of the error."""
    readable = type(error) is ValueError or isinstance(error, OSError | UsageError)
    return str(error) if readable else type(error).__name__


def check_model(models: Path, slot: SlotState) -> None:
    """Raise EndpointError when the files of a slot's model in `models` are not those that were deployed.

    A model deployed by an older nbops has no digest and is accepted.
    """
    if not slot.sha256:
        return
    folder = models / slot.model
    try:
        digest = model_files.read_model_files(folder).sha256
    except ModelError as error:
        raise EndpointError(
            f"the files of version {slot.version} are gone or damaged ({error}); deploy the version again"
        ) from error
    if digest != slot.sha256:
        raise EndpointError(
            f"the files of version {slot.version} in {folder} are not those that were deployed (digest {digest[:12]}, "
            f"deployed {slot.sha256[:12]}): they were changed; deploy the version again"
        )


def known_endpoints(settings: Settings) -> list[str]:
    """Return the names of all endpoints of this project that were ever deployed on this machine."""
    folder = settings.layout.endpoints
    return sorted(path.parent.name for path in folder.glob(f"*/{STATE}")) if folder.is_dir() else []


def _commit(part: Path, path: Path) -> None:
    with _saying(f"{path} cannot be replaced"):
        part.replace(path)


@contextmanager
def _saying(message: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except (OSError, shutil.Error) as error:
        if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
            reason = error.args[0][0][2]  # of the first file
        else:
            reason = getattr(error, "strerror", None) or str(error)
        raise EndpointError(
            f"{message}: {reason}; nothing was changed, make room or check the folder's rights"
        ) from error


def _same(first: Path, second: Path) -> bool:
    compared = filecmp.dircmp(first, second, ignore=[], hide=[])
    if compared.left_only or compared.right_only or compared.funny_files or compared.common_funny:
        return False
    _, differing, unreadable = filecmp.cmpfiles(first, second, compared.common_files, shallow=False)
    return not differing and not unreadable and all(_same(first / d, second / d) for d in compared.common_dirs)
