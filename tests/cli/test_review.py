"""`nbops review`: a reviewer knows what changed, what it did to the numbers, and that they belong to this source."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.datasets import holdout_ledger
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.base_checkout import PREFIX
from notebooks_lib.review.reviewer import Reviewer
from notebooks_lib.review.source_proof import COMMIT
from notebooks_lib.settings import load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import connect
from tests.conftest import copy_store
from tests.git_commands import commit, git, make_repository
from tests.notebooks.building import code, md, raw, write
from tests.review.reviews import EXAMPLE, PIXEL

FIT = """from helpers import make_model

from notebooks_lib import datasets, tracking

run = tracking.run()
data = datasets.load("diabetes")
model = make_model(alpha).fit(data.train.X, data.train.y)"""
RECORD = """from sklearn.metrics import root_mean_squared_error

rmse = root_mean_squared_error(data.validation.y, model.predict(data.validation.X))
run.log({"rmse": rmse, "cost": 3 * rmse})
run.log_model(model, example=data.train.X)"""
HELPER = """from sklearn.linear_model import Ridge


def make_model(alpha):
    return Ridge(alpha)
"""
PARAMETERS = "alpha: float = 0.1\nseed: int = 0"


def write_notebook(root: Path, parameters: str = PARAMETERS, *more: dict[str, Any]) -> Path:
    cells = [md("# Ridge"), code(parameters, "parameters"), code(FIT, id="fit"), *more, code(RECORD, id="record")]
    return write(root / "experimentation" / "ridge.ipynb", *cells)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose branch `change` has left `main`."""
    root = make_repository(tmp_path / "project")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))  # kernels keep theirs, and so their template
    (root / "production").mkdir()
    (root / "production" / "settings.toml").write_text('[project]\nname = "sample"\n')
    (root / "requirements.lock").write_text("a==1\n")
    (root / "experimentation").mkdir()
    (root / "experimentation" / "helpers.py").write_text(HELPER)
    write_notebook(root)
    commit(root)
    git(root, "switch", "--quiet", "-c", "change")
    monkeypatch.chdir(root)
    yield root
    assert list((tmp_path / "scratch").glob(f"{PREFIX}*")) == [], "no scratch folder stays"
    assert git(root, "worktree", "list").count("\n") == 0


def review(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["review", "--json", *arguments]) == code
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


