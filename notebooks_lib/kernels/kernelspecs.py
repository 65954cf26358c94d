"""Kernelspecs: the one that JupyterLab shows, and any Python kernel's own with our provisioner named in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

NAME = "nbops-warm"
"""Of the provisioner, and of the kernelspec that `nbops kernels install` writes."""
DISPLAY = "Python 3 (warm)"
LAUNCHERS = ("ipykernel_launcher", "ipykernel")
PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
OPTIONS = re.compile(r"-[bBdEIOPqRsSuv]+$")


class WarmSpecs(KernelSpecManager):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """Every kernel that is an ordinary ipykernel and names no provisioner of its own is given ours.

    Notebooks go on naming `python3`: which process it is forked from is no business of theirs.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The installed kernelspec, with our provisioner if it fits."""
        spec = super().get_kernel_spec(kernel_name)
        if "kernel_provisioner" not in spec.metadata and split_command(spec.argv) is not None:
            spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": NAME}}
        return spec


class ColdSpecs(KernelSpecManager):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """Every kernel without our provisioner, also where its kernelspec names it: `--cold` means it."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The installed kernelspec, with the ordinary provisioner where it has ours."""
        spec = super().get_kernel_spec(kernel_name)
        if spec.metadata.get("kernel_provisioner", {}).get("provisioner_name") == NAME:
            spec.metadata = {key: value for key, value in spec.metadata.items() if key != "kernel_provisioner"}
        return spec


def install(*, user: bool = False, prefix: str | None = None, name: str = NAME) -> Path:
    """Write the kernelspec for this interpreter; by default into its environment. The folder it lies in.

    Under the `name` python3 it makes every notebook's kernel a warm one, for whatever starts it.

    Raises OSError when that cannot be written.
    """
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict

    content: dict[str, Any] = get_kernel_dict()
    content["display_name"] = DISPLAY
    content["metadata"] = {**content.get("metadata", {}), "kernel_provisioner": {"provisioner_name": NAME}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        (folder / "kernel.json").write_text(json.dumps(content, indent=1))
        for logo in Path(RESOURCES).glob("logo*"):
            (folder / logo.name).write_bytes(logo.read_bytes())
        where = {"user": True} if user else {"prefix": prefix or sys.prefix}
        return Path(KernelSpecManager().install_kernel_spec(str(folder), name, **where))


def find_installed() -> Path | None:
    """Where the kernelspec lies, if anywhere."""
    found = KernelSpecManager().find_kernel_specs().get(NAME)
    return Path(found) if found else None


def split_command(command: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Interpreter with its options, and the arguments of the kernel; None when it is no ordinary ipykernel.

    Before `-m ipykernel…` stands a Python with its options alone: what a wrapper sets (`env A=1 python`, `nice`,
    `uv run`), only the wrapper knows.
    """
    words = list(command)
    if not words or not PYTHON.match(Path(words[0]).name):
        return None
    place = 1
    while place < len(words) and words[place] != "-m":
        if words[place] in ("-X", "-W"):
            place += 1
        elif not OPTIONS.match(words[place]) and not words[place].startswith(("-X", "-W")):
            return None
        place += 1
    if words[place + 1 : place + 2] not in ([launcher] for launcher in LAUNCHERS):
        return None
    return words[:place], words[place + 2 :]


def find_interpreter(name: str, path: str | None) -> str | None:
    """The file of an interpreter; None when it is a script (pyenv's, a module's), for that sets what we cannot see."""
    found = shutil.which(name, path=path)
    try:
        with open(found or name, "rb") as file:  # noqa: PTH123
            return os.fspath(found) if found and file.read(4) == b"\x7fELF" else None
    except OSError:
        return None
