"""Use libraries once in a template, so that what a library computes at its first use is there in every kernel.

SQLAlchemy, for example, examines each mapped class at the first query. A warm-up uses a library as a notebook would,
on a database and in a folder that are deleted afterwards; `undone_effects` restores everything else. Standard library
only, and the libraries that are imported already.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import gc
import logging
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_WORKSPACES": "false",
}
"""Without these MLflow would start threads, or print."""
TABLES = {dict, list, set, collections.OrderedDict, collections.defaultdict}
"""Not their subclasses, in which SQLAlchemy keeps what it has computed for a class."""


def prepare_searches() -> None:
    """Run the functions in SEARCHES for all imported libraries.

    An error is ignored: each kernel then searches by itself.
    """
    for module, work in SEARCHES.items():
        if module in sys.modules:
            with contextlib.suppress(Exception):
                work(sys.modules[module])


def run_warm_up(name: str) -> None:
    """Run the warm-up `name` from WARM_UPS, then undo its effects. Any exception of the library is passed on."""
    package, _, work = WARM_UPS[name]
    gc.unfreeze()  # the caches of what an earlier template imported are restored as well
    with undone_effects(package) as folder:
        contextvars.copy_context().run(work, folder)


def possible_warm_ups() -> list[str]:
    """Return the names in WARM_UPS whose libraries are imported."""
    return [name for name, (_, needed, _) in WARM_UPS.items() if needed <= sys.modules.keys()]


@contextlib.contextmanager
def undone_effects(package: str) -> Iterator[Path]:
    """Yield a scratch folder for a warm-up; afterwards undo its effects, except what other libraries have cached.

    Restored are environment, working directory, search path, random states, warnings, loggers, and everything that
    `package` keeps in its modules and caches, which would refer to the scratch folder.
    """
    environment, path, folder_before, random_state = dict(os.environ), sys.path[:], os.getcwd(), random.getstate()  # noqa: PTH109
    numpy = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    disabled = logging.root.manager.disable
    state = _State(package)
    folder = tempfile.mkdtemp(prefix="nbops-warm-up-")
    try:
        os.environ.update(QUIET)
        os.chdir(folder)
        logging.disable(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield Path(folder)
    finally:
        logging.disable(disabled)
        os.chdir(folder_before)
        sys.path[:] = path
        for key in os.environ.keys() - environment.keys():
            del os.environ[key]
        os.environ.update(environment)
        state.restore()
        random.setstate(random_state)
        if numpy is not None:
            numpy.set_state(numpy_state)
        shutil.rmtree(folder, ignore_errors=True)


class _State:
    """What a package keeps in variables, tables and caches of its modules and classes."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._variables = {name: dict(vars(module)) for name, module in self._modules()}
        self._tables = [(table, table.copy()) for table in self._find_tables()]
        self._cache_sizes = {id(cache): cache.cache_info().currsize for cache in self._caches()}

    def restore(self) -> None:
        """Restore what has changed. A submodule that was imported meanwhile stays."""
        for name, module in self._modules():
            before = self._variables.get(name)
            for key, value in list(vars(module).items()) if before is not None else ():
                assert before is not None
                if key not in before and f"{name}.{key}" not in sys.modules:
                    delattr(module, key)
                elif key in before and before[key] is not value:
                    setattr(module, key, before[key])
        for table, content in self._tables:
            if table != content:
                table.clear()
                (table.extend if isinstance(table, list) else table.update)(content)
        for cache in self._caches():
            if cache.cache_info().currsize != self._cache_sizes.get(id(cache), 0):
                cache.cache_clear()

    def _modules(self) -> list[tuple[str, Any]]:
        return [(name, module) for name, module in list(sys.modules.items()) if self._belongs(name)]

    def _belongs(self, name: object) -> bool:
        return isinstance(name, str) and (name == self._package or name.startswith(f"{self._package}."))

    def _find_tables(self) -> list[Any]:
        """Return the tables in modules and in classes, except those with a name of Python's own."""
        tables: dict[int, Any] = {}
        for _, module in self._modules():
            for name, value in list(vars(module).items()):
                inner = list(vars(value).items()) if isinstance(value, type) and self._belongs(value.__module__) else ()
                for key, table in [(name, value), *inner]:
                    if type(table) in TABLES and not key.startswith("__"):
                        tables[id(table)] = table
        return list(tables.values())

    def _caches(self) -> list[Any]:
        wrapper = type(functools.lru_cache(lambda: None))
        return [value for value in gc.get_objects() if type(value) is wrapper and self._belongs(value.__module__)]


