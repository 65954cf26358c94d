"""The report of a sweep: complete tables, a page without foreign markup, and plots on the parent run."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.running import notebook_page
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import plots, report
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking import store as store_module
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from notebooks_lib.tracking.store import Store
from tests.sweeps.results import MIXED, PARENT, URL, finished, sweep, trial


def test_the_csv_holds_every_trial_in_full(tmp_path: Path) -> None:
    odd = {"text": 'a,"b"\nc', "list": [1, 2], "none": None, "flag": True, "state": "shadow", "broken": "\udc80"}
    result = sweep(trial(0, "finished", 1 / 3), trial(1, "failed", values=odd, reason="why, not"))
    report.write_tables(result, tmp_path)
    first, second = csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text("utf-8")))
    assert list(first) == [
        *("number", "state", "params.alpha", "params.seed", "params.text", "params.list", "params.none"),
        *("params.flag", "params.state", "params.broken", "value", "metrics.mae", "metrics.rmse"),
        *("run_id", "seconds", "reason"),
    ]
    assert float(first["value"]) == float(first["metrics.rmse"]) == 1 / 3
    assert first["params.alpha"] == "0.001"
    assert first["params.text"] == ""
    assert (second["state"], second["params.state"], second["reason"]) == ("failed", "shadow", "why, not")
    assert second["params.text"] == odd["text"]
    assert json.loads(second["params.list"]) == [1, 2]
    assert second["run_id"] == f"{1:032x}"


def test_the_json_is_strictly_valid(tmp_path: Path) -> None:
    report.write_tables(MIXED, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads((tmp_path / "trials.json").read_text("utf-8"), parse_constant=refuse)
    assert [t["number"] for t in read["trials"]] == list(range(10))
    assert read["best"] == 4
    assert read["goal"] == {"metric": "rmse", "direction": "min"}
    assert read["counts"] == {"finished": 5, "skipped": 1, "running": 0, "pruned": 2, "failed": 1, "killed": 1}
    assert read["trials"][2]["value"] is None
    assert read["trials"][2]["metrics"] == {"rmse": None, "mae": None}
    assert read["trials"][0]["values"] == {"alpha": 0.001, "seed": 0}


class _Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for name, attrs in self.tags if name == tag and attribute in attrs]


def rendered(result: SweepResult) -> str:
    return report.render(result, "n", [], lambda run_id: URL + run_id)


def test_the_page_shows_and_states_the_best_hundred_and_the_first_hundred_failures() -> None:
    trials = [trial(n, "finished", float(10_000 - n)) for n in range(9_000)]
    trials += [trial(n, "failed", reason="no") for n in range(9_000, 10_000)]
    text = rendered(sweep(*trials))
    assert "This table shows 100 of 9000 trials that finished with a finite value of rmse" in text
    assert "the first 100 of 1000" in text
    best, failed = (re.findall(r"<tr[^>]*><td[^>]*>(\d+)</td>", part) for part in text.split("Trials that failed"))
    assert best == [str(n) for n in range(8_999, 8_899, -1)]
    assert failed == [str(n) for n in range(9_000, 9_100)]
    assert re.findall(r"<tr class=first><td[^>]*>(\d+)</td>", text) == ["8999"]
    assert text.count("<tr class=first>") == 1


def test_the_page_explains_itself() -> None:
    words = " ".join(" ".join(_Read(rendered(MIXED)).words).split())
    assert "It ran one notebook with 10 of 10 sets of parameters (trials): 5 finished, 1 skipped, 2 pruned" in words
    assert "Best rmse (lower is better): 2 in trial 4, with alpha = 10, seed = 4" in words
    assert "Pruned: stopped early" in words
    assert "Trials that were pruned This table shows all 2." in words
    assert "ValueError: no" in words
    assert "trials.csv" in words


def test_runs_are_links_and_the_page_is_self_contained() -> None:
    read = _Read(rendered(MIXED))
    links = read.all("a", "href")
    assert URL + PARENT in links
    assert {URL + f"{n:032x}" for n in (0, 1, 4, 5, 6)} <= set(links)
    assert not [tag for tag, _ in read.tags if tag in ("script", "link", "iframe")]
    assert "url(" not in rendered(MIXED)


def test_foreign_text_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'>"
    bad = Trial(0, {evil: evil}, "finished", 1.0, {evil: 2.0, evil + "2": 1.0}, evil, 1.0)
    worse = Trial(1, {evil: evil}, "failed", reason=evil, run_id=evil)
    result = dataclasses.replace(sweep(bad, worse, goal=Goal(evil)), url=evil, run_id=evil)
    drawing = plots.Picture("title", "hint", None, evil)
    read = _Read(report.render(result, evil, [drawing], lambda run_id: evil + run_id))
    assert "script" not in {tag for tag, _ in read.tags}
    assert "<script>" in " ".join(read.words)


def test_a_sweep_without_trials_has_a_page() -> None:
    assert "No metric was named" in rendered(finished(1.0, 2.0, goal=None))
    failed = rendered(sweep(trial(0, "failed")))
    assert "there is no best one" in failed
    assert "class=first" not in failed
    assert "0 of 5" in rendered(sweep(total=5))


@pytest.fixture
def opened(project: Settings) -> tuple[Store, SweepResult]:
    """Return a store and a sweep with an open parent run."""
    store = store_module.connect(project)
    run = store.client.create_run(store.experiment_id("sweeps"), run_name="ridge sweep").info
    return store, dataclasses.replace(MIXED, run_id=run.run_id, url=store.run_url(run.run_id, run.experiment_id))


def artifacts(store: Store, result: SweepResult) -> set[str]:
    return {Path(found.path).name for found in store.client.list_artifacts(result.run_id, report.FOLDER)}


def read(store: Store, result: SweepResult, name: str) -> bytes:
    return Path(store.client.download_artifacts(result.run_id, f"{report.FOLDER}/{name}")).read_bytes()


@pytest.mark.tracking
def test_tables_plots_and_page_are_on_the_parent_run(opened: tuple[Store, SweepResult]) -> None:
    store, result = opened
    report.write(result, store)
    assert artifacts(store, result) == {
        *("trials.csv", "trials.json", "summary.html"),
        *("optimisation_history.png", "slices.png"),
    }
    text = read(store, result, "summary.html").decode("utf-8")
    assert "<h1>Sweep ridge sweep</h1>" in text
    assert f'href="{result.url}"' in text
    assert result.url.replace(result.run_id, f"{4:032x}") in text
    assert text.count("data:image/png;base64,") == 2
    assert read(store, result, "slices.png").startswith(b"\x89PNG")


@pytest.mark.tracking
def test_without_a_goal_the_page_says_why_there_are_no_plots(
    opened: tuple[Store, SweepResult],
) -> None:
    store, result = opened
    result = dataclasses.replace(result, goal=None)
    report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json", "summary.html"}
    assert read(store, result, "summary.html").decode().count("Not drawn: the sweep had no goal") == 2


@pytest.mark.tracking
def test_a_failing_plot_does_not_affect_the_rest(
    opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, result = opened

    def fail(_: SweepResult) -> None:
        raise ValueError("cannot <draw>\nat all")

    monkeypatch.setattr(plots, "optimisation_history", fail)
    report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json", "summary.html", "slices.png"}
    assert "Not drawn: ValueError: cannot &lt;draw&gt; at all." in read(store, result, "summary.html").decode()
    (warned,) = [record.getMessage() for record in caplog.records if record.name == plots.__name__]
    assert warned == f"no plot optimisation_history of sweep {result.run_id}: ValueError: cannot <draw> at all"


@pytest.mark.tracking
def test_tables_are_written_before_plots(opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch) -> None:
    store, result = opened

    def interrupt(_: SweepResult) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "optimisation_history", interrupt)
    with pytest.raises(KeyboardInterrupt):
        report.write(result, store)
    assert artifacts(store, result) == {"trials.csv", "trials.json"}


@pytest.mark.tracking
def test_a_failing_page_is_a_warning(
    opened: tuple[Store, SweepResult], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, result = opened
    monkeypatch.setattr(report, "render", lambda *_: 1 / 0)
    report.write(result, store)
    assert {"trials.csv", "trials.json"} <= artifacts(store, result)
    assert f"no page of sweep {result.run_id}: division by zero" in caplog.text


@pytest.mark.tracking
def test_a_store_that_rejects_the_tables_is_a_tracking_error(opened: tuple[Store, SweepResult]) -> None:
    store, result = opened
    gone = dataclasses.replace(result, run_id="f" * 32)
    with pytest.raises(errors.TrackingError, match=f"the tables of sweep {gone.run_id} were not kept: .*not found"):
        report.write(gone, store)


@pytest.mark.tracking
def test_a_resumed_sweep_is_reported_and_ended_again_on_every_store(either_store: Store) -> None:
    start = RunStart(either_store.settings.experiment, "s", "n.ipynb", "", {"alpha": 1}, "", "", None)
    owned = OwnedRun.open(either_store, start)
    for trials in (3, 5):
        result = dataclasses.replace(sweep(total=trials), run_id=owned.run_id, url=owned.url)
        report.write(result, either_store)
        owned.end("FINISHED")
        page = notebook_page.fetch_page(either_store, owned.run_id).read_text("utf-8")
        assert f"of {trials}" in page
        owned = OwnedRun.reopen(either_store, owned.run_id, start)
    owned.end("FINISHED")
    assert query.get_run(either_store, owned.run_id).tags[Tag.END] == "FINISHED"


# Words
