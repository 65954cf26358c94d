"""What changes in the notebooks of a repository's history, how much of git's diff is noise, and what diffs cost.

python -m benchmarks.review REPOSITORY... [--most 300] [--seed 0] [--nbdime 60] [--show 30]

Draws changed notebooks from the history of local git repositories, at most so many of each; `--most 0` takes all.
Each is a proof as well: the head is made again from the base and the diff.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import machine
from benchmarks.measuring import Failed, Rounds, shown, table, times
from benchmarks.notebook_history import ChangedNotebook, Facts, examine, history
from notebooks_lib.notebooks.notebook_diff import CellChange, NotebookDiff

NEARLY_ALL = 0.9
"""Of the unchanged cells that have ids on both sides."""
REPEATS = 5


def main() -> int:
    """Print the table for each repository and for all; 1 when a diff is not whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--most", type=int, default=300, help="changed notebooks of each repository")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nbdime", type=int, default=60, help="of them, so many by nbdime as well")
    parser.add_argument("--show", type=int, default=0, help="print so many pairs of edited cells, to be read by eye")
    arguments = parser.parse_args()
    names = [_name(repository) for repository in arguments.repositories]
    if repeated := {name for name in names if names.count(name) > 1}:
        parser.error(f"two repositories lie in folders of one name, {', '.join(sorted(repeated))}: rename one")
    choice = random.Random(arguments.seed)
    columns: dict[str, list[Facts]] = {}
    unreadable: dict[str, int] = {}
    beside: list[tuple[float, float | None]] = []
    pairs: list[str] = []
    with Nbdime() as nbdime:
        for repository in arguments.repositories:
            name = _name(repository)
            changes = drawn(list(history(repository)), arguments.most, choice)
            by_nbdime = set(choice.sample(range(len(changes)), min(arguments.nbdime, len(changes))))
            columns[name], unreadable[name] = [], 0
            for number, change in enumerate(changes):
                facts = examine(change)
                if facts is None:
                    unreadable[name] += 1
                    continue
                columns[name].append(facts)
                pairs += [f"{name}: {text}" for text in edited_pairs(change, facts.diff)] if arguments.show else []
                facts.forget()
                if number in by_nbdime:
                    beside.append((facts.seconds, nbdime.seconds(change)))
            print(f"{name}: {len(columns[name])} changed notebooks", file=sys.stderr)
        together = {**columns, "all": [facts for column in columns.values() for facts in column]}
        print("## Changed notebooks in git\n")
        print(table(["what", *together], [[row, *map(figure, together.values())] for row, figure in ROWS.items()]))
        print(f"\nNot readable, on either side: {sum(unreadable.values())}.\n\n{engines(beside)}\n")
        print(start_and_diff(together["all"]))
    for text in choice.sample(pairs, min(arguments.show, len(pairs))):
        print(f"\n{text}")
    return 0 if all(facts.whole for facts in together["all"]) else 1


def drawn(changes: list[ChangedNotebook], most: int, choice: random.Random) -> list[ChangedNotebook]:
    """At most so many, in the order of the history."""
    if not most or len(changes) <= most:
        return changes
    return [changes[place] for place in sorted(choice.sample(range(len(changes)), most))]


Figure = Callable[[Sequence[Facts]], object]


def share(true: Callable[[Facts], bool]) -> Figure:
    return lambda all_facts: f"{100 * sum(map(true, all_facts)) / len(all_facts):.1f} %" if all_facts else ""


def quantile(figures: Sequence[float], part: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(part * len(figures)))]


def _spread(number: Callable[[Facts], float | None], parts: Sequence[float]) -> Figure:
    def shown_spread(all_facts: Sequence[Facts]) -> str:
        figures = [figure for facts in all_facts if (figure := number(facts)) is not None]
        return ", ".join(shown(quantile(figures, part)) if part < 1 else shown(max(figures)) for part in parts)

    return shown_spread


def _noise(facts: Facts) -> float:
    return 1 - facts.source_lines / facts.git_lines if facts.git_lines else 0.0


def _changed(facts: Facts) -> int | None:
    return facts.source_lines or None


ROWS: dict[str, Figure] = {
    "changed notebooks": len,
    "no source change": share(lambda facts: not facts.source_lines),
    "source changed, more than half of git's lines are noise": share(
        lambda facts: facts.source_lines > 0 and _noise(facts) > 0.5
    ),
    "the same, more than nine tenths": share(lambda facts: facts.source_lines > 0 and _noise(facts) > 0.9),
    "git's lines": lambda all_facts: f"{sum(facts.git_lines for facts in all_facts):,}",
    "lines of source that changed": lambda all_facts: f"{sum(facts.source_lines for facts in all_facts):,}",
    "of a changed source, lines: median, p90": _spread(_changed, (0.5, 0.9)),
    "all cells have ids on both sides": share(lambda facts: facts.ids == "both"),
    "no cell has one on either side": share(lambda facts: facts.ids == "neither"),
    "unchanged cells with ids that keep theirs": lambda all_facts: _of(
        sum(facts.kept_ids for facts in all_facts), sum(facts.cells_with_ids for facts in all_facts)
    ),
    "notebooks where nearly all unchanged cells got new ids": lambda all_facts: _of(
        sum(facts.kept_ids < (1 - NEARLY_ALL) * facts.cells_with_ids for facts in all_facts if facts.cells_with_ids),
        sum(facts.cells_with_ids > 0 for facts in all_facts),
    ),
    "ids that now name another cell": lambda all_facts: sum(facts.strayed_ids for facts in all_facts),
    "notebooks with a moved cell": share(lambda facts: facts.moved > 0),
    "moved cells": lambda all_facts: sum(facts.moved for facts in all_facts),
    "head made again from base and diff": lambda all_facts: f"{sum(facts.whole for facts in all_facts):,}",
    "CPU ms, with reading: median, p99, worst": _spread(lambda facts: 1000 * facts.seconds, (0.5, 0.99, 1)),
}


