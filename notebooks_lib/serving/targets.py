"""Open the endpoint of a name: the table of what can run one, and which of them a stage names in the settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from notebooks_lib.errors import UnknownNameError, UsageError
from notebooks_lib.serving import local_endpoint
from notebooks_lib.serving.collected import collected_files
from notebooks_lib.serving.collected.collected_files import Opened
from notebooks_lib.serving.endpoint import Endpoint, check_name
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import AZUREML, azure_name
from notebooks_lib.stages import STAGES


@dataclass(frozen=True)
class EndpointTarget:
    """A kind of place that can run endpoints, such as this machine."""

    open: Callable[[Settings, str, str], Endpoint]
    """Returns the endpoint of a name and its stage, whether or not anything was deployed there. It must do nothing
    else. The stage is empty for an endpoint of none."""
    names: Callable[[Settings], list[str]]
    """Returns the names of the project's endpoints of this kind."""
    shared: bool = False
    """True if other machines reach these endpoints too: then lock and journal of a stage are in the tracking store."""
    heartbeat: float = 5.0
    """If `shared`: seconds between signs of life of a process that changes a stage; after 12 missed ones it is gone."""
    capabilities: Callable[[Settings, str], EndpointCapabilities] = lambda settings, stage: EndpointCapabilities()
    """Returns what the endpoints of a stage can do by the files of the project, offline."""
    collected: Callable[[Settings, str, datetime], Opened] | None = None
    """Returns the files that the endpoint of a name collected since a time, also when it is deleted."""


def open_here(settings: Settings, name: str, stage: str) -> Endpoint:
    """Return an endpoint of this machine."""
    return local_endpoint.LocalEndpoint(settings, name)


def _open_in_workspace(settings: Settings, name: str, stage: str) -> Endpoint:
    from notebooks_lib.serving import azure_endpoint  # it imports the Azure SDK

    return azure_endpoint.AzureEndpoint(settings, name, stage)


def _capabilities_in_workspace(settings: Settings, stage: str) -> EndpointCapabilities:
    from notebooks_lib.azure.project_files import endpoint_file_kinds, stage_files
    from notebooks_lib.serving import azure_endpoint  # it imports the Azure SDK

    values = stage_files.read_stage_values(settings.root, stage, endpoint_file_kinds.ENDPOINT, os.environ)
    return azure_endpoint.azure_capabilities(values)


def _names_in_workspaces(settings: Settings) -> list[str]:
    stages = [stage for stage in STAGES if settings.stages.of(stage).target == AZUREML]
    if not stages:
        return []
    from notebooks_lib.serving import azure_endpoint

    found = azure_endpoint.names_by_stages(settings, stages)
    return sorted({_as_commands_name(settings, name, of_place) for of_place, name in found})


def _as_commands_name(settings: Settings, name: str, stages: Sequence[str]) -> str:
    """Return STAGE:NAME for a name that several stages have; `stages` are those of its workspace."""
    fitting = _stages_fitting(settings, name)
    of_place = [stage for stage in fitting if stage in stages]
    return f"{of_place[0]}:{name}" if len(fitting) > 1 and of_place else name


def _collected_in_workspace(settings: Settings, name: str, since: datetime) -> Opened:
    from notebooks_lib.azure.client.workspace import stage_workspace

    place, plain = stage_workspace(settings, stage_of(settings, name)), name.rpartition(":")[2]
    return collected_files.workspace_files(place, azure_name(plain), since)


TARGETS: dict[str, EndpointTarget] = {
    "local": EndpointTarget(open_here, local_endpoint.names, collected=collected_files.local_files),
    AZUREML: EndpointTarget(
        _open_in_workspace,
        _names_in_workspaces,
        shared=True,
        capabilities=_capabilities_in_workspace,
        collected=_collected_in_workspace,
    ),
}
"""What a stage's `endpoint` names before the colon -> what runs it."""


def endpoint_for(settings: Settings, name: str, stage: str = "") -> Endpoint:
    """Return the endpoint `name`, run by the target of its stage; an endpoint without a stage is local.

    Without `stage`, the stage is the one whose pattern fits the name: only for a name that a person typed. Nothing is
    started or requested. On Azure, `-` stands for `_` in the name, so that a model's name finds its endpoint. Raises
    UsageError for a name that no endpoint can have.
    """
    if not stage:
        name = _short_name(settings, name)
        stage = stage_of(settings, name)
    kind = settings.stages.of(stage).target if stage else "local"
    if kind == AZUREML:
        return TARGETS[kind].open(settings, azure_name(name), stage)
    check_name("endpoint", name)
    return TARGETS[kind].open(settings, name, stage)


def stage_endpoint(settings: Settings, stage: str, model: str) -> Endpoint:
    """Return the endpoint of a model in a stage, as `endpoint_for` does for a name."""
    return endpoint_for(settings, settings.stages.endpoint(stage, model), stage)


