"""Says for a dry run what a stage would do with a version, refuse it or wait for an approval, too. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.errors import EndpointError
from notebooks_lib.models import champions, registry
from notebooks_lib.models.champions import PROD
from notebooks_lib.release import admission, slots
from notebooks_lib.release.rollout import continuing
from notebooks_lib.serving import endpoint
from notebooks_lib.tracking import query

if TYPE_CHECKING:
    from notebooks_lib.release.rollout import Way

OVER = "would not come to that"


def foreseen(way: Way, stage: str) -> str:
    """Why the version would not come into a stage, or is there; empty when it would. Where the way would end here, it
    says so from now on."""
    name = way.store.settings.stages.endpoint(stage, way.model)
    if way.ends:
        return f"{OVER}: {way.ends}"
    if not way.promoting:
        return _after(way, stage, name)
    mine = champions.champion(way.store, way.model, stage)
    if mine is not None and mine.run_id == way.candidate:
        passed = way.store.settings.stages.of(stage).empty_after
        done = "has passed already" if passed else "is its champion already, and would be asked for known rows"
        return f"version {mine.version} {done}"
    run = query.get_run(way.store, way.candidate) if way.candidate else None
    refused = admission.refusal(way, stage, run) or _unable(way, name)
    approval = way.store.settings.stages.of(stage).approval
    if refused:
        way.ends = f"{stage} would refuse it"
        return f"would be refused: {refused}"
    if approval:
        way.ends = f"it would wait for an approval before {stage}"
        return f"would wait for an approval: {continuing(way.model)}"
    return ""


def _after(way: Way, stage: str, name: str) -> str:
    """What is done for a champion that stays."""
    if way.version is None:
        return "nothing to deploy: there is no champion"
    if stage != PROD:
        return "nothing to do: the champion of prod stays"
    return f"version {way.version.version} stays: endpoint {name!r} would be started if it does not run, and asked"


def _unable(way: Way, name: str) -> str:
    """Why there is no slot for it."""
    status = slots.status(way.store, name)
    known = (each for each in registry.versions(way.store, way.model) if each.run_id == way.candidate)
    if any(slots.holding(status, each) for each in known):
        return ""
    try:
        endpoint.idle(way.store.settings, name)
    except EndpointError as error:
        return str(error)
    return ""
