"""nbops: from a notebook to a served model. What notebooks and scripts import from here stays; all else may move.

Nothing is imported before it is used. Types are in __init__.pyi.
"""

import importlib
import sys

__version__ = "0.2.0"

_HOMES = {
    "Gate": "release.gate",
    "Metric": "metrics.metric",
    "Run": "active_run",
    "SecretStr": "notebooks.secret_str",
    "Tag": "tags",
    "compare": "promotion.run_ranking",
    "connect": "tracking.store",
    "datasets": "datasets",
    "metrics": "metrics",
    "query": "tracking.query",
    "run": "active_run",
    "secret": "notebooks.secret_str",
    "tracking": "tracking",
}
"""The module behind each name: one that bears the name itself, or one that holds it."""
_MODULES = ("compare", "datasets", "metrics", "query", "tracking")

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return module if name in _MODULES else getattr(module, name)


def __dir__():
    return sorted({*globals(), *__all__})


class _OldNames:
    """Asked for a module that no other finder knows: it may have moved. See old_names.py."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith(f"{__name__}.") or name == f"{__name__}.old_names":
            return None
        return importlib.import_module(f"{__name__}.old_names").find_spec(name)


sys.meta_path.append(_OldNames)
