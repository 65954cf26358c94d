"""Versions of a model of constants, for the tests of the registry and of champions."""

from __future__ import annotations

import os
import uuid

import pandas as pd
import pytest

from notebooks_lib.models import logged_models, registry
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

ROWS = pd.DataFrame({"bmi": [20.0, 30.0]})


class Constant:
    """Predicts one number, unless the environment says that it is broken."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, X: pd.DataFrame) -> list[float]:
        if "TEST_BROKEN_MODEL" in os.environ:
            raise ValueError("the weights do not fit\nand more")
        return [self.value] * len(X)


@pytest.fixture
def name() -> str:
    """Every test shares the Azure ML workspace."""
    return f"model-{uuid.uuid4().hex[:8]}"


def trained(store: Store, value: float = 1.0) -> str:
    run_id = str(store.client.create_run(store.experiment_id(store.settings.experiment)).info.run_id)
    logged_models.log_model(store, run_id, Constant(value), example=ROWS)
    return run_id


def registered(store: Store, name: str, count: int) -> list[registry.Version]:
    run_id = trained(store)
    source = logged_models.model_of_run(store, run_id).source
    store.client.create_registered_model(name)
    for _ in range(count):  # several of one run, for speed; only the marks matter here
        made = store.client.create_model_version(name, source, run_id)
        store.client.set_model_version_tag(name, made.version, Tag.READY, "predicted")
    return registry.versions(store, name)[::-1]
