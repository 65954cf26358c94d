"""Load models into the server process, one at a time, each with its own modules beside it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from notebooks_lib.models.served_model import ServedModel

_one_at_a_time = threading.Lock()


def prepare_process() -> None:
    """Prepare a process for loading its first model, as `mlflow models serve` does."""
    import warnings

    sys.dont_write_bytecode = True  # bytecode would be added to the model's files, and change their digest
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    warnings.filterwarnings("ignore", message="Could not infer format")  # pandas, of each request with dates
    warnings.filterwarnings("ignore", message=".*type hint")  # MLflow, of its own types, at import


def load_model(folder: Path, *, complete: bool = False) -> ServedModel:
    """Load the model in `folder` and let it predict its example. Raises ModelError when either fails.

    With `complete`, also import the libraries for request formats other than that of the example.
    """
    with _one_at_a_time:
        _forget_code_beside(folder)
        model = ServedModel.load(folder)
        if complete:
            model.complete()
        return model


def _forget_code_beside(folder: Path) -> None:
    """Let a model import its own modules, not modules of the same name that another model brought.

    The other model keeps what it has imported. A module that it imports only later, while it predicts, is looked for in
    this model's folder.
    """
    own, beside = str(folder.resolve()) + os.sep, str(folder.parent.resolve()) + os.sep

    def of_another(path: str | None) -> bool:
        return path is not None and path.startswith(beside) and not path.startswith(own)

    for name, module in list(sys.modules.items()):
        if of_another(getattr(module, "__file__", None)):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if not of_another(path)]
