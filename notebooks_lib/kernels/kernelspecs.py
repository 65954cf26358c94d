"""Kernelspecs with and without the warm provisioner, and which kernel commands a fork can replace."""

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
"""Name of the provisioner, and of the kernelspec that `nbops kernels install` writes."""
DISPLAY = "Python 3 (warm)"
LAUNCHERS = ("ipykernel_launcher", "ipykernel")
PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
OPTIONS = re.compile(r"-[bBdEIOPqRsSuv]+$")


class WarmSpecs(KernelSpecManager):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """Kernelspec manager that gives ordinary ipykernels the warm provisioner, unless their spec names another.

    Notebooks keep the kernel name `python3`, wherever the kernel comes from.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return an installed kernelspec, with the warm provisioner if its command is an ordinary ipykernel."""
        spec = super().get_kernel_spec(kernel_name)
        if "kernel_provisioner" not in spec.metadata and split_command(spec.argv) is not None:
            spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": NAME}}
        return spec


class ColdSpecs(KernelSpecManager):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """Kernelspec manager for `--cold`: it replaces the warm provisioner by the ordinary one."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the installed kernelspec, with the ordinary provisioner in place of the warm one."""
        spec = super().get_kernel_spec(kernel_name)
        if spec.metadata.get("kernel_provisioner", {}).get("provisioner_name") == NAME:
            spec.metadata = {key: value for key, value in spec.metadata.items() if key != "kernel_provisioner"}
        return spec


def install(*, user: bool = False, prefix: str | None = None, name: str = NAME) -> Path:
    """Write a kernelspec with the warm provisioner, named `name`, for this interpreter; return its folder.

    Its place is the user's folder, or DIR/share/jupyter/kernels for a `prefix` DIR, by default that of the environment.
    Under the name python3, every notebook gets a warm kernel. Raises OSError when the folder cannot be written.
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
    """Return the folder of the installed kernelspec for warm kernels; None if there is none."""
    folder = KernelSpecManager().find_kernel_specs().get(NAME)
    return Path(folder) if folder else None


def split_command(command: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Split a kernel command into the interpreter with its options, and the kernel's arguments.

    None if it is not an ordinary ipykernel: only a Python and its options may stand before `-m ipykernel…`, because a
    fork cannot repeat what a wrapper sets (`env A=1 python`, `nice`, `uv run`).
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
    """Return the path of an interpreter, searched in `path`;

    None for a script, such as pyenv's, which may set anything.
    """
    file_path = shutil.which(name, path=path)
    try:
        with open(file_path or name, "rb") as file:  # noqa: PTH123
            return os.fspath(file_path) if file_path and file.read(4) == b"\x7fELF" else None
    except OSError:
        return None
