"""Format the values, figures and times of trials for people: in one line, without control characters. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from notebooks_lib.run_result import TrialState
from notebooks_lib.sweeps.trials import SweepResult, Trial

BEST = 5
"""Number of trials in the summary."""
REASONS = 3
WIDTH = 120

VALUE_ROOM = 24
"""Characters for one swept value."""
REASON_ROOM = 500
"""Characters for the reason why a trial ended."""
LINE_ROOM = 40
"""Characters of it for the cell's first line, which must not push out the reason."""
STATES: tuple[TrialState, ...] = ("finished", "skipped", "running", "pruned", "failed", "killed")
"""In the order of display."""


def format_figure(value: float | None) -> str:
    """Format a metric with six digits. None becomes a dash; nan and inf stay."""
    return "-" if value is None else f"{value:.6g}"


def format_value(swept_value: object, room: int = VALUE_ROOM) -> str:
    """Format a swept value; a text that could be misread is quoted."""
    if isinstance(swept_value, str):
        return one_line(swept_value if _plain(swept_value) else repr(swept_value), room)
    return one_line(f"{swept_value:.6g}" if isinstance(swept_value, float) else str(swept_value), room)


def format_parameters(values: Mapping[str, object], room: int | None = None) -> str:
    """Format values as `alpha=0.1 seed=3`, cut to `room` characters if given."""
    text = " ".join(f"{one_line(name, VALUE_ROOM)}={format_value(swept_value)}" for name, swept_value in values.items())
    return text if room is None else cut_text(text, room)


def format_error(error: str, cell: str = "", line: str = "") -> str:
    """Return one short line: the error, then its cell and line of code. Tables cut off the end of a line."""
    place = f"cell {cell} ({cut_text(' '.join(line.split()), LINE_ROOM)})" if cell else ""
    explanation = cut_text(" ".join(error.split()), REASON_ROOM - len(place) - 5)
    return ", in ".join(part for part in (explanation, place) if part)


def one_line(text: str, room: int) -> str:
    """Format any text as one line of at most `room` characters, without control characters."""
    # Four times the room is enough: a text of megabytes is not read for its first words.
    flat = " ".join(text[: 4 * room].split())
    return cut_text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat), room)


def cut_text(text: str, room: int) -> str:
    """Cut a text to `room` characters, with an ellipsis."""
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def format_duration(seconds: float | None) -> str:
    """Format as `1.3 s`, `3 min 20 s`, `2 h 5 min` or `3 d 4 h`; None is a dash."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    rounded = round(seconds)
    if rounded < 3600:
        return _two_units(rounded, 60, "min", 1, "s")
    if rounded < 86400:
        return _two_units(rounded, 3600, "h", 60, "min")
    return _two_units(rounded, 86400, "d", 3600, "h")


def format_estimate(seconds: float) -> str:
    """Format an estimated duration, without tenths."""
    return f"{max(seconds, 0.0):.0f} s" if seconds < 59.5 else format_duration(seconds)


def format_counts(result: SweepResult) -> str:
    """Format the number of trials in each state that occurs, as `40 finished, 3 failed`."""
    numbers = {state: result.count(state) for state in STATES}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "none"


def ranked_trials(result: SweepResult) -> list[Trial]:
    """Return the finished trials with a finite value, the best first; an empty list without a goal."""
    goal = result.goal
    if goal is None:
        return []
    sign = 1.0 if goal.direction == "min" else -1.0
    done = [(sign * t.value, t.number, t) for t in result.trials if t.eligible and t.value is not None]
    return [trial for _, _, trial in sorted(done, key=lambda row: row[:2])]


def swept_names(trials: Sequence[Trial]) -> list[str]:
    """Return the names of the swept parameters in order of first appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.values))


def better_direction(result: SweepResult) -> str:
    """Return the text `lower is better` or `higher is better` for the goal; empty without a goal."""
    if result.goal is None:
        return ""
    return "lower is better" if result.goal.direction == "min" else "higher is better"


def _two_units(seconds: int, size: int, unit: str, smaller: int, below: str) -> str:
    rest = seconds % size // smaller
    return f"{seconds // size} {unit}" + (f" {rest} {below}" if rest else "")


def _plain(text: str) -> bool:
    """Return whether a text cannot be taken for another value, or for two."""
    if not text or text in ("True", "False", "None") or any(c.isspace() or c in "='\"" for c in text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def summary(result: SweepResult, width: int = WIDTH) -> str:
    """Return a table of the best trials, `width` columns wide, the count of states, and why trials failed."""
    done = ranked_trials(result)
    trials, took = f"{len(result.trials)} of {result.total} trials", format_duration(result.seconds)
    lines = [f"{trials} in {took}: {format_counts(result)}"]
    if done:
        lines += _best_table(done[:BEST], result, width)
    elif result.goal is not None:
        lines.append(f"no trial finished with a finite value of {one_line(result.goal.metric, 40)}")
    else:
        lines.append("without --metric no trial is the best; all of them: artifact sweep/summary.html")
    reasons: dict[tuple[str, str], list[Trial]] = {}
    for trial in result.trials:
        if trial.state in ("failed", "killed"):
            reasons.setdefault((trial.state, trial.reason or "no reason is known"), []).append(trial)
    commonest = sorted(reasons, key=lambda key: -len(reasons[key]))[:REASONS]
    lines += [one_line(_failure(*key, reasons[key]), width) for key in commonest]
    if len(reasons) > REASONS:
        lines.append(f"and {len(reasons) - REASONS} other reasons: artifact sweep/summary.html of the run")
    return "\n".join(lines)


def _failure(state: str, reason: str, trials: Sequence[Trial]) -> str:
    """Return how many trials ended like this, the parameters of the first, and why."""
    count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    ended = {"failed": "failed"}.get(state, f"{'was' if len(trials) == 1 else 'were'} {state}")
    more = f" and {len(trials) - 1} more" if len(trials) > 1 else ""
    return f"{count} {ended}: {format_parameters(trials[0].values, LINE_ROOM)}{more}: {reason}"


def _best_table(best: Sequence[Trial], result: SweepResult, width: int) -> list[str]:
    metric = one_line(result.goal.metric if result.goal else "", 20)
    table = [("trial", metric, "time", "run")]
    table += [(str(t.number), format_figure(t.value), format_duration(t.seconds), t.run_id or "-") for t in best]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    room = max(width - sum(widths) - 8, 20)
    cells = ["parameters", *(format_parameters(trial.values, room) for trial in best)]
    wide = max(map(len, cells))
    return [
        f"{number:>{widths[0]}}  {metric_value:>{widths[1]}}  {time:>{widths[2]}}  {text:<{wide}}  {run}".rstrip()
        for (number, metric_value, time, run), text in zip(table, cells, strict=True)
    ]
