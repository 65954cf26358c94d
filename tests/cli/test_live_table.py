"""The progress of a sweep: drawn within the screen, and few plain lines for many trials."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import sys

import pytest
from rich.console import Console

from notebooks_lib.cli import live_table
from notebooks_lib.cli.live_table import LiveTable, PlainLines
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_progress import SweepProgress
from notebooks_lib.sweeps.trials import Trial, TrialState
from tests.sweeps.results import Clock

RMSE = Goal("rmse")
NASTY = {"a\nb": "x\ty\x1b[31m\u202eevil\0", "s": "é" * 500, "$m$": "[bold]not markup[/bold]", "empty": ""}


def trial(number: int, state: TrialState = "finished", value: float | None = None, **more: object) -> Trial:
    return Trial(number, {"alpha": 0.1 * number, "seed": number}, state, value, seconds=1.25, **more)  # type: ignore[arg-type]


# Counting


# Plain lines


def test_each_ended_trial_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table.table(12, RMSE, jobs=2) as shown:
        trials = {0: trial(0, "running"), 1: trial(1, "running")}
        shown.show(trials, 12)
        trials[1] = trial(1, "finished", 54.9)
        shown.show(trials, 12)
        trials[0] = trial(0, "failed", reason="cell 2 (fit()):\nValueError: no")
        trials[2] = trial(2, "running")
        shown.show(trials, 12)
        trials[2] = trial(2, "finished", float("nan"))
        shown.show(trials, 12)
        shown.show(trials, 12)
    captured = capsys.readouterr()
    assert captured.out == ""
    best = "(best 54.9: alpha=0.1 seed=1)"
    assert captured.err.splitlines() == [
        f" 1 of 12 ended  trial 1   finished  alpha=0.1 seed=1  rmse 54.9  1.2 s  {best}",
        " 2 of 12 ended  trial 0   failed    alpha=0 seed=0  1.2 s  cell 2 (fit()): ValueError: no",
        f" 3 of 12 ended  trial 2   finished  alpha=0.2 seed=2  rmse nan  1.2 s  {best}",
    ]


def test_many_trials_are_few_lines_including_every_failure(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown, trials = PlainLines(SweepProgress(10_000, RMSE, 1, clock=clock)), {}
    with shown:
        for number in range(10_000):
            trials[number] = trial(number, "running")
            shown.show(trials, 10_000)
            clock.now += 0.5
            failed = number % 100 == 50
            trials[number] = trial(number, "failed") if failed else trial(number, "finished", 1.0)
            shown.show(trials, 10_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "10000 trials: shown are every failure, and of the others about one per percent"
    assert sum(" failed " in line for line in lines) == 100
    assert 90 <= sum(" finished " in line for line in lines) <= 110
    assert lines[-1].startswith("10000 of 10000 ended  ")


def test_many_quick_trials_are_one_line_per_second_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with PlainLines(SweepProgress(1000, RMSE, 1, clock=clock)) as shown:
        trials = {}
        for number in range(500):  # stopped half-way
            trials[number] = trial(number, "running")
            shown.show(trials, 1000)
            clock.now += 0.01
            trials[number] = trial(number, "finished", 1.0)
            shown.show(trials, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert 5 <= len(lines) <= 9
    assert lines[-1].startswith(" 500 of 1000 ended  ")


def test_many_slow_trials_print_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with PlainLines(SweepProgress(10_000, RMSE, 1, clock=clock)) as shown:
        trials = {}
        for number in range(10):
            trials[number] = trial(number, "running")
            shown.show(trials, 10_000)
            clock.now += 600
            trials[number] = trial(number, "finished", 1.0)
            shown.show(trials, 10_000)
    assert len(capsys.readouterr().err.splitlines()) == 11


def test_a_resumed_sweep_reports_earlier_trials(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table.table(50, RMSE, jobs=1) as shown:
        trials = {number: trial(number, "finished", 60.0 + number) for number in range(29)} | {29: trial(29, "failed")}
        shown.show(trials, 50)
        trials[30] = trial(30, "running")
        shown.show(trials, 50)
        trials[30] = trial(30, "finished", 50.0)
        shown.show(trials, 50)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "30 of 50 ended  30 from before: 29 finished, 1 failed  (best 60: alpha=0 seed=0)"
    assert lines[1].startswith("31 of 50 ended  trial 30  finished  alpha=3 seed=30  rmse 50 ")
    assert len(lines) == 2


def test_a_completed_sweep_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table.table(2, RMSE, jobs=1) as shown:
        shown.show({0: trial(0, "finished", 1.0)}, 2)
        shown.show({0: trial(0, "finished", 1.0), 1: trial(1, "finished", 2.0)}, 2)
    assert capsys.readouterr().err == "2 of 2 ended  2 from before: 2 finished  (best 1: alpha=0 seed=0)\n"


def test_plain_lines_hold_no_control_characters_and_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table.table(1, Goal("a\x1b]0;title\x07 metric"), jobs=1) as shown:
        shown.show({0: Trial(0, NASTY, "running")}, 1)
        shown.show({0: Trial(0, NASTY, "pruned", 1.0, reason="at\x1b[2J step\r\n" + "9" * 5000)}, 1)
    text = capsys.readouterr().err
    assert text.endswith("\n")
    line = text[:-1]
    assert line.isprintable(), ascii(line)
    assert len(line) < 2.5 * live_table.PLAIN_ROOM


def test_silent_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table.table(1, None, jobs=1, silent=True) as shown:
        shown.show({0: trial(0, "failed")}, 1)
    assert capsys.readouterr() == ("", "")


# The live table


def drawn(live: LiveTable, console: Console) -> list[str]:
    with console.capture() as captured:
        console.print(live.drawn())
    return re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()


def screen(width: int, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, legacy_windows=False, _environ={}
    )


@pytest.mark.parametrize(("width", "height"), [(20, 40), (40, 24), (40, 10), (80, 24), (200, 50), (200, 10)])
@pytest.mark.parametrize("running", [0, 1, 3, 64])
def test_the_table_fits_the_screen(width: int, height: int, running: int) -> None:
    console = screen(width, height)
    live = LiveTable(SweepProgress(10_000, Goal("a_metric_with_a_very_long_name_indeed"), 8), console)
    states: list[TrialState] = ["finished", "failed", "killed", "pruned", "skipped"]
    trials = {n: Trial(n, NASTY, "running") for n in range(5000)}
    live.show(trials, 10_000)
    trials |= {n: Trial(n, NASTY, states[n % 5], n / 7, reason="why " * 99) for n in range(5000)}
    trials |= {n: Trial(n, NASTY, "running") for n in range(5000, 5000 + running)}
    live.show(trials, 10_000)
    lines = drawn(live, console)
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= height
    assert all(line.isprintable() for line in lines)
    assert "1000 killed" in "".join(lines)
    rows = lines[lines.index("") + 1 :]
    assert len(rows) == min(live_table.ROWS, height - live_table.HEAD)
    assert rows[-1].endswith("more running") == (running > len(rows) / 2) or width == 20


def test_the_table_shows_progress_and_the_best_trial() -> None:
    clock, console = Clock(), screen(100)
    live = LiveTable(SweepProgress(50, RMSE, 2, clock=clock), console)
    assert drawn(live, console)[0].startswith("0 of 50 ended ")
    trials = {n: trial(n, "running") for n in range(10)}
    live.show(trials, 50)
    clock.now += 60
    trials |= {n: trial(n, "finished", 50.0 + n) for n in range(2, 10)}
    live.show(trials, 50)
    lines = drawn(live, console)
    assert lines[0].startswith("8 of 50 ended  ")
    assert "16%" in lines[0]
    assert "8 trials a minute" in lines[0]
    assert "5 min 15 s left" in lines[0]
    assert lines[1] == "8 finished  2 running"
    assert lines[2] == "best rmse 52  alpha=0.2 seed=2  (trial 2)"
    rows = [line.split() for line in lines[4:]]
    assert [row[0] for row in rows] == ["4", "5", "6", "7", "8", "9", "0", "1"]
    assert rows[5] == ["9", "finished", "59", "1.2", "s", "alpha=0.9", "seed=9"]
    assert rows[6] == ["0", "running", "-", "1", "min", "alpha=0", "seed=0"]


def test_without_a_goal_there_is_no_best_trial() -> None:
    console = screen(100)
    live = LiveTable(SweepProgress(2, None, 1), console)
    live.show({0: trial(0, "running")}, 2)
    live.show({0: trial(0)}, 2)
    text = "\n".join(drawn(live, console))
    assert "best" not in text
    assert "1 finished" in text


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    """Collect what is written to standard error as a terminal."""
    master, slave = pty.openpty()
    with monkeypatch.context() as here, os.fdopen(slave, "w") as terminal:
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
            here.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", **environ}.items():
            here.setenv(name, value)
        here.setattr(sys, "stderr", terminal)
        with live_table.table(2, RMSE, jobs=1) as shown:
            shown.show({0: trial(0, "running")}, 2)
            shown.show({0: trial(0, "finished", 55.5)}, 2)
        terminal.flush()
        text = b""
        while select.select([master], [], [], 0.2)[0]:  # one read gives what one write put there, or more
            text += os.read(master, 1 << 16)
    os.close(master)
    return text.decode()


def test_a_terminal_shows_a_live_table_and_is_clean_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch)
    assert "best rmse 55.5" in text
    assert "\x1b[32m" in text, "finished is green"
    hidden, shown = text.index("\x1b[?25l"), text.rindex("\x1b[?25h")
    assert hidden < shown
    assert text.rstrip().endswith("\x1b[2K"), "the lines of the table are erased at the end"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch, NO_COLOR="1")
    assert "best rmse 55.5" in text
    assert not re.search(r"\x1b\[[0-9;]*(3|4|9)[0-9;]*m", text)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch, TERM="dumb")
    assert (
        text.replace("\r\n", "\n")
        == "1 of 2 ended  trial 0  finished  alpha=0 seed=0  rmse 55.5  1.2 s  (best 55.5: alpha=0 seed=0)\n"
    )
