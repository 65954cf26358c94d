"""A template imports what the table and the settings allow, and never the user's own code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernels.building import Kernel
from tests.kernels.templates import Environment, early, start

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


UNKNOWN = {
    "keeps_open": ("KEPT = open", "type(m.KEPT).__name__"),
    "keeps_a_shell": ("from IPython import get_ipython as _ask; SHELL = _ask()", "type(m.SHELL).__name__"),
    "patches": (
        "import builtins, threading\nclass T(threading.Thread): pass\nthreading.Thread = T",
        "m.threading.Thread is m.T",
    ),
    "reads": ("SEEN = sorted(n for n in os.environ if n in ('JPY_PARENT_PID', 'NO_COLOR', 'TERM'))", "m.SEEN"),
    "prints": ("print('hello')", "'said'"),
    "folder": ("HERE = os.getcwd()", "m.HERE == os.getcwd()"),
    "native": ("TASKS = len(os.listdir('/proc/self/task'))", "m.TASKS > 1"),
    "errors": ("import warnings; warnings.simplefilter('error', FutureWarning)", "m.warnings.filters[0][0]"),
    "socket": ("import socket; KEPT = socket.socketpair()", "m.KEPT[0].fileno() > 2"),
    "lock": ("import multiprocessing; LOCK = multiprocessing.Lock()", "m.LOCK.acquire(timeout=1)"),
}


CHANCE = "import random, secrets, uuid, numpy; DRAWN = [random.Random().random(), secrets.token_hex(8), uuid.uuid4().hex, numpy.random.default_rng().random()]"


@pytest.mark.proof
def test_what_is_not_in_the_table_each_kernel_imports_itself(folder: Path, environment: Environment) -> None:
    """Whatever an import does, it does in a warm kernel what it does in any, however often notebooks import it."""
    for name, (code, _) in {**UNKNOWN, "chance": (CHANCE, "")}.items():
        environment.write(f"own_{name}", more=code, known=False)
    ask = f"import importlib, os\nm = None\nfound = {{}}\nfor name, look in {[(n, look) for n, (_, look) in UNKNOWN.items()]!r}:\n    m = importlib.import_module('own_' + name)\n    found[name] = (repr(eval(look)), m.IMPORTED_BY == os.getpid())\nimport own_chance"
    told: list[tuple[Any, ...]] = []
    drawn: set[object] = set()
    for kind in (False, True, True):
        with Kernel(
            folder, warm=kind, env={"PYTHON_OF_TEST": folder.name, "NO_COLOR": "1"}, specs=[str(environment.specs)]
        ) as kernel:
            assert kernel.warm == kind
            done = kernel.run(ask)
            told.append((done.error, done.stdout, kernel.value("found")))
            drawn.update(kernel.value("own_chance.DRAWN"))
            kernel.shut_down()
    assert told[1:] == [told[0]] * 2
    assert len(drawn) == 12


@pytest.mark.proof
def test_an_import_of_one_notebook_does_not_change_another(folder: Path) -> None:
    """Dask's dataframes turn an option of pandas off."""
    for code in ("import dask.dataframe", "import dask.dataframe", "import pandas"):
        with start(folder) as kernel:
            assert kernel.run(code).error == ""
            option = kernel.value("pandas.get_option('compute.use_numexpr')", "import pandas")
            assert option is (code == "import pandas")
            assert kernel.shut_down() == 0