def _of(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def edited_pairs(change: ChangedNotebook, diff: NotebookDiff) -> Iterator[str]:
    """Texts of the pairs whose source differs: what a reader needs to say whether they are one cell."""
    left_over = [one for one in diff.changes if one.base is None or one.head is None]
    for pair in diff.changes:
        if pair.base is not None and pair.head is not None and "edited" in pair.kinds:
            yield f"{change.path} {change.base_blob[:8]} {change.head_blob[:8]}\n{_described(pair, left_over)}"


def _described(pair: CellChange, left_over: Sequence[CellChange]) -> str:
    assert pair.base is not None
    assert pair.head is not None
    near = [
        f"    left over: {one.kinds[0]} {one.cell.index}: {one.cell.source[:200]!r}"
        for one in left_over
        if abs(one.cell.index - (pair.base if one.base else pair.head).index) <= 3
    ]
    same_id = "same id" if pair.base.id and pair.base.id == pair.head.id else "no common id"
    titles = [f"  {pair.base.index} -> {pair.head.index}, {', '.join(pair.kinds)}, {same_id}"]
    return "\n".join([*titles, f"    base: {pair.base.source[:600]!r}", f"    head: {pair.head.source[:600]!r}", *near])


class Nbdime:
    """A process that diffs with nbdime, one pair after the other. Where it fails there are no figures."""

    def __enter__(self) -> Nbdime:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.nbdime_worker"],
            env=machine.environment(PYTHONPATH=str(machine.ROOT)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def seconds(self, change: ChangedNotebook) -> float | None:
        """CPU seconds of one diff; None where nbdime fails."""
        names = write_pair(change, Path(self._folder.name))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(*names, file=self._process.stdin, flush=True)
            return float(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            return None


def write_pair(change: ChangedNotebook, folder: Path) -> tuple[Path, Path]:
    """Both versions as files."""
    paths = folder / "base.ipynb", folder / "head.ipynb"
    for path, content in zip(paths, (change.base, change.head), strict=True):
        path.write_bytes(content)
    return paths


def engines(beside: Sequence[tuple[float, float | None]]) -> str:
    """Ours and nbdime's CPU times on the same pairs."""
    both = [(ours, theirs) for ours, theirs in beside if theirs is not None]
    if not both:
        return "nbdime failed on all of them: no comparison."
    rows = [
        [name, *(shown(1000 * quantile(column, part)) for part in (0.5, 0.9, 0.99, 1)), shown(sum(column))]
        for name, column in zip(("nbops, with reading", "nbdime, sources only"), zip(*both, strict=True), strict=True)
    ]
    title = f"{len(both)} of them by both engines in turn, CPU ms ({len(beside) - len(both)} where nbdime failed)."
    return f"{title}\n\n{table(['engine', 'median', 'p90', 'p99', 'worst', 'all, s'], rows)}"


def start_and_diff(all_facts: Sequence[Facts]) -> str:
    """Whole commands on a pair of middling size, in turn."""
    middling = sorted(all_facts, key=lambda facts: facts.size)[len(all_facts) // 2].change
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        names = [str(path) for path in write_pair(middling, Path(folder))]
        commands = {
            "`nbops diff`": [str(machine.BIN / "nbops"), "diff", *names],
            "`nbdiff -s`": [sys.executable, "-m", "nbdime.nbdiffapp", "-s", *names],
        }
        with suppress(Failed):  # bytecode and file cache are warm for both
            for command in commands.values():
                cpu_seconds(command)
        for _ in range(REPEATS):
            rounds.round({name: lambda command=command: cpu_seconds(command) for name, command in commands.items()})
    rows = rounds.rows(lambda name: [times(rounds.ratio(name, "`nbdiff -s`"))])
    return (
        f"{REPEATS} rounds in turn, CPU s with start.\n\n{table(['command', 'CPU s', 'range', 'this / nbdiff'], rows)}"
    )


def cpu_seconds(command: list[str]) -> float:
    """CPU time of one whole process. Raises Failed when it ends with an error."""
    process = subprocess.Popen(command, env=machine.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _name(repository: Path) -> str:
    """Return the folder's name, which tells it from the others."""
    place = repository.resolve()
    return place.parent.name if place.name in ("repo", ".git") else place.name


if __name__ == "__main__":
    sys.exit(main())
