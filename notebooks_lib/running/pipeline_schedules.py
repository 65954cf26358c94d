"""The schedules of a project: each file of production/azure/schedules with the pipeline that it starts, completed.

A schedule runs the snapshot with which it was applied. A commit that changes nothing in the snapshot is no change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.azure.project_files import file_check, schedule_file_kinds
from notebooks_lib.azure.project_files.schedule_file_kinds import SCHEDULE
from notebooks_lib.azure.schedules import schedule_body
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule
from notebooks_lib.running import pipeline_submission, pipeline_template
from notebooks_lib.running.pipeline_template import PipelineTemplate
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import provenance

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient


@dataclass(frozen=True)
class ScheduledPipeline:
    """A schedule as its file wants it, and the pipeline that it starts."""

    wanted: WantedSchedule
    template: PipelineTemplate

    def action(
        self,
        client: RestClient,
        settings: Settings,
        environ: Mapping[str, str],
        tell: Callable[[str], None] = lambda line: None,
    ) -> dict[str, Any]:
        """Bring what the pipeline needs into the workspace; return what is sent of it."""
        job = pipeline_submission.prepare_pipeline(self.template, client, settings.root, environ, tell)
        return {"actionType": "CreateJob", "jobDefinition": job}


def schedule_files(root: Path) -> list[Path]:
    """Return the files of a project's schedules, sorted by name."""
    return sorted((file_check.folder(root) / file_check.SCHEDULES).glob("*.yml"))


def read_schedules(settings: Settings, environ: Mapping[str, str]) -> list[ScheduledPipeline]:
    """Return the schedules of a project. Nothing is asked of Azure.

    Raises UsageError with the faults of all files of schedules, or of a pipeline that cannot run.
    """
    files = schedule_files(settings.root)
    checked = [file_check.check_file(file, SCHEDULE, environ, by_sdk=False) for file in files]
    if faults := [fault.shown(settings.root) for file in checked for fault in file.faults]:
        raise errors.UsageError("; ".join(faults))
    return [_read_schedule(file, settings, environ) for file in files]


def _read_schedule(file: Path, settings: Settings, environ: Mapping[str, str]) -> ScheduledPipeline:
    values = file_check.valid_values(file, SCHEDULE, settings.root, environ)
    pipeline = schedule_file_kinds.pipeline_file(file, values)
    assert pipeline is not None, "the file has no fault"
    template = pipeline_template.make_pipeline_template(pipeline.resolve(), settings, environ)
    overridden = schedule_file_kinds.with_overrides(template.values, values["create_job"])
    template = replace(template, values=overridden)
    git = provenance.git_state(settings.root)
    commit = f"{git.commit}{'-dirty' if git.dirty else ''}" if git else ""
    wanted = schedule_body.wanted_schedule(
        file.stem, values, project=settings.project_name, content=template.digest, commit=commit
    )
    return ScheduledPipeline(wanted, template)
