"""The store is the one that was asked for, whatever the current folder is, and is made ready once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import atomic_private_files, errors
from notebooks_lib.paths import Layout
from notebooks_lib.settings import Settings, load
from notebooks_lib.settings.sections import Tracking
from notebooks_lib.tracking import provenance, query, sqlite, store


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///runs.db", "sqlite:////p/runs.db"),
        ("sqlite:////abs/runs.db", "sqlite:////abs/runs.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("mlruns", "file:///p/mlruns"),
        ("azureml://host/path", "azureml://host/path"),
        ("databricks", "databricks"),
    ],
)
def test_relative_addresses_start_at_the_project_root(uri: str, expected: str) -> None:
    assert store.absolute_uri(uri, Path("/p")) == expected


def test_who_names_the_store(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.tracking_uri(project) == f"sqlite:///{project.layout.database}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store.tracking_uri(project) == "http://127.0.0.1:1"
    monkeypatch.setenv("NBOPS_TRACKING_URI", "http://127.0.0.1:2")
    with pytest.raises(errors.SettingsError, match="NBOPS_TRACKING_URI .* MLFLOW_TRACKING_URI"):
        store.tracking_uri(project)
    monkeypatch.setenv("NBOPS_OWNER_RUN", "abc")  # in an owner's kernel its word counts
    assert store.tracking_uri(project) == "http://127.0.0.1:1"


@pytest.mark.tracking
def test_a_process_may_turn_from_one_store_to_another_and_back(project: Settings) -> None:
    """As a worker of a cluster does: what it told MLflow for the one before is nobody's wish."""
    before = store.connect(project)
    other = project.model_copy(update={"tracking": Tracking(uri="sqlite:///other/runs.db")})
    for settings, uri in [(other, f"sqlite:///{project.root}/other/runs.db"), (project, before.uri)] * 2:
        assert store.tracking_uri(settings) == store.connect(settings).uri == uri
        assert store.tracking_uri(settings) == uri


@pytest.mark.tracking
def test_artifacts_lie_under_the_project_whoever_makes_the_experiment(project: Settings, tmp_path: Path) -> None:
    import mlflow

    connected = store.connect(project)
    os.chdir(tmp_path)
    locations = [
        connected.client.get_experiment(connected.experiment_id("a / b")).artifact_location,
        mlflow.set_experiment("by mlflow itself").artifact_location,
    ]
    for location in locations:
        assert location.startswith(project.layout.artifacts.as_uri())


@pytest.mark.tracking
def test_a_deleted_experiment_is_told_with_the_way_back(project: Settings) -> None:
    connected = store.connect(project)
    connected.client.delete_experiment(connected.experiment_id("gone"))
    with pytest.raises(errors.TrackingError, match="'gone' was deleted.*mlflow experiments restore"):
        connected.experiment_id("gone")


@pytest.mark.tracking
def test_an_unknown_experiment_lists_the_known(project: Settings) -> None:
    connected = store.connect(project)
    connected.experiment_id("diabetic")
    with pytest.raises(errors.UnknownNameError, match=r"'diabetik', did you mean 'diabetic'\?"):
        query.find_runs(connected, "diabetik")


@pytest.mark.tracking
@pytest.mark.parametrize("content", ["another schema", "another program's", "no database"])
def test_a_database_that_is_not_ours_is_left_alone_and_told(content: str, project: Settings) -> None:
    database = project.layout.database
    database.with_name(f"{database.name}.ready").unlink()  # it was put here by hand
    if content == "no database":
        database.write_text("something else" * 1000)
    else:
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
            if content == "another program's":
                connection.execute("DROP TABLE runs")
        connection.close()
    before = database.stat().st_size
    with pytest.raises(errors.TrackingError, match="is not a database of"):
        store.connect(project)
    assert database.stat().st_size == before


@pytest.mark.tracking
def test_a_full_or_forbidden_disk_is_one_line(empty_project: Settings) -> None:
    empty_project.layout.state.write_text("a file where a folder must be")
    with pytest.raises(errors.TrackingError, match="cannot be made ready"):
        store.connect(empty_project)


def test_a_server_that_is_away_is_told_at_once(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBOPS_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(errors.TrackingError, match="http://127.0.0.1:9 does not answer .*start that server"):
        store.connect(project)


@pytest.mark.tracking
def test_an_address_of_no_store_names_those_that_are_allowed(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBOPS_TRACKING_URI", "bogus://x")
    connected = store.connect(project)
    words = (
        r"^bogus://x: no store has such an address; it begins with one of file, .*, azureml: change .tracking. uri, "
    )
    with pytest.raises(errors.TrackingError, match=words) as caught, store.translate_store_errors(connected):
        connected.client.search_experiments()
    assert len(str(caught.value)) < 300


def test_importing_the_library_imports_no_mlflow() -> None:
    code = (
        "import sys, notebooks_lib.tracking, notebooks_lib.running.plan, notebooks_lib.cli.main\n"
        "heavy = {'mlflow', 'papermill', 'pandas', 'sklearn', 'azure', 'fastapi'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_git_a_run_still_knows_its_environment(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) is None
    tags = provenance.source_tags("n.ipynb", None, provenance.lock_sha256(load(tmp_path, {}).layout))
    assert "mlflow.source.git.commit" not in tags
    assert tags["mlflow.source.name"] == "n.ipynb"


@pytest.mark.tracking
@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_what_is_kept_is_for_its_owner_wherever_the_store_is(tmp_path: Path) -> None:
    """Executed notebooks lie there, too, when runs are tracked to a server, or not at all."""
    layout = Layout(tmp_path)
    layout.state.mkdir(mode=0o755)
    store.make_state(layout)
    assert not atomic_private_files.readable_by_others(layout.state)
    elsewhere = tmp_path / "elsewhere" / "x.db"
    store.connect(Settings(root=tmp_path, tracking=Tracking(uri=sqlite.sqlite_url(elsewhere))))
    assert not atomic_private_files.readable_by_others(elsewhere)
    assert not atomic_private_files.readable_by_others(elsewhere.parent / "artifacts")
