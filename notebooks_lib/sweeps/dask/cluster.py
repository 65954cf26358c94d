"""Finds a Dask cluster, and puts together what its workers are given. It runs nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from notebooks_lib import errors
from notebooks_lib.kernels import preferences
from notebooks_lib.running.plan import Source
from notebooks_lib.sweeps import executors
from notebooks_lib.sweeps.dask import bundle, preflight
from notebooks_lib.sweeps.dask.executor import Cluster
from notebooks_lib.sweeps.dask.worker import Parcel
from notebooks_lib.sweeps.executors import Threads
from notebooks_lib.tags import Env
from notebooks_lib.tracking import provenance
from notebooks_lib.tracking.owner import Start
from notebooks_lib.tracking.store import Store

if TYPE_CHECKING:
    from distributed import Client

PROBE = 3.0
CONNECT = 5.0
"""Seconds after which a scheduler that does not answer is taken for none."""
_NO_SCHEDULER = (
    "what listens at {address} is no Dask scheduler ({kind}): a scheduler's own port is usually 8786, that of its "
    "pages 8787"
)
_OURS = {value for name, value in vars(Env).items() if name.isupper()}


def connect(on: str, source: Source, start: Start, store: Store, tell: Callable[[str], None]) -> Cluster:
    """The cluster behind `dask://HOST:PORT`, its workers looked at and given the project.

    Raises ClusterError when nobody is there, UsageError that names the worker when one is not fit.
    """
    address = f"tcp://{on.removeprefix('dask://').rstrip('/')}"
    client = _client(address)
    try:
        cluster = Cluster(client, address, _parcel(source, start, store), store, tell)
        cluster.begin()
    except BaseException:
        client.close(timeout=2)
        raise
    return cluster


def _client(address: str) -> Client:
    """A client of the scheduler. Raises ClusterError within ten seconds when there is none."""
    parts = urlsplit(address)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), PROBE).close()
    except OSError as error:
        raise errors.ClusterError(
            f"no Dask scheduler at {address} ({error.strerror or error}): start one with `dask scheduler`"
        ) from error
    from distributed import Client

    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters of it is said in our own words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions; they are looked at
        try:
            # Dask's client itself waits for minutes for what only seems to be a scheduler.
            kind = Threads().submit(asyncio.run, _kind(address)).result(CONNECT)
            if kind == "Scheduler":
                return Client(address, timeout=CONNECT, set_as_default=False, name="nbops-sweep")
        except Exception as error:
            raise errors.ClusterError(
                _NO_SCHEDULER.format(address=address, kind="it does not answer as one")
            ) from error
    raise errors.ClusterError(_NO_SCHEDULER.format(address=address, kind=f"it is a {kind}"))


async def _kind(address: str) -> str:
    """What a Dask server says that it is."""
    from distributed.comm.core import connect as connect_to

    comm = await connect_to(address, timeout=CONNECT)
    try:
        await comm.write({"op": "identity", "reply": True})
        answer = await comm.read()
        return str(answer["type"])
    finally:
        comm.abort()


def _parcel(source: Source, start: Start, store: Store) -> Parcel:
    settings = source.settings
    source.freeze()
    packed = bundle.pack(source.notebook, settings)
    environment = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith("NBOPS_") and name not in _OURS) or name in executors.THREAD_VARIABLES
    }
    data = settings.data_folder.resolve()
    if not data.is_relative_to(settings.root.resolve()):  # each worker has to see it at the same place
        environment["NBOPS_DATA_FOLDER"] = str(data)
    learned = Path(preferences.of(str(settings.root), {**os.environ, Env.ROOT: str(settings.root)}).memory)
    experiment_id = start.experiment_id or store.experiment_id(start.experiment)
    return Parcel(
        session=uuid.uuid4().hex[:12],
        settings=settings,
        wanted=preflight.wanted(settings, store, experiment_id, source.schema.secrets.values()),
        packed=packed,
        learned=learned.read_bytes() if learned.is_file() else b"",
        environment=environment,
        user=provenance.source_tags("", None, "")["mlflow.user"],
    )
