"""Loads models into a process that may hold several at once. It decides nothing about traffic."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from notebooks_lib.models.scorer import ServedModel

_one_at_a_time = threading.Lock()


def prepare() -> None:
    """What a process must do before it loads its first model; as `mlflow models serve` does."""
    import warnings

    sys.dont_write_bytecode = True  # beside a model's own modules it would be files that nobody deployed
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    warnings.filterwarnings("ignore", message="Could not infer format")  # pandas, of each request with dates
    warnings.filterwarnings("ignore", message=".*type hint")  # MLflow, of its own types, at import


def load(folder: Path, *, whole: bool = False) -> ServedModel:
    """The model in `folder`, after it has answered its example; with `whole`, ready for any request at once.

    Raises ModelError.
    """
    with _one_at_a_time:
        _forget_code_beside(folder)
        model = ServedModel.load(folder)
        if whole:
            model.complete()
        return model


def _forget_code_beside(folder: Path) -> None:
    """Let a model that brings modules of its own import these, not those of the same names that another brought.

    The other keeps what it has imported; only what it would import later, while it predicts, it would find here.
    """
    own, beside = str(folder.resolve()) + os.sep, str(folder.parent.resolve()) + os.sep

    def another(path: str | None) -> bool:
        return path is not None and path.startswith(beside) and not path.startswith(own)

    for name, module in list(sys.modules.items()):
        if another(getattr(module, "__file__", None)):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if not another(path)]
