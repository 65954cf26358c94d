"""Looks at everything that a run needs, and says what to do about each fault. It repairs one thing: runs left open."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.settings import Settings

LEAST_DISK_GB = 1.0
KERNEL_TIMEOUT = 60


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    ok: bool
    detail: str
    advice: str = ""
    """What to do, when it is not well."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at Python, packages, disk, kernel, tracking store and runs left open, one after the other."""
    checks: tuple[Callable[[Settings], Finding], ...] = (_python, _packages, _disk, _kernel, _store, _left_open)
    for check in checks:
        try:
            yield check(settings)
        except errors.NbopsError as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), False, "fails", str(error))


def _python(settings: Settings) -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", sys.version_info >= (3, 11), f"{version} at {sys.prefix}", "use Python 3.11 or newer")


def _packages(settings: Settings) -> Finding:
    """The packages that this project pins, against those installed."""
    wanted = _pins(settings)
    wrong = []
    for name, version in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "nothing"
        if found != version:
            wrong.append(f"{name} {found} instead of {version}")
    return Finding("packages", not wrong, "; ".join(wrong) or f"{len(wanted)} pins hold", "make setup")


def _pins(settings: Settings) -> dict[str, str]:
    try:
        project = tomllib.loads((settings.root / "pyproject.toml").read_text())
        pins = project["project"]["dependencies"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):  # a stranger's project: what nbops itself needs
        pins = [line.split(";")[0] for line in importlib.metadata.requires("nbops") or () if "extra ==" not in line]
    found = (re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*==\s*([^\s;]+)\s*", pin) for pin in pins)
    return {match[1]: match[2] for match in found if match}


def _disk(settings: Settings) -> Finding:
    folder = settings.layout.state if settings.layout.state.is_dir() else settings.root
    free = shutil.disk_usage(folder).free / 2**30
    return Finding(
        "disk", free >= LEAST_DISK_GB, f"{free:.1f} GB free under {folder}", "make room: runs keep their artifacts here"
    )


def _kernel(settings: Settings) -> Finding:
    """Start the kernel that notebooks name and ask it something, as a run would."""
    from notebooks_lib.running.kernel import Kernel

    async def ask() -> str:
        kernel = Kernel("python3", {}, settings.root)
        try:
            kernel.guard()
            await kernel.manager.start_kernel(**kernel.start_arguments())
            kernel.started()
            client = kernel.manager.client()
            client.start_channels()
            try:
                await client.wait_for_ready(timeout=KERNEL_TIMEOUT)
                info = await client.kernel_info(reply=True, timeout=KERNEL_TIMEOUT)
            finally:
                client.stop_channels()
            return f"{info['content']['implementation']} {info['content']['implementation_version']} answers"
        finally:
            kernel.close()

    try:
        return Finding("kernel", True, asyncio.run(ask()))
    except Exception as error:  # noqa: BLE001  # whatever a broken kernel raises is what is to be told
        return Finding("kernel", False, f"python3: {error}", f"{sys.executable} -m ipykernel install --sys-prefix")


def _store(settings: Settings) -> Finding:
    from notebooks_lib.tracking import query, store

    connected = store.connect(settings)
    try:
        count = len(query.experiments(connected))
    except Exception as error:  # noqa: BLE001  # a server, a database or a network: told as it is
        return Finding(
            "tracking",
            False,
            f"{connected.uri} does not answer: {error}",
            "check [tracking] uri in production/settings.toml, the network and your sign-in",
        )
    models = "with" if connected.has_logged_models else "without"
    return Finding("tracking", True, f"{connected.uri}: {count} experiments, {models} MLflow 3's logged models")


def _left_open(settings: Settings) -> Finding:
    from notebooks_lib.tracking import orphans, store

    closed = orphans.close_left_behind(store.connect(settings))
    detail = f"closed as KILLED, their owners are gone: {', '.join(closed)}" if closed else "none"
    return Finding("runs left open", True, detail)


def in_force(settings: Settings) -> dict[str, str]:
    """Every setting as section.key -> value, and where the project lies."""
    flat = {"root": str(settings.root), "settings file": _or_none(settings.layout.settings_file)}
    for section, values in settings.model_dump(exclude={"root"}).items():
        flat |= {f"{section}.{key}": str(value) for key, value in values.items()}
    return flat


def _or_none(file: Path) -> str:
    return str(file) if file.is_file() else f"none ({file} would be read)"
