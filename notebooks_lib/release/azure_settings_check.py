"""Finds, offline, what the settings and the files under production/azure cannot do together. It asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.project_files import yaml_file
from notebooks_lib.azure.project_files.file_check import CheckedFile
from notebooks_lib.azure.project_files.file_faults import FileFault
from notebooks_lib.azure.project_files.pipeline_file_kind import PIPELINE
from notebooks_lib.errors import UsageError
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint_capabilities import unsupported_setting
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES


def find_conflicts(settings: Settings, files: Iterable[CheckedFile]) -> Iterator[FileFault]:
    """Yield the steps that promote to a stage on their own machine, and the settings that a stage's endpoint cannot do.

    Files with faults of their own are left out, and the steps while no workspace is named: nothing can run them yet.
    """
    named = workspace.project_workspace(settings) is not None
    for file in files:
        if named and file.kind is PIPELINE and not file.faults:
            yield from _of_pipeline(file, settings)
    for stage in STAGES:
        yield from _of_stage(stage, settings)


def _of_pipeline(file: CheckedFile, settings: Settings) -> Iterator[FileFault]:
    from notebooks_lib.running import pipeline_steps  # it imports a part of the Azure SDK

    content, _ = yaml_file.read(file.path)
    steps = file.values["jobs"]
    commands = {name: pipeline_steps.StepCommand.of(step) for name, step in steps.items()}
    for name, text in pipeline_steps.step_faults(commands, settings):
        if content is not None:
            yield content.fault(("jobs", name, "command"), text)


def _of_stage(stage: str, settings: Settings) -> Iterator[FileFault]:
    try:
        can = targets.target_of(settings, stage).capabilities(settings, stage)
    except UsageError:
        return  # the file's own faults are reported
    if problem := unsupported_setting(stage, settings.stages.of(stage), can):
        file = settings.layout.settings_file
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        header = f"[stages.{stage}]"
        line = next((number for number, text in enumerate(lines, 1) if text.strip().startswith(header)), 1)
        yield FileFault(file, line, "", problem)
