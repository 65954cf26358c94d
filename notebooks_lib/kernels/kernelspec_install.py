"""Install the kernelspec for warm kernels, and find it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from notebooks_lib.kernels.kernelspec_managers import DISPLAY, NAME


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
