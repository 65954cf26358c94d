"""Managers that offer each kernelspec with the warm provisioner, or without it."""

from __future__ import annotations

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from notebooks_lib.kernels.forkable_command import split_command

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
