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
        ("arbitrary===2004d", {"arbitrary": "2004d"}),
        ("range>=1,<2", {}),
        ("family==1.*", {}),
        ("no name at all ==", {}),
    ],
)
def test_a_requirement_counts_if_it_names_one_version_and_holds_here(line: str, expected: dict[str, str]) -> None:
    assert pinned_versions.parse_pins([line]) == expected


@pytest.mark.parametrize(
    "lock",
    [
        "NumPy==2.0.0  # via pandas\n",
        "numpy==2.0.0 --hash=sha256:00 --hash=sha256:01\n",
        "numpy==2.0.0 \\\r\n    --hash=sha256:00 \\\r\n    --hash=sha256:01\r\n    # via pandas\r\n",
        "numpy===2.0.0",
        "\ufeffnumpy==2.0.0\n",
        "  numpy == 2.0.0 ; python_version > '3'\n",
        "# by uv\n--index-url https://example.org/simple\n-e .\nnumpy==2.0.0\nonly-there>=1; sys_platform == 'none'\n",
    ],
)
def test_a_lock_is_read_in_all_its_forms(lock: str) -> None:
    assert (pinned_versions.parse_lock(lock), pinned_versions.find_unread_lines(lock)) == ({"numpy": "2.0.0"}, [])


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=2",
        "numpy==2.*",
        "numpy @ https://example.org/numpy-2.0.0-py3-none-any.whl",
        "./vendored",
        "-r more.txt",
        "-c limits.txt",
        "-e git+https://example.org/numpy.git",
        "no name at all ==",
        "n\0u\0m\0p\0y\0=\0=\0",  # of UTF-16
    ],
)
def test_lines_that_name_no_version_to_compare_with(line: str) -> None:
    lock = f"a==1\n{line}  # why\nb==1\n"
    assert (pinned_versions.parse_lock(lock), pinned_versions.find_unread_lines(lock)) == ({"a": "1", "b": "1"}, [line])


def test_a_pin_that_is_no_version_is_another_one_than_is_installed() -> None:
    assert list(pinned_versions.find_other_versions({"numpy": "2004d-x"})) == ["numpy"]
