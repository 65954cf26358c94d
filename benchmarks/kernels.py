"""How fast a kernel is there, and what it costs in memory: warm and cold, side by side.

python -m benchmarks.kernels [--repeats 7] [--kernels 8]

A start is measured to the answer to `import mlflow, sklearn, pandas`, with jupyter_client's own manager and client; the
only difference between the two is the kernelspec's provisioner. The request is sent at once: `wait_for_ready`, which
most clients call before, listens for 0.2 s to make sure that nothing comes, whatever the kernel; a row shows it, too.
Memory is what is private to a process (USS), of the last of several kernels that have all done these imports.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from benchmarks import machine, trials
from benchmarks.measuring import Failed, Rounds, table, times
from notebooks_lib.kernels.kernelspec_managers import WarmSpecs

CODE = "import mlflow, sklearn, pandas"
TIMEOUT = 120
SETTLED = 2.0
"""Seconds after which a kernel that has answered has nothing more to do."""
KINDS = {"warm": WarmSpecs, "cold": KernelSpecManager}


@contextmanager
def kernel(kind: str) -> Iterator[tuple[KernelManager, Any]]:
    """A kernel that has just been started, and a client that is connected to it."""
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=KINDS[kind]())
    manager.start_kernel(env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = manager.client()
        client.start_channels()
        try:
            yield manager, client
        finally:
            client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)


def answer(client: Any, code: str) -> None:
    """Run code and wait for the answer."""
    message = client.execute(code)
    while True:
        reply = client.get_shell_msg(timeout=TIMEOUT)
        if reply["parent_header"].get("msg_id") == message:
            break
    if reply["content"]["status"] != "ok":
        raise Failed(f"the kernel answered {reply['content'].get('evalue')}")


def start(kind: str, *, wait: bool) -> float:
    """Seconds from nothing to the answer."""
    began = time.perf_counter()
    with kernel(kind) as (manager, client):
        if wait:
            client.wait_for_ready(timeout=TIMEOUT)
        answer(client, CODE)
        seconds = time.perf_counter() - began
        if bool(getattr(manager.provisioner, "warm", False)) != (kind == "warm"):
            raise Failed(f"the kernel was not {kind}")
        return seconds


def memory(kind: str, kernels: int) -> float:
    """MiB that are private to the last of several kernels."""
    with ExitStack() as stack:
        for _ in range(kernels):
            manager, client = stack.enter_context(kernel(kind))
            answer(client, CODE)
        time.sleep(SETTLED)
        return float(psutil.Process(manager.provisioner.process.pid).memory_full_info().uss) / 2**20


def measured(contestants: dict[str, Callable[[], float]], repeats: int) -> Rounds:
    rounds = Rounds()
    for _ in range(repeats):
        rounds.round(contestants)
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--kernels", type=int, default=8)
    options = parser.parse_args()
    print("## Kernels\n")
    with tempfile.TemporaryDirectory(prefix="nbops-bench-") as scratch:
        home = Path(scratch) / "warm"
        home.mkdir(mode=0o700)
        own = {"XDG_RUNTIME_DIR": str(home), "XDG_CACHE_HOME": str(home / "cache"), "IPYTHONDIR": f"{scratch}/ipython"}
        environment = machine.environment(**own)
        os.environ.clear()
        os.environ.update(environment)  # of the kernels as well as of who starts them
        os.chdir(scratch)
        try:
            print(starts(options.repeats), "\n")
            print(sizes(options.kernels, max(1, options.repeats // 3)))
        finally:
            os.chdir("/")
            trials.stop_templates(environment)


def starts(repeats: int) -> str:
    """The table of times."""
    for kind in ("warm", "warm", "warm", "cold"):  # the template learns from the first; the files are in memory
        with kernel(kind) as (manager, client):
            answer(client, CODE)
            manager.shutdown_kernel()  # gently: a kernel tells what it had to import as it ends
    rounds = measured(
        {
            "warm": partial(start, "warm", wait=False),
            "cold": partial(start, "cold", wait=False),
            "warm, with `wait_for_ready`": partial(start, "warm", wait=True),
            "cold, with `wait_for_ready`": partial(start, "cold", wait=True),
        },
        repeats,
    )
    rows = rounds.rows(lambda name: [times(rounds.ratio(name.replace("warm", "cold"), name))])
    return table([f"kernel start to the result of `{CODE}`", "s", "range", "cold / this"], rows)


def sizes(kernels: int, repeats: int) -> str:
    """The table of memory."""
    rounds = measured({kind: partial(memory, kind, kernels) for kind in KINDS}, repeats)
    rows = rounds.rows(lambda name: [times(rounds.ratio(name, "cold"))])
    return table([f"private memory of kernel {kernels} of {kernels}", "MiB", "range", "this / cold"], rows)


if __name__ == "__main__":
    main()