def check_stage_endpoint(settings: Settings, stage: str, model: str) -> None:
    """Raise UsageError when commands would take the endpoint of a model in a stage for that of another stage.

    By default prod's endpoint of a model called "houses-dev" has the name of dev's endpoint of "houses". On one machine
    that is the same endpoint. Where a workspace has one of the two, a command would act on the other.
    """
    name = settings.stages.endpoint(stage, model)
    other = stage_of(settings, name)
    if other != stage and AZUREML in (settings.stages.of(stage).target, settings.stages.of(other).target):
        prefix = f"{AZUREML}:" if settings.stages.of(stage).target == AZUREML else ""
        raise UsageError(
            f"endpoint {name!r} of model {model!r} in {stage} has the name of an endpoint of {other}; "
            f'give {stage} another: endpoint = "{prefix}{{model}}-live" under [stages.{stage}]'
        )


def target_of(settings: Settings, stage: str) -> EndpointTarget:
    """Return what runs the endpoints of a stage."""
    return TARGETS[settings.stages.of(stage).target]


def endpoints(settings: Settings) -> dict[str, Endpoint]:
    """Return all endpoints that were ever deployed in this project, by name.

    Raises AzureError when a stage has its endpoint in a workspace that cannot be asked.
    """
    found = {name for kind, target in TARGETS.items() for name in _names(settings, kind, target)}
    return {name: endpoint_for(settings, name) for name in sorted(found)}


def choose_endpoint(settings: Settings, name: str | None) -> Endpoint:
    """Return the endpoint `name`; without a name, the only endpoint.

    Raises UnknownNameError when there is no endpoint of this name. Raises UsageError when no name is given and there
    are several endpoints, or none.
    """
    if name is not None:
        name = _short_name(settings, name)
        kind = _target_of(settings, name)
        spelled = azure_name(name) if kind == AZUREML else name
        if spelled in _names(settings, kind, TARGETS[kind]):  # the other kinds need not be asked
            return endpoint_for(settings, name)
        raise UnknownNameError("endpoint", name, endpoints(settings), "deploy one with: nbops endpoint start MODEL")
    by_name = endpoints(settings)
    if not by_name:
        raise UsageError("there is no endpoint yet; start one with: nbops endpoint start MODEL")
    if len(by_name) > 1:
        raise UsageError(f"there are {len(by_name)} endpoints, say which: {', '.join(by_name)}")
    return next(iter(by_name.values()))


def open_collected(settings: Settings, name: str, since: datetime) -> Opened:
    """Yield the files that an endpoint collected since a time; of one that was deleted, too, if there are any.

    Raises UnknownNameError when there is neither a file nor an endpoint of this name, UsageError for a name that no
    endpoint can have, AzureError.
    """
    name = _short_name(settings, name)
    kind = _target_of(settings, name)
    spelled = azure_name(name) if kind == AZUREML else check_name("endpoint", name)
    read = TARGETS[kind].collected
    if read is None:
        raise UsageError(f"endpoint {name!r}: what endpoints of kind {kind!r} collect cannot be read")
    opened = read(settings, name, since)
    first = next(opened, None)
    if first is None and spelled not in _names(settings, kind, TARGETS[kind]):
        raise UnknownNameError(
            "endpoint",
            name,
            endpoints(settings),
            f"nothing was collected under this name since {since:%Y-%m-%d %H:%M} UTC",
        )
    if first is not None:
        yield first
        yield from opened


def _names(settings: Settings, kind: str, target: EndpointTarget) -> list[str]:
    """Return the endpoints of a kind; one of a name that a stage gives to another kind is left over from before."""
    return [name for name in target.names(settings) if _target_of(settings, name) == kind]


def _target_of(settings: Settings, name: str) -> str:
    stage = stage_of(settings, name)
    return settings.stages.of(stage).target if stage else "local"


def stage_of(settings: Settings, name: str) -> str:
    """Return the stage whose pattern fits a name; of several the one with the longest fixed part, empty if none fits.

    By default "houses-dev" fits both {model}-dev and {model}, and belongs to dev. STAGE:NAME says the stage itself.
    Raises UsageError for a name that endpoints of several stages have, in workspaces of their own.
    """
    named, colon, plain = name.rpartition(":")
    if colon:
        if named not in STAGES:
            raise UnknownNameError("stage", named, STAGES)
        return named
    stages = _stages_fitting(settings, plain)
    if len(stages) > 1:
        ways = " or ".join(f"{stage}:{plain}" for stage in stages)
        raise UsageError(f"{len(stages)} stages have an endpoint {plain!r}, in workspaces of their own: say {ways}")
    return stages[0] if stages else ""


def _short_name(settings: Settings, name: str) -> str:
    """Return NAME for STAGE:NAME where only this stage has an endpoint of that name, else the name as it is."""
    stage, colon, plain = name.rpartition(":")
    return plain if colon and _stages_fitting(settings, plain) == [stage] else name


def _stages_fitting(settings: Settings, name: str) -> list[str]:
    """Return the stages whose pattern fits a name best."""
    fitting: Mapping[str, int] = {
        pattern: len(pattern.replace("{model}", ""))
        for pattern in (settings.stages.plain_endpoint(stage, "{model}") for stage in STAGES)
        if re.fullmatch(re.escape(pattern).replace(re.escape("{model}"), ".+"), name)
    }
    best = max(fitting, key=lambda pattern: fitting[pattern], default="")
    return settings.stages.stages_of(best) if best else []
