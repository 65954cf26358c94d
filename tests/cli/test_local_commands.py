"""Local users pay nothing for Azure: no command of a local project imports a module of it, whatever it does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.cli import main

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
RIDGE = "experimentation/diabetes_ridge.ipynb"
WATCHED = """
import sys
from notebooks_lib import __main__ as program
code = program.run(sys.argv[1:])
loaded = [name for name, module in sys.modules.items() if name.split(".")[0] in ("azure", "azureml") and getattr(module, "__file__", "")]
ours = [name for name in sys.modules if name.startswith("notebooks_lib.azure.") and sys.argv[1] != "azure"]
light = ["project_files.compute_names"]  # forms of a name
light += ["client.workspace", "client.clouds", "client.old_secrets"] if sys.argv[1] == "doctor" else []  # is one named?
loaded += [name for name in ours if not any(f"notebooks_lib.azure.{each}.".startswith(f"{name}.") for each in light)]
print("AZURE", sorted(set(loaded)), file=sys.stderr)
sys.exit(code)
"""
PREPARED = [f"run {RIDGE}", f"run {RIDGE} -p alpha=1000.0", "promote --live"]
"""What the lines below need, in order: two runs, and a champion that serves."""
LINES = {
    "init": ["init fresh"],
    "new": ["new Does-it-rain --what rows --why to-know"],
    "run": [f"run {RIDGE} --skip-seen"],
    "sweep": [f"sweep {RIDGE} --grid alpha=0.1,10 --metric rmse"],
    "page": ["page RUN"],
    "compare": ["compare diabetes --metric rmse"],
    "promote": ["promote"],
    "rollback": ["rollback diabetes"],
    "history": ["history diabetes"],
    "gate": ["gate selftest"],
    "endpoint": ["endpoint status diabetes", "endpoint invoke diabetes"],
    "batch": ["batch run diabetes --data diabetes -o scored.parquet"],
    "profile": ["profile diabetes --cpu 1 --memory 2 --concurrency 1 --batch 1 --seconds 0.5"],
    "data": ["data list", "data show diabetes"],
    "kernels": ["kernels status", "kernels bench --names json --repeats 1"],
    "check": ["check ."],
    "clean": ["clean ."],
    "diff": ["diff", f"diff HEAD:{RIDGE} {RIDGE}"],
    "review": ["review HEAD --run"],
    "ci": ["ci HEAD"],
    "verify": [f"verify {RIDGE} --allow-stale"],
    "azure": ["azure check"],
    "doctor": ["doctor"],
    "ui": ["ui --port PORT"],
}
"""Command -> lines that a user of a local project types."""
OTHERS = ("MLFLOW_TRACKING", "MLFLOW_REGISTRY", "NBOPS_", "AZURE")
"""Variables by which another test of this process may have chosen a store."""
ENDS = {"rollback": (2,), "ui": (2,), "check": (0, 1), "ci": (0, 1), "review": (0, 1)}
"""Exit codes, if they are not 0: there is no earlier champion, the port is taken, `new` leaves a finding."""


def nbops(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, and let its last line on stderr name the modules of Azure that it imported."""
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *line.split()],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(OTHERS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def local_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A project in git with two runs and a champion that serves, and the id of a run."""
    folder = tmp_path_factory.mktemp("local") / "project"
    for part in ("experimentation", "production"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("azure"))
    for name in ("requirements.lock", "environment.yml", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    shown = [nbops(line, folder) for line in PREPARED]
    assert [done.returncode for done in shown] == [0, 0, 0], shown
    assert [done.stderr.splitlines()[-1] for done in shown] == ["AZURE []"] * 3
    run = next(word for word in shown[0].stdout.split() if len(word) == 32)
    yield folder, run
    nbops("endpoint stop diabetes", folder)


def test_every_command_is_tried_here() -> None:
    assert LINES.keys() == main.COMMANDS.keys()


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_a_local_command_imports_nothing_of_azure(line: str, local_project: tuple[Path, str]) -> None:
    folder, run = local_project
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = nbops(line.replace("RUN", run).replace("PORT", str(listener.getsockname()[1])), folder)
    assert done.returncode in ENDS.get(line.split()[0], (0,)), done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "AZURE []"
