"""How long `nbops check` and `nbops clean` take on ten notebooks, beside the tools that do a part of it.

python -m benchmarks.check [--repeats 7]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.measuring import Rounds, table, times

COUNT = 10
NBOPS = [str(machine.BIN / "nbops")]
RULES = "F821,F811,F401,F402,F5,F6,F7,F822,F823,PLE,B015,B018,E402,F403"
CHECK, PEERS = "`nbops check`", "`nbqa ruff`, then `nbstripout --verify`"


def _commands(folder: Path) -> dict[str, list[list[str]]]:
    files = [str(path) for path in sorted(folder.glob("*.ipynb"))]
    nbqa = [[sys.executable, "-m", "nbqa", "ruff", *files, "--isolated", f"--select={RULES}"]]
    nbstripout = [[sys.executable, "-m", "nbstripout", "--verify", *files]]
    return {
        CHECK: [[*NBOPS, "check", str(folder)]],
        "`nbops check --help`: the start alone": [[*NBOPS, "check", "--help"]],
        "`nbops clean -`: one notebook, as git's filter": [[*NBOPS, "clean", "-"]],
        "`nbqa ruff`": nbqa,
        "`nbstripout --verify`": nbstripout,
        PEERS: [*nbqa, *nbstripout],
    }


def seconds(commands: list[list[str]], notebook: Path) -> float:
    """The processes one after the other, each with a notebook as its standard input."""
    environment = machine.environment(PYTHONPATH=os.fspath(machine.PACKAGES))
    began = time.perf_counter()
    for command in commands:
        with notebook.open("rb") as content:
            done = subprocess.run(command, env=environment, stdin=content, capture_output=True, check=False)
        if done.returncode not in (0, 1) or b"Traceback" in done.stderr:
            raise SystemExit(f"{' '.join(command[:4])}: exit code {done.returncode}: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - began


def main() -> None:
    """Print a row a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    ours = [
        path for name in ("experimentation", "production") for path in sorted((machine.ROOT / name).glob("*.ipynb"))
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(COUNT):
            shutil.copy(ours[number % len(ours)], folder / f"{number}.ipynb")
        commands = _commands(folder)
        notebook = folder / "0.ipynb"
        for command in commands.values():  # bytecode and file cache are warm for everyone
            seconds(command, notebook)
        rounds = Rounds()
        for _ in range(repeats):
            rounds.round({what: partial(seconds, command, notebook) for what, command in commands.items()})
    rows = rounds.rows(lambda what: [times(rounds.ratio(PEERS, what))])
    print("## Check and clean\n")
    print(f"{COUNT} notebooks, {repeats} rounds in turn.\n\n{table(['command', 's', 'range', 'peers / this'], rows)}")


if __name__ == "__main__":
    main()
