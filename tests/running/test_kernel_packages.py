"""The packages that a run records are those of its kernel, also of one of another environment."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from notebooks_lib.errors import NotebookError
from notebooks_lib.paths import Layout
from notebooks_lib.running.kernel_packages import has_environment_of_nbops, lock_installed
from notebooks_lib.running.kernel_process import find_kernel
from tests.notebooks.building import code, notebook

NUMPY = importlib.metadata.version("numpy")
IPYKERNEL = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    (tmp_path / "requirements.lock").write_text(f"numpy=={NUMPY}\n")
    return Layout(tmp_path)


def write_kernel(layout: Layout, argv: list[str], **more: object) -> None:
    folder = layout.root / "jupyter" / "kernels" / "other"
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "other", "language": "python", **more}
    (folder / "kernel.json").write_text(json.dumps(spec))


@pytest.mark.parametrize("python", [sys.executable, "python3"])
def test_a_kernel_of_this_environment_has_its_packages(layout: Layout, python: str) -> None:
    write_kernel(layout, [python, "-Xfrozen_modules=off", *IPYKERNEL])
    assert lock_installed(layout, "other", layout.root) == lock_installed(layout, "python3", layout.root) == "true"
    layout.lock.unlink()
    assert lock_installed(layout, "other", layout.root) == ""


def test_a_kernel_of_another_environment_is_asked(layout: Layout) -> None:
    metadata = layout.root / "packages" / "numpy-1.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0.0\n")
    write_kernel(layout, [sys.executable, *IPYKERNEL], env={"PYTHONPATH": str(metadata.parents[1])})
    assert lock_installed(layout, "other", layout.root) == f"numpy 1.0.0, locked {NUMPY}"
    assert [has_environment_of_nbops(name) for name in ("python3", "other")] == [True, False]
    layout.lock.write_text("numpy==1.0.0\n")
    assert lock_installed(layout, "other", layout.root) == "true"


def test_a_file_beside_the_notebook_is_not_what_python_imports(layout: Layout) -> None:
    (layout.root / "json.py").write_text("raise SystemExit('imported')")
    write_kernel(layout, [sys.executable, *IPYKERNEL], env={"PYTHONHASHSEED": "0"})
    assert lock_installed(layout, "other", layout.root) == "true"


@pytest.mark.parametrize("content", ["{", "[]", '{"argv": 1}', "\xff"])
def test_a_damaged_kernel_is_one_line(layout: Layout, content: str) -> None:
    write_kernel(layout, [sys.executable, *IPYKERNEL])
    (layout.root / "jupyter" / "kernels" / "other" / "kernel.json").write_text(content, "latin-1")
    with pytest.raises(
        NotebookError, match=r"kernel 'other' is damaged, .*kernel.json cannot be read \(.+\): mend"
    ) as raised:
        find_kernel(notebook(code("1")), "other")
    assert "\n" not in str(raised.value)
    assert lock_installed(layout, "other", layout.root).startswith("not known: ")


@pytest.mark.parametrize(
    ("argv", "more"),
    [
        (["conda", "run", "python", *IPYKERNEL], {}),
        (["/no/such/place/bin/python", *IPYKERNEL], {}),
        (["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"], {"language": "R"}),
        ([sys.executable, *IPYKERNEL], {"metadata": {"kernel_provisioner": {"provisioner_name": "remote"}}}),
    ],
)
def test_a_kernel_that_cannot_be_asked_is_not_known(layout: Layout, argv: list[str], more: dict[str, object]) -> None:
    write_kernel(layout, argv, **more)
    says = "not known: kernel 'other' is of another environment, which cannot be asked"
    assert lock_installed(layout, "other", layout.root) == says


def test_another_python_has_other_lines_of_the_lock(layout: Layout) -> None:
    python = layout.root / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("""#!/bin/sh\necho '[["cpython", 2, 7], {}]'\n""")
    python.chmod(0o755)
    write_kernel(layout, [str(python), *IPYKERNEL])
    assert lock_installed(layout, "other", layout.root) == "not known: kernel 'other' has another Python, cpython 2.7"
