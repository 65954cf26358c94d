"""The bands of a notebook's metrics: what equal runs of it taught, and the small TOML file that keeps them in git.

It runs nothing. `band_learning` makes the file's content, `metric_verification` applies it.
"""

from __future__ import annotations

import json
import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notebooks_lib import atomic_private_files, errors, regular_file
from notebooks_lib.statistics import prediction_interval

FORMAT = 1
"""Raise it when an older nbops would misread the file."""
SUFFIX = ".bands.toml"
LEVEL = 1 / 365
"""Chance of a false alarm in one verification of a notebook: one a year, if it is verified every night."""
RELATIVE = 1e-6
"""What another machine's arithmetic may change, also in a metric that never varied."""
ABSOLUTE = 1e-12
"""The same for metrics that are zero."""


@dataclass(frozen=True)
class MetricBand:
    """Mean and spread of one metric over the runs from which bands were learned."""

    mean: float
    spread: float
    """Their standard deviation; 0 if all were equal."""
    number: int
    """How many runs there were."""

    @classmethod
    def of(cls, values: Sequence[float]) -> MetricBand:
        """Return the band for the values of at least two runs."""
        return cls(statistics.fmean(values), statistics.stdev(values), len(values))

    def bounds(self, level: float, *, runs: int = 1) -> tuple[float, float]:
        """Return the ends of an interval: the mean of `runs` new runs falls outside of it with probability `level`."""
        half = prediction_interval.half_width(self.spread, self.number, level, more=runs)
        half = max(half, RELATIVE * abs(self.mean), ABSOLUTE)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class MetricBands:
    """The bands of one notebook's metrics, as its file holds them."""

    source: str
    """The source fingerprint of the notebook with its own defaults."""
    metrics: Mapping[str, MetricBand]
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Name -> "name@version#fingerprint"."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> version, of those that the notebook imports."""
    seconds: float = 0.0
    """Of a run, on average."""
    peak_memory_mb: float | None = None
    """Of the run that needed most."""
    unsteady: tuple[str, ...] = ()
    """Cells whose text outputs differed between equal runs."""

    @property
    def level(self) -> float:
        """The probability of a false alarm for each metric."""
        return LEVEL / max(len(self.metrics), 1)

    @property
    def number(self) -> int:
        """The number of runs from which the bands were learned."""
        return max((band.number for band in self.metrics.values()), default=0)

    def bounds(self, name: str, *, runs: int = 1) -> tuple[float, float]:
        """Return the interval in which the mean of metric `name` over `runs` new runs is expected."""
        return self.metrics[name].bounds(self.level, runs=runs)


def banded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that can have bands: all except MLflow's system metrics."""
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}


def bands_file(notebook: Path) -> Path:
    """Return the path of a notebook's bands file: `q.bands.toml` beside `q.ipynb`."""
    return notebook.with_suffix(SUFFIX)


def read_bands(path: Path) -> MetricBands | None:
    """Read a bands file: for each metric, what its value has been in repeated runs. None if there is no such file.

    Raises UsageError for a file that is not a bands file or that a newer nbops wrote. The message says what to do.
    """
    try:
        content = tomllib.loads(regular_file.read_text(path))
        number = int(content["format"])
        if number <= FORMAT:
            return _bands(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # TOML's and Unicode's errors are ValueErrors
        reason = f"it lacks {error}" if isinstance(error, KeyError) else errors.reason(error)
        raise errors.UsageError(
            f"{path}: not the bands of a notebook ({reason}): restore it from git, or delete it and learn again with "
            "`nbops verify NOTEBOOK --learn`"
        ) from error
    raise errors.UsageError(
        f"{path}: bands of format {number}, {FORMAT} is the newest that this nbops knows: update nbops, or delete the "
        "file and learn again with `nbops verify NOTEBOOK --learn`"
    )


def write_bands(path: Path, bands: MetricBands) -> None:
    """Write bands to a file, atomically. Raises OSError when it cannot be written; the old file is then unchanged."""
    is_new = not path.exists()
    atomic_private_files.write(path, to_toml(bands), keep_rights=not is_new)
    if is_new:
        path.chmod(0o644)  # it belongs into git, where others read it


def to_toml(bands: MetricBands) -> str:
    """Return bands as TOML, with one line for each metric, so that a diff shows which one changed."""
    lines = [
        "# Expected metrics of this notebook. `nbops verify` compares, `--learn` writes this file again.",
        f"format = {FORMAT}",
        f"source = {_text(bands.source)}",
    ]
    if bands.unsteady:
        lines.append(f"unsteady = [{', '.join(map(_text, bands.unsteady))}]")
    lines += ["", "[metrics]"]
    lines += [
        f"{_text(name)} = {{ mean = {_number(band.mean)}, spread = {_number(band.spread)}, number = {band.number} }}"
        for name, band in sorted(bands.metrics.items())
    ]
    for title, table in (("datasets", bands.datasets), ("versions", bands.versions)):
        if table:
            lines += ["", f"[{title}]", *(f"{_text(key)} = {_text(table[key])}" for key in sorted(table))]
    lines += ["", "[notes]", f"seconds = {_number(round(bands.seconds, 1))}"]
    if bands.peak_memory_mb is not None:
        lines.append(f"peak_memory_mb = {_number(round(bands.peak_memory_mb))}")
    return "\n".join(lines) + "\n"


def _bands(content: Mapping[str, Any]) -> MetricBands:
    notes = content.get("notes", {})
    if not content["metrics"]:  # with which any run that logs nothing would pass
        raise ValueError("it has no metric")
    memory = notes.get("peak_memory_mb")
    return MetricBands(
        source=str(content["source"]),
        metrics={name: _band(name, entry) for name, entry in content["metrics"].items()},
        datasets={name: str(text) for name, text in content.get("datasets", {}).items()},
        versions={name: str(text) for name, text in content.get("versions", {}).items()},
        seconds=float(notes.get("seconds", 0.0)),
        peak_memory_mb=None if memory is None else float(memory),
        unsteady=tuple(map(str, content.get("unsteady", ()))),
    )


def _band(name: str, entry: Mapping[str, Any]) -> MetricBand:
    band = MetricBand(float(entry["mean"]), float(entry["spread"]), int(entry["number"]))
    if not (math.isfinite(band.mean) and 0 <= band.spread < math.inf and band.number >= 2):
        raise ValueError(f"{name}: a finite mean, a spread of at least 0 and a number of at least 2 are needed")
    return band


def _number(value: float) -> str:
    return f"{value:.10g}"  # more digits are noise to a reviewer; RELATIVE is larger than what is cut


def _text(text: str) -> str:
    # JSON's strings are valid TOML, except that TOML wants DEL escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
