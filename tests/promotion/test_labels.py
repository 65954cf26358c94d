"""A model whose classes are not those of the data is refused with both."""

from __future__ import annotations

import numpy as np
import pytest

from notebooks_lib.errors import ModelError
from notebooks_lib.metrics.metric import Truth
from notebooks_lib.promotion import scoring


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ([0, 1], ["no", "yes"]),
        ([False, True], ["no", "yes"]),
        (["0", "1"], [0, 1]),
        (["No", "Yes"], ["no", "yes"]),
        ([1, 2, 3], ["a", "b", "c"]),
        (["<=50K", ">50K"], [0, 1]),
        ([-1, 1], ["bad", "good"]),
        ([0.0, 1.0], ["0.0", "1.0"]),
        (["yes "], ["no", "yes"]),
        ([10], [1, 2]),
    ],
)
def test_labels_of_another_kind_are_named(known: list[object], wanted: list[object]) -> None:
    classes = np.array(wanted)
    with pytest.raises(ModelError, match="the model knows the classes .*, and the data have ") as caught:
        scoring._check_classes(np.array(known), Truth(classes[:1], classes))
    assert all(repr(np.array(each)[0].item()) in str(caught.value) for each in (known, wanted))


def test_a_model_that_has_not_seen_every_class_is_none_of_them() -> None:
    classes = np.array(["a", "b", "c"])
    scoring._check_classes(np.array(["a", "b"]), Truth(classes[:1], classes))