@pytest.mark.proof
@pytest.mark.notebooks
def test_from_change_to_numbers_and_their_proof(
    root: Path, migrated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    with (root / "production" / "settings.toml").open("a") as settings:
        settings.write("[promotion]\nmin_rows = 1_000_000\n")  # by which no verdict would be possible
    commit(root)
    found = review(capsys)
    assert found["no_runs"] == "no runs are tracked here: `nbops review --run` makes them"
    assert [notebook["no_metrics_because"] for notebook in found["notebooks"]] == [""], "it is said once"
    assert not (root / ".nbops").exists(), "a review that only reads makes no store"

    copy_store(migrated, root)
    made = review(capsys, "--run")
    assert (made["base"], made["dirty"], made["worse"], made["failed"]) == ("main", False, True, False)
    (notebook,) = made["notebooks"]
    metrics = {metric["name"]: metric for metric in notebook["metrics"]}
    assert metrics["rmse"]["gain"]["verdict"] == "worse", "and that is an answer: exit 0"
    assert metrics["rmse"]["gain"]["of"].endswith("validation rows")
    assert "own" in metrics["cost"]["no_gain_because"]
    assert notebook["exact_source"]
    assert notebook["run_problems"] == []

    store = connect(load(root, {}))
    assert len(query.find_runs(store, "sample")) == 2
    outputs = root / ".nbops" / "outputs"
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    found = review(capsys, "main")
    (again,) = found["notebooks"]
    assert (again["base_run"], again["proof"]) == (notebook["base_run"], notebook["proof"]), "from the store"
    assert [metric["gain"] and metric["gain"]["verdict"] for metric in again["metrics"]] == [
        metric["gain"] and metric["gain"]["verdict"] for metric in notebook["metrics"]
    ]
    assert len(query.find_runs(store, "sample")) == 2
    assert outputs.read_text() == "changed=1\nworse=true\nfailed=false\n"
    assert not (root / ".nbops" / "holdout.jsonl").exists(), "the holdout was not read"
    assert store.client.get_experiment_by_name(holdout_ledger.EXPERIMENT) is None

    found_run = again["proof"]["run_id"]  # not that of the base, which was made after it
    helper, lock, notebook_file = "experimentation/helpers.py", "requirements.lock", "experimentation/ridge.ipynb"
    for file, before, after, difference in (
        (helper, "return Ridge", "return  Ridge", f"since that run `{helper}` changed"),
        (lock, "a==1", "a==2", "since that run requirements.lock changed"),
        (notebook_file, "1000.0", "1000.1", "that run had `alpha` 1000.0, here it is 1000.1"),
        (notebook_file, "3 * rmse", "4 * rmse", "since that run a code cell changed"),
    ):
        content = (root / file).read_text()
        assert content.count(before) == 1
        (root / file).write_text(content.replace(before, after))
        commit(root, "one byte, after the run")
        (notebook,) = review(capsys)["notebooks"]
        assert not notebook["exact_source"]
        assert notebook["metrics"] == []
        assert f"the newest run, {found_run[:8]}, is of another source" in notebook["no_metrics_because"]
        assert notebook["proof"]["differences"] == [difference]
        git(root, "reset", "--quiet", "--hard", "HEAD~1")
    (notebook,) = review(capsys)["notebooks"]
    assert notebook["exact_source"]
    (root / "other.txt").write_text("not committed")
    (notebook,) = review(capsys)["notebooks"]
    assert notebook["proof"]["differences"] == ["the work tree has uncommitted changes: its source is in no commit"]
    assert notebook["metrics"], "the numbers are of this source all the same"


@pytest.mark.proof
def test_a_side_that_fails_and_seeds(root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_store(migrated, root)
    (root / "experimentation" / "helpers.py").write_text("print('so far')\nraise ValueError('broken')\n")
    commit(root)
    failed = review(capsys, "--run", code=1)
    assert failed["failed"]
    (problem,) = failed["notebooks"][0]["run_problems"]
    assert (problem["side"], problem["failure"]["cell"], problem["reason"][-18:]) == ("head", 2, "ValueError: broken")
    assert problem["last_lines"][-1] == "ValueError: broken"
    again = review(capsys, code=1)
    (problem,) = again["notebooks"][0]["run_problems"]
    assert problem["failure"]["error"] == "ValueError", "also from the store"

    git(root, "switch", "--quiet", "-c", "mended")
    (root / "experimentation" / "helpers.py").write_text(HELPER.replace("Ridge(alpha)", "Ridge(2 * alpha)"))
    commit(root)
    mended = review(capsys, "change", "--run", "--seeds", "3")
    (notebook,) = mended["notebooks"]
    (problem,) = notebook["run_problems"]
    assert (problem["side"], mended["failed"]) == ("base", False), "the head runs, and that is what counts"
    assert {metric["name"]: metric["head"] is not None for metric in notebook["metrics"]} == {
        "cost": True,
        "rmse": True,
    }
    seeds = review(capsys, "main", "--seeds", "3", "--run")
    (notebook,) = seeds["notebooks"]
    rmse = next(metric for metric in notebook["metrics"] if metric["name"] == "rmse")
    assert rmse["gain"]["of"].endswith("validation rows"), "no seed changes a ridge: rows tell more"
    store = connect(load(root, {}))
    runs = query.find_runs(store, "sample")
    assert sorted(run.params["seed"] for run in runs) == ["0", "0", "1", "1", "2", "2"]

    store.client.set_tag(notebook["base_run"], Tag.LOCK_INSTALLED, "a 2, locked 1")
    (doubted,) = review(capsys, "main", "--seeds", "3")["notebooks"]
    says = "the base's run: the run had other packages than requirements.lock (a 2, locked 1)"
    assert doubted["proof"]["differences"] == [says]
    (anew,) = review(capsys, "main", "--seeds", "3", "--run")["notebooks"]
    assert (anew["exact_source"], anew["base_run"] == notebook["base_run"]) == (True, False)
    assert len(query.find_runs(store, "sample")) == 7


@pytest.mark.notebooks
@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_kill_ends_the_run_and_leaves_nothing(
    root: Path, migrated: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    copy_store(migrated, root)
    started = root.parent / "started"
    write_notebook(root, PARAMETERS, code(f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(600)"))
    commit(root)
    command = [sys.executable, "-m", "notebooks_lib", "review", "--run"]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "running experimentation/ridge.ipynb of the head" in process.stderr.readline()
        while not started.exists():
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(120) == (130 if number == signal.SIGINT else -number)
    store = connect(load(root, {}))
    while Tag.END not in (only := query.find_runs(store, "sample", ended_only=False)[0]).tags:
        assert number == signal.SIGKILL, "a review that is interrupted waits for the end of its run"
    assert only.status == "KILLED"
    run(["review"])  # which removes what one that was killed left


@pytest.mark.notebooks
@pytest.mark.proof
def test_two_reviews_at_once_both_have_their_numbers(
    root: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    copy_store(migrated, root)
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    commit(root)
    command = [sys.executable, "-m", "notebooks_lib", "review", "--run", "--json"]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        (notebook,) = json.loads(process.communicate(timeout=200)[0])["notebooks"]
        assert notebook["run_problems"] == []
        assert {metric["name"] for metric in notebook["metrics"]} == {"rmse", "cost"}
        assert notebook["exact_source"]


def test_a_repository_without_anything_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_repository(tmp_path / "plain")
    write(root / "q.ipynb", md("# T"), code("x = 1"))
    commit(root)
    monkeypatch.chdir(root)
    assert review(capsys)["notebooks"] == []
    assert run(["review"]) == 0
    assert "this branch is at its base: name another one" in capsys.readouterr().out
    write(root / "q.ipynb", md("# T"), code("x = 2"))
    write(root / "new.ipynb", code("y = 1"))
    content = review(capsys)
    assert [(one["path"], one["state"], one["new_findings"]) for one in content["notebooks"]] == [
        ("new.ipynb", "added", []),
        ("q.ipynb", "modified", []),
    ]
    assert run(["review"]) == 0, "conventions are no faults"
    printed = capsys.readouterr().out
    assert "1 cell edited" in printed
    assert "findings: faults only; `--select ALL` adds the conventions of a project" in printed
    assert printed.count("no runs are tracked here: runs need a project, which `nbops init` makes") == 1
    content = review(capsys, "--select", "ALL", code=1)
    assert {finding["code"] for finding in content["notebooks"][0]["new_findings"]} == {"NB005", "NB009", "NB019"}
    write(root / "new.ipynb", code("y = z"))
    content = review(capsys, code=1)
    assert [finding["code"] for finding in content["notebooks"][0]["new_findings"]] == ["F821"]


def test_a_head_that_failed_is_not_explained_by_another_run(
    root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_store(migrated, root)
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    commit(root)
    head, store = NotebookSource.read(root, "experimentation/ridge.ipynb"), connect(load(root, {}))
    for status, fingerprint in (("FINISHED", "another"), ("FAILED", head.fingerprint())):
        failure = {Tag.FAILURE: "KeyError", Tag.FAILURE_MESSAGE: "'age'"} if status == "FAILED" else {}
        tags = {Tag.NOTEBOOK: "experimentation/ridge.ipynb", Tag.SOURCE_FINGERPRINT: fingerprint, Tag.END: status}
        run_id = store.client.create_run("0", tags=tags | failure).info.run_id
        store.client.set_terminated(run_id, status)
    (notebook,) = review(capsys, code=1)["notebooks"]
    assert [problem["failure"]["error"] for problem in notebook["run_problems"]] == ["KeyError"]
    assert (notebook["proof"]["differences"], notebook["no_metrics_because"]) == ([], "")


def record_run(root: Path, source: NotebookSource, values: dict[str, object], **tags: str) -> str:
    """Record a run of a clean work tree, as `nbops run` would."""
    store = connect(load(root, {}))
    tags = {
        Tag.NOTEBOOK: "experimentation/ridge.ipynb",
        Tag.SOURCE_FINGERPRINT: source.fingerprint(values),
        Tag.CODE_SHA256: source.notebook.code_sha256,
        Tag.LOCK_SHA256: source.lock_sha256,
        Tag.LOCK_INSTALLED: "true",
        Tag.GIT_DIRTY: "false",
        COMMIT: git(root, "rev-parse", "HEAD"),
        Tag.END: "FINISHED",
    } | tags
    run_id: str = store.client.create_run("0", tags=tags).info.run_id
    store.client.log_metric(run_id, "rmse", 1.0)
    store.client.set_terminated(run_id, "FINISHED")
    return run_id


def test_the_bases_numbers_are_proved_too(root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_store(migrated, root)
    git(root, "switch", "--quiet", "main")
    record_run(root, NotebookSource.read(root, "experimentation/ridge.ipynb"), {})
    (root / "data.csv").write_text("1000")
    commit(root)
    git(root, "switch", "--quiet", "-C", "change")
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    commit(root)
    record_run(root, NotebookSource.read(root, "experimentation/ridge.ipynb"), {})
    (notebook,) = review(capsys)["notebooks"]
    assert [metric["base"] for metric in notebook["metrics"]] == [1.0]
    says = "the base's run: since that run `data.csv` changed, which the notebook may read"
    assert (notebook["exact_source"], notebook["proof"]["differences"]) == (False, [says])


def test_seeds_of_which_some_have_a_run(root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_store(migrated, root)
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    commit(root)
    head = NotebookSource.read(root, "experimentation/ridge.ipynb")
    record_run(root, head, {"seed": 0})
    (notebook,) = review(capsys, "--seeds", "2")["notebooks"]
    says = "1 of 2 seeds has a run of this source: `nbops review --run` makes them"
    assert (notebook["no_metrics_because"], notebook["proof"]["differences"]) == (says, [])
    record_run(root, head, {"seed": 1})
    git(root, "switch", "--quiet", "main")
    record_run(root, NotebookSource.read(root, "experimentation/ridge.ipynb"), {"seed": 1})
    git(root, "switch", "--quiet", "change")
    (notebook,) = review(capsys, "--seeds", "2")["notebooks"]
    assert notebook["no_metrics_because"] == says.replace("this", "the base's")
    assert notebook["exact_source"]


def test_figures_of_a_new_notebook_are_shown_without_a_base(
    root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_store(migrated, root)
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": base64.b64encode(PIXEL).decode()}}
    cells = [md("# New"), code("draw()", id="figure")]
    path = write(root / "experimentation" / "new.ipynb", *cells)
    store = connect(load(root, {}))
    new = NotebookSource.read(root, "experimentation/new.ipynb")
    tags = {Tag.SOURCE_FINGERPRINT: new.fingerprint(), Tag.CODE_SHA256: new.notebook.code_sha256, Tag.END: "FINISHED"}
    run_id = store.client.create_run("0", tags=tags).info.run_id
    executed = write(root.parent / path.name, cells[0], cells[1] | {"outputs": [image]})
    store.client.log_artifact(run_id, str(executed), "notebook")
    store.client.set_terminated(run_id, "FINISHED")

    (notebook,) = review(capsys, "--select", "NB001")["notebooks"]
    assert [(one["cell"], one["name"], one["base"]) for one in notebook["figures"]] == [(1, "figure", None)]
    run(["review", "--select", "NB001", "--html", "report.html", "--figures", "figures"])
    printed = capsys.readouterr().out
    assert "figures: 1 new (below)" in printed
    assert "| figure of cell | after |" in printed
    assert "![after](figures/" in printed, "as the pipelines look for it"
    assert (root / "report.html").read_text().count("<img src=") == 1


def test_data_that_a_branch_changes_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data.csv").write_text("a\n1\n")
    (root / "notes.md").write_text("text")
    commit(root)
    (root / "q.sql").write_text("select 1")
    content = review(capsys)
    assert (content["notebooks"], content["other_files"]) == ([], ["data.csv", "q.sql"])
    assert run(["review"]) == 0
    assert "a notebook that reads it may give other numbers: `data.csv`, `q.sql`" in capsys.readouterr().out


def test_a_branch_gets_no_token_by_its_settings(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (root / "production" / "settings.toml").open("a") as settings:
            settings.write(f'[tracking]\nuri = "{uri}"\n')
        write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
        commit(root)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
        for arguments in ((), ("--run",)):
            says = review(capsys, *arguments)["no_runs"]
            assert says.startswith("`[tracking] uri`: not as at the base")
            assert says.endswith("merge that first, or set NBOPS_TRACKING_URI yourself")
        with pytest.raises(BlockingIOError):  # nobody asked
            server.accept()


def test_a_branch_gets_no_token_by_settings_that_main_has_given_up(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    settings = root / "production" / "settings.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        git(root, "switch", "--quiet", "main")
        settings.write_text(f'[tracking]\nuri = "http://127.0.0.1:{server.getsockname()[1]}"\n')
        commit(root)
        git(root, "switch", "--quiet", "-C", "change")
        write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
        commit(root)
        git(root, "switch", "--quiet", "main")
        settings.write_text("")
        commit(root)
        git(root, "switch", "--quiet", "change")
        assert review(capsys)["no_runs"].startswith("`[tracking] uri`: not as in main, and a branch must not choose it")
        with pytest.raises(BlockingIOError):  # nobody asked
            server.accept()


def test_a_branch_does_not_switch_off_the_rules_for_itself(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (root / "production" / "settings.toml").open("a") as settings:
        settings.write('[check]\nselect = ["NB001"]\nbuiltins = ["undefined"]\n')
    write_notebook(root, PARAMETERS, code("undefined", id="use"))
    commit(root)
    content = review(capsys, code=1)
    assert [finding["code"] for finding in content["notebooks"][0]["new_findings"]] == ["F821"]
    assert run(["review"]) == 1
    changed = "`[check] builtins` and `[check] select` changed; findings are by the rules of the base"
    assert changed in capsys.readouterr().out


def test_a_finding_without_a_change_of_source_is_new_too(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = code("print(1)", "keep_output", id="kept")
    write(root / "experimentation" / "shows.ipynb", md("# A"), kept)
    write(root / "experimentation" / "moves.ipynb", md("# B"), code("print(1)  # TODO: all rows"))
    write(root / "experimentation" / "reruns.ipynb", md("# C"), kept)
    commit(root)
    git(root, "branch", "--force", "main")
    key = [{"output_type": "stream", "name": "stdout", "text": "AKIA" + "QZ7XW3RT5YP2LKMN"}]
    write(root / "experimentation" / "shows.ipynb", md("# A"), {**kept, "outputs": key})
    write(root / "experimentation" / "reruns.ipynb", md("# C"), {**kept, "execution_count": 7})
    write(root / "at_root.ipynb", md("# D"), code("print(1)  # TODO: more"))
    git(root, "mv", "experimentation/moves.ipynb", "production/moves.ipynb")
    monkeypatch.chdir(root / "production")  # paths count from the repository's root all the same
    found = review(capsys, "--select", "NB030,NB027", code=1)
    assert {one["path"]: [finding["code"] for finding in one["new_findings"]] for one in found["notebooks"]} == {
        "experimentation/shows.ipynb": ["NB030"],
        "production/moves.ipynb": ["NB027"],
        "at_root.ipynb": [],
    }
    assert {one["no_metrics_because"] for one in found["notebooks"] if one["state"] != "added"} == {
        "the source did not change, so a run gives the same numbers"
    }
    assert (found["only_outputs"], found["renamed"]) == (["experimentation/reruns.ipynb"], {}), "each once"
    assert "AKIA" not in json.dumps(found)


def test_what_is_asked_for_wrongly(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    git(root, "switch", "--quiet", "--orphan", "other")
    commit(root, "unrelated")
    assert run(["review", "main"]) == 2
    assert "share no history" in capsys.readouterr().err
    git(root, "switch", "--quiet", "change")
    for base, says in (
        ("nothing", "unknown revision 'nothing'"),
        ("origin/main", "git fetch"),
        ("requirements.lock", "requirements.lock is a file, BASE is a revision"),
    ):
        assert run(["review", base]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert len(error.splitlines()) == 1
    assert run(["review", "--seeds", "1"]) == 2
    shallow = tmp_path / "shallow"
    commit(root, "one more")
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--branch", "change", root.as_uri(), str(shallow))
    monkeypatch.chdir(shallow)
    assert run(["review", "origin/main"]) == 2
    assert "git fetch --unshallow" in capsys.readouterr().err
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    assert run(["review"]) == 2
    assert "is not in a git repository" in capsys.readouterr().err
    monkeypatch.chdir(root)


def test_damaged_notebooks_do_not_stop_the_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "bad.ipynb").write_text("<<<<<<< ours\n{}")
    write(root / "two.ipynb", code("x = 1", id="same"), code("y = 1", id="same"))
    (root / "link.ipynb").symlink_to("two.ipynb")
    (root / "r.ipynb").write_text(json.dumps({"nbformat": 4, "metadata": {"kernelspec": {"name": "ir"}}, "cells": []}))
    content = review(capsys, code=1)
    problems = {one["path"]: one["problem"] for one in content["notebooks"]}
    assert "conflict markers" in problems.pop("bad.ipynb")
    assert problems["two.ipynb"] == problems["r.ipynb"] == ""


def test_files_nested_too_deeply_do_not_stop_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "config.json").write_text("[" * 100_000)
    (root / "pyproject.toml").write_text(f"a = {'[' * 100_000}")
    settings = root / "production" / "settings.toml"
    settings.write_text('[tracking]\nuri = "azureml"\n')
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    commit(root)
    (notebook,) = review(capsys, "HEAD~1")["notebooks"]
    assert notebook["summary"]
    settings.write_text(f"a = {'[' * 100_000}")
    assert "settings.toml: cannot be read: maximum recursion depth" in review(capsys, "HEAD~1")["no_runs"]


def test_a_clone_that_lacks_content_of_the_base_reviews_the_rest(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git(root, "config", "uploadpack.allowFilter", "true")
    write_notebook(root, PARAMETERS.replace("0.1", "1000.0"))
    (root / "experimentation" / "helpers.py").write_text(HELPER + "\n")
    write(root / "new.ipynb", code("y = z", id="new"))
    commit(root)
    clone = tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--branch", "change", root.as_uri(), str(clone))
    root.rename(tmp_path / "offline")
    monkeypatch.chdir(clone)
    content = review(capsys, "origin/main", code=1)
    new, old = sorted(content["notebooks"], key=lambda one: str(one["problem"]))
    assert "F821" in {finding["code"] for finding in new["new_findings"]}
    assert old["problem"].startswith("experimentation/ridge.ipynb: its content is not in this clone (git cat-file: ")
    assert old["problem"].endswith("; `git fetch --refetch --no-filter origin` gets it")
    assert run(["review", "origin/main"]) == 1
    printed = capsys.readouterr().out
    assert "files of the base that this clone lacks: `experimentation/helpers.py`; could not fetch" in printed
    assert git(clone, "worktree", "list").count("\n") == 0
    (tmp_path / "offline").rename(root)
    git(clone, "fetch", "--quiet", "--refetch", "--no-filter", "origin")
    assert not any(notebook["problem"] for notebook in review(capsys, "origin/main", code=1)["notebooks"])


def test_a_link_and_another_language_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(root, "switch", "--quiet", "main")
    cells = [code("x = 1", id="a")]
    for name in ("ours", "link", "outside"):
        write(root / f"{name}.ipynb", *cells)
    commit(root)
    git(root, "switch", "--quiet", "-C", "change")
    (root / "ours.ipynb").write_text(json.dumps(raw(*cells) | {"metadata": {"kernelspec": {"name": "ir"}}}))
    for name, target in (("link", "ours.ipynb"), ("outside", "/etc/passwd")):
        (root / f"{name}.ipynb").unlink()
        (root / f"{name}.ipynb").symlink_to(target)
    commit(root)
    content = review(capsys)
    summaries = {one["path"]: one["summary"] for one in content["notebooks"]}
    assert summaries["ours.ipynb"].startswith("language python, now ")
    assert {summaries[f"{name}.ipynb"] for name in ("link", "outside")} == {
        "now a link; what it leads to is compared where it lies"
    }
    assert content["only_outputs"] == []


def test_a_page_and_a_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "experimentation" / "helpers.py").write_text(HELPER + "\n")
    assert run(["review", "--markdown", "report.md", "--html", "report.html"]) == 0
    assert capsys.readouterr().out == (root / "report.md").read_text()
    assert "<title>" in (root / "report.html").read_text()
    assert run(["review", "--html", str(root)]) == 2
    capsys.readouterr()
    assert run(["review", "--markdown", "nowhere/report.html"]) == 2
    assert capsys.readouterr().err == "nbops: nowhere/report.html cannot be written: No such file or directory\n"
    assert run(["review", "--markdown", "/dev/full"]) == 1
    assert capsys.readouterr().err.startswith("nbops: the disk is full")


def test_figures_are_linked_from_where_the_report_stands(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reviewer, "review", lambda self: EXAMPLE)  # runs that draw take long, and are tested elsewhere
    run(["review", "--markdown", "report.md", "--figures", "my figures"])
    (file,) = (root / "my figures").iterdir()
    assert file.read_bytes() == PIXEL
    assert f"![after](my%20figures/{file.name})" in (root / "report.md").read_text()
    assert capsys.readouterr().out == (root / "report.md").read_text()
    run(["review", "--markdown", "my figures/report.md", "--figures", "my figures"])
    assert f"![after](./{file.name})" in (root / "my figures" / "report.md").read_text()


def test_a_disk_that_has_no_room_for_the_base(root: Path) -> None:
    (root / "large.bin").write_bytes(bytes(200_000))
    commit(root)
    git(root, "branch", "--force", "main")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    limited += "from notebooks_lib.__main__ import main; main(['review'])"
    scratch = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    command = [sys.executable, "-B", "-c", limited]  # bytecode that is cut would stay in this tree
    done = subprocess.run(command, cwd=root, env=scratch, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot be checked out: " in line


def test_notebooks_that_promote_are_not_run(root: Path, migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_store(migrated, root)
    write(root / "production" / "act.ipynb", md("# Act"), code("raise SystemExit(3)"))
    (notebook,) = review(capsys, "--run", code=1)["notebooks"]
    assert [finding["code"] for finding in notebook["new_findings"]] == ["NB005"]
    assert notebook["no_metrics_because"].startswith("a notebook under production/ acts on")
    assert notebook["run_problems"] == []
