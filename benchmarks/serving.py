"""How many requests a second an endpoint answers, and how soon after its start, beside `mlflow models serve`.

python -m benchmarks.serving [--seconds 4] [--repeats 3] [--starts 3]

The same models from the same folders, the same bodies (`dataframe_split` with MLflow's schema checked), 8 connections
that are kept open; before anything is measured, both must answer the same predictions. The load is wrk's where it is
installed, else that of a client in asyncio. Both servers are as their command makes them, in one process each.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.machine import BIN
from benchmarks.measuring import Failed, Rounds, table, times

CONNECTIONS = 8
ROWS = (1, 100)
PATIENCE = 120.0
HEADERS = {"Content-Type": "application/json"}


def save(project: Path) -> dict[str, tuple[Path, Any]]:
    """By name: the folder of a model as notebooks log it, of the diabetes data, and rows to ask."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from notebooks_lib import settings
    from notebooks_lib.models import logged_models as models
    from notebooks_lib.models import model_files
    from notebooks_lib.tracking.store import connect

    store = connect(settings.load(project, {}))
    x, y = load_diabetes(as_frame=True, return_X_y=True)
    figures = {}
    for name, model in {
        "ridge": make_pipeline(StandardScaler(), Ridge()),
        "boosting, 150 trees": HistGradientBoostingRegressor(max_iter=150, learning_rate=0.03),
    }.items():
        run = store.client.create_run(store.experiment_id("bench")).info.run_id
        models.log_model(store, run, model.fit(x, y), example=x)
        target = project / name.partition(",")[0]
        target.mkdir()
        folder = model_files.download(models.model_of_run(store, run).source, target)
        figures[name] = folder.rename(target / target.name), x
    return figures


def body(rows: Any, count: int) -> bytes:
    return json.dumps({"dataframe_split": {"columns": list(rows), "data": rows[:count].to_numpy().tolist()}}).encode()


def ask(port: int, text: bytes) -> Any:
    """The answer to one request; OSError when nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/invocations", text, HEADERS)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise Failed(f"status {answer.status}: {content[:200]!r}")
    return json.loads(content)


def wait(port: int, text: bytes) -> Any:
    """The first answer of a server that is coming up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return ask(port, text)
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
    raise Failed(f"no answer within {PATIENCE:.0f} s")


