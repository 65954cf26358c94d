"""The table of packages that a template may import: what it says is so, for each package that is installed here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.kernels import safe_packages, template_path

PACKAGES: dict[str, dict[str, Any]] = safe_packages.read_table()["packages"]
TABLE = safe_packages.SafePackages(safe_packages.read_table())
ANY = {
    "exit functions",  # run at the end of each kernel, where they find nothing to do
    "warnings",  # filters for warnings of a package's own kinds and messages
    "patch tempfile.tempdir",  # set anew in each kernel
    "keeps RandomState numpy.random.mtrand._rand",  # seeded anew in each kernel
    "keeps SystemRandom secrets._sysrand",  # asks the operating system
    "patch ipykernel.ipkernel._comm_manager",  # of the kernel, without any comm yet
}
"""Changes by many packages that make no difference to a kernel, for the reason beside them."""
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "PIL": "Pillow",
    "mpl_toolkits": "matplotlib",
    "azureml.mlflow": "azureml-mlflow",
}
INSTALLED = [name for name in PACKAGES if importlib.util.find_spec(name.partition(".")[0]) is not None]


def submodules(package: str) -> list[str]:
    """Those that a template may import, by their files; nothing is imported here."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    found = [package]
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).rglob("*")):
            relative = path.relative_to(folder)
            if path.name.endswith((".py", ".so")) and "__pycache__" not in relative.parts:
                parts = [*relative.parts[:-1], relative.name.partition(".")[0]]
                if all(part.isidentifier() for part in parts):
                    found.append(".".join([package, *(part for part in parts if part not in ("__init__", "__main__"))]))
    return [name for name in dict.fromkeys(found) if TABLE.allows(name)]


@pytest.mark.proof
@pytest.mark.notebooks
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux")
@pytest.mark.parametrize("package", INSTALLED)
def test_an_import_changes_nothing_but_what_the_table_says(package: str, tmp_path: Path) -> None:
    """All submodules that may be imported beforehand are, in a process of their own."""
    found = imported(tmp_path, submodules(package))
    assert found["modules"] or package in ("IPython", "ipykernel")
    there = {TABLE.package(name) for name in found["modules"]} - {""}
    allowed = {change for name in there for change in PACKAGES[name].get("changes", ())}
    assert set(found["changes"]) - allowed - ANY == set()
    harmless = {name for entry in there for name in PACKAGES[entry].get("no_matter", ())}
    variables = [name for name in found["variables"] if not name.startswith("NBOPS_")]  # this project's plugin, put off
    unread = {name for name in variables if not TABLE.environment({name: "x"}, "/")}
    assert unread - harmless - set(safe_packages.read_table()["common"]["set_after_the_fork"]) == set()
    assert TABLE.unfit(name for name in found["modules"] if name.partition(".")[0] != "notebooks_lib") is None


def imported(home: Path, modules: list[str]) -> dict[str, Any]:
    (home / "tmp").mkdir()
    environ = {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    script = Path(__file__).with_name("neutrality.py")
    told = subprocess.run(
        [sys.executable, str(script), str(Path(template_path()).parent), *modules],
        cwd=home,
        env=environ,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    return dict(json.loads(told.stdout.rpartition("<<{")[2].rpartition(">>")[0].join(("{", ""))))


def test_each_entry_says_why_and_by_what_test() -> None:
    for name, entry in PACKAGES.items():
        assert entry["why"], name
        assert ("tested" in entry) != ("basis" in entry), name
        if name in INSTALLED:
            assert "tested" in entry, f"{name} is installed here: its conformance test can be run"
        assert not set(entry) - {
            *("why", "only", "except", "brings", "variables", "no_matter", "files", "folder_files"),
            *("changes", "leaves", "tested", "basis"),
        }
        assert "changes" not in entry or "leaves" in entry, name
    for name in INSTALLED:
        version = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
        assert version == PACKAGES[name]["tested"], (
            f"{name}: run `make proof` with the version that is installed, and say so in packages.toml"
        )


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        *((name, True) for name in ("numpy", "numpy.random", "sklearn.ensemble", "mlflow", "mlflow.tracking.client")),
        *((name, True) for name in ("azureml.mlflow", "azureml.mlflow.x", "dask", "dask.array", "optuna.samplers")),
        *((name, False) for name in ("azureml", "torch", "numpyx", "json", "mlflow.pytorch", "optuna.integration")),
        *(
            (name, False)
            for name in ("dask.dataframe", "dask.dataframe.core", "pandas.io.clipboard", "distributed", "mlflow.server")
        ),
        *(
            (name, False)
            for name in ("notebooks_lib", "google.colab", "matplotlib_inline", "sklearn.tests.test_base", "")
        ),
    ],
)
def test_what_a_template_may_import(module: str, allowed: bool) -> None:
    assert TABLE.allows(module) is allowed


