"""Moves the monitor of an endpoint on Azure after each change of a stage. A failure of that never fails the change.

Without production/azure/monitor.yml nothing is imported and nothing is asked of Azure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.errors import NbopsError, reason
from notebooks_lib.release.monitored_stage import monitor_file, monitored_stage

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


def update_monitor(store: Store, model: str, stage: str) -> str:
    """Let the monitor of a model watch the slot that serves now; return what changed, empty if nothing did.

    What went wrong is in the text, with the next step: the stage itself has changed already.
    """
    settings = store.settings
    if not monitor_file(settings).exists() or stage != monitored_stage(settings):
        return ""
    from notebooks_lib.release import endpoint_monitor  # it imports the Azure SDK

    try:
        return endpoint_monitor.move_monitor(store, model)
    except Exception as error:  # noqa: BLE001 - whatever it is, the stage has changed, and its change must not fail
        cause = str(error) if isinstance(error, NbopsError) else reason(error, 300)
        return f"warning: the monitor still watches what served before ({cause}); next: nbops azure schedule apply"
