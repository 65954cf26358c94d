"""A model's folder is whole in itself, its digest covers every file, and what of it is code is known before it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.errors import ModelError
from notebooks_lib.models import model_files, model_folder, trusted_flavors

SKOPS = {
    "sklearn": {
        "serialization_format": "skops",
        "pickled_model": "model.skops",
        "skops_trusted_types": ["sklearn.x.Y"],
    },
    "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.skops", "env": {"conda": "conda.yaml"}},
}


CODE_OF_LIBRARIES = [
    "numpy.testing._private.utils.runstring", "numpy.load", "numpy.fromfile", "numpy.f2py.compile", "numpy.memmap",
    "numpy.ctypeslib._ctypeslib.load_library", "scipy.stats._distn_infrastructure.rv_continuous",
    "scipy.stats._continuous_distns.norm_gen", "scipy._lib._testutils.PytestTester", "scipy.io._netcdf.netcdf_file",
    "sklearn.utils._testing._delete_folder", "sklearn.datasets._base._fetch_remote", "sklearn.externals.x.y",
    "sklearn.tests.test_base.MyEstimator", "sklearn.ensemble.tests.x.Y", "sklearn", "numpyx.y",
]  # fmt: skip


def lightgbm(**keys: Any) -> dict[str, Any]:
    return {
        "lightgbm": {"data": "model.lgb", **keys},
        "python_function": {"loader_module": "mlflow.lightgbm", "data": "model.lgb"},
    }


def folder_of(tmp_path: Path, flavors: Any = SKOPS) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    (folder / "model.skops").write_bytes(b"weights")
    return folder


def changed(flavor: str, **keys: Any) -> dict[str, Any]:
    return {**SKOPS, flavor: {**SKOPS.get(flavor, {}), **keys}}


@pytest.mark.parametrize(
    ("flavors", "words"),
    [
        (SKOPS, ""),
        (changed("sklearn", serialization_format="cloudpickle"), "a pickle"),
        (changed("sklearn", serialization_format="pickle"), "a pickle"),
        (changed("sklearn", serialization_format=None), "a pickle"),
        (changed("sklearn", skops_trusted_types=["os.system"]), "os.system"),
        (changed("sklearn", skops_trusted_types=["sklearn.x.Y", "helper.Thing"]), "helper.Thing"),
        (changed("sklearn", skops_trusted_types="sklearn.x.Y"), "sklearn.x.Y"),
        (changed("sklearn", skops_trusted_types=True), "True"),
        (changed("sklearn", skops_trusted_types=["sklearn.neighbors._kd_tree.KDTree64"]), ""),
        (changed("sklearn", skops_trusted_types=["numpy.nan_to_num"]), ""),
        *((changed("sklearn", skops_trusted_types=[name]), name) for name in CODE_OF_LIBRARIES),
        (changed("python_function", data="deep/weights"), "a folder of its own"),
        (changed("python_function", model_path="deep/model.skops"), "a folder of its own"),
        (changed("sklearn", pickled_model=r"deep\\model.skops"), "a folder of its own"),
        (lightgbm(), ""),
        (lightgbm(model_class="lightgbm.basic.Booster"), ""),
        (lightgbm(model_class="lightgbm.sklearn.LGBMClassifier"), "a pickle"),
        (lightgbm(model_class="lightgbm.sklearn.LGBMClassifier", serialization_format="cloudpickle"), "a pickle"),
        (
            lightgbm(
                model_class="lightgbm.sklearn.LGBMModel", serialization_format="skops", skops_trusted_types=["os.x"]
            ),
            "os.x",
        ),
        (changed("sklearn", code="code"), "modules of its own"),
        (changed("python_function", code="code"), "modules of its own"),
        (changed("python_function", loader_module="helper"), "loader_module 'helper'"),
        (changed("python_function", loader_module="mlflow.pyfunc.model"), "loader_module"),
        (changed("python_function", loader_module="mlflow.xgboost"), "loader_module"),
        (changed("python_function", model_code_path="model.py"), "modules of its own"),
        ({"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "x"}}, "python_function"),
        ({"pytorch": {}, "python_function": {"loader_module": "mlflow.pytorch"}}, "pytorch"),
        (changed("statsmodels", data="x"), "statsmodels"),
        (
            {
                "xgboost": {"model_class": "xgboost.sklearn.XGBRegressor"},
                "python_function": {"loader_module": "mlflow.xgboost"},
            },
            "",
        ),
        (
            {"xgboost": {"model_class": "helper.Thing"}, "python_function": {"loader_module": "mlflow.xgboost"}},
            "helper.Thing",
        ),
    ],
)
def test_what_of_a_model_is_code_is_said(flavors: Any, words: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, flavors)
    said = trusted_flavors.code_in(folder)
    assert words in said
    assert bool(said) == bool(words)
    name = model_folder.library_flavor(folder)
    trusted_flavors.check_folder_trusted(folder, [name], "it")
    if words:
        with pytest.raises(ModelError, match=rf'trusted_flavors = \["{name}"\]'):
            trusted_flavors.check_folder_trusted(folder, ["another"], "it")
    else:
        trusted_flavors.check_folder_trusted(folder, [], "it")


@pytest.mark.parametrize(
    "name",
    ["a.py", "a.pkl", "deep/a.so", "__pycache__/a.cpython-311.pyc", "A.PICKLE", "a.joblib", "a.pt", "code/x.pyd"],
)
def test_a_file_that_may_be_code_counts_wherever_it_lies(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    before = model_files.read_model_files(folder).sha256
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert name in trusted_flavors.code_in(folder)
    assert model_files.read_model_files(folder).sha256 != before


@pytest.mark.parametrize(
    ("name", "content", "counts"),
    [
        ("registered_model_meta", b"model_name: diabetes\nmodel_version: '3'\n", False),
        ("registered_model_meta", b"model_version: 3\nmodel_name: diabetes", False),
        ("registered_model_meta", b"model_name: diabetes\nmodel_version: '3'\ncos\nsystem\n", True),
        ("registered_model_meta", b"\x80\x04.", True),
        ("registered_model_meta", b"model_name: " + b"x" * 2000 + b"\nmodel_version: 1\n", True),
        ("deep/registered_model_meta", b"model_name: diabetes\nmodel_version: '3'\n", True),
        ("registered_model_meta/x", b"", True),
        (".hidden", b"", True),
        ("__pycache__/model.pkl", b"", True),
        ("empty.txt", b"", True),
    ],
)
def test_the_digest_covers_every_file(name: str, content: bytes, counts: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    before = model_files.read_model_files(folder).sha256
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    assert (model_files.read_model_files(folder).sha256 != before) == counts


def link_to(target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "link").symlink_to(target)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize(
    "plant",
    [
        link_to("/etc/passwd"),
        link_to("../outside"),
        link_to("model.skops"),
        link_to("/nowhere"),
        link_to("."),
        lambda folder: os.mkfifo(folder / "pipe"),
        lambda folder: ((folder / "deep").mkdir(), (folder / "deep" / "link").symlink_to("/etc")),
    ],
)
def test_a_folder_that_reaches_out_of_itself_is_refused(plant: Callable[[Path], Any], tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    plant(folder)
    for read in (model_folder.check_folder, model_files.read_model_files):
        with pytest.raises(ModelError, match=r"a link to|neither a file nor a folder") as caught:
            read(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("code", "../code", False),
        ("data", "/etc/passwd", False),
        ("model_path", "a/../../b", False),
        ("pickled_model", r"..\model.pkl", False),
        ("model_path", r"C:\model.pkl", False),
        ("model_path", r"\\host\share\model.pkl", False),
        ("artifacts", {"x": {"path": "../x"}}, False),
        ("code", ["code", "/opt/code"], False),
        ("artifacts", {"x": {"path": "artifacts/x", "uri": "/where/it/came/from"}}, True),
        ("data", "data/model..bin", True),
        ("predict_fn", "predict", True),
    ],
)
def test_no_path_leads_out_of_the_folder(key: str, value: Any, right: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, changed("python_function", **{key: value}))
    if right:
        model_folder.check_folder(folder)
    else:
        with pytest.raises(ModelError, match="out of the model's folder"):
            model_folder.check_folder(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "5", "flavors: 5", "flavors: {a: 5}", "{", "\x00", "a: !!python/object:os.x {}"]
)
def test_a_description_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "MLmodel").write_text(text)
    with pytest.raises(ModelError, match="MLmodel") as caught:
        model_folder.check_folder(folder)
    assert "\n" not in str(caught.value)


def test_another_description_within_the_folder_is_code(tmp_path: Path) -> None:
    """MLflow reads it for what `data` names, and with it how to load that."""
    folder = folder_of(tmp_path, changed("python_function", data="deep"))
    (folder / "deep").mkdir()
    (folder / "deep" / "MLmodel").write_text("flavors: {sklearn: {serialization_format: pickle}}")
    assert "deep/MLmodel" in trusted_flavors.code_in(folder)


def test_no_path_of_the_example_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    described = {"flavors": SKOPS, "saved_input_example_info": {"serving_input_path": "../../secret.json"}}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(ModelError, match="out of the model's folder"):
        model_folder.check_folder(folder)


@pytest.mark.parametrize(
    "text",
    [
        "flavors: {sklearn: {a: &a0 [x, x], "
        + ", ".join(f"b{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))
        + "}}",
        "flavors: {sklearn: {a: &a [x, *a]}}",
    ],
)
def test_aliases_without_end_are_read_once(text: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "MLmodel").write_text(text)
    model_folder.check_folder(folder)
    (folder / "MLmodel").write_text(text.replace("x", "/x").replace("a:", "uri:", 1).replace("}}", ", code: *a0}}"))
    if "a0" in text:
        with pytest.raises(ModelError, match="out of the model's folder"):
            model_folder.check_folder(folder)
