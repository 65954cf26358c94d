"""Jupyter clients start, cancel and interrupt warm kernels as ordinary ones."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.manager import AsyncKernelManager

from notebooks_lib import kernels
from notebooks_lib.kernels import kernelspec_managers, provisioner, template_manager
from tests.kernels.building import SPECS, Kernel, wait
from tests.kernels.templates import ROOT, all_of, start, status, templates

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


@pytest.mark.proof
def test_a_cancelled_start_leaves_no_kernel(folder: Path) -> None:
    async def give_up() -> None:
        cmd, arguments = await manager.pre_start_kernel(env=env, cwd=str(folder))
        os.kill(template, signal.SIGSTOP)
        try:
            starting = asyncio.create_task(manager.provisioner.launch_kernel(cmd, **arguments))
            await asyncio.sleep(0.5)  # the template has been asked, and does not answer yet
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        finally:
            os.kill(template, signal.SIGCONT)
        await asyncio.to_thread(wait, "the kernel", lambda: status(template).forks > forks, 10)
        await asyncio.to_thread(wait, "the end of the kernel", lambda: all_of(folder) == templates(folder), 10)
        await manager.cleanup_resources()
        manager.context.destroy()

    with start(folder):
        (template,) = templates(folder)
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=kernelspec_managers.WarmSpecs(kernel_dirs=SPECS)
    )
    with Kernel(folder, warm=True, env={"PYTHON_OF_TEST": folder.name}) as kernel:
        env = kernel.env
    forks = status(template).forks
    asyncio.run(give_up())
    assert templates(folder) == [template]


@pytest.mark.proof
def test_the_connection_file_is_written_once_the_template_has_its_libraries(folder: Path) -> None:
    """`jupyter kernel` sets its handlers for signals after the start, which then takes a moment only."""

    async def imports_at_the_file() -> list[str]:
        starting = asyncio.create_task(manager.start_kernel(env=env, cwd=str(folder)))
        while not connection_file.exists():
            await asyncio.sleep(0.002)
        listening = [told for _, told in template_manager.templates() if told.open and told.pid in templates(folder)]
        await starting
        await manager.shutdown_kernel(now=True)
        manager.context.destroy()
        return [str(told.importing) for told in listening]

    connection_file = folder / "kernel.json"
    specs = kernelspec_managers.WarmSpecs(kernel_dirs=SPECS)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, connection_file=str(connection_file))
    env = {**os.environ, "PYTHON_OF_TEST": folder.name, "NBOPS_KERNELS_PRELOAD": "pandas"}
    assert asyncio.run(imports_at_the_file()) == [""]


def test_elsewhere_than_on_linux_kernels_are_ordinary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provisioner, "_warned", False)
    monkeypatch.setattr(sys, "platform", "darwin")
    with caplog.at_level(logging.WARNING), start(folder) as kernel:
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    assert "an ordinary kernel instead of a warm one: not on darwin" in caplog.messages
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(template_manager.Unavailable, match="not on win32"):
        template_manager.runtime_folder()


def test_without_pythons_modules_for_unix_kernels_are_ordinary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provisioner, "_warned", False)
    monkeypatch.delattr(kernels, "template_client")
    monkeypatch.delitem(sys.modules, "notebooks_lib.kernels.template_client")
    monkeypatch.setitem(sys.modules, "resource", None)
    with caplog.at_level(logging.WARNING), start(folder) as kernel:
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    assert "an ordinary kernel instead of a warm one: ModuleNotFoundError" in caplog.text


def test_a_kernel_other_than_ipykernel_is_started_as_it_is(folder: Path) -> None:
    kernels = folder / "kernels"
    wrapper = folder / "wrapper.py"
    wrapper.write_text("from ipykernel.kernelapp import launch_new_instance\nlaunch_new_instance()\n")
    metadata = {"kernel_provisioner": {"provisioner_name": kernelspec_managers.NAME}}
    for name, argv in {
        "python3": [sys.executable, str(wrapper), "-f", "{connection_file}"],
        "ir": ["R", "-e", "IRkernel::main()", "--args", "{connection_file}"],
        "own": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "wrapped": ["env", "WRAPPED=1", sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    }.items():
        (kernels / name).mkdir(parents=True)
        found = {"argv": argv, "display_name": name, "language": "python"}
        found["metadata"] = {
            "own": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            "python3": metadata,
        }.get(name, {})
        (kernels / name / "kernel.json").write_text(json.dumps(found))
    specs = kernelspec_managers.WarmSpecs(kernel_dirs=[str(kernels)], ensure_native_kernel=False)
    for name in ("ir", "wrapped"):
        assert "kernel_provisioner" not in specs.get_kernel_spec(name).metadata
    assert specs.get_kernel_spec("own").metadata["kernel_provisioner"]["provisioner_name"] == "local-provisioner"
    native = kernelspec_managers.WarmSpecs(kernel_dirs=SPECS).get_kernel_spec("python3")
    assert native.metadata["kernel_provisioner"] == {"provisioner_name": kernelspec_managers.NAME}
    with Kernel(folder, warm=True, specs=[str(kernels)]) as kernel:  # it names our provisioner, but starts otherwise
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    with pytest.raises(template_manager.Unavailable, match="cannot be started with preexec_fn"):
        provisioner._request([], {"cwd": str(folder), "preexec_fn": print})


def test_a_missing_folder_is_the_same_error_as_for_a_cold_kernel(folder: Path) -> None:
    (folder / "file").write_text("")
    for place in ("nowhere", "file"):
        told = []
        for warm in (False, True):
            kernel = Kernel(folder / place, warm=warm, env={"PYTHON_OF_TEST": folder.name})
            with pytest.raises(OSError) as caught:
                kernel.manager.start_kernel(env=kernel.env, cwd=str(folder / place))
            told.append(f"{type(caught.value).__name__}: {caught.value}")
            kernel.manager.cleanup_resources()
            kernel._private.cleanup()
        assert told[0] == told[1]


POOL = """
import concurrent.futures, multiprocessing, sys
from pathlib import Path
from tests.kernels.building import Kernel
def one(number):
    with Kernel(Path(sys.argv[1]), warm=True, env={"PYTHON_OF_TEST": Path(sys.argv[1]).name}) as kernel:
        assert kernel.warm
        return kernel.value("6 * 7")
one(0)
with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print(list(pool.map(one, range(2))))
"""


@pytest.mark.proof
def test_kernels_start_in_a_pool_of_forked_processes(folder: Path) -> None:
    """nbclient's own test does that; a fork has none of the threads of the loop's executor."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", POOL, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environ, cwd=ROOT, check=False)
    assert told.stdout == "[42, 42]\n", told.stderr


def test_an_interrupt_ends_the_wait_for_a_template(folder: Path) -> None:
    with start(folder):
        (template,) = templates(folder)
    # A runner in the background of a shell hands on that interrupts are ignored.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from pathlib import Path; from tests.kernels.building import Kernel; k = Kernel(Path(sys.argv[1]), warm=True, env={'PYTHON_OF_TEST': Path(sys.argv[1]).name}); print(flush=True); k.__enter__()"
    os.kill(template, signal.SIGSTOP)
    try:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            cwd=ROOT,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            assert process.wait(3) != 0
    finally:
        os.kill(template, signal.SIGCONT)
