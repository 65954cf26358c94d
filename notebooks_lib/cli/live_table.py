"""Show the progress of a sweep on standard error: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import click

from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_progress import SweepProgress
from notebooks_lib.sweeps.trials import Trial

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

ROWS = 8
"""Most trials in the live table: the running ones and those that ended last."""
HEAD = 8
"""Most lines above the trials, on a screen of 40 columns."""
REFRESHES = 4
"""Refreshes of the live table per second."""
ALL_LINES = 200
"""Up to this many trials, each gets a plain line. Beyond, every failure does, and about one trial per percent, between
one and QUIET seconds apart."""
QUIET = 300.0
PLAIN_ROOM = 200
"""Characters of a plain line."""
NARROW = 70
"""Below this number of columns the live table leaves out the least important ones."""
FAILURES = ("failed", "killed")
COLOURS = {
    "finished": "green",
    "skipped": "bright_black",
    "running": "cyan",
    "pruned": "yellow",
    "failed": "red",
    "killed": "red",
}


class TrialTable:
    """Shows the trials of a sweep. This base class shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the screen as it is after the last trial."""

    def show(self, trials: Mapping[int, Trial], total: int) -> None:
        """Show a change. `trials` holds all trials so far, `total` is their final number."""


def table(total: int, goal: Goal | None, *, jobs: int | None, silent: bool = False) -> TrialTable:
    """Return a table that suits standard error: live on a terminal, plain lines elsewhere; with `silent`, none."""
    progress = SweepProgress(total, goal, jobs, shown=ROWS)
    if silent:
        return TrialTable()
    if sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_dumb_terminal:
            return LiveTable(progress, console)
    return PlainLines(progress)


class PlainLines(TrialTable):
    """Prints a line for each trial that ends; if there are many trials, for each failure and for some others."""

    def __init__(self, progress: SweepProgress) -> None:
        self._progress = progress
        self._last_line = float("-inf")
        self._ended_at_last_line = 0
        self._pending_line: str | None = None
        self._earlier = 0
        self._thinned = False

    def __exit__(self, *error: object) -> None:
        self._print_earlier()
        if self._pending_line is not None:  # the last state before the end
            click.echo(self._pending_line, err=True)

    def show(self, trials: Mapping[int, Trial], total: int) -> None:
        """Print the trials that have ended since the last call."""
        progress = self._progress
        if total > ALL_LINES and not self._thinned:
            self._thinned = True
            click.echo(f"{total} trials: shown are every failure, and of the others about one per percent", err=True)
        for trial in progress.take(trials, total):
            line = self._line(trial)
            if self._due(trial):
                self._print_earlier()
                click.echo(line, err=True)
                self._pending_line = None
                if trial.state not in FAILURES:  # failures come in addition to the others
                    self._last_line, self._ended_at_last_line = progress.clock(), progress.ended
            else:
                self._pending_line = line
        if progress.running:
            self._print_earlier()

    def _print_earlier(self) -> None:
        """Print once what earlier sessions did."""
        progress = self._progress
        number = progress.earlier.total()
        if number > self._earlier:
            states = ", ".join(f"{count} {state}" for state, count in progress.earlier.items())
            click.echo(f"{_count(progress, progress.ended)}  {number} from before: {states}{_best(progress)}", err=True)
            self._earlier = number

    def _due(self, trial: Trial) -> bool:
        progress = self._progress
        if not self._thinned or trial.state in FAILURES or progress.ended >= progress.total:
            return True
        passed = progress.clock() - self._last_line
        return passed >= QUIET or (passed >= 1 and progress.ended - self._ended_at_last_line >= progress.total / 100)

    def _line(self, trial: Trial) -> str:
        progress = self._progress
        parts = [
            f"{_count(progress, progress.ended)}  trial {trial.number:<{len(str(progress.total))}}",
            f"{trial.state:<8}",
            formatting.format_parameters(trial.values, PLAIN_ROOM // 2),
        ]
        if progress.goal is not None and trial.state in ("finished", "skipped", "pruned"):
            parts.append(f"{formatting.one_line(progress.goal.metric, 24)} {formatting.format_figure(trial.value)}")
        if trial.seconds is not None:
            parts.append(formatting.format_duration(trial.seconds))
        if trial.reason:
            parts.append(formatting.one_line(trial.reason, PLAIN_ROOM))
        line = "  ".join(part for part in parts if part)
        return line + ("" if trial.reason else _best(progress))


def _count(progress: SweepProgress, ended: int) -> str:
    """Return how many trials have ended. It is no trial's number: these count from 0."""
    return f"{ended:>{len(str(progress.total))}} of {progress.total} ended"


