"""How long the command line takes to answer, beside papermill's: whole processes in turn, medians and spread.

python -m benchmarks.start [--repeats 15]
"""

from __future__ import annotations

import argparse
import subprocess
import time
from functools import partial

from benchmarks import machine
from benchmarks.machine import BIN
from benchmarks.measuring import Rounds, table, times

NOTEBOOK = machine.ROOT / "experimentation" / "diabetes_ridge.ipynb"
COMMANDS = {
    "`nbops --help`": [str(BIN / "nbops"), "--help"],
    "`nbops run`, misspelt parameter": [str(BIN / "nbops"), "run", str(NOTEBOOK), "-p", "alhpa=1"],
    "`papermill --help`": [str(BIN / "papermill"), "--help"],
}


def seconds(command: list[str]) -> float:
    """One whole process."""
    began = time.perf_counter()
    subprocess.run(command, env=machine.environment(), capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Print a row a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    print("## The command line\n")
    for command in COMMANDS.values():  # bytecode and file cache are warm for everyone
        seconds(command)
    rounds = Rounds()
    for _ in range(repeats):
        rounds.round({name: partial(seconds, command) for name, command in COMMANDS.items()})
    rows = rounds.rows(lambda name: [times(rounds.ratio("`papermill --help`", name))])
    print(f"{repeats} rounds in turn.\n\n{table(['command', 's', 'range', 'papermill / this'], rows)}")


if __name__ == "__main__":
    main()