def test_the_users_own_code_is_never_in_a_template(folder: Path, environment: Environment) -> None:
    """Beside the notebook, on PYTHONPATH, installed in editable mode or as a copy from a folder: all can change."""
    library, checkout = folder / "library", folder / "checkout"
    library.mkdir()
    checkout.mkdir()
    code = "import fine_two\nVERSION = {!r}"
    places = {"beside": folder, "on_path": library, "editable": checkout, "copied": environment.site}
    for name, place in places.items():
        (place / f"{name}.py").write_text(code.format("1"))
    (environment.site / "_editable.pth").write_text(str(checkout))
    environment.write("fine_two")
    for name in ("editable", "copied"):
        info = environment.site / f"{name}-1.dist-info"
        info.mkdir()
        (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
        (info / "RECORD").write_text(f"{name}.py,,\n{name}-1.dist-info/RECORD,,\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    names = list(places)
    for version in ("1", "two", "three"):
        for name, place in places.items():
            (place / f"{name}.py").write_text(code.format(version))
        with start(folder, environment, PYTHONPATH=str(library)) as kernel:
            assert kernel.warm
            assert kernel.value(f"[name for name in {names} if name in sys.modules]", "import sys") == []
            found = kernel.value(f"[importlib.import_module(name).VERSION for name in {names}]", "import importlib")
            assert found == [version] * 4
            assert early(kernel, "fine_two") == {"fine_two": version != "1"}
            kernel.shut_down()


@pytest.mark.proof
def test_settings_pin_and_forbid(folder: Path, environment: Environment) -> None:
    environment.write("pinned_one", known=False)  # at the user's word
    environment.write("forbidden_one")
    settings = '[kernels]\npreload = ["pinned_one"]\nnever = ["forbidden_one"]\n'
    (folder / "production" / "settings.toml").write_text(settings)
    for _ in range(2):
        with start(folder, environment) as kernel:
            assert early(kernel, "pinned_one", "forbidden_one") == {"pinned_one": True, "forbidden_one": False}
    (folder / "production" / "settings.toml").write_text("[kernels]\nwarm = false\n")
    with start(folder, environment) as kernel:
        assert not kernel.warm
        assert kernel.value("os.getppid()", "import os") == os.getpid()


def test_what_python_does_at_its_start_is_done_in_each_kernel(folder: Path, home: Path) -> None:
    """A sitecustomize that starts a thread, sets variables, and draws a number."""
    library = folder / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(
        "import os, random, threading, time\nos.environ.setdefault('SITE_SET', 'site')\nos.environ['SITE_OTHER'] = 'site'\n"
        "DRAWN = random.random()\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='monitor').start()\n"
    )
    ask = "os.environ['SITE_SET'], os.environ['SITE_OTHER'], 'monitor' in [t.name for t in threading.enumerate()]"
    told = []
    for warm in (False, True):
        env = {"PYTHON_OF_TEST": folder.name, "PYTHONPATH": "library", "SITE_SET": "user"}
        with Kernel(folder, warm=warm, env=env) as kernel:
            told.append(kernel.value(ask, "import os, threading"))
            assert not kernel.warm
    assert told[0] == told[1] == ("user", "site", True)


def test_a_variable_that_a_package_sets_is_there_unless_the_user_has_set_it(
    folder: Path, environment: Environment
) -> None:
    environment.write("sets", more="os.environ['SETS_A'] = os.environ['SETS_B'] = 'package'")
    with start(folder, environment) as kernel:
        own = "'threadpoolctl' in sys.modules, os.environ.get('KMP_DUPLICATE_LIB_OK')"
        assert kernel.value(own, "import os, sys") == (False, None), "the template imports it for itself"
        assert kernel.value(own, "import threadpoolctl") == (True, "True"), "as in an ordinary kernel"
        kernel.run("import sets")
        kernel.shut_down()
    with start(folder, environment, SETS_A="user") as kernel:
        assert early(kernel, "sets") == {"sets": True}
        assert kernel.value("os.environ['SETS_A'], os.environ['SETS_B']") == ("user", "package")


@pytest.mark.proof
def test_a_plugin_that_is_not_in_the_table_waits_for_the_fork(folder: Path, environment: Environment) -> None:
    """So that it is never older than its file, and sees the kernel's environment."""
    environment.write("own_plugin", more="class Plugin:\n    made_by = os.getpid()", known=False)
    info = environment.site / "own_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own_plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[nbops.test]\nplugin = own_plugin:Plugin\n")
    finds = "import importlib.metadata\n(entry,) = importlib.metadata.entry_points(group='nbops.test')\n"
    environment.write("finds_plugins", more=f"{finds}PLUGIN = entry.load()()")
    with start(folder, environment) as kernel:
        assert kernel.run("import finds_plugins").error == ""
        assert kernel.shut_down() == 0
    with start(folder, environment) as kernel:
        assert early(kernel, "finds_plugins") == {"finds_plugins": True}
        assert kernel.value("finds_plugins.PLUGIN.made_by == os.getpid()", "import finds_plugins, os")
