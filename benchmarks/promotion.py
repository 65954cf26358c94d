"""How well the gate decides: false promotions, power, sweeps of useless trials, many uses of one holdout.

python -m benchmarks.promotion [--repeats 2000] [--seed 1] [--sweeps 4] [--docs docs]

Markdown on standard output, progress beside it; with --docs the tables and the plot of docs/promotion-figures.md are
written anew. Exit code 1 when a cell is beyond its bar by what chance does once in a million. The seed is fixed and no
figure is left out.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import planted, promotion_plot, rare, turns, useless
from benchmarks.measuring import table
from benchmarks.planted import DEFAULT, POWER, REPEATS, Cell, Counts, least, limit
from benchmarks.real_way import RealWay, measure

PAGE = "promotion-figures.md"
TABLE_METRICS = ("rmse", "mae", "r2", "accuracy", "f1", "auc", "brier", "log_loss")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything; 1 when a bar is missed."""
    options = _parser().parse_args(arguments)
    repeats, seed = options.repeats, options.seed
    started = time.monotonic()
    nulls = _counted(planted.nulls(), seed, repeats)
    few = _counted(rare.cells(), seed, repeats)
    dependent = _counted(planted.dependent(), seed, repeats)
    hard = _counted(planted.hard(), seed, repeats)
    power = [_power(name, rows, seed, repeats) for name in TABLE_METRICS for rows in (150, 500, 2000)]
    sizes = [(rows, trials) for rows in (45, 150, 500) for trials in (1, 10, 100, 1000)]
    sweeps = [_said(useless.sweep(trials, rows, repeats=repeats, seed=seed)) for rows, trials in sizes]
    uses = [(rows, learning) for learning in (False, True) for rows in (150, 500)]
    sequences = [_said(useless.sequence(rows, repeats=repeats, seed=seed, learning=it)) for rows, it in uses]
    sequences += [_said(turns.ten(name, 500, repeats=repeats, seed=seed)) for name in turns.METRIC_NAMES]
    sequences += [_said(useless.together(rows, repeats=repeats, seed=seed)) for rows in (150, 500)]
    simulated = time.monotonic() - started
    real = [_said(measure(sweeps, trials)) for sweeps, trials in ((options.sweeps, 10), (1, 100)) if options.sweeps]

    shown = {
        "nulls": _false(nulls),
        "rare": _false(few),
        "dependent": _false(dependent, ignoring=True),
        "hard": _false(hard, ignoring=True, bars=False),
        "power": _powers(power),
        "sweeps": _swept(sweeps),
        "sequences": _sequences(sequences),
        "real": _real(real) if real else "not measured",
    }
    missed = [*_missed(nulls + few + dependent), *_weak(power), *_lucky(sweeps, sequences, repeats)]
    missed += [f"the real way: {result.promoted} of {result.sweeps} promoted" for result in real if result.promoted]
    verdict = [f"- missed: {result}" for result in missed] or ["- no cell is beyond its bar by more than chance may do"]
    verdict += [f"- below the bar, by no more than chance may do: {result}" for result in _below(power)]
    shown["verdict"] = "\n".join(verdict)
    for name, text in shown.items():
        print(f"### {name}\n\n{text}\n")
    print(f"simulated in {simulated:.0f} s, with {repeats:,} holdouts a cell, seed {seed}", file=sys.stderr)
    if options.docs:
        _write(options.docs / PAGE, shown)
        promotion_plot.draw(options.docs / "promotion-figures.svg", nulls, power, sweeps)
    return int(bool(missed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="holdouts in each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sweeps", type=int, default=4, help="real ones of ten trials, through nbops; 0: none")
    parser.add_argument("--docs", type=Path, help="folder whose page and plot are written anew")
    return parser


def _counted(cells: Iterable[Cell], seed: int, repeats: int) -> list[Counts]:
    return [_said(planted.count(cell, seed=seed, repeats=repeats)) for cell in cells]


def _power(name: str, rows: int, seed: int, repeats: int) -> Counts:
    """At the level that a use has by default; on twice as many holdouts, for the bar is near what is promised."""
    cell = planted.detectable(name, rows, DEFAULT, seed=seed)
    return _said(planted.count(cell, seed=seed, policy=DEFAULT, repeats=2 * repeats))


def _said(results: Any) -> Any:
    print(
        results if not isinstance(results, Counts) else f"{results.cell.description}, {results.cell.rows} rows",
        file=sys.stderr,
    )
    return results


def _false(results: list[Counts], *, ignoring: bool = False, bars: bool = True) -> str:
    header = ["true gain zero", "rows", "strict `<`", *(["rows as if independent"] if ignoring else [])]
    header += ["interval", "gate", *(["of how many"] if bars else []), "gate as by default", "undecided"]
    rows = []
    for result in results:
        row = [result.cell.description, result.cell.rows, _percent(result.strict)]
        row += [_percent(result.ignoring)] if ignoring else []
        row += [_percent(result.interval), f"**{_percent(result.gate)}**"]
        row += [_count(result)] if bars else []
        row += [f"{100 * result.default:.2f}", _percent(result.undecided)]
        rows.append(row)
    return table(header, rows)


def _count(result: Counts) -> str:
    return f"{round(result.gate * result.repeats)} of {result.repeats:,}{'' if result.ok else ' (missed)'}"


def _powers(results: list[Counts]) -> str:
    header = ["true gain = the detectable one", "rows", "that gain", "interval", "gate", "other rules held it back"]
    rows = [
        [
            result.cell.description,
            result.cell.rows,
            f"{result.detectable:.3g}",
            _percent(result.interval),
            f"**{_percent(result.gate)}**{'' if result.gate >= POWER else ' (below)'}",
            _percent(result.interval - result.gate),
        ]
        for result in results
    ]
    return table(header, rows)


def _swept(results: list[useless.Sweeps]) -> str:
    header = [
        "rows",
        "trials",
        "strict `<`, validation",
        "strict `<`, holdout",
        "gate, level 5 %",
        "gate as by default",
    ]
    rows = [
        [
            result.rows,
            f"{result.trials:,}",
            *map(_percent, (result.validation, result.holdout, result.gate, result.default)),
        ]
        for result in results
    ]
    return table(header, rows)


def _sequences(results: list[useless.Sequences]) -> str:
    header = ["uses of one holdout", "rows", "strict `<`", "interval, level 5 % each", "gate"]
    rows = [
        [result.description, result.rows, *map(_percent, (result.strict, result.uncorrected, result.gate))]
        for result in results
    ]
    return table(header, rows)


def _real(results: list[RealWay]) -> str:
    header = ["sweeps", "trials each", "holdout rows", "better on validation", "on the holdout too", "promoted"]
    rows = [
        [
            result.sweeps,
            result.trials,
            "-".join(map(str, sorted(set(result.rows)))),
            result.validation,
            result.holdout,
            f"**{result.promoted}**",
            result.worse,
        ]
        for result in results
    ]
    return table([*header, "truly worse"], rows)


def _missed(results: list[Counts]) -> list[str]:
    return [
        f"{result.cell.description} at {result.cell.rows} rows: {_percent(result.gate)} % promoted, "
        f"{100 * result.default:.2f} % as by default"
        for result in results
        if not result.ok
    ]


def _weak(results: list[Counts]) -> list[str]:
    return [_power_said(result) for result in results if round(result.gate * result.repeats) < least(result.repeats)]


def _below(results: list[Counts]) -> list[str]:
    return [
        _power_said(result)
        for result in results
        if least(result.repeats) <= result.gate * result.repeats < POWER * result.repeats
    ]


def _power_said(result: Counts) -> str:
    population = f"{result.cell.description} at {result.cell.rows} rows"
    return f"power of {population}: {_percent(result.gate)} %, wanted {_percent(POWER)} %"


def _lucky(sweeps: list[useless.Sweeps], sequences: list[useless.Sequences], repeats: int) -> list[str]:
    most = limit(repeats)
    lucky = [
        f"{result.trials} useless trials, {result.rows} rows"
        for result in sweeps
        if round(result.gate * repeats) > most
    ]
    return lucky + [
        f"{result.description} on {result.rows} rows" for result in sequences if round(result.gate * repeats) > most
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _write(page: Path, shown: dict[str, str]) -> None:
    """Put each table between its marks; what is written by hand around them stays."""
    text = page.read_text("utf-8")
    for name, figures in shown.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marks.search(text):
            raise SystemExit(f"{page}: there is no place for {name!r}")
        text = marks.sub(lambda mark, figures=figures: f"{mark[1]}\n{figures}\n\n{mark[2]}", text)
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
