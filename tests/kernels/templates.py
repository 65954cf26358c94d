"""Templates and virtual environments of a test's own, and what is known of their processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from notebooks_lib.kernels import preferences, safe_packages, template_manager
from notebooks_lib.kernels.template_client import KernelRequest
from notebooks_lib.kernels.template_protocol import TemplateStatus
from tests.kernels.building import Kernel, marked

ROOT = Path(__file__).parent.parent.parent
MODULE = "import os, time\nIMPORTED_BY = os.getpid()\nVERSION = {version!r}\n{more}"


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


def start(folder: Path, environment: Environment | None = None, **env: str) -> Kernel:
    """A warm kernel from a template of the test's own."""
    specs = [str(environment.specs)] if environment else None
    return Kernel(folder, warm=True, env={"PYTHON_OF_TEST": folder.name, **env}, specs=specs)


def request_like(kernel: Kernel, **env: str) -> KernelRequest:
    """The request for another kernel in the folder of this one, with more variables."""
    return KernelRequest([sys.executable, "-m", "ipykernel_launcher"], {**kernel.env, **env}, str(kernel.folder))


def all_of(folder: Path) -> list[int]:
    """Every process of the test's kernels and templates, by the variable that is the key to them."""
    return marked(f"PYTHON_OF_TEST={folder.name}\0")


def templates(folder: Path) -> list[int]:
    return [pid for pid in all_of(folder) if b"template_process.py" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def status(pid: int) -> TemplateStatus:
    return next(told for _, told in template_manager.templates() if told.pid == pid)


def parent(kernel: Kernel) -> int:
    """The template's pid; that of an ordinary kernel's parent would be this process's."""
    assert kernel.warm, kernel.reasons
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


def memory_of(folder: Path) -> str:
    return preferences.read_preferences(str(folder), os.environ).memory
