"""The kernel provisioner for Jupyter: fork a kernel from a template, or start an ordinary one where that fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase, LocalProvisioner

if TYPE_CHECKING:
    from notebooks_lib.kernels.preferences import Preferences
    from notebooks_lib.kernels.template_client import KernelRequest

T = TypeVar("T")

KNOWN = {"env", "cwd", "stdin", "stdout", "stderr", "independent"}
"""Arguments of a kernel's start that a fork can follow; with any other, an ordinary kernel is started."""

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02
"""Seconds between two checks while waiting."""

_warned = False


class WarmProvisioner(LocalProvisioner):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """A LocalProvisioner that forks the kernel from a template; clients only notice the shorter start."""

    warm = False
    """True if the kernel was forked; False before it has started."""

    _obstacle: Exception | None = None
    """Why there was no template before the launch."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Wait for the template, starting it if necessary, then prepare the launch as for any kernel.

        Preparing writes the connection file, which tells clients that the kernel starts within a moment.
        """
        self._obstacle = None
        with contextlib.suppress(Exception):  # the same calls follow below, and report what is wrong
            prepared = await KernelProvisionerBase.pre_launch(self, **kwargs)
            prepared.pop("transport_encryption", None)
            extra_arguments = prepared.pop("extra_arguments", [])
            manager = self.parent
            cmd = manager.format_kernel_cmd(extra_arguments) if manager else self.kernel_spec.argv + extra_arguments
            await self._wait_for_template(cmd, prepared)
        prepared = await super().pre_launch(**kwargs)
        return dict(prepared)

    async def _wait_for_template(self, cmd: list[str], kwargs: dict[str, Any]) -> None:
        from notebooks_lib.kernels import template_client

        arguments = self._scrub_kwargs(kwargs)
        project = _preferences(arguments)
        if project is None:
            return
        try:
            request = _request(cmd, arguments)
            if not template_client.is_ready(request, project):
                await _in_thread(lambda: template_client.wait_for_template(request, project))
        except Exception as error:  # noqa: BLE001  # launch_kernel reports it
            self._obstacle = error

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; where that is not possible, start an ordinary one and warn once with the reason."""
        self.warm = False
        arguments = self._scrub_kwargs(kwargs)
        project = _preferences(arguments)
        if project is None:
            return await super().launch_kernel(cmd, **kwargs)
        obstacle, self._obstacle = self._obstacle, None
        try:
            if obstacle is not None:
                raise obstacle
            from notebooks_lib.kernels import template_client  # not everywhere: it needs Unix

            request = _request(cmd, arguments)
            self.process = await _in_thread(lambda: template_client.fork_kernel(request, project))
        except Exception as error:  # noqa: BLE001  # whatever it is, an ordinary kernel does the same work
            _warn(f"{type(error).__name__}: {error}" if type(error).__name__ != "Unavailable" else str(error))
            return await super().launch_kernel(cmd, **kwargs)
        self.warm = True
        self.pid = self.pgid = self.process.pid
        self.cwd = request.folder
        return self.connection_info

    async def wait(self) -> int | None:
        """Wait for the end of the process; LocalProvisioner itself only polls, ten times a second."""
        process: Any = self.process
        if not self.warm or process is None:
            code: int | None = await super().wait()
            return code
        pause = FIRST_PAUSE
        while process.poll() is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        code = process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        self.process = None  # type: ignore[assignment]  # as LocalProvisioner does
        return code

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Return LocalProvisioner's information, with a flag that tells if the kernel was forked."""
        return {**await super().get_provisioner_info(), "warm": self.warm}


def _preferences(arguments: dict[str, Any]) -> Preferences | None:
    """Return the project's preferences; None if it turns warm kernels off or its folder cannot be entered."""
    from notebooks_lib.kernels import preferences

    folder = _folder(arguments)
    project = preferences.read_preferences(folder, arguments.get("env") or os.environ)
    return project if project.enabled and Path(folder).is_dir() and os.access(folder, os.X_OK) else None


def _request(cmd: list[str], arguments: dict[str, Any]) -> KernelRequest:
    """Return the request for a kernel. Raises template_manager.Unavailable for arguments that a fork cannot follow."""
    from notebooks_lib.kernels import template_client, template_manager

    unknown = arguments.keys() - KNOWN
    if unknown:
        raise template_manager.Unavailable(f"a forked kernel cannot be started with {', '.join(sorted(unknown))}")
    environment = dict(arguments.get("env") or os.environ)
    independent = bool(arguments.get("independent"))
    if not independent:
        environment["JPY_PARENT_PID"] = str(os.getpid())
    return template_client.KernelRequest(
        command=cmd,
        environment=environment,
        folder=_folder(arguments),
        independent=independent,
        **{name: arguments.get(name) for name in ("stdin", "stdout", "stderr")},
    )


def _folder(arguments: dict[str, Any]) -> str:
    return str(Path(arguments.get("cwd") or ".").absolute())


async def _in_thread(fork: Callable[[], T]) -> T:
    """Fork, or wait for a template, in a thread, so that coroutines go on and an interrupt ends the wait at once.

    The thread belongs to this call, and its result is polled: in a process that was forked itself, the loop's executor
    has no threads, and a wake-up through the loop's pipe could reach another process.
    """
    done: list[T | BaseException] = []
    lock, given_up = threading.Lock(), False

    def work() -> None:
        result: T | BaseException
        try:
            result = fork()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            result = error
        with lock:
            if given_up:
                _end(result)
            done.append(result)

    threading.Thread(target=work, name="nbops-fork", daemon=True).start()
    pause = FIRST_PAUSE
    try:
        while not done:
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_PAUSE)
    except BaseException:
        with lock:
            given_up = True
            for result in done:
                _end(result)
        raise
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def _end(result: object) -> None:
    """End a kernel whose caller has gone: it must not live on unseen. Other results need nothing."""
    from notebooks_lib.kernels.forked_process import ForkedProcess

    if isinstance(result, ForkedProcess):
        result.kill()
        result.wait()


def _warn(reason: str) -> None:
    """Log why kernels are ordinary ones; a warning once a process, because the reason hardly ever changes."""
    global _warned
    logging.getLogger(__name__).log(
        logging.DEBUG if _warned else logging.WARNING, "an ordinary kernel instead of a warm one: %s", reason
    )
    _warned = True
