"""Templates: one at a time, of this user only, never with the user's own code, and no death of anybody leaves anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from notebooks_lib.kernels import (
    import_history,
    kernelspecs,
    preferences,
    provisioner,
    safe_packages,
    template_client,
    template_manager,
    template_path,
)
from notebooks_lib.kernels.protocol import TemplateStatus
from tests.kernels.building import SPECS, Kernel, alive, marked, own_templates, wait

ROOT = Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]
MODULE = "import os, time\nIMPORTED_BY = os.getpid()\nVERSION = {version!r}\n{more}"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with own_templates() as home:
        yield home


class Environment:
    """A virtual environment of its own, with all that is installed here by way of links, and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
        self.site = next(folder.glob("lib/python3*/site-packages"))
        for entry in Path(next(path for path in sys.path if path.endswith("site-packages"))).iterdir():
            if entry.name != "__pycache__" and "nbops" not in entry.name:
                (self.site / entry.name).symlink_to(entry)
        self.specs = folder / "kernels"
        (self.specs / "python3").mkdir(parents=True)
        argv = [str(folder / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernelspec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (self.specs / "python3" / "kernel.json").write_text(json.dumps(kernelspec))

    def write(self, name: str, version: str = "1", more: str = "", *, known: bool = True) -> Path:
        """Install a package of one module, and put it into the table."""
        if known:
            safe_packages.read_table()["packages"][name] = {"why": "a test's"}
        path = self.site / name / "__init__.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(MODULE.format(version=version, more=textwrap.dedent(more)))
        return path


@pytest.fixture(scope="module")
def environment(home: Path) -> Iterator[Environment]:
    packages = safe_packages.read_table()["packages"]
    before = dict(packages)
    yield Environment(home / "venv")
    packages.clear()
    packages.update(before)


@pytest.fixture
def folder(home: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A project of the test's own, so nothing learned is shared."""
    folder = home / f"work-{abs(hash(request.node.name)):x}"
    (folder / "production").mkdir(parents=True)
    (folder / "production" / "settings.toml").write_text("")
    yield folder
    try:
        wait("that nothing but templates is left", lambda: set(all_of(folder)) == set(templates(folder)), 10)
    finally:
        for pid in all_of(folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def start(folder: Path, environment: Environment | None = None, **env: str) -> Kernel:
    """A warm kernel from a template of the test's own."""
    specs = [str(environment.specs)] if environment else None
    return Kernel(folder, warm=True, env={"PYTHON_OF_TEST": folder.name, **env}, specs=specs)


def all_of(folder: Path) -> list[int]:
    """Every process of the test's kernels and templates, by the variable that is the key to them."""
    return marked(f"PYTHON_OF_TEST={folder.name}\0")


def templates(folder: Path) -> list[int]:
    return [pid for pid in all_of(folder) if b"template.py" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def status(pid: int) -> TemplateStatus:
    return next(told for _, told in template_manager.templates() if told.pid == pid)


def parent(kernel: Kernel) -> int:
    return int(kernel.value("os.getppid()", "import os"))


def early(kernel: Kernel, *names: str) -> dict[str, bool]:
    """Whether the kernel's modules were imported before it was forked."""
    code = f"{{name: importlib.import_module(name).IMPORTED_BY != os.getpid() for name in {names}}}"
    return dict(kernel.value(code, "import importlib, os"))


CLIENT = """
import sys, time
from pathlib import Path
from tests.kernels.building import Kernel
kernel = Kernel(Path(sys.argv[1]), warm=True, env={"PYTHON_OF_TEST": Path(sys.argv[1]).name}).__enter__()
kernel.run("import subprocess; p = subprocess.Popen(['sleep', '600'], start_new_session=True)")
print(kernel.pid, kernel.value("p.pid"), kernel.value("os.getppid()", "import os"), flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def other_client(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a kernel that has started another process."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CLIENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def told_by(process: subprocess.Popen[str]) -> tuple[int, int, int]:
    """Its kernel, what that has started, and the template."""
    assert process.stdout is not None
    kernel, started, template = map(int, process.stdout.readline().split())
    return kernel, started, template


# Who may ask, and who answers


def test_two_clients_at_once_start_one_template(folder: Path) -> None:
    with contextlib.ExitStack() as clients:
        processes = [clients.enter_context(other_client(folder)) for _ in range(2)]
        told = [told_by(process) for process in processes]
        (template,) = {parent for _, _, parent in told}
        assert templates(folder) == [template]
        assert sorted(status(template).kernels) == sorted(kernel for kernel, _, _ in told)


def test_only_the_user_may_enter_the_folder_of_the_sockets(home: Path) -> None:
    found = template_manager.runtime_folder()
    assert found.stat().st_mode & 0o777 == 0o700
    assert found.parent == home / "run"


def test_a_folder_that_others_may_enter_gives_ordinary_kernels_and_one_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(provisioner, "_warned", False)
    place = tmp_path / "nbops"
    place.mkdir(mode=0o755)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with start(folder) as kernel:
                assert not kernel.warm
                assert kernel.run("6 * 7").text == "42"
    assert [record.getMessage() for record in caplog.records if "warm" in record.getMessage()] == [
        f"an ordinary kernel instead of a warm one: {place} is not a folder that only this user may enter"
    ]
    place.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(template_manager.Unavailable, match="not a folder that only"):
        template_manager.runtime_folder()
    place.unlink()
    place.write_text("")
    with pytest.raises(template_manager.Unavailable, match="cannot be made|not a folder"):
        template_manager.runtime_folder()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_a_template_does_not_answer_another_user(folder: Path, home: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        path = next(path for path, told in template_manager.templates() if told.pid == pid)
        opened = [home, home / "run", path.parent]
        code = f"""
import os, socket, struct
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect({str(path)!r})
body = b'{{"op": "stop"}}'
try:
    s.sendall(struct.pack('!I', len(body)) + body)
    print(s.recv(100))
except ConnectionError:
    print(b'')
"""
        try:
            for place in opened:
                place.chmod(0o711)
            path.chmod(0o777)
            told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        finally:
            for place in opened:
                place.chmod(0o700)
        assert told.stdout.strip() == "b''"
        assert status(pid).open is True
    monkey = home / "run" / "foreign"
    monkey.mkdir(mode=0o700)
    os.chown(monkey, 65534, 65534)
    with pytest.MonkeyPatch.context() as changed, pytest.raises(template_manager.Unavailable, match="only this user"):
        monkey.rename(home / "foreign")
        (home / "foreign").rename(home / "run" / "nbops2")
        changed.setattr(os, "getuid", lambda: 4711)
        template_manager.runtime_folder()


def test_kernels_are_warm_where_the_temporary_folder_has_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(template_manager.tempfile, "gettempdir", lambda: str(deep))
    assert template_manager.runtime_folder() == Path("/tmp") / f"nbops-kernels-{os.getuid()}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_runtime_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 65534, 65534)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert template_manager.runtime_folder().name == f"nbops-kernels-{os.getuid()}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.proof
def test_one_template_too_many_stops_the_longest_idle_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_manager, "MOST", 1)
    with start(folder, PYTHON_KIND="1"):
        (first,) = templates(folder)
        with start(folder, PYTHON_KIND="2") as kernel:  # the first has a kernel, so it stays
            assert kernel.warm
            assert len(templates(folder)) == 2
    with start(folder, PYTHON_KIND="3") as kernel:
        assert kernel.warm
        wait("the end of the two that had no kernel", lambda: templates(folder) == [parent(kernel)])
    assert not alive(first)


def test_a_program_from_before_an_upgrade_gets_ordinary_kernels(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provisioner, "_warned", False)
    monkeypatch.setattr(template_client.protocol, "PROTOCOL", 0)
    with caplog.at_level(logging.WARNING), start(folder) as kernel:
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    assert "nbops was upgraded since this program began" in caplog.text


@pytest.mark.proof
def test_a_cancelled_start_leaves_no_kernel(folder: Path) -> None:
    async def give_up() -> None:
        cmd, arguments = await manager.pre_start_kernel(env=env, cwd=str(folder))
        os.kill(template, signal.SIGSTOP)
        try:
            starting = asyncio.create_task(manager.provisioner.launch_kernel(cmd, **arguments))
            await asyncio.sleep(0.5)  # the template has been asked, and does not answer yet
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        finally:
            os.kill(template, signal.SIGCONT)
        await asyncio.to_thread(wait, "the kernel", lambda: status(template).forks > forks, 10)
        await asyncio.to_thread(wait, "the end of the kernel", lambda: all_of(folder) == templates(folder), 10)
        await manager.cleanup_resources()
        manager.context.destroy()

    with start(folder):
        (template,) = templates(folder)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernelspecs.WarmSpecs(kernel_dirs=SPECS))
    with Kernel(folder, warm=True, env={"PYTHON_OF_TEST": folder.name}) as kernel:
        env = kernel.env
    forks = status(template).forks
    asyncio.run(give_up())
    assert templates(folder) == [template]


@pytest.mark.proof
def test_the_connection_file_is_written_once_the_template_has_its_libraries(folder: Path) -> None:
    """`jupyter kernel` sets its handlers for signals after the start, which then takes a moment only."""

    async def imports_at_the_file() -> list[str]:
        starting = asyncio.create_task(manager.start_kernel(env=env, cwd=str(folder)))
        while not connection_file.exists():
            await asyncio.sleep(0.002)
        listening = [told for _, told in template_manager.templates() if told.open and told.pid in templates(folder)]
        await starting
        await manager.shutdown_kernel(now=True)
        manager.context.destroy()
        return [str(told.importing) for told in listening]

    connection_file = folder / "kernel.json"
    specs = kernelspecs.WarmSpecs(kernel_dirs=SPECS)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, connection_file=str(connection_file))
    env = {**os.environ, "PYTHON_OF_TEST": folder.name, "NBOPS_KERNELS_PRELOAD": "pandas"}
    assert asyncio.run(imports_at_the_file()) == [""]


# Deaths


def test_a_killed_client_ends_its_kernel_but_not_the_template(folder: Path) -> None:
    with other_client(folder) as process:
        kernel, started, template = told_by(process)
        assert alive(kernel)
        process.kill()
        wait("the end of the kernel and of what it started", lambda: not alive(kernel) and not alive(started), 10)
        assert wait("that the template knows", lambda: status(template).kernels == [], 5)


@pytest.mark.proof
def test_a_client_killed_after_the_template_ends_its_kernel(folder: Path) -> None:
    with other_client(folder) as process:
        kernel, started, template = told_by(process)
        os.kill(template, signal.SIGKILL)
        wait("the end of the template", lambda: not alive(template))
        time.sleep(0.3)
        assert alive(kernel)
        process.kill()
        wait("the end of the kernel", lambda: not alive(kernel), 10)
        os.kill(started, signal.SIGKILL)  # an ordinary kernel would leave it behind, too


def test_a_killed_templates_kernels_run_on_and_the_next_client_starts_another_template(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        kernel.run("kept = 1")
        os.kill(pid, signal.SIGKILL)
        wait("the end of the template", lambda: not alive(pid))
        assert kernel.run("kept").text == "1"
        with start(folder) as other:
            assert other.warm
            assert parent(other) not in (pid, os.getpid())
        kernel.channels.execute("import os; os._exit(3)")
        assert kernel.process.wait(10) == 255  # that it ended is seen; how, only the template could tell
        assert not kernel.manager.is_alive()


def test_a_template_killed_before_its_answer_leaves_no_second_kernel(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kernels on one connection file would both answer, or neither."""
    package = folder / "kernels"
    shutil.copytree(Path(template_path()).parent, package)
    text = (package / "kernel_supervisor.py").read_text()
    die = "os.path.exists(HERE) or (open(HERE, 'w').close(), os.kill(os.getpid(), signal.SIGKILL))"
    changed = text.replace(
        '        try:\n            protocol.send(client, {"pid"',
        f'        {die}\n        try:\n            protocol.send(client, {{"pid"',
    )
    assert changed != text
    (package / "kernel_supervisor.py").write_text(
        changed.replace("protocol = sys", f"HERE = {str(folder / 'once')!r}\nprotocol = sys")
    )
    for module in (template_client, template_manager):
        monkeypatch.setattr(module, "template_path", lambda: str(package / "template.py"))
    with start(folder) as kernel:
        assert kernel.warm
        assert (folder / "once").exists()
        found = [pid for pid in all_of(folder) if b"ipykernel_launcher" in _command(pid)]
        assert found == [kernel.pid]
        assert kernel.value("os.getpid()", "import os") == kernel.pid


def test_a_killed_kernel_leaves_no_zombie(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        os.kill(kernel.pid, signal.SIGKILL)
        assert kernel.process.wait(10) == -signal.SIGKILL
        wait("that nothing is left", lambda: not Path(f"/proc/{kernel.pid}").exists())
        assert status(pid).kernels == []


def test_wait_and_poll_report_a_kernels_end(folder: Path) -> None:
    """A poll in between must not leave who waits for ever (LocalProvisioner's own `wait` polls)."""
    import asyncio

    async def both(kernel: Kernel) -> object:
        waiting = asyncio.ensure_future(kernel.manager.provisioner.wait())
        await asyncio.sleep(0.1)
        os.kill(kernel.pid, signal.SIGKILL)
        wait("its end", lambda: kernel.process.poll() is not None)
        return await asyncio.wait_for(waiting, 10)

    with start(folder) as kernel:
        assert asyncio.run(both(kernel)) == -signal.SIGKILL


# When a template leaves


def test_an_idle_template_leaves(folder: Path) -> None:
    with start(folder, NBOPS_KERNELS_IDLE_MINUTES="0.01") as kernel:
        pid = parent(kernel)
        assert status(pid).idle == pytest.approx(0.6)
        time.sleep(1)
        assert alive(pid)  # a kernel keeps it
    wait("the end of the template", lambda: not alive(pid), 10)
    assert not [path for path, _ in template_manager.templates() if alive(pid)]


def test_a_stopped_template_stays_for_its_kernels_and_forks_no_more(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        path = next(path for path, told in template_manager.templates() if told.pid == pid)
        told = template_manager.ask(path, "stop")
        assert told is not None
        assert not told.open
        assert not path.exists()
        assert status(pid).kernels == [kernel.pid]  # it can still be asked
        with start(folder) as other:
            assert parent(other) != pid
        assert kernel.run("1 + 1").text == "2"
        assert kernel.shut_down() == 0
    wait("the end of the template", lambda: not alive(pid), 5)
    assert not list(path.parent.glob(f"{path.name}-{pid}"))


@pytest.mark.proof
def test_a_changed_package_or_lock_means_another_template(folder: Path, environment: Environment) -> None:
    path = environment.write("upgraded")
    lock = folder / "requirements.lock"
    lock.write_text("upgraded==1\n")
    with start(folder, environment) as kernel:
        assert kernel.value("upgraded.VERSION", "import upgraded") == "1"
        kernel.shut_down()
    with start(folder, environment) as kernel:
        assert early(kernel, "upgraded") == {"upgraded": True}
        first = parent(kernel)
    path.write_text(path.read_text().replace("'1'", "'two'"))
    wait("a second look at the files", lambda: time.sleep(0.6) is None)  # preload.LOOK_EVERY
    with start(folder, environment) as kernel:
        assert kernel.value("upgraded.VERSION", "import upgraded") == "two"
        assert early(kernel, "upgraded") == {"upgraded": True}  # and that is warm again
        second = parent(kernel)
    lock.write_text("upgraded==2\n")
    wait("a second look at the files", lambda: time.sleep(0.6) is None)
    with start(folder, environment) as kernel:
        third = parent(kernel)
    environment.write("brand_new")
    with start(folder, environment) as kernel:
        assert len({first, second, third, parent(kernel)}) == 4
    wait("that the old ones leave", lambda: len(templates(folder)) == 1, 10)


def test_a_variable_that_is_read_at_import_means_another_template(folder: Path) -> None:
    with start(folder) as kernel, start(folder, SCIPY_ARRAY_API="1") as other:
        assert other.value("os.environ['SCIPY_ARRAY_API']", "import os") == "1"
        assert parent(kernel) != parent(other)


# What it learns


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
        wait("that it is on record", lambda place=place: "shared_one" in import_history.read(memory_of(place)), 5)


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
    assert "nobody_knows" not in import_history.read(memory_of(folder))


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
        monkeypatch.setattr(module, "template_path", lambda: str(package / "template.py"))
    flag = folder / "slow"
    environment.write("slow_once", more=f"if os.path.exists({str(flag)!r}): os.unlink({str(flag)!r}); time.sleep(6)")
    other = home / f"{folder.name}-other"
    (other / ".git").mkdir(parents=True)
    with start(folder, environment) as kernel:
        kernel.run("import slow_once")
        flag.touch()
        assert kernel.shut_down() == 0
    with start(folder, environment) as kernel:
        assert kernel.warm
        began = time.monotonic()
        with start(other, environment, PYTHON_OF_TEST=folder.name) as another:
            assert another.warm
            assert status(parent(another)).importing == "slow_once"
        assert time.monotonic() - began < 6
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


def memory_of(folder: Path) -> str:
    return preferences.read_preferences(str(folder), os.environ).memory


@pytest.mark.proof
def test_kernels_end_while_a_template_learns(folder: Path, environment: Environment) -> None:
    environment.write("takes_long", more="import os\nif 'JPY_PARENT_PID' not in os.environ: time.sleep(2)")
    with start(folder, environment) as one, start(folder, environment) as other:
        one.run("import takes_long")
        assert one.shut_down() == 0
        pid = parent(other)
        wait("that it learns", lambda: len(templates(folder)) == 2, 5)
        other.channels.execute("import os; os._exit(5)")
        assert other.process.wait(3) == 5
        assert pid
    with start(folder, environment) as kernel:
        assert early(kernel, "takes_long") == {"takes_long": True}
        assert parent(kernel) != pid


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
        assert parent(kernel) == os.getpid()


# Ordinary kernels, whenever something is missing


def test_elsewhere_than_on_linux_kernels_are_ordinary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provisioner, "_warned", False)
    monkeypatch.setattr(sys, "platform", "darwin")
    with caplog.at_level(logging.WARNING), start(folder) as kernel:
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    assert "an ordinary kernel instead of a warm one: not on darwin" in caplog.messages
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(template_manager.Unavailable, match="not on win32"):
        template_manager.runtime_folder()


@pytest.mark.proof
def test_a_template_that_does_not_answer_or_does_not_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment, home: Path
) -> None:
    monkeypatch.setattr(template_manager, "FORK_TIMEOUT", 1.0)
    with start(folder) as kernel:
        pid = parent(kernel)
        os.kill(pid, signal.SIGSTOP)
        try:
            with start(folder) as other:
                assert not other.warm
                assert other.run("1 + 1").text == "2"
        finally:
            os.kill(pid, signal.SIGCONT)

        def left() -> bool:
            told = [told for _, told in template_manager.templates() if told.pid == pid]
            return bool(told) and not told[0].open and told[0].kernels == [kernel.pid]

        wait("that it leaves, and that who went away has no kernel", left)
    broken = home / "broken.py"
    broken.write_text("raise SystemExit('broken')")
    for module in (template_client, template_manager):
        monkeypatch.setattr(module, "template_path", lambda: str(broken))
    request = template_client.KernelRequest([sys.executable, "-m", "ipykernel_launcher"], {"PATH": "/bin"}, str(folder))
    wanted = preferences.read_preferences(str(folder), {})
    with pytest.raises(
        template_manager.Unavailable, match="did not start: it ended while it was starting; .*log says more"
    ):
        template_client.fork(request, wanted)
    began = time.monotonic()
    with pytest.raises(template_manager.Unavailable, match="did not start a moment ago"):
        template_client.fork(request, wanted)
    assert time.monotonic() - began < 0.5


def test_a_kernel_other_than_ipykernel_is_started_as_it_is(folder: Path) -> None:
    kernels = folder / "kernels"
    wrapper = folder / "wrapper.py"
    wrapper.write_text("from ipykernel.kernelapp import launch_new_instance\nlaunch_new_instance()\n")
    metadata = {"kernel_provisioner": {"provisioner_name": kernelspecs.NAME}}
    for name, argv in {
        "python3": [sys.executable, str(wrapper), "-f", "{connection_file}"],
        "ir": ["R", "-e", "IRkernel::main()", "--args", "{connection_file}"],
        "own": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "wrapped": ["env", "WRAPPED=1", sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    }.items():
        (kernels / name).mkdir(parents=True)
        found = {"argv": argv, "display_name": name, "language": "python"}
        found["metadata"] = {
            "own": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            "python3": metadata,
        }.get(name, {})
        (kernels / name / "kernel.json").write_text(json.dumps(found))
    specs = kernelspecs.WarmSpecs(kernel_dirs=[str(kernels)], ensure_native_kernel=False)
    for name in ("ir", "wrapped"):
        assert "kernel_provisioner" not in specs.get_kernel_spec(name).metadata
    assert specs.get_kernel_spec("own").metadata["kernel_provisioner"]["provisioner_name"] == "local-provisioner"
    native = kernelspecs.WarmSpecs(kernel_dirs=SPECS).get_kernel_spec("python3")
    assert native.metadata["kernel_provisioner"] == {"provisioner_name": kernelspecs.NAME}
    with Kernel(folder, warm=True, specs=[str(kernels)]) as kernel:  # it names our provisioner, but starts otherwise
        assert not kernel.warm
        assert kernel.run("1 + 1").text == "2"
    with pytest.raises(template_manager.Unavailable, match="cannot be started with preexec_fn"):
        provisioner._request([], {"cwd": str(folder), "preexec_fn": print})


def test_a_missing_folder_is_the_same_error_as_for_a_cold_kernel(folder: Path) -> None:
    (folder / "file").write_text("")
    for place in ("nowhere", "file"):
        told = []
        for warm in (False, True):
            kernel = Kernel(folder / place, warm=warm, env={"PYTHON_OF_TEST": folder.name})
            with pytest.raises(OSError) as caught:
                kernel.manager.start_kernel(env=kernel.env, cwd=str(folder / place))
            told.append(f"{type(caught.value).__name__}: {caught.value}")
            kernel.manager.cleanup_resources()
            kernel._private.cleanup()
        assert told[0] == told[1]


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


def test_variables_of_each_run_lead_to_one_template(folder: Path) -> None:
    names = "SLURM_JOB_ID AIRFLOW_CTX_DAG_RUN_ID PARALLEL_SEQ INVOCATION_ID BUILDKITE_JOB_ID PBS_JOBID MY_RUN DISPLAY MLFLOW_RUN_ID"
    with start(folder) as kernel:
        first = parent(kernel)
    with start(folder, **dict.fromkeys(names.split(), "7")) as kernel:
        assert parent(kernel) == first
        assert kernel.value(f"[os.environ[name] for name in {names.split()}]", "import os") == ["7"] * 9


def test_several_waiting_threads_get_the_same_exit_code(folder: Path) -> None:
    with start(folder) as kernel:
        codes: list[int] = []
        threads = [threading.Thread(target=lambda: codes.append(kernel.process.wait(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        kernel.channels.execute("import os; os._exit(3)")
        for thread in threads:
            thread.join(30)
        assert codes == [3] * 4
        assert kernel.process.poll() == 3


POOL = """
import concurrent.futures, multiprocessing, sys
from pathlib import Path
from tests.kernels.building import Kernel
def one(number):
    with Kernel(Path(sys.argv[1]), warm=True, env={"PYTHON_OF_TEST": Path(sys.argv[1]).name}) as kernel:
        assert kernel.warm
        return kernel.value("6 * 7")
one(0)
with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print(list(pool.map(one, range(2))))
"""


def test_kernels_start_in_a_pool_of_forked_processes(folder: Path) -> None:
    """nbclient's own test does that; a fork has none of the threads of the loop's executor."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", POOL, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environ, cwd=ROOT, check=False)
    assert told.stdout == "[42, 42]\n", told.stderr


def test_an_interrupt_ends_the_wait_for_a_template(folder: Path) -> None:
    with start(folder):
        (template,) = templates(folder)
    # A runner in the background of a shell hands on that interrupts are ignored.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from pathlib import Path; from tests.kernels.building import Kernel; k = Kernel(Path(sys.argv[1]), warm=True, env={'PYTHON_OF_TEST': Path(sys.argv[1]).name}); print(flush=True); k.__enter__()"
    os.kill(template, signal.SIGSTOP)
    try:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            cwd=ROOT,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            assert process.wait(3) != 0
    finally:
        os.kill(template, signal.SIGCONT)
