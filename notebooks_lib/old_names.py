"""Lets scripts of version 0.1 find what has moved since, with a DeprecationWarning. It goes with version 0.3.

Only what scripts were seen to import is listed. New code imports from the front door.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES: Mapping[str, str] = {
    "kernels.launching": "kernels.template_manager",
    "kernels.spec": "kernels.kernelspec_managers",
    "metric_names": "metrics.builtin",
    "notebooks.parameters": "notebooks.parameter_schema",
    "notebooks.values": "notebooks.parameter_values",
    "promotion.compare": "promotion.run_ranking",
    "promotion.deciding.decision": "promotion.decision",
    "promotion.deciding.interval_rules": "promotion.holdout_rules",
    "promotion.deciding.metric": "metrics.metric",
    "promotion.deciding.metrics": "metrics.builtin",
    "promotion.deciding.policy": "promotion.rule_registry",
    "promotion.gate": "release.gate",
    "promotion.scoring": "promotion.model_scoring",
    "records": "run_result",
    "running.sweeps.records": "sweeps.trials",
    "running.sweeps.report": "sweeps.report",
    "serving.formats": "serving.request_formats",
    "statistics.paired": "statistics.paired_jackknife",
    "tracking.datasets.access": "datasets.loader",
    "tracking.flavors": "models.flavors",
    "tracking.models": "models.logged_models",
    "tracking.registry": "models.registry",
    "tracking.scoring": "models.served_model",
}
PACKAGES = {"promotion.deciding", "running.sweeps", "tracking.datasets"}
"""Packages that are gone; `tracking.datasets` offers what `datasets` does."""
MEMBERS: Mapping[str, Mapping[str, str]] = {
    "datasets": {
        "Entry": "datasets.loader.CatalogEntry",
        "Trained": "models.dataset_lineage.Trained",
        "log_input": "datasets.run_datasets.log_input",
        "mlflow_dataset": "datasets.run_datasets.mlflow_dataset",
        "own": "datasets.loader.own",
        "parse_tag": "datasets.run_datasets.parse_tag",
        "remarks": "datasets.data_quality.remarks",
        "tag_value": "datasets.run_datasets.tag_value",
        "trained_on": "models.dataset_lineage.trained_on",
    },
    "models.logged_models": {"local": "models.model_files.local_model_folder"},
    "models.registry": {
        name: f"models.champions.{name}"
        for name in ("champion", "mark_champion", "previous", "was_champion", "withdraw")
    },
    "notebooks.parameter_schema": {"schema": "notebooks.parameter_schema.read_schema"},
    "promotion.decision": {"Uses": "promotion.evidence.Uses", "rule": "promotion.rule_registry.rule"},
    "promotion.model_scoring": {
        "score": "promotion.model_scoring.score_model",
        "truth": "promotion.model_scoring.truth_of",
    },
    "run_result": {"Env": "tags.Env", "Layout": "paths.Layout"},
    "serving.request_formats": {"read": "serving.request_formats.read_request"},
    "tracking.query": {"plain": "tracking.query.run_info"},
}
_ROOT = "notebooks_lib."


class _MovedModule(Loader):
    """Loads a module under its old name: the module itself, or a package that is gone."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module where it is now; None for a package that holds nothing."""
        name = spec.name.removeprefix(_ROOT)
        if name in PACKAGES:
            return _Datasets(spec.name) if name == "tracking.datasets" else None
        new = _ROOT + MODULES[name]
        warnings.warn(f"{spec.name} is {new} now; see docs/api.md", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._spec = module.__spec__  # the import system is about to put the old name's there
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: the module has run."""
        if module.__name__.removeprefix(_ROOT) in MODULES.values():
            module.__spec__ = self._spec


class _Datasets(ModuleType):
    """What `notebooks_lib.datasets` offers, under the package's old name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(f"{_ROOT}datasets"), name)


def find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module that has moved, else None."""
    old = name.removeprefix(_ROOT)
    if not name.startswith(_ROOT) or (old not in MODULES and old not in PACKAGES):
        return None
    return ModuleSpec(name, _MovedModule(), is_package=old in PACKAGES)


def forwarding(module: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for `module`, which forwards old names of its members to the new ones, with a warning."""
    renamed = MEMBERS[module.removeprefix(_ROOT)]

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = _ROOT + renamed[name]
        warnings.warn(f"{module}.{name} is {new} now", DeprecationWarning, stacklevel=2)
        home, _, member = new.rpartition(".")
        return getattr(importlib.import_module(home), member)

    return find
