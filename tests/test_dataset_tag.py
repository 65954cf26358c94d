"""The tag of a dataset is written as version 0.1 wrote it, and any text in its place can be read."""

from __future__ import annotations

import pytest

from notebooks_lib import dataset_tag
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import DatasetError
from notebooks_lib.tags import Tag

FINGERPRINT = "0123456789ab" + 52 * "c"


def test_the_text_is_that_of_every_store_so_far() -> None:
    tag = DatasetTag.of("sales-eu", 3, FINGERPRINT)
    assert str(tag) == f"sales-eu@3#{FINGERPRINT}"
    assert DatasetTag.parse(str(tag)) == tag
    assert (tag.ref, tag.version(), tag.short_fingerprint) == ("sales-eu@3", ("sales-eu", 3), "0123456789ab")


@pytest.mark.parametrize(
    "text", ["", "sales", "sales@3", f"sales#{FINGERPRINT}", "sales@3#12", f"Sales@x#{FINGERPRINT}"]
)
def test_what_names_no_version_is_read_and_said_when_its_version_is_asked_for(text: str) -> None:
    tag = DatasetTag.parse(text)
    with pytest.raises(DatasetError, match="names no dataset; it looks like name@version#fingerprint"):
        tag.version()


def test_the_datasets_of_a_run_are_those_of_its_tags() -> None:
    tags = {Tag.DATASET_PREFIX + "sales": f"sales@3#{FINGERPRINT}", Tag.MODEL: "model", Tag.DATASET_PREFIX + "x": "odd"}
    assert dataset_tag.of_run(tags) == (DatasetTag("sales@3", FINGERPRINT), DatasetTag("odd", ""))
