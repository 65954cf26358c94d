"""A model's packages are pinned to what made it; requirements that differ from what is here are faults."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from notebooks_lib.models import requirements


def test_an_environment_that_drifted_from_the_lock_is_told_and_pinned_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("scikit-learn==0.1 \\\n    --hash=sha256:00\nnumpy==0.2 ; python_full_version < '3'\n")
    with caplog.at_level(logging.WARNING):
        pinned = requirements.pinned_requirements(["scikit_learn", "numpy", "no-such-package"], lock)

    import sklearn

    assert pinned == [f"numpy=={np.__version__}", f"scikit-learn=={sklearn.__version__}"]
    assert "scikit-learn" in caplog.text
    assert "numpy" not in caplog.text, "its pin is for another Python"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{name}=={version}", ""),
        ("{name}=={version} ; python_version >= '3'", ""),
        ("nowhere==1 ; python_version < '3'", ""),
        ("# a comment", ""),
        ("{name}", "pins no version"),
        ("{name}>={version}", "pins no version"),
        ("{name}==1.*", "pins no version"),
        ("{name}==0.0.1", "here it is"),
        ("not-installed-anywhere==1.0", "neither installed nor locked"),
        ("locked-only==1.0", ""),
        ("locked-only==1.1", "here it is 1.0"),
        ("git+https://example.org/x", "no requirement"),
    ],
)
def test_a_requirement_is_known_when_it_is_pinned_to_what_is_here(tmp_path: Path, line: str, fault: str) -> None:
    import click

    lock = tmp_path / "requirements.lock"
    lock.write_text("locked-only==1.0\n")
    version = requirements._installed("click")
    assert click
    faults = requirements.requirement_faults([line.format(name="click", version=version)], lock)
    assert (fault in faults[0]) if fault else not faults
