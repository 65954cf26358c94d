"""`nbops kernels` shows the real state of templates and kernels."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.kernels import kernelspec_managers
from tests.kernels.building import Kernel, alive, own_templates, wait

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    with own_templates():
        yield tmp_path


def test_status_and_stop_show_the_templates_of_this_environment(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def status() -> dict[str, object]:
        assert program.run(["kernels", "status", "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    assert status() | {"memory": ""} == {
        "kernels": "warm",
        "kernelspec": None,
        "memory": "",
        "remembered": 0,
        "templates": [],
    }
    with Kernel(project, warm=True) as kernel:
        template = kernel.value("os.getppid()", "import os")
        (found,) = status()["templates"]  # type: ignore[misc]
        assert found["pid"] == template
        assert found["python"] == sys.executable
        assert list(found["kernels"]) == [str(kernel.pid)]
        assert 1 < found["kernels"][str(kernel.pid)]["own_mb"] < found["kernels"][str(kernel.pid)]["resident_mb"]
        assert (found["open"], found["forks"]) == (True, 1)
        assert found["modules"] > 100
        assert program.run(["kernels", "status"]) == 0
        shown = capsys.readouterr().out
        assert f"template {template}" in shown
        assert f"{kernel.pid} (" in shown
        assert f"{sys.executable} (this environment)" in shown
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(sys, "executable", str(project / "other" / "bin" / "python"))
            assert program.run(["kernels", "stop"]) == 0
        shown = capsys.readouterr().out
        assert (
            shown
            == "no template was running in this environment\n1 of other environments stay: --all stops them, too\n"
        )
        assert status()["templates"][0]["open"]  # type: ignore[index]
        assert program.run(["kernels", "stop"]) == 0
        assert f"template {template} leaves with its kernels {kernel.pid}" in capsys.readouterr().out
        (found,) = status()["templates"]  # type: ignore[misc]
        assert not found["open"]
        kernel.run("import yaml")
        assert kernel.shut_down() == 0
    wait("the template's end", lambda: not alive(template))
    told = status()
    assert told["templates"] == []
    assert told["remembered"] > 0  # type: ignore[operator]
    assert Path(str(told["memory"])).is_file()
    assert program.run(["kernels", "stop", "--forget"]) == 0
    assert "no template was running" in capsys.readouterr().out
    assert status()["remembered"] == 0


def test_status_says_why_kernels_are_cold(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "production" / "settings.toml").write_text("[kernels]\nwarm = false")
    assert program.run(["kernels", "status"]) == 0
    assert "cold: warm = false in the settings" in capsys.readouterr().out
    (project / "production" / "settings.toml").write_text("")
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "nbops"
    folder.chmod(0o755)
    try:
        assert program.run(["kernels", "status"]) == 0
        assert "cold: " in (shown := capsys.readouterr().out)
        assert "is not a folder that only this user may enter" in shown
        assert program.run(["kernels", "stop"]) == 1
        assert "only this user may enter" in capsys.readouterr().err
    finally:
        folder.chmod(0o700)


def test_install_writes_a_kernelspec_that_jupyter_accepts(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = project / "prefix"
    assert program.run(["kernels", "install", "--prefix", str(prefix)]) == 0
    folder = prefix / "share" / "jupyter" / "kernels" / kernelspec_managers.NAME
    shown = capsys.readouterr().out
    assert str(folder) in shown
    assert f"export JUPYTER_PATH={prefix / 'share' / 'jupyter'}" in shown
    assert f"take it out   rm -r {folder}" in shown, "by its name another environment's would go"
    found = json.loads((folder / "kernel.json").read_text())
    assert found["display_name"] == "Python 3 (warm)"
    assert found["argv"][0] == sys.executable
    assert found["metadata"]["kernel_provisioner"] == {"provisioner_name": kernelspec_managers.NAME}
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    assert program.run(["kernels", "status"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert program.run(["kernels", "install", "--prefix", "/proc/nowhere"]) == 1
    assert "choose a place with --prefix" in capsys.readouterr().err
    assert program.run(["kernels", "install", "--prefix", "x", "--user"]) == 2


@pytest.mark.proof
def test_bench_measures_both(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["kernels", "bench", "--names", "csv,xmlrpc.client", "--repeats", "1"]) == 0
    told = capsys.readouterr()
    assert "of 1 kernels each, to the result of `import csv, xmlrpc.client`" in told.out
    assert [line.split()[0] for line in told.err.splitlines()] == ["warm", "cold"]
    assert "cold / warm" in told.out
    assert program.run(["kernels", "bench", "--names", "no_such_module"]) == 1
    assert "ModuleNotFoundError" in capsys.readouterr().err
    assert program.run(["kernels", "bench", "--names", "a; b"]) == 2
