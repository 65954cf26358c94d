"""Kernelspecs: the one that JupyterLab shows, and any Python kernel's own with our provisioner named in it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from notebooks_lib.kernels.command import split
from notebooks_lib.kernels.provisioner import NAME

DISPLAY = "Python 3 (warm)"


class WarmSpecs(KernelSpecManager):  # type: ignore[misc]  # jupyter_client's traits are untyped
    """Every kernel that is an ordinary ipykernel and names no provisioner of its own is given ours.

    Notebooks go on naming `python3`: which process it is forked from is no business of theirs.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The installed kernelspec, with our provisioner if it fits."""
        spec = super().get_kernel_spec(kernel_name)
        if "kernel_provisioner" not in spec.metadata and split(spec.argv) is not None:
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


def installed() -> Path | None:
    """Where the kernelspec lies, if anywhere."""
    found = KernelSpecManager().find_kernel_specs().get(NAME)
    return Path(found) if found else None
