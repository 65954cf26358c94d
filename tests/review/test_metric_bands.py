"""The file of bands: read as it was written, one line a metric, and refused with the way out when it is another's."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.review.metric_bands import (
    LEVEL,
    MetricBand,
    MetricBands,
    banded,
    bands_file,
    read_bands,
    to_toml,
    write_bands,
)
from notebooks_lib.statistics.prediction_interval import half_width

BANDS = MetricBands(
    source="d3f11a18" * 8,
    metrics={
        "rmse": MetricBand(59.2, 0.81, 10),
        "val/mae x": MetricBand(-1e-9, 2.5e-11, 10),
        "n": MetricBand(3, 0, 10),
    },
    datasets={"diabetes": "diabetes@1#" + "ab" * 32},
    versions={"numpy": "2.1.0", "python": "3.11.7"},
    seconds=4.2,
    peak_memory_mb=210,
    unsteady=("cell 4 (model)", 'cell 5 (a"b\x7f\\\u2028é)'),
)
TEXT = """\
# Expected metrics of this notebook. `nbops verify` compares, `--learn` writes this file again.
format = 1
source = "abc"

[metrics]
"mae" = { mean = 46.2, spread = 0.1234567891, number = 3 }
"rmse" = { mean = 59, spread = 0, number = 3 }

[notes]
seconds = 1.3
"""


def test_the_file_lies_beside_the_notebook() -> None:
    assert bands_file(Path("a/q.v2.ipynb")) == Path("a/q.v2.bands.toml")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "q.bands.toml"
    assert read_bands(file) is None
    write_bands(file, BANDS)
    assert read_bands(file) == BANDS
    assert file.stat().st_mode & 0o777 == 0o644, "as git has it"
    file.chmod(0o664)
    other = MetricBands("other", {"mae": MetricBand(1.0, 0.5, 3)})
    write_bands(file, other)
    assert read_bands(file) == other
    assert file.stat().st_mode & 0o777 == 0o664


def test_the_text_has_a_line_for_each_metric_and_no_empty_part() -> None:
    mae, rmse = MetricBand(46.2, 0.123456789123, 3), MetricBand.of([59.0] * 3)
    assert to_toml(MetricBands("abc", {"rmse": rmse, "mae": mae}, seconds=1.26)) == TEXT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("format = 1", "format = 2\nother = 3"), "bands of format 2, 1 is the newest"),
        (TEXT.replace("format = 1", ""), "it lacks 'format'"),
        (TEXT.replace("number = 3", ""), "not the bands of a notebook"),
        (TEXT.replace("0.1234567891", "-1.0"), "mae: a finite mean, a spread of at least 0"),
        (TEXT.replace("59", "nan"), "rmse: a finite mean"),
        (TEXT.replace("number = 3", "number = 1"), "a number of at least 2"),
        ("<<<<<<< ours\n" + TEXT, "not the bands of a notebook"),
        (TEXT.replace('"mae" = {', '"mae" = 3 #'), "not the bands of a notebook"),
        ("format = 1\nsource = 'a'\nmetrics = 3", "not the bands of a notebook"),
        ("format = 1\nsource = 'a'\n[metrics]\n", "not the bands of a notebook (it has no metric)"),
        ("\udc80", "not the bands of a notebook"),
    ],
)
def test_another_file_is_refused_with_the_way_out(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "q.bands.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(errors.UsageError) as caught:
        read_bands(file)
    message = str(caught.value)
    assert words in message
    assert "--learn" in message
    assert str(file) in message
    assert "\n" not in message


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "q.bands.toml"
    write_bands(file, BANDS)
    many = {f"metric {number}": MetricBand(0.0, 1.0, 3) for number in range(1000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_bands(file, MetricBands("new", many))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_bands(file) == BANDS
    assert list(tmp_path.iterdir()) == [file]


def test_bounds_are_the_prediction_interval_at_a_level_shared_by_all_metrics() -> None:
    band = MetricBand.of([1.0, 2.0, 3.0])
    assert (band.mean, band.spread, band.number) == (2.0, 1.0, 3)
    bands = MetricBands("", {"a": band, "b": band})
    assert LEVEL == 1 / 365, "one false alarm a year"
    for runs in (1, 4):
        half = half_width(1.0, 3, LEVEL / 2, more=runs)
        assert bands.bounds("a", runs=runs) == pytest.approx((2 - half, 2 + half))


@pytest.mark.parametrize(
    ("values", "inside", "outside"),
    [
        ([50.0] * 3, 50.00004, 50.00006),
        ([-50.0] * 3, -50.00004, -50.00006),
        ([50.0, 50.0, 50.0 + 1e-13], 49.99996, 49.99994),
        ([0.0] * 3, 1e-13, 1e-11),
    ],
)
def test_a_metric_that_never_varied_may_differ_by_arithmetic(values, inside, outside) -> None:
    lower, upper = MetricBand.of(values).bounds(LEVEL)
    assert lower <= inside <= upper
    assert not lower <= outside <= upper


def test_the_load_of_the_machine_is_no_metric_of_the_notebook() -> None:
    assert banded({"rmse": 1.0, "system/cpu_utilization_percentage": 50.0, "a": math.nan}).keys() == {"rmse", "a"}


def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.bands.toml").write_text(f"a = {'[' * 100_000}")
    with pytest.raises(errors.UsageError, match="not the bands of a notebook"):
        read_bands(tmp_path / "q.bands.toml")


def test_a_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.bands.toml").symlink_to("/dev/zero")
    with pytest.raises(errors.UsageError, match="cannot be read: not a regular file"):
        read_bands(tmp_path / "q.bands.toml")
