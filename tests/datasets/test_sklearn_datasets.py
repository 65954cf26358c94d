"""scikit-learn's tables are the same datasets, with the same parts, on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import loader
from notebooks_lib.datasets.sklearn_datasets import SklearnDatasets
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Data

GOLDEN = {
    "breast_cancer": ("68a0603e33adf67d", "f67ed7e3219e9b70"),
    "diabetes": ("3cc8a7e86fbcfe2a", "10cbb52d9d2c6e57"),
    "digits": ("ebe59d7772ad9c3d", "b270700c5594a1da"),
    "iris": ("52680774ddf92c53", "81abbcffe1a2a392"),
    "linnerud": ("25d79d31e0eb9420", "2d08ecb3b5af502e"),
    "wine": ("81dd6988795abbce", "112b79aaf7a92fe0"),
}
"""Fingerprint, and sha256 of the row numbers of train, both shortened. They are the same on every machine, for good."""


@pytest.mark.parametrize("name", GOLDEN)
def test_scikit_learns_tables_have_the_same_fingerprint_and_parts_everywhere(
    empty_project: Settings, name: str
) -> None:
    opened = loader.open_table(name, empty_project)
    train = np.flatnonzero(opened.masks["train"]).astype("<i8")
    assert (opened.metadata.fingerprint[:16], hashlib.sha256(train.tobytes()).hexdigest()[:16]) == GOLDEN[name]


def test_every_table_that_scikit_learn_ships_is_known_and_none_that_it_fetches() -> None:
    assert set(SklearnDatasets().names()) >= set(GOLDEN)
    assert not {"files", "svmlight_file", "sample_image"} & set(SklearnDatasets().names())


def test_a_last_bit_that_differs_between_machines_moves_nothing(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn import datasets as shipped

    real = shipped.load_diabetes

    def elsewhere(*, as_frame: bool = False) -> object:
        bunch = real(as_frame=as_frame)
        bunch.frame["bmi"] = np.nextafter(bunch.frame["bmi"], 1.0)
        return bunch

    monkeypatch.setattr(shipped, "load_diabetes", elsewhere)
    test_scikit_learns_tables_have_the_same_fingerprint_and_parts_everywhere(empty_project, "diabetes")


def test_parts_of_a_bundled_table_do_not_follow_the_settings(empty_project: Settings) -> None:
    other = empty_project.model_copy(update={"data": Data(validation_share=0.1, holdout_share=0.1)})
    assert len(datasets.load("iris", other).train) == len(datasets.load("iris@1", empty_project).train)
