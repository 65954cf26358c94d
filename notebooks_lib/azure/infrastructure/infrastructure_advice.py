"""What to write where after `nbops azure up`, from what the deployment put out. It reads files and changes none."""

from __future__ import annotations

from collections.abc import Iterator

from notebooks_lib.azure.assets import asset_registry
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.infrastructure.infrastructure import Deployed
from notebooks_lib.azure.project_files import file_check
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import AZUREML
from notebooks_lib.stages import STAGES

_IDENTITY, _CLIENT, _REGISTRY = "jobsIdentityId", "jobsIdentityClientId", "registryName"


def lines(settings: Settings, stage: str, deployed: Deployed) -> Iterator[str]:
    """Yield lines for people: what is there, the keys and files that can name it, and the next command."""
    outputs = deployed.outputs
    yield f"workspace {deployed.workspace} is there"
    yield from _workspace(settings, stage, deployed)
    if registry := outputs.get(_REGISTRY):
        yield f"Azure ML registry {registry} is there"
        if settings.azure.registry != registry:
            yield f'  {_file(settings)}: registry = "{registry}" under [azure], for stages in another workspace'
    if identity := outputs.get(_IDENTITY):
        yield f"identity for jobs and endpoints: {identity} (client id {outputs.get(_CLIENT)})"
        for name, text in identity_texts(stage, identity, outputs.get(_CLIENT, "")).items():
            path = file_check.folder(settings.root) / name
            verb = "add to" if path.exists() else "to use it, write"
            yield f"  {verb} {path.relative_to(settings.root).as_posix()}: {text}"
        if (shared := settings.azure.registry) and shared != outputs.get(_REGISTRY):
            scope = f'"$(az ml registry show --name {shared} --query id --output tsv)"'
            role = f'az role assignment create --assignee {outputs.get(_CLIENT)} --role "{asset_registry.ROLE}"'
            yield f"  so that its endpoints may read registry {shared}: {role} --scope {scope}"
    first = "" if settings.tracking.uri == AZUREML else f'tracking.uri = "{AZUREML}" in {_file(settings)}, then '
    yield f"next: {first}nbops doctor"


def identity_texts(stage: str, identity: str, client_id: str) -> dict[str, str]:
    """Return, by file below production/azure, the line of YAML that gives its jobs or endpoints the identity."""
    assigned = f"identity: {{type: user_assigned, user_assigned_identities: [{{resource_id: {identity}}}]}}"
    endpoint = "endpoint.yml" if stage == STAGES[0] else f"{stage}/endpoint.yml"
    return {
        "job.yml": f"identity: {{type: managed, client_id: {client_id}}}",
        f"{file_check.COMPUTES}/NAME.yml": assigned,
        endpoint: assigned,
    }


def _workspace(settings: Settings, stage: str, deployed: Deployed) -> Iterator[str]:
    """Yield the keys that name the workspace of a stage, if another workspace is named for it."""
    named = workspace.stage_workspace(settings, stage)
    made = deployed.workspace
    if named.path.casefold() == made.path.casefold():
        return
    if stage == STAGES[0]:
        yield f"  the project still names workspace {named}"
        return
    where = f"{made.resource_group}/{made.name}"
    if named.subscription.casefold() != made.subscription.casefold():
        where = f"{made.subscription}/{where}"
    yield f"  stage {stage} is still in workspace {named}; to move it there:"
    yield f'  {_file(settings)}: endpoint = "{AZUREML}:" and workspace = "{where}" under [stages.{stage}]'


def _file(settings: Settings) -> str:
    return settings.layout.settings_file.relative_to(settings.root).as_posix()