def _best(progress: SweepProgress) -> str:
    best = progress.best
    if best is None:
        return ""
    return (
        f"  (best {formatting.format_figure(best.value)}: {formatting.format_parameters(best.values, PLAIN_ROOM // 4)})"
    )


class LiveTable(TrialTable):
    """Redraws a table in place a few times a second, in a separate thread."""

    def __init__(self, progress: SweepProgress, console: Console) -> None:
        from rich.live import Live as Drawn

        self._progress = progress
        self._console = console
        self._lock = threading.Lock()
        self._live = Drawn(get_renderable=self.drawn, console=console, refresh_per_second=REFRESHES, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, trials: Mapping[int, Trial], total: int) -> None:
        """Count the changes. The next refresh shows them."""
        with self._lock:
            for _ in self._progress.take(trials, total):
                pass

    def drawn(self) -> Group:
        """Return the table in its present state."""
        from rich.console import Group

        with self._lock:
            return Group(*self._head(), *self._rows())

    def _head(self) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid
        from rich.text import Text

        progress, width = self._progress, self._console.width
        ended, total = progress.ended, max(progress.total, progress.ended)
        gap, remaining = progress.gap(), progress.left()
        pace = [] if not gap else [f"{_rate(60 / gap)} trials a minute"]
        pace += [] if remaining is None or ended >= total else [f"{formatting.format_estimate(remaining)} left"]
        share = f"{100 * ended // total if total else 0}%"
        wide = width >= NARROW
        grid = Grid.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=max(total, 1), completed=ended, width=min(width // 3, 40))
        grid.add_row(f"{ended} of {total} ended", bar, share, *(pace if wide else ()))
        yield grid
        if pace and not wide:
            yield _line("  ".join(pace))
        counts = {**progress.counts, "running": len(progress.running)}
        words = [Text(f"{counts[s]} {s}", COLOURS[s]) for s in formatting.STATES if counts.get(s)]
        yield from _filled(words, width) if words else (_line("no trial has started", "dim"),)
        if progress.best is not None and progress.goal is not None:
            best = (
                f"best {formatting.one_line(progress.goal.metric, 24)} {formatting.format_figure(progress.best.value)}"
            )
            number = f"(trial {progress.best.number})"
            room = max(2 * width - len(best) - len(number) - 4, 10)  # two lines, or three where words are long
            yield Text.assemble(
                (best, "bold"), f"  {formatting.format_parameters(progress.best.values, room)}  {number}"
            )
        yield Text()

    def _rows(self) -> Iterator[Text]:
        progress = self._progress
        room = max(min(ROWS, self._console.height - HEAD), 1)
        beside = min(len(progress.last), room // 2)
        running = [(trial, progress.clock() - since) for trial, since in progress.running.values()]
        listed = running if len(running) <= room - beside else running[: room - beside - 1]
        ended = list(progress.last)[-(room - len(listed) - (len(listed) < len(running))) :]
        shown = [*((trial, trial.seconds) for trial in ended), *listed]
        numbers = max((len(str(trial.number)) for trial, _ in shown), default=1)
        figures = max(
            7, *(len(formatting.format_figure(trial.value)) for trial, _ in shown), 0
        )  # most figures fit in 7, so the column does not jump
        for trial, seconds in shown:
            yield self._row(trial, seconds, numbers, figures)
        if len(listed) < len(running):
            yield _line(f"{'':>{numbers}}  and {len(running) - len(listed)} more running", "dim")

    def _row(self, trial: Trial, seconds: float | None, numbers: int, figures: int) -> Text:
        from rich.text import Text

        row = Text(no_wrap=True, overflow="ellipsis")
        row.append(f"{trial.number:>{numbers}}  ", "dim")
        row.append(f"{trial.state:<8}", COLOURS[trial.state])
        if self._progress.goal is not None:
            row.append(f"  {formatting.format_figure(trial.value):>{figures}}")
        if self._console.width >= NARROW:
            row.append(f"  {formatting.format_duration(seconds):>11}")
        width = self._console.width
        if trial.reason:
            row.append(f"  {formatting.one_line(trial.reason, width)}", COLOURS[trial.state])
        row.append(f"  {formatting.format_parameters(trial.values, width)}")
        return row


def _rate(rate: float) -> str:
    return f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"


def _line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _filled(words: Sequence[Text], width: int) -> Iterator[Text]:
    """Yield the words in as few lines as possible."""
    from rich.text import Text

    line = Text()
    for word in words:
        if line and len(line) + 2 + len(word) > width:
            yield line
            line = Text()
        line = Text.assemble(line, "  ", word) if line else word
    yield line
