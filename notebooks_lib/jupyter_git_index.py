"""Tell git that a saved notebook is unchanged where its filter makes it so.

Git takes every file whose size has changed for modified until `git add` has looked at it. Then `git status` lists each
notebook that was run, and `git switch` refuses to go on. This module is an extension of the Jupyter server, which
`nbops clean --setup-git` turns on: it looks at each notebook after it was saved.
"""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_post_save_hook(after_save)


def after_save(model: dict[str, Any], os_path: str, **_: Any) -> threading.Thread | None:
    """Refresh git's index after Jupyter has saved a notebook, in a thread, so that the server need not wait."""
    if model.get("type") != "notebook":
        return None
    thread = threading.Thread(target=refresh_index, args=(Path(os_path),), name="nbops-git-refresh", daemon=True)
    thread.start()
    return thread


def refresh_index(path: Path) -> None:
    """Show git the new size of a tracked file whose filtered content is that of the index. Stages nothing.

    Never raises: without it, `git status` lists the notebook.
    """
    try:
        tracked = _git(path, "ls-files", "--error-unmatch")
        if tracked and _git(path, "diff", "--quiet", "--no-ext-diff", "--no-textconv"):
            _git(path, "add")
    except (OSError, subprocess.TimeoutExpired):
        return


def _git(path: Path, *arguments: str) -> bool:
    command = ["git", "-C", str(path.parent), *arguments, "--", path.name]
    return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