def _tracking(folder: Path) -> None:
    """Track a run with a parameter, metrics, tags and a logged model, in a database with the newest tables."""
    mlflow, entities = sys.modules["mlflow"], sys.modules["mlflow.entities"]
    database = folder / "mlflow.db"
    _tables(database)
    uri = f"sqlite:///{database}"
    client = mlflow.MlflowClient(uri, uri)
    store = client._tracking_client.store
    try:
        experiment = client.create_experiment("warm-up", artifact_location=(folder / "artifacts").as_uri())
        client.get_experiment(experiment)
        client.get_experiment_by_name("warm-up")
        run_id = client.create_run(experiment, tags={"kind": "warm-up"}, run_name="warm-up").info.run_id
        client.update_run(run_id, status="RUNNING")
        client.log_param(run_id, "alpha", 1.0)
        client.log_metric(run_id, "rmse", 1.0)
        client.log_batch(
            run_id,
            metrics=[entities.Metric("mae", 1.0, 1, 0)],
            params=[entities.Param("seed", "1")],
            tags=[entities.RunTag("note", "a")],
        )
        client.set_tag(run_id, "note", "b")
        client.get_metric_history(run_id, "rmse")
        client.log_metric(run_id, "rmse", 2.0)
        model = client.create_logged_model(experiment, "model", run_id, tags={"kind": "a"}, params={"alpha": "1.0"})
        client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, 0)])
        client.log_batch(run_id, metrics=[entities.Metric("rmse", 1.0, 1, 0, model_id=model.model_id)])
        client.set_logged_model_tags(model.model_id, {"note": "a"})
        (folder / "files").mkdir()
        (folder / "files" / "MLmodel").write_text("a: 1")
        client.log_model_artifacts(model.model_id, str(folder / "files"))
        client.finalize_logged_model(model.model_id, "READY")
        client.get_logged_model(model.model_id)
        client.get_run(run_id)
        client.set_terminated(run_id)
    finally:
        store._dispose_engine()


def _tables(database: Path) -> None:
    """Create all tables at once; MLflow itself would go through sixty migrations."""
    utils, sqlalchemy = sys.modules["mlflow.store.db.utils"], sys.modules["sqlalchemy"]
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    try:
        with engine.begin() as connection:
            for table in utils.Base.metadata.sorted_tables:
                connection.execute(sqlalchemy.schema.CreateTable(table))
    finally:
        engine.dispose()
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (utils._get_latest_schema_revision(),))


def _plugins(module: Any) -> None:
    module._discover_entrypoints()


def _mappers(module: Any) -> None:
    module.configure_mappers()


def _distributions(module: Any) -> None:
    module._init_modules_to_packages_map()


def _schema(module: Any) -> None:
    """Look up MLflow's newest schema once; it reads sixty files for it whenever it opens a database."""
    newest = module._get_latest_schema_revision()
    module._get_latest_schema_revision = lambda: newest


SEARCHES: dict[str, Callable[[Any], None]] = {
    "sqlalchemy.orm": _mappers,
    "mlflow.store.db.utils": _schema,
    "mlflow.utils.requirements_utils": _distributions,  # the scan of every installed distribution
    "narwhals.plugins": _plugins,  # the same, when scikit-learn looks at its first table
}
"""Work that a module does once in a process, at its first use."""


WARM_UPS: dict[str, tuple[str, set[str], Callable[[Path], None]]] = {
    "warm-up of tracking": (
        "mlflow",
        {"mlflow.tracking.client", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.db.utils"},
        _tracking,
    ),
}
"""By the name under which a failure is reported: the package, the modules that must be imported, and the work."""
