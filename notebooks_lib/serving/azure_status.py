"""The status of an online endpoint of Azure, from what the workspace says of it and of its deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.serving import azure_slots
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.endpoint import DeploymentDetail, EndpointStatus


@dataclass(frozen=True, kw_only=True)
class AzureStatus(EndpointStatus):
    """The status of an endpoint in a workspace."""

    workspace: str = ""
    auth_mode: str = ""
    """What requests sign in by: key, amltoken or aadtoken."""
    compute: str = ""
    """The Kubernetes compute; empty for a managed endpoint."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Return the workspace, the compute and how to sign in, as label and text."""
        runs_on = f"Kubernetes, {self.compute}" if self.compute else "managed by Azure"
        return {"workspace": self.workspace, "compute": runs_on, "signs in by": self.auth_mode}


def azure_status(
    name: str, endpoint: OnlineEndpoint, slots: Mapping[str, AzureSlot], workspace: Workspace
) -> AzureStatus:
    """Return whether an endpoint runs, is stopped or has failed, with its address and slots, as commands name it."""
    main = azure_slots.main_slot(slots)
    serving = slots[main] if main and slots[main].traffic else None
    stopped = not slots or azure_slots.is_stopped(slots)
    fault = "Azure says that it has failed" if endpoint.state == "Failed" else ""
    if serving is not None and serving.state == "failed":
        fault = f"Azure says that slot {main} has failed"
    return AzureStatus(
        name=name,
        state="broken" if fault else "stopped" if stopped else "running",
        address=endpoint.scoring_uri,
        version=serving.version if serving else "",
        detail=serving.detail if serving else DeploymentDetail(),
        since=serving.since if serving else "",
        last_error=fault,
        slots={name: slot.status() for name, slot in slots.items()},
        workspace=workspace.name,
        auth_mode=endpoint.auth_mode,
        compute=endpoint.compute,
    )
