"""How long the command line takes to answer, beside papermill's: whole processes in turn, medians and spread.

python -m benchmarks.start [--repeats 15]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
NOTEBOOK = Path(__file__).parent.parent / "experimentation" / "diabetes_ridge.ipynb"
COMMANDS = {
    "nbops --help": [str(BIN / "nbops"), "--help"],
    "nbops run, misspelt parameter": [str(BIN / "nbops"), "run", str(NOTEBOOK), "-p", "alhpa=1"],
    "papermill --help": [str(BIN / "papermill"), "--help"],
}


def seconds(command: list[str]) -> float:
    """One whole process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Print a row a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for command in COMMANDS.values():  # bytecode and file cache are warm for everyone
        seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):  # in turn, so that a noisy moment meets all
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, {repeats} repeats each")
    reference = statistics.median(taken["papermill --help"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(
            f"{name:32} {median:6.3f} s  ({min(times):.3f}-{max(times):.3f})  papermill/this {reference / median:5.1f}"
        )


if __name__ == "__main__":
    main()
