"""The Bicep template and its parameters: those in production/infra, else those that nbops brings."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from notebooks_lib import errors, regular_file
from notebooks_lib.azure.project_files import parameter_files
from notebooks_lib.azure.project_files.parameter_files import TemplateParameter
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES

FOLDER = "production/infra"
TEMPLATE = "main.bicep"
MODULES = ("wake.bicep",)
"""What the template that nbops brings deploys beside it."""
FILES = (TEMPLATE, *MODULES, *(f"parameters.{stage}.json" for stage in STAGES))
_LONGEST_PREFIX = 9


@dataclass(frozen=True)
class StageFiles:
    """What is deployed for a stage."""

    template: Path
    parameters: Path
    prefix: str
    """From the parameters, else made of the names of project and stage. Empty: the template has none."""

    @cached_property
    def declared(self) -> Mapping[str, TemplateParameter]:
        """The parameters that the template takes."""
        return parameter_files.template_parameters(regular_file.read_text(self.template))

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """The values that stand in the parameters, without references to a key vault."""
        return parameter_files.values(self.parameters)


def find_template(root: Path) -> Path:
    """Return the project's own template, else the one that nbops brings.

    Raises UsageError for modules of a project without a template: which of them would be deployed is not plain.
    """
    own = root / FOLDER / TEMPLATE
    if own.exists():
        return own
    if modules := sorted(path.name for path in own.parent.glob("*.bicep")):
        raise errors.UsageError(f"{FOLDER} has {', '.join(modules)}, but no {TEMPLATE}: `nbops azure up --write-files`")
    return _packed() / TEMPLATE


def find_files(settings: Settings, stage: str) -> StageFiles:
    """Return template and parameters of a stage, each of them the project's own if it has it.

    A project with a template of its own needs its own parameters. Raises UsageError when something is missing or wrong,
    and when neither the parameters name a prefix nor the settings the project: another clone would have another prefix.
    """
    root = settings.root
    template, parameters = find_template(root), root / FOLDER / f"parameters.{stage}.json"
    own = sorted(parameters.parent.glob("parameters.*.json"))
    if not parameters.exists():
        if template.parent == parameters.parent:
            stages = ", ".join(map(parameter_files.stage_of, own)) or "no stage"
            raise errors.UsageError(
                f"{FOLDER}/{parameters.name} is missing (there are parameters for {stages}): write it, or name another"
                " stage with --stage"
            )
        parameters = template.parent / parameters.name
    shared = [fault for fault in parameter_files.shared_prefixes(own) if fault.file == parameters]
    if wrong := [fault.shown(root) for fault in (*parameter_files.faults(parameters, template), *shared)]:
        raise errors.UsageError("; ".join(wrong))
    files = StageFiles(template, parameters, "")
    if "prefix" not in files.declared:
        return files
    prefix = files.given.get("prefix")
    if not prefix and not settings.project.name:
        raise errors.UsageError(
            'nothing names the deployment in each clone alike: write name = "NAME" under [project] in'
            f" {settings.layout.settings_file.relative_to(root)}; until now it was the folder's, {root.name!r}"
        )
    return StageFiles(template, parameters, prefix or default_prefix(settings.project.name, stage))


def default_prefix(project: str, stage: str) -> str:
    """Return the prefix of a stage whose parameters name none: from the names of project and stage.

    A long name is cut; two characters distinguish it from others with the same beginning.
    """
    name = re.sub(r"[^a-z0-9]", "", project.lower()).lstrip("0123456789") or "nbops"
    room = _LONGEST_PREFIX - len(stage)
    if len(name) > room:
        digest = base64.b32encode(hashlib.sha256(project.encode()).digest()).decode().lower()
        name = name[: room - 2] + digest[:2]
    return name + stage


def write_missing_files(root: Path) -> list[str]:
    """Write the template and the parameters that a project has not, and return their paths in the project.

    A project that has a template decides about all of its files.
    """
    written: list[str] = []
    if (root / FOLDER / TEMPLATE).exists():
        return written
    for name in FILES:
        file = root / FOLDER / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text((_packed() / name).read_text("utf-8"), "utf-8")
            written.append(f"{FOLDER}/{name}")
    return written


def _packed() -> Path:
    packed = Path(__file__).parent / "infra"
    return packed if packed.is_dir() else Path(__file__).parents[3] / FOLDER
