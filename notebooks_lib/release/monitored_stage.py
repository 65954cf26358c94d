"""Which endpoints are monitored, and the file that says so. It asks nothing of Azure."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import AZUREML
from notebooks_lib.stages import STAGES


def monitor_file(settings: Settings) -> Path:
    """Return the file of a project's monitors, whether or not it exists."""
    return settings.root / "production" / "azure" / "monitor.yml"


def monitored_stage(settings: Settings) -> str:
    """Return the stage whose endpoints are monitored: the last one that is on Azure; empty if none is."""
    return next((stage for stage in reversed(STAGES) if settings.stages.of(stage).target == AZUREML), "")
