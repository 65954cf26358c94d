"""Kernelspecs with and without the warm provisioner: offered by a manager, or installed."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from notebooks_lib.kernels.kernel_command import split_command

NAME = "nbops-warm"
"""Name of the provisioner, and of the kernelspec that `nbops kernels install` writes."""
DISPLAY = "Python 3 (warm)"


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
