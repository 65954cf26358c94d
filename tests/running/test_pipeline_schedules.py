"""A schedule's content is what its pipeline runs: files and values count, the commit and who applies it do not."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.running import pipeline_schedules
from notebooks_lib.running.pipeline_schedules import ScheduledPipeline
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag

PIPELINE = "inputs: {dataset: sales}\njobs:\n  look: {command: nbops data newer sales}\n"
SCHEDULE = 'trigger: {type: cron, expression: "0 2 * * *"}\ncreate_job: ../pipelines/look.yml\n'
WITH_INPUTS = SCHEDULE.replace(
    "create_job: ../pipelines/look.yml",
    "create_job: {type: pipeline, job: ../pipelines/look.yml, inputs: {dataset: shop}}",
)


@pytest.fixture
def project(empty_project: Settings) -> Settings:
    """A project in git with a schedule and its pipeline; no workspace can be reached."""
    azure = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'
    empty_project.layout.settings_file.write_text(azure)
    for name, content in {"pipelines/look": PIPELINE, "schedules/nightly": SCHEDULE}.items():
        file = empty_project.root / "production" / "azure" / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (empty_project.root / "requirements.lock").write_text("click==8.5.1\n")
    (empty_project.root / ".gitignore").write_text(".nbops\n")
    (empty_project.root / "environment.yml").write_text("dependencies:\n  - python=3.11\n")
    subprocess.run(["git", "init", "-q"], cwd=empty_project.root, check=True)
    _commit(empty_project)
    return load(empty_project.root, {})


def _commit(project: Settings, *options: str) -> None:
    name = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["add", "."], [*name, "commit", "-qm", "next", "--allow-empty", *options]):
        subprocess.run(["git", *command], cwd=project.root, check=True)


def _read(project: Settings) -> ScheduledPipeline:
    (found,) = pipeline_schedules.read_schedules(project, {})
    return found


def _content(project: Settings) -> Any:
    return _read(project).wanted.tags[Tag.SCHEDULE_CONTENT]


def test_a_schedule_is_its_file_with_the_pipeline_that_it_names(project: Settings) -> None:
    found = _read(project)
    assert (found.wanted.name, found.template.file.name) == ("nightly", "look.yml")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=project.root, text=True).strip()
    assert found.wanted.tags[Tag.SCHEDULE_COMMIT] == commit
    assert found.wanted.tags[Tag.SCHEDULE_PROJECT] == project.project_name


def test_other_inputs_of_a_schedule_are_those_of_its_pipeline(project: Settings) -> None:
    before = _content(project)
    (project.root / "production" / "azure" / "schedules" / "nightly.yml").write_text(WITH_INPUTS)
    assert _read(project).template.values["inputs"] == {"dataset": "shop"}
    assert _content(project) != before


def test_a_commit_counts_when_it_changes_what_runs(project: Settings) -> None:
    before = _content(project)
    _commit(project)
    assert _content(project) == before, "an empty commit"
    (project.root / "experimentation").mkdir(exist_ok=True)
    (project.root / "experimentation" / "code.py").write_text("x = 1\n")
    _commit(project)
    assert _content(project) != before


def test_what_is_not_committed_is_said(project: Settings) -> None:
    (project.root / "requirements.lock").write_text("click==8.5.2\n")
    assert _read(project).wanted.tags[Tag.SCHEDULE_COMMIT].endswith("-dirty")


def test_the_faults_of_all_schedules_are_told_at_once(project: Settings) -> None:
    for name in ("a", "b"):
        (project.root / "production" / "azure" / "schedules" / f"{name}.yml").write_text("trigger: 5\n")
    with pytest.raises(UsageError) as refused:
        pipeline_schedules.read_schedules(project, {})
    for name in ("a", "b"):
        assert f"schedules/{name}.yml:1: create_job: is missing" in str(refused.value)
