"""A Dask cluster for tests: a real scheduler and real workers on loopback, each in its own folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START_LIMIT = 180.0


class Cluster:
    """A cluster whose processes end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def on(self) -> str:
        """The value for --on."""
        return self.address.replace("tcp://", "dask://")

    def start(self) -> None:
        """Start a scheduler that cannot import nbops: it needs Dask alone."""
        file = self.folder / "scheduler.json"
        without = self.folder / "without" / "notebooks_lib" / "__init__.py"
        without.parent.mkdir(parents=True)
        without.write_text("raise ImportError('a scheduler needs no nbops')")
        arguments = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
        self._start("scheduler", *arguments, PYTHONPATH=str(without.parents[1]))
        self.address = json.loads(_text(file))["address"]

    def worker(self, name: str, *options: str, **environment: str) -> int:
        """Start a worker with one thread and its own working folder, and return its process."""
        arguments = ["worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--local-directory", "scratch"]
        return self._start(name, *arguments, *(options or ["--no-nanny"]), **environment)

    def log(self, name: str) -> str:
        """Return the output of a process."""
        return (self.folder / f"{name}.log").read_text()

    def copies(self) -> list[Path]:
        """Return the copies of projects on the workers."""
        return [path for path in self.folder.glob("*/scratch/*/*/nbops-*") if path.is_dir()]

    def stop(self) -> None:
        """Stop all processes."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:  # a worker told to end twice at once does not always
                process.kill()
                process.wait(10)

    def _start(self, name: str, *arguments: str, **environment: str) -> int:
        # A worker is told of no project and no store: the sweep does it.
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("NBOPS_", "MLFLOW_TRACKING"))
        }
        place = self.folder / name
        place.mkdir(parents=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
                cwd=place,
                env={**inherited, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[name].pid


@contextlib.contextmanager
def running(folder: Path, *workers: str) -> Iterator[Cluster]:
    """Return a scheduler with these workers."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        for name in workers:
            cluster.worker(name)
        until = time.monotonic() + START_LIMIT
        while cluster.log("scheduler").count("Starting worker compute stream") < len(workers):
            assert time.monotonic() < until, [cluster.log(name) for name in cluster.processes]
            time.sleep(0.05)
        yield cluster
    finally:
        cluster.stop()


def _text(file: Path) -> str:
    until = time.monotonic() + START_LIMIT
    while not file.is_file() or not file.read_text().endswith("}"):
        assert time.monotonic() < until, "the scheduler did not start"
        time.sleep(0.05)
    return file.read_text()
