"""Warm kernels: Jupyter kernels forked from a process that has imported the libraries already (docs/decisions/0020).

Three processes share the work; `template_protocol`, `safe_packages` and `import_history` serve more than one of them.

- The client wants a kernel: `kernelspec_managers`, `provisioner`, `preferences`, `template_client`, `template_manager`.
- The template has the libraries imported and forks: `template_process`, `preload`, `library_warmup`,
  `preload_placeholders`, `kernel_supervisor`, `template_successor`. It loads its modules by file path and needs the
  standard library only: it holds no module of this project, and works with any interpreter that has ipykernel and
  threadpoolctl.
- The kernel is a fork of the template: `inherited_state`, then `kernel_app`.
"""

from pathlib import Path


def template_path() -> str:
    """Return the path of the file that a template process runs. It needs no other code of this project."""
    return str(Path(__file__).resolve().with_name("template_process.py"))
