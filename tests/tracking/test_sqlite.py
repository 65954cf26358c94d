"""The address of a database and its file are one and the same, whatever characters the path has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking import sqlite, store

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(NAMES)
def test_sqlalchemy_opens_the_file_that_was_meant(name: str) -> None:
    file = Path("/projects") / name / "mlflow.db"
    assert make_url(sqlite.sqlite_url(file)).database == str(file)
    assert sqlite.database_file(sqlite.sqlite_url(file)) == file


@given(NAMES)
def test_a_relative_address_lies_in_the_project_whatever_that_is_called(name: str) -> None:
    uri = store.absolute_uri("sqlite:///my%20runs.db?timeout=30", Path("/projects") / name)
    assert sqlite.database_file(uri) == Path("/projects") / name / "my runs.db"
    assert uri.endswith("?timeout=30")


@pytest.mark.tracking
@pytest.mark.parametrize(
    "name", ["My%20Project", "what?", "a#b", "100%", "%3F", "a&b=c;d", "naïve ☃", "new\nline", "'\""]
)
def test_runs_lie_in_the_projects_own_database(name: str, project: Settings, tmp_path: Path) -> None:
    """What stands beside the project stays untouched: `what` and `My Project` are other folders."""
    root = tmp_path / "projects" / name
    root.mkdir(parents=True)
    here = load(root, {})
    file = here.layout.database
    file.parent.mkdir()
    copy(project.layout.database, file)

    connected = store.connect(here)
    experiment = connected.experiment_id("one")
    run = connected.client.create_run(experiment)
    connected.client.log_text(run.info.run_id, "kept", "a.txt")

    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert [path.name for path in (tmp_path / "projects").iterdir()] == [name]
    assert [path.read_text() for path in here.layout.artifacts.rglob("a.txt")] == ["kept"]


def copy(source: Path, target: Path) -> None:
    """A database that is ready; without it each would pay for MLflow's migrations."""
    store.connect(load(source.parents[1], {}))
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
    target.with_name(f"{target.name}.ready").touch()
