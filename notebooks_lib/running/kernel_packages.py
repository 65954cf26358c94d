"""Whether a kernel has the packages of the project's lock file. A kernel of another environment is asked, once."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from notebooks_lib import regular_file
from notebooks_lib.kernels.forkable_command import split_command
from notebooks_lib.kernels.kernelspec_managers import NAME
from notebooks_lib.paths import Layout
from notebooks_lib.pinned_versions import parse_lock
from notebooks_lib.running.kernel_process import BROKEN_SPEC
from notebooks_lib.tracking import provenance

SECONDS = 30.0
"""That another environment has to answer."""
_LOCAL = (None, NAME, "local-provisioner")
_THIS = {"python", "python3", f"python3.{sys.version_info[1]}"}
"""Names for which jupyter_client starts the Python of this process."""
_QUESTION = """
import sys
sys.path[:] = filter(None, sys.path)  # a json.py may lie in this folder
import importlib.metadata, json
versions = {}
for name in json.load(sys.stdin):
    try:
        versions[name] = importlib.metadata.version(name) or "unknown"
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps([[sys.implementation.name, *sys.version_info[:2]], versions]))
"""


def lock_installed(layout: Layout, kernel_name: str, folder: Path) -> str:
    """Return what `provenance.lock_installed` says of the environment of a kernel that is started in `folder`.

    It begins with `provenance.NOT_KNOWN` for a kernel that cannot be asked, and for one of another Python, to which
    other lines of the lock may apply.
    """
    if not layout.lock.is_file():
        return ""
    spec = _find_spec(kernel_name)
    if _is_this_environment(spec):
        return provenance.lock_installed(layout)
    command = _python_command(spec)
    names = tuple(parse_lock(regular_file.read_text(layout.lock, "replace")))
    answer = _ask(command, tuple(spec.env.items()), folder, names) if command else None
    if answer is None:
        return f"{provenance.NOT_KNOWN}kernel {kernel_name!r} is of another environment, which cannot be asked"
    python, versions = answer
    if python != (sys.implementation.name, *sys.version_info[:2]):
        shown = f"{python[0]} {python[1]}.{python[2]}"
        return f"{provenance.NOT_KNOWN}kernel {kernel_name!r} has another Python, {shown}"
    return provenance.lock_installed(layout, versions)


def has_environment_of_nbops(kernel_name: str) -> bool:
    """Return whether a kernel has the environment of the Python that starts it."""
    return _is_this_environment(_find_spec(kernel_name))


def _find_spec(kernel_name: str) -> KernelSpec:
    try:
        return KernelSpecManager().get_kernel_spec(kernel_name)
    except (NoSuchKernel, *BROKEN_SPEC):  # or its provisioner is not installed: no kernel will start
        return KernelSpec()


def _python_command(spec: KernelSpec) -> tuple[str, ...]:
    """Return the Python of a kernelspec with its options; () if it is no ordinary ipykernel on this machine."""
    if spec.metadata.get("kernel_provisioner", {}).get("provisioner_name") not in _LOCAL or not spec.argv:
        return ()
    python, *rest = spec.argv
    parts = split_command([python.removesuffix(".exe"), *rest])
    return (sys.executable if python in _THIS else python, *parts[0][1:]) if parts else ()


def _is_this_environment(spec: KernelSpec) -> bool:
    command = _python_command(spec)
    if not command:
        return False
    python, *options = command
    plain = all(option.startswith("-X") for option in options)
    same = _place(python) == _place(sys.executable)
    return plain and same and not any(name.upper().startswith("PYTHON") for name in spec.env)


def _place(python: str) -> tuple[str, str]:
    """Return the folder of an interpreter, which makes its environment, and the file that it is."""
    return os.path.realpath(Path(python).parent), os.path.realpath(python)


@lru_cache(maxsize=8)
def _ask(
    command: tuple[str, ...], variables: tuple[tuple[str, str], ...], folder: Path, names: tuple[str, ...]
) -> tuple[tuple[object, ...], dict[str, str]] | None:
    """Return Python and versions of another environment; None if it gives none."""
    environment = os.environ | {key: string.Template(value).safe_substitute(os.environ) for key, value in variables}
    try:
        done = subprocess.run(
            [*command, "-c", _QUESTION],
            input=json.dumps(names),
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            timeout=SECONDS,
            check=True,
        )
        python, versions = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return tuple(python), versions
