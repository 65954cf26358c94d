"""Warm kernels: Jupyter kernels forked from a process that has imported the libraries already (docs/decisions/0020).

`provisioner`, `client` and `template_manager` run in the process that wants a kernel. `template` and the modules that
it loads (its SIBLINGS) run in the template process, by file path and with the standard library only: that process holds
no module of this project, and works with any interpreter that has ipykernel and threadpoolctl.
"""

from pathlib import Path


def template_path() -> str:
    """Return the file that a template process runs, by path, so that it needs nothing of this project."""
    return str(Path(__file__).resolve().with_name("template.py"))
