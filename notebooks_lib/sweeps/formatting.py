"""How the values, figures and times of trials read, in one line and without control characters. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from notebooks_lib.records import TrialState
from notebooks_lib.sweeps.trials import SweepResult, Trial

BEST = 5
"""Trials in the summary."""
REASONS = 3
WIDTH = 120

VALUE_ROOM = 24
"""Characters of one swept value."""
REASON_ROOM = 500
"""Characters of why a trial ended as it did."""
LINE_ROOM = 40
"""Of them, of the cell's first line: it says where, and must not push out why."""
STATES: tuple[TrialState, ...] = ("finished", "skipped", "running", "pruned", "failed", "killed")
"""In the order in which they are told."""


def figure(value: float | None) -> str:
    """A metric with six digits, `nan` and `inf` as they are; a dash for none."""
    return "-" if value is None else f"{value:.6g}"


def value(given: object, room: int = VALUE_ROOM) -> str:
    """A swept value; a text that would be misread beside others stands in quotes."""
    if isinstance(given, str):
        return one_line(given if _plain(given) else repr(given), room)
    return one_line(f"{given:.6g}" if isinstance(given, float) else str(given), room)


def assigned(values: Mapping[str, object], room: int | None = None) -> str:
    """`alpha=0.1 seed=3`, cut to `room` characters if it is given."""
    text = " ".join(f"{one_line(name, VALUE_ROOM)}={value(given)}" for name, given in values.items())
    return text if room is None else cut(text, room)


def reason(what: str, cell: str = "", line: str = "") -> str:
    """Why a trial ended, and then in which cell, in one line: lines are cut at their end, and why matters most."""
    place = f"cell {cell} ({cut(' '.join(line.split()), LINE_ROOM)})" if cell else ""
    said = cut(" ".join(what.split()), REASON_ROOM - len(place) - 5)
    return ", in ".join(part for part in (said, place) if part)


def one_line(text: str, room: int) -> str:
    """A text of others as a piece of one line: no line ends, no control characters, at most `room` characters."""
    # Four times the room: a text of megabytes is not gone through for the sake of its first words.
    flat = " ".join(text[: 4 * room].split())
    return cut("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat), room)


def cut(text: str, room: int) -> str:
    """The text, or as much of it as there is room for and an ellipsis."""
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def duration(seconds: float | None) -> str:
    """`1.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; a dash for none."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    return _two(whole, 3600, "h", 60, "min") if whole < 86400 else _two(whole, 86400, "d", 3600, "h")


def about(seconds: float) -> str:
    """A duration that nobody knows to the tenth."""
    return f"{max(seconds, 0.0):.0f} s" if seconds < 59.5 else duration(seconds)


def counts(result: SweepResult) -> str:
    """`40 finished, 3 failed`: the states that occur."""
    numbers = {state: result.count(state) for state in STATES}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "none"


def ranked(result: SweepResult) -> list[Trial]:
    """The trials that finished with a finite value of the goal, the best first; without a goal, none."""
    goal = result.goal
    if goal is None:
        return []
    sign = 1.0 if goal.direction == "min" else -1.0
    done = [(sign * t.value, t.number, t) for t in result.trials if t.eligible and t.value is not None]
    return [trial for _, _, trial in sorted(done, key=lambda row: row[:2])]


def swept(trials: Sequence[Trial]) -> list[str]:
    """The names of the swept parameters, in the order in which they first occur."""
    return list(dict.fromkeys(name for trial in trials for name in trial.values))


def ordering(result: SweepResult) -> str:
    """`lower is better`, or the opposite; empty without a goal."""
    if result.goal is None:
        return ""
    return "lower is better" if result.goal.direction == "min" else "higher is better"


def _two(whole: int, size: int, unit: str, smaller: int, below: str) -> str:
    rest = whole % size // smaller
    return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")


def _plain(text: str) -> bool:
    """Whether nobody takes a text for something else, or for two."""
    if not text or text in ("True", "False", "None") or any(c.isspace() or c in "='\"" for c in text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def summary(result: SweepResult, width: int = WIDTH) -> str:
    """The best trials in a table of `width` columns, what became of the others, and why some failed."""
    done = ranked(result)
    trials, took = f"{len(result.trials)} of {result.total} trials", duration(result.seconds)
    lines = [f"{trials} in {took}: {counts(result)}"]
    if done:
        lines += _best_table(done[:BEST], result, width)
    elif result.goal is not None:
        lines.append(f"no trial finished with a finite value of {one_line(result.goal.metric, 40)}")
    else:
        lines.append("no metric is the goal (--metric), so none is the best; all: artifact sweep/summary.html")
    failed = [trial for trial in result.trials if trial.state in ("failed", "killed")]
    reasons = Counter(one_line(f"{t.state}: {t.reason or 'no reason is known'}", width - 9) for t in failed)
    lines += [f"{f'{number} x':>7}  {reason}" for reason, number in reasons.most_common(REASONS)]
    if len(reasons) > REASONS:
        lines.append(f"{'':>7}  and {len(reasons) - REASONS} other reasons: artifact sweep/summary.html of the run")
    return "\n".join(lines)


def _best_table(best: Sequence[Trial], result: SweepResult, width: int) -> list[str]:
    metric = one_line(result.goal.metric if result.goal else "", 20)
    table = [("trial", metric, "time", "run")]
    table += [(str(t.number), figure(t.value), duration(t.seconds), t.run_id or "-") for t in best]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    room = max(width - sum(widths) - 8, 20)
    cells = ["parameters", *(assigned(trial.values, room) for trial in best)]
    wide = max(map(len, cells))
    return [
        f"{number:>{widths[0]}}  {metric_value:>{widths[1]}}  {time:>{widths[2]}}  {text:<{wide}}  {run}".rstrip()
        for (number, metric_value, time, run), text in zip(table, cells, strict=True)
    ]