@contextmanager
def theirs(model: Path, text: bytes) -> Iterator[tuple[int, float]]:
    """`mlflow models serve`: its port, and the seconds to its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "mlflow"), "models", "serve", "--env-manager", "local", "-m", str(model), "-p", str(port)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait(port, text)
        yield port, time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it starts uvicorn as a child
        process.wait()


@contextmanager
def ours(project: Path, model: Path, text: bytes) -> Iterator[tuple[int, float]]:
    """`nbops endpoint start` of a model that was deployed before: its port, and the seconds to its first answer."""
    from notebooks_lib import settings
    from notebooks_lib.serving import local_endpoint
    from notebooks_lib.serving.endpoint import ServedVersion
    from notebooks_lib.serving.local_endpoint import LocalEndpoint

    here = settings.load(project, {})
    name = model.name
    if name not in local_endpoint.names(here):
        LocalEndpoint(here, name).deploy("blue", ServedVersion.in_folder(model, version="1"), traffic=True)
        LocalEndpoint(here, name).stop()
    port = LocalEndpoint(here, name).status().port
    began = time.perf_counter()
    subprocess.run(
        [str(BIN / "nbops"), "endpoint", "start", name],
        cwd=project,
        env=_environment(),
        check=True,
        capture_output=True,
    )
    try:
        wait(port, text)
        yield port, time.perf_counter() - began
    finally:
        LocalEndpoint(here, name).stop()


def _environment() -> dict[str, str]:
    """Without limits of threads: each server is as it comes."""
    from notebooks_lib.sweeps import executors

    path = os.pathsep.join((str(BIN), os.environ.get("PATH", os.defpath)))  # mlflow starts uvicorn by its name
    ours = machine.environment(PYTHONPATH=str(machine.ROOT), PATH=path)  # of this checkout, whatever is installed
    return {name: value for name, value in ours.items() if name not in executors.THREAD_VARIABLES}


def start(server: Callable[[], Any]) -> float:
    """Seconds to the first answer."""
    with server() as (_, seconds):
        return float(seconds)


def rate(port: int, text: bytes, seconds: int, scratch: Path) -> float:
    """Requests a second that were answered with 200."""
    return _wrk(port, text, seconds, scratch) if shutil.which("wrk") else asyncio.run(_client(port, text, seconds))


def _wrk(port: int, text: bytes, seconds: int, scratch: Path) -> float:
    script = scratch / "request.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{text.decode()}]==]\n'
    )
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    command = ["wrk", *options, f"http://127.0.0.1:{port}/invocations"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise Failed("some requests failed: " + " ".join(re.findall(r"(?:Non-2xx|Socket errors).*", printed)))
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0])


async def _client(port: int, text: bytes, seconds: int) -> float:
    head = [
        "POST /invocations HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(text)}",
    ]
    request, until, done = "\r\n".join([*head, "", ""]).encode() + text, time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not answer.startswith(b"http/1.1 200"):
                raise Failed(f"answered {answer.splitlines()[0]!r}")
            await reader.readexactly(int(re.findall(rb"content-length: (\d+)", answer)[0]))
            done += 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--starts", type=int, default=3)
    given = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    print("## Endpoints\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="nbops-bench-") as scratch:
        project = Path(scratch) / "project"
        (project / "production").mkdir(parents=True)
        (project / "production" / "settings.toml").write_text('[project]\nname = "bench"\n')
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's hints
            models = save(project)
        lines = []
        for name, (model, rows) in models.items():
            lines += rates(name, model, rows, project, given.seconds, given.repeats)
        load = "wrk" if shutil.which("wrk") else "a client in asyncio"
        head = ["model", "rows a request", "server", "requests/s", "range", "this / mlflow"]
        print(f"{CONNECTIONS} connections, {given.repeats} rounds of {given.seconds} s in turn, load by {load}.\n")
        print(table(head, lines), "\n", flush=True)
        print(starts(models["ridge"], project, given.starts))


def rates(name: str, model: Path, rows: Any, project: Path, seconds: int, repeats: int) -> list[list[object]]:
    """The lines of one model: for each number of rows, both servers."""
    with ours(project, model, body(rows, 1)) as (mine, _), theirs(model, body(rows, 1)) as (other, _):
        lines: list[list[object]] = []
        for count in ROWS:
            text = body(rows, count)
            if ask(mine, text) != ask(other, text):
                raise Failed(f"{name}, {count} rows: the two servers answer differently")
            servers = {"`nbops endpoint`": mine, "`mlflow models serve`": other}
            measure = {label: partial(rate, port, text, seconds, project) for label, port in servers.items()}
            for each in measure.values():
                each()  # warms up
            rounds = Rounds()
            for _ in range(repeats):
                rounds.round(measure)
            for row in rounds.rows(lambda label, rounds=rounds: [times(rounds.ratio(label, "`mlflow models serve`"))]):
                lines.append([name, count, *row])
        return lines


def starts(model: tuple[Path, Any], project: Path, repeats: int) -> str:
    """The table of starts."""
    folder, rows = model
    text = body(rows, 1)
    servers = {
        "`nbops endpoint start`": partial(start, partial(ours, project, folder, text)),
        "`mlflow models serve`": partial(start, partial(theirs, folder, text)),
    }
    rounds = Rounds()
    for _ in range(repeats):
        rounds.round(servers)
    lines = rounds.rows(lambda label: [times(rounds.ratio(label, "`mlflow models serve`"))])
    return table(["command to the first prediction", "s", "range", "this / mlflow"], lines)


if __name__ == "__main__":
    main()
