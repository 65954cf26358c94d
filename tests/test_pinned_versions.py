"""The versions of packages that nbops pins."""

import importlib.metadata

import pytest

from notebooks_lib import pinned_versions


def test_each_pin_of_nbops_is_the_installed_version() -> None:
    pins = pinned_versions.pins()
    assert {"mlflow-skinny", "mlflow"} & pins.keys()
    assert {name: importlib.metadata.version(name) for name in pins} == pins
    assert "distributed" not in pins


def test_packages_of_an_extra_are_named_for_that_extra_only() -> None:
    added = pinned_versions.pins("dask").keys() - pinned_versions.pins().keys()
    assert "distributed" in added


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("uvicorn[standard]==0.30.1", {"uvicorn": "0.30.1"}),
        ("click == 8.1 ; python_version >= '3'", {"click": "8.1"}),
        ("only-elsewhere==1; sys_platform == 'none'", {}),
        ("added==2; extra == 'more'", {}),
        ("range>=1,<2", {}),
        ("family==1.*", {}),
        ("no name at all ==", {}),
    ],
)
def test_a_requirement_counts_if_it_names_one_version_and_holds_here(line: str, expected: dict[str, str]) -> None:
    assert pinned_versions.parse_pins([line]) == expected
