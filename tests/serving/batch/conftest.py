"""A project with a registered model, whose champion scores batches."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from notebooks_lib.models import champions, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect
from tests.serving.conftest import models  # noqa: F401 - saved once for all workers


def register(project: Settings, name: str, folder: Path, *, champion: bool = True) -> Version:
    """Make a saved model a version of a registered model."""
    from notebooks_lib.tags import Tag

    store = connect(project)
    if name not in registry.models(store):
        store.client.create_registered_model(name)
    made = store.client.create_model_version(name, str(folder), run_id=None)
    store.client.set_model_version_tag(name, made.version, Tag.READY, "predicted")
    version = registry.get(store, name, made.version)
    if champion:
        champions.mark_champion(store, version, reason="first")
    return version


ROWS = pd.DataFrame({"age": [0.5, -1.0, 2.25, 0.0], "bmi": [1.0, 0.5, -0.25, 3.0], "bp": [0.0, 0.125, 1.0, -2.0]})


@pytest.fixture
def scoring(project: Settings, models: dict[str, Path]) -> Settings:  # noqa: F811
    """A project whose model `table` takes age, bmi and bp."""
    register(project, "table", models["table"])
    return project
