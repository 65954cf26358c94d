"""What tells a tracking store from all others, so that an endpoint that others reach is released by one store only."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from notebooks_lib import safe_text
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import lock_claim, release_ledger
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

LONGEST = 256
"""Characters that a tag of Azure holds."""


def store_identity(store: Store) -> str:
    """Return the address of a server or workspace; for a file of this machine a name that is drawn once and kept in it.

    A copy of a file has the same name. Raises TrackingError.
    """
    if not store.local:
        address = safe_text.masked(store.uri)
        _, workspace, rest = address.partition("/subscriptions/")
        return f"{workspace}{rest}".lower()[:LONGEST] if workspace else address[:LONGEST]
    with translate_store_errors(store):
        experiment = store.experiment_id(lock_claim.EXPERIMENT)
        if Tag.STORE_NAME not in store.client.get_experiment(experiment).tags:
            name = f"{uuid.uuid4().hex[:12]}, a file of {release_ledger.acting_user()}"[:LONGEST]
            store.client.set_experiment_tag(experiment, Tag.STORE_NAME, name)
        return str(store.client.get_experiment(experiment).tags[Tag.STORE_NAME])
