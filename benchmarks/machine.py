"""Where the figures come from, in words; and the environment that every contestant is given."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from notebooks_lib import cpu_count
from notebooks_lib.sweeps import executors

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PACKAGES = ROOT / ".nbops" / "bench-packages"
"""Where `make bench` puts what requirements.lock does not hold."""
VERSIONS = ("mlflow", "scikit-learn", "papermill", "nbclient", "jupyter-client", "ipykernel", "ipython")
SCRUBBED = ("MLFLOW_", "NBOPS_", "_MLFLOW", "JPY_", "IPYNB_FILE", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def environment(**more: str) -> dict[str, str]:
    """For a contestant's process: bytecode is written, nothing is sent home, one thread for each kernel's libraries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
    return {
        **kept,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "PLOOMBER_STATS_ENABLED": "false",
        **dict.fromkeys(executors.THREAD_VARIABLES, "1"),
        **more,
    }


def compiled() -> None:
    """Compile this project's own modules and the contestants', as an installer compiles the rest."""
    folders = [ROOT / "notebooks_lib", ROOT / "benchmarks", *([PACKAGES] if PACKAGES.is_dir() else [])]
    command = [sys.executable, "-m", "compileall", "-q", *map(str, folders)]
    subprocess.run(command, env=environment(), check=False, stdout=subprocess.DEVNULL)


def described() -> str:
    """One paragraph for the top of a page of figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    busy = f"; load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{cpu_count.max_workers()} cores of {_processor()}, {memory:.0f} GiB, {platform.platform()}, "
        f"Python {platform.python_version()}, {versions}{busy}."
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
