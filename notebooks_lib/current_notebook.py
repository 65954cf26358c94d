"""Find the file of the notebook that this kernel runs, from what its front end leaves in the process. Opens no file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def notebook(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the path of the .ipynb file whose cells run in this process; None when it is unknown.

    The front ends say it in different ways: `nbops run` sets the variable IPYNB_FILE, JupyterLab JPY_SESSION_NAME, and
    VS Code a name in the notebook. For papermill and nbconvert it is read from the command line that started them.
    """
    environ = os.environ if environ is None else environ
    shell = running_shell()
    candidates = (
        shell.user_ns.get("__vsc_ipynb_file__") if shell is not None else None,
        environ.get("JPY_SESSION_NAME"),
        environ.get("IPYNB_FILE"),
    )
    for name in candidates:
        if name and str(name).endswith(".ipynb"):
            return Path(str(name))
    return _of_parent() if shell is not None else None


def running_shell() -> Any:
    """Return the IPython shell that runs here, in a kernel or a terminal; None in plain Python."""
    interactive = sys.modules.get("IPython")
    return interactive.get_ipython() if interactive else None


def _of_parent() -> Path | None:
    """Return the notebook named by the command that started this kernel, if it can only be that one."""
    import psutil

    try:
        # A warm kernel is a child of its template; jupyter_client tells both kinds which process asked for them.
        parent = psutil.Process(int(os.environ.get("JPY_PARENT_PID") or os.getppid()))
        command, folder = parent.cmdline(), Path(parent.cwd())
    except (psutil.Error, OSError, ValueError):
        return None
    named = [(folder / word).resolve() for word in command[1:] if word.endswith(".ipynb")]
    existing = [path for path in named if path.is_file()]
    # papermill's arguments are input, then output; a test runner's may be many notebooks.
    if any("papermill" in Path(word).name for word in command[:2]) or "papermill" in command[1:3]:
        return existing[0] if existing else None
    return existing[0] if len(existing) == 1 else None
