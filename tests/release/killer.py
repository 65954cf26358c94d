"""Promotes or rolls back in processes that are killed at an entry of the journal. It is started by test_killed.py.

It imports all it needs once and forks for each order, a line of JSON: {"kind", "at", "written"}; it answers with how
the child ended. It keeps no store open, so that none is shared with a child.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import mlflow  # noqa: F401 - so that no child has to
import pandas as pd  # noqa: F401

from notebooks_lib.models import registry
from notebooks_lib.settings import load
from notebooks_lib.tracking.store import connect
from tests.release.moving import MODEL, back, dying, promote


def main(root: Path) -> None:
    """Take orders until there are no more."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _carry_out(root, **order)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, "code": status}), flush=True)


def _carry_out(root: Path, *, kind: str, at: int, written: bool) -> None:
    store = connect(load(root, {}))
    with dying(at, written=written, how=lambda: os.kill(os.getpid(), signal.SIGKILL)):
        if kind == "promotion":
            promote(store, registry.get(store, MODEL, 2))
        else:
            back(store.settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
