"""Warm kernels: Jupyter kernels forked from a process that has imported the libraries already (docs/decisions/0020).

`provisioner` and `client` run in the process that wants a kernel; `template`, `preload`, `child`, `wire` and `memory`
run in the template process, by file path and with the standard library only: it holds no module of this project, and
works with any interpreter that has ipykernel.
"""

from pathlib import Path


def template_path() -> str:
    """The file that a template process runs; by path, so that it needs nothing of this project on its own."""
    return str(Path(__file__).resolve().with_name("template.py"))
