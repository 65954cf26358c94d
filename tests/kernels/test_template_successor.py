"""A template learns what the kernels of a project import, and a copy with all of it takes its place."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from notebooks_lib.kernels import import_history, template_client, template_manager, template_path
from tests.kernels.building import wait
from tests.kernels.templates import Environment, early, memory_of, parent, start, status, templates

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def test_a_package_is_warm_on_its_second_run_without_any_setting(folder: Path, environment: Environment) -> None:
    environment.write("slow_one", more="time.sleep(1)")
    with start(folder, environment) as kernel:
        assert early(kernel, "slow_one") == {"slow_one": False}
        assert kernel.shut_down() == 0
    with start(folder, environment) as kernel:
        assert kernel.warm
        assert early(kernel, "slow_one") == {"slow_one": True}


@pytest.mark.proof
def test_each_project_records_what_it_uses_even_if_another_had_it_imported(
    folder: Path, environment: Environment, home: Path
) -> None:
    """Else a project would be cold again after the next start of the machine."""
    environment.write("shared_one", more="class Thing: pass")
    other = home / f"{folder.name}-other"
    (other / "production").mkdir(parents=True)
    (other / "production" / "settings.toml").write_text("")
    (other / "mine.py").write_text("from shared_one import Thing\n")
    for place, code in ((folder, "import shared_one"), (other, "import mine")):
        with start(place, environment, PYTHON_OF_TEST=folder.name) as kernel:
            assert kernel.run(code).error == ""
            assert early(kernel, "shared_one") == {"shared_one": place is other}
            first = parent(kernel)
            assert kernel.shut_down() == 0
        if place is folder:
            wait(
                "the next template",
                lambda pid=first: {t.pid for _, t in template_manager.templates() if t.open} - {pid},
            )
        wait(
            "that it is on record", lambda place=place: "shared_one" in import_history.read_history(memory_of(place)), 5
        )


BAD = {
    "starts_a_thread": "import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "aborts": "if 'JPY_PARENT_PID' not in os.environ: os.abort()",
    "exits": "if 'JPY_PARENT_PID' not in os.environ: os._exit(0)",
    "raises": "if 'JPY_PARENT_PID' not in os.environ: raise RuntimeError('no kernel')",
    "brings_another": "import nobody_knows",
}


def test_what_no_template_can_import_costs_a_copy_and_is_left_to_the_kernels(
    folder: Path, environment: Environment
) -> None:
    names = [*BAD, "fine_one", "nobody_knows"]
    for name in names:
        environment.write(name, more=BAD.get(name, ""), known=name != "nobody_knows")
    with start(folder, environment) as kernel:
        assert kernel.run("import " + ", ".join(names)).error == ""
        assert kernel.shut_down() == 0
    with start(folder, environment) as kernel:
        assert kernel.warm
        assert early(kernel, *names) == {**dict.fromkeys(names, False), "fine_one": True}
        told = status(parent(kernel)).never
    assert told.keys() == BAD.keys()
    assert "thread" in told["starts_a_thread"]
    assert "nobody_knows, which is not in the table" in told["brings_another"]
    assert told["aborts"] == "aborts: a process that imported it ended"
    assert "nobody_knows" not in import_history.read_history(memory_of(folder))


@pytest.mark.proof
def test_a_slow_import_delays_kernels_a_little_and_those_of_other_projects_not_at_all(
    folder: Path, home: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is there when it is done, however long it took."""
    package = folder / "kernels"
    shutil.copytree(Path(template_path()).parent, package)
    text = (package / "template_successor.py").read_text()
    text, changed = re.subn(r"^PATIENCE = [0-9.]+$", "PATIENCE = 1.0", text, flags=re.MULTILINE)
    assert changed == 1
    (package / "template_successor.py").write_text(text)
    for module in (template_client, template_manager):
        monkeypatch.setattr(module, "template_path", lambda: str(package / "template_process.py"))
    flag, go = folder / "slow", folder / "go"
    slow = f"while not os.path.exists({str(go)!r}): time.sleep(0.05)"
    environment.write("slow_once", more=f"if os.path.exists({str(flag)!r}):\n    os.unlink({str(flag)!r})\n    {slow}")
    other = home / f"{folder.name}-other"
    (other / ".git").mkdir(parents=True)
    with start(folder, environment) as kernel:
        kernel.run("import slow_once")
        flag.touch()
        assert kernel.shut_down() == 0
    with start(folder, environment) as kernel:
        assert kernel.warm
        with start(other, environment, PYTHON_OF_TEST=folder.name) as another:
            assert another.warm
            assert status(parent(another)).importing == "slow_once"
    go.touch()
    wait(
        "that the next template is there",
        lambda: not any(told.importing for _, told in template_manager.templates()),
    )
    with start(folder, environment) as kernel:
        assert early(kernel, "slow_once") == {"slow_once": True}
        assert status(parent(kernel)).never == {}


def test_what_a_kernel_imported_is_learned_before_it_ends(folder: Path, environment: Environment) -> None:
    """nbval kills its kernels, and exit functions may take their time."""
    environment.write("used_and_killed")
    environment.write("used_and_slow")
    with start(folder, environment) as kernel:
        kernel.run("import used_and_killed")
        kernel.process.kill()
        kernel.process.wait(10)
    with start(folder, environment) as kernel:
        assert early(kernel, "used_and_killed") == {"used_and_killed": True}
        kernel.run("import atexit, time, used_and_slow\natexit.register(time.sleep, 30)")
        with start(folder, environment) as other:
            assert early(other, "used_and_slow") == {"used_and_slow": True}


@pytest.mark.proof
def test_kernels_end_while_a_template_learns(folder: Path, environment: Environment) -> None:
    go = folder / "go"
    slow = f"while not os.path.exists({str(go)!r}): time.sleep(0.05)"
    environment.write("takes_long", more=f"if 'JPY_PARENT_PID' not in os.environ:\n    {slow}")
    with start(folder, environment) as one, start(folder, environment) as other:
        one.run("import takes_long")
        assert one.shut_down() == 0
        pid = parent(other)
        wait("that it learns", lambda: len(templates(folder)) == 2)
        other.channels.execute("import os; os._exit(5)")
        assert other.process.wait(60) == 5
        assert len(templates(folder)) == 2, "it learns on"
        go.touch()
    with start(folder, environment) as kernel:
        assert early(kernel, "takes_long") == {"takes_long": True}
        assert parent(kernel) != pid
