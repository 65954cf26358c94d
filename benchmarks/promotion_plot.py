"""Draws what `benchmarks.promotion` measured. It measures nothing."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planted import POWER, REPEATS, Counts, limit
from benchmarks.useless import Sweeps


def draw(path: Path, nulls: list[Counts], power: list[Counts], sweeps: list[Sweeps]) -> None:
    """Three panels: useless sweeps, false promotions by metric and size, power at the detectable gain."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "nbops", "font.size": 9, "font.family": "sans-serif"}
    with plt.rc_context(style):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
        smallest = [result for result in sweeps if result.rows == min(one.rows for one in sweeps)]
        lines = {
            "strict < on validation": ("validation", "o-", "tab:red"),
            "strict < on the holdout": ("holdout", "o-", "tab:orange"),
            "gate, level 5 %": ("gate", "o-", "tab:blue"),
            "gate as by default": ("default", "o--", "tab:cyan"),
        }
        for label, (name, line, colour) in lines.items():
            shares = [100 * getattr(result, name) for result in smallest]
            left.plot([result.trials for result in smallest], shares, line, color=colour, label=label)
        left.set(xscale="log", xlabel="useless trials in the sweep", ylabel="winner promoted, %", ylim=(-3, 103))
        left.set_xticks([result.trials for result in smallest], [f"{result.trials:,}" for result in smallest])
        left.set_title(f"Sweeps of useless trials, {smallest[0].rows} rows")
        left.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.28))

        for name in dict.fromkeys(result.cell.description for result in nulls):
            mine = [result for result in nulls if result.cell.description == name]
            middle.plot(
                [result.cell.rows for result in mine], [100 * result.gate for result in mine], "o-", ms=3, label=name
            )
        middle.axhline(5, color="black", lw=0.8)
        middle.axhline(100 * limit() / REPEATS, color="black", lw=0.8, ls=":")
        middle.annotate("level", (2000, 5), xytext=(4, 3), textcoords="offset points", fontsize=7)
        middle.annotate("bar", (2000, 100 * limit() / REPEATS), xytext=(4, 3), textcoords="offset points", fontsize=7)
        middle.set(xscale="log", xlabel="rows of the holdout", ylabel="promoted, %", ylim=(-0.3, 10), xlim=(40, 2600))
        middle.set_title("Equal pairs on real tables: false promotions")
        middle.legend(frameon=False, fontsize=7, ncols=3, loc="upper center")

        for name in dict.fromkeys(result.cell.description for result in power):
            mine = [result for result in power if result.cell.description == name]
            right.plot(
                [result.cell.rows for result in mine], [100 * result.gate for result in mine], "o-", ms=3, label=name
            )
        right.axhline(100 * POWER, color="black", lw=0.8, ls=":")
        right.set(xscale="log", xlabel="rows of the holdout", ylabel="promoted, %", ylim=(50, 100))
        right.annotate("bar", (2000, 100 * POWER), xytext=(4, -9), textcoords="offset points", fontsize=7)
        right.set_title("True gain = the detectable one: found")
        right.legend(frameon=False, fontsize=7, ncols=3, loc="lower center")
        for axes, results in ((middle, nulls), (right, power)):
            sizes = sorted({result.cell.rows for result in results})
            axes.set_xticks(sizes, [f"{rows:,}" for rows in sizes])
        for axes in (left, middle, right):
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