def test_settings_add_packages_and_take_them_out() -> None:
    own = safe_packages.SafePackages(safe_packages.read_table(), ["torch"], ["scipy.stats", "yaml"])
    assert [own.allows(name) for name in ("torch", "torch.nn", "scipy.stats", "yaml", "scipy")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert own.unfit(["torch.nn", "numpy"]) is None
    assert own.unfit(["numpy", "yaml.loader"]) == "yaml.loader"


@pytest.mark.parametrize("brought", ["torch", "dask.dataframe", "pandas.io.clipboard", "nobody.knows", "notebooks_lib"])
def test_modules_that_no_import_may_bring_along_are_named(brought: str) -> None:
    assert TABLE.unfit(["numpy.linalg", "json", "ab__mypyc", brought]) == brought


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("src", "/k/src"),
        ("src:lib", "/k/src:/k/lib"),
        (":/a", "/k/:/a"),
        ("/a:", "/a:/k/"),
        ("/a::/b", "/a:/k/:/b"),
        (".", "/k/."),
        ("../up", "/k/../up"),
        ("/a", "/a"),
        ("", ""),
        ("a b/ü", "/k/a b/ü"),
        ("src:/a:.", "/k/src:/a:/k/."),
    ],
)
def test_relative_entries_of_the_search_path_mean_the_kernels_folder(given: str, seen: str) -> None:
    assert TABLE.environment({"PYTHONPATH": given}, "/k") == {"PYTHONPATH": seen}


def test_relative_folders_of_packages_mean_the_kernels_folder_too() -> None:
    given = {"MPLCONFIGDIR": "mpl", "XDG_CACHE_HOME": "./c", "HOME": "/h", "MATPLOTLIBRC": "~/rc", "TMPDIR": ""}
    assert TABLE.environment(given, "/k") == given | {"MPLCONFIGDIR": "/k/mpl", "XDG_CACHE_HOME": "/k/./c"}


RUNS = [
    "SLURM_JOB_ID",
    "AIRFLOW_CTX_DAG_RUN_ID",
    "PARALLEL_SEQ",
    "INVOCATION_ID",
    "BUILDKITE_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "JOB_ID",
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",
    "BUILD_NUMBER",
    "JOURNAL_STREAM",
    "PYTEST_CURRENT_TEST",
    "MLFLOW_RUN_ID",
    "JPY_PARENT_PID",
    "SSH_CONNECTION",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NBOPS_KERNEL",
    "TERM_SESSION_ID",
]


@pytest.mark.parametrize("name", RUNS)
def test_variables_that_differ_from_run_to_run_do_not_choose_the_template(name: str) -> None:
    assert TABLE.environment({name: "1"}, "/") == {}
    assert safe_packages.SafePackages(safe_packages.read_table(), ["torch"]).environment({name: "1"}, "/") == {}


READ = "PYTHONHASHSEED LANG LC_ALL TZ HOME PATH LD_PRELOAD OMP_WAIT_POLICY MKL_CBWR SCIPY_ARRAY_API MPLBACKEND PANDAS_COPY_ON_WRITE"


@pytest.mark.parametrize("name", READ.split())
def test_variables_that_are_read_at_import_choose_the_template(name: str) -> None:
    assert TABLE.environment({name: "/1"}, "/") == {name: "/1"}


def test_what_users_preload_may_read_any_variable() -> None:
    own = safe_packages.SafePackages(safe_packages.read_table(), ["torch"])
    assert own.environment({"CUDA_VISIBLE_DEVICES": "0"}, "/") == {"CUDA_VISIBLE_DEVICES": "0"}
    assert TABLE.environment({"CUDA_VISIBLE_DEVICES": "0"}, "/") == {}
