"""The processes of a distributed job: how many there are, and the variables by which each finds the others."""

from __future__ import annotations

import json
import socket
from typing import Any

LOOPBACK = "127.0.0.1"


def processes(properties: dict[str, Any]) -> list[dict[str, str]]:
    """Return the variables of each process that runs the job's command."""
    nodes = int((properties.get("resources") or {}).get("instanceCount") or 1)
    distribution = properties.get("distribution") or {}
    each = int(distribution.get("processCountPerInstance") or 1)
    match str(distribution.get("distributionType", "")).lower():
        case "mpi":
            return [_mpi(rank, nodes * each, rank % each) for rank in range(nodes * each)]
        case "pytorch":
            return _pytorch(nodes, each)
        case "tensorflow":
            workers = int(distribution.get("workerCount") or nodes)
            return _tensorflow(workers, int(distribution.get("parameterServerCount") or 0))
        case "ray":  # the command runs on the head node, which has started Ray on all
            return [{"RAY_ADDRESS": f"{LOOPBACK}:{_free_port()}", "AZUREML_NODE_COUNT": str(nodes)}]
    return [{}]


def _mpi(rank: int, size: int, local: int) -> dict[str, str]:
    """What Open MPI's mpirun sets."""
    names = {"RANK": rank, "SIZE": size, "LOCAL_RANK": local}
    return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in names.items()}


def _pytorch(nodes: int, each: int) -> list[dict[str, str]]:
    port = _free_port()
    shared = {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port), "WORLD_SIZE": str(nodes * each)}
    return [
        shared | {"RANK": str(rank), "LOCAL_RANK": str(rank % each), "NODE_RANK": str(rank // each)}
        for rank in range(nodes * each)
    ]


def _tensorflow(workers: int, servers: int) -> list[dict[str, str]]:
    cluster = {"worker": [f"{LOOPBACK}:{_free_port()}" for _ in range(workers)]}
    if servers:
        cluster["ps"] = [f"{LOOPBACK}:{_free_port()}" for _ in range(servers)]
    tasks = [(kind, index) for kind, places in cluster.items() for index in range(len(places))]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"})}
        for kind, index in tasks
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
