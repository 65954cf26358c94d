"""Say what would come of a rollout, stage by stage, without changing anything."""

from __future__ import annotations

from notebooks_lib.errors import EndpointError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.release import version_deployment
from notebooks_lib.release.rollout import Rollout, continue_command
from notebooks_lib.release.stage_requirements import admission_refusal
from notebooks_lib.serving import targets
from notebooks_lib.tracking import query

OVER = "would not come to that"
"""Text of the steps of a dry run behind the stage in which the rollout would end."""


def predict_outcome(rollout: Rollout, stage: str) -> str:
    """Return, in a dry run, why the version would not enter a stage or is already there; empty if it would enter.

    If the rollout would end in this stage, `rollout.ends` is set to the reason.
    """
    name = rollout.store.settings.stages.endpoint(stage, rollout.model)
    if rollout.ends:
        return f"{OVER}: {rollout.ends}"
    if not rollout.promoting:
        return _after(rollout, stage, name)
    mine = champions.champion(rollout.store, rollout.model, stage)
    if mine is not None and mine.run_id == rollout.candidate:
        passed = rollout.store.settings.stages.of(stage).empty_after
        done = "has passed already" if passed else "is its champion already, and would be asked for known rows"
        return f"version {mine.version} {done}"
    run = query.get_run(rollout.store, rollout.candidate) if rollout.candidate else None
    refused = admission_refusal(rollout, stage, run) or _unable(rollout, stage)
    approval = rollout.store.settings.stages.of(stage).approval
    if refused:
        rollout.ends = f"{stage} would refuse it"
        return f"would be refused: {refused}"
    if approval:
        rollout.ends = f"it would wait for an approval before {stage}"
        return f"would wait for an approval: {continue_command(rollout.model)}"
    return ""


def _after(rollout: Rollout, stage: str, name: str) -> str:
    """Return what is done for a champion that stays."""
    if rollout.version is None:
        return "nothing to deploy: there is no champion"
    if stage != PROD:
        return "nothing to do: the champion of prod stays"
    return f"version {rollout.version.version} stays: endpoint {name!r} would be started if it does not run, and asked"


def _unable(rollout: Rollout, stage: str) -> str:
    """Return why there is no slot for the version; empty when there is one."""
    endpoint = targets.stage_endpoint(rollout.store.settings, stage, rollout.model)
    status = version_deployment.endpoint_status(endpoint)
    versions = registry.versions(rollout.store, rollout.model)
    if any(v.run_id == rollout.candidate and version_deployment.slot_holding(status, v) for v in versions):
        return ""
    try:
        endpoint.idle_slot()
    except EndpointError as error:
        return str(error)
    return ""
