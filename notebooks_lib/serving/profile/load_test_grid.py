"""Runs a grid: a limited server process per limit, driven by a client process. It recommends and records nothing.

The rates come from the largest memory limit, for each number of CPUs. Memory is tried apart, with the heaviest of the
requests and on the most CPUs: a limit that leaves a server alive does not change its speed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError, UsageError
from notebooks_lib.serving import http_client as http
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.profile import profile_child_processes, recommendation, resource_limits
from notebooks_lib.serving.profile.load_generator import LoadConfig
from notebooks_lib.serving.profile.profile_child_processes import ProfileProcess
from notebooks_lib.serving.profile.profile_plan import MOST_AT_ONCE, LoadGrid, LoadTarget, milliseconds
from notebooks_lib.serving.profile.profiled_server_main import ProfiledServerConfig
from notebooks_lib.serving.profile.resource_limits import LimitedProcess
from notebooks_lib.serving.profile.results import LimitTrial, LoadPoint
from notebooks_lib.serving.server_config import ServerOptions
from notebooks_lib.settings.sections import EndpointOptions

WARM_UP = 0.25
"""Share of the measured time that passes before it: the first requests start threads and fill caches."""
PATIENCE = 30.0
"""Seconds after the end of a measurement for which a request is still waited for."""

Tell = Callable[[str], None]


class LoadTest:
    """Measures a model under each limit of a grid, always with the same request and client process."""

    def __init__(
        self, model: Path, target: LoadTarget, data: Mapping[str, Any] | None, options: EndpointOptions, tell: Tell
    ) -> None:
        self._model = model
        self._target = target
        self._data = data
        self._options = options
        self._tell = tell
        self._numbers = 0

    def run(self, grid: LoadGrid) -> tuple[LimitTrial, ...]:
        """Measure the model under the limits of the grid.

        Raises ModelError or EndpointError when it cannot be served even under the loosest limit.
        """
        most = grid.memories[-1]
        trials = []
        with profile_child_processes.start_client() as driver:
            for cpus in grid.cpus:
                trials.append(self._trial(driver, grid, cpus, most, check=True))
                if trials[-1].outcome == "memory":
                    return tuple(trials)  # smaller limits and more threads can only be worse
            heaviest = replace(grid, batches=(max(grid.batches),), concurrencies=(max(grid.concurrencies),))
            for memory in reversed(grid.memories[:-1]):
                trials.append(self._trial(driver, heaviest, grid.cpus[-1], memory))
                if trials[-1].outcome == "memory":
                    break
        return tuple(trials)

    def _trial(
        self, driver: ProfileProcess, grid: LoadGrid, cpus: float, memory: float, *, check: bool = False
    ) -> LimitTrial:
        self._numbers += 1
        self._tell(f"{cpus:g} CPU, {memory:g} GiB: loading")
        with ExitStack() as stack:
            server = stack.enter_context(profile_child_processes.start_profiled_server(self._model))
            held = stack.enter_context(LimitedProcess(server.pid, cpus, memory, self._numbers))
            stack.callback(server.kill)  # before its group is taken away
            stack.callback(held.let_go)  # before its pid can be another's
            trial = LimitTrial(cpus, memory, "served", memory_by=held.memory_by)
            ready = self._load(server, cpus)
            if ready is None:
                return self._ended(trial, server, held, "while it was loaded")
            trial = replace(trial, load_seconds=float(ready["seconds"]))
            port, bodies = int(ready["port"]), self._bodies(ready["example"], grid)
            held.limit_cpu()
            cells: list[LoadPoint] = []
            for rows, body in bodies.items():
                for at_once in grid.concurrencies:
                    config = _load_config(port, body, at_once, grid.seconds)
                    cell = _load_point(driver, held, config, rows, cpus)
                    if server.ended is not None:
                        doing = f"while it was asked by {at_once} at once, {_rows(rows)} each"
                        return self._ended(replace(trial, cells=tuple(cells)), server, held, doing)
                    self._tell(f"{cpus:g} CPU, {memory:g} GiB: {describe(cell)}")
                    trial = replace(trial, peak=max(trial.peak, held.peak))
                    cells.append(cell)
            trial = replace(trial, cells=tuple(cells), cpu_by=held.cpu_by)
            rate = recommendation.rate_to_confirm(trial, self._target, grid.batches[0]) if check else None
            if rate is not None:
                config = _load_config(port, bodies[grid.batches[0]], MOST_AT_ONCE, grid.seconds, arrivals=rate)
                cell = _load_point(driver, held, config, grid.batches[0], cpus)
                if server.ended is not None:
                    return self._ended(trial, server, held, f"while requests came at {rate:.3g}/s")
                self._tell(f"{cpus:g} CPU, {memory:g} GiB: {describe(cell)}")
                trial = replace(trial, checked=cell)
            remark = "" if held.alone() else "the model starts processes of its own, which only cgroups hold too"
            trial = replace(trial, peak=max(trial.peak, held.peak), told=remark)
            return replace(trial, cpu_by=held.cpu_by, memory_by=held.memory_by)

    def _load(self, server: ProfileProcess, cpus: float) -> dict[str, Any] | None:
        """Load the model; return where the server listens, or None when it ended. Raises EndpointError, InputError for
        wrong rows.
        """
        options = ServerOptions.from_settings(self._options)
        server.tell(ProfiledServerConfig(self._model, resource_limits.whole_cores(cpus), options).to_json())
        try:
            ready = server.hear(self._options.start_timeout)
        except TimeoutError:
            raise EndpointError(
                f"the model is not loaded after {self._options.start_timeout:.0f} s; "
                "raise endpoint.start_timeout if it needs longer"
            ) from None
        if ready is not None and "error" in ready:
            raise EndpointError(f"the model cannot be served: {ready['error']}{server.tail()}")
        if ready is not None and self._data is not None:
            try:
                http.request_predictions(Address("127.0.0.1", int(ready["port"])), self._data).result()
            except EndpointError:
                if server.ended is None:  # else it was killed, which is a result
                    raise
        return ready

    def _bodies(self, example: Mapping[str, Any] | None, grid: LoadGrid) -> dict[int, str]:
        """Return the requests by their number of rows."""
        payload = self._data if self._data is not None else example
        if payload is None:
            raise UsageError("the model was logged without an example; give rows of your own with --data @FILE")
        return {rows: json.dumps(make_batch(payload, rows)) for rows in grid.batches}

    def _ended(self, trial: LimitTrial, server: ProfileProcess, held: LimitedProcess, doing: str) -> LimitTrial:
        """Return the trial of a server that its limit or the system ended. Raises EndpointError when it ended by
        itself.
        """
        code = server.ended
        if held.killed:
            self._tell(f"{trial.cpus:g} CPU, {trial.memory_gib:g} GiB: killed for memory {doing}")
            remark = f"it needs more than {trial.memory_gib:g} GiB: killed {doing}"
            return replace(trial, outcome="memory", cpu_by=held.cpu_by, told=remark)
        if code == -signal.SIGKILL:
            remark = f"killed by the system {doing}, perhaps for memory"
            return replace(trial, outcome="died", cpu_by=held.cpu_by, told=remark)
        raise EndpointError(f"the server ended {doing} (code {code}){server.tail()}")


def _load_config(port: int, body: str, concurrency: int, seconds: float, *, arrivals: float = 0.0) -> LoadConfig:
    """Return the configuration of one measurement: a warm-up in proportion, and patience for the last requests."""
    return LoadConfig(port, body, concurrency, WARM_UP * seconds, seconds, PATIENCE, arrivals)


def _load_point(driver: ProfileProcess, held: LimitedProcess, config: LoadConfig, rows: int, cpus: float) -> LoadPoint:
    """Drive the server as ordered and return the result."""
    server_cores, driver_cores = resource_limits.assign_cores(cpus)
    if driver_cores:
        os.sched_setaffinity(driver.pid, driver_cores)
    timeout = config.warm_up + config.seconds + 2 * config.patience
    began, used, waited, busy = time.monotonic(), _used(held), held.waited, _busy()
    answer = profile_child_processes.drive(driver, config, timeout)
    wall = time.monotonic() - began
    client = float(answer.pop("client"))
    cpu = max(0.0, _used(held) - used) / wall
    waited = (held.waited - waited) / wall
    return LoadPoint(
        concurrency=config.concurrency,
        batch=rows,
        arrivals=config.arrivals,
        **answer,
        wall=wall,
        cpu=cpu,
        client=client,
        shared=not driver_cores or bool(set(server_cores) & set(driver_cores)),
        others=max(0.0, (_busy() - busy) / wall - cpu - client),
        lost=max(0.0, min(cpus - cpu, waited)),
    )


def describe(cell: LoadPoint) -> str:
    """Describe a measurement in one line."""
    times = "nothing answered" if cell.p95 is None else f"p95 {milliseconds(cell.p95)}"
    wrong = "".join(f", {count} x {error}" for error, count in cell.errors.items())
    how = f"arrivals at {cell.arrivals:.3g}/s" if cell.arrivals else f"{cell.concurrency} at once"
    return f"{_rows(cell.batch)}, {how}: {cell.rate:.0f}/s, {times}{wrong}"


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _used(held: LimitedProcess) -> float:
    try:
        return held.seconds
    except OSError:
        return 0.0


def _busy() -> float:
    """Return the CPU seconds that this machine has worked since it started."""
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs", "input_data")


def make_batch(payload: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return a request of `rows` rows, which repeats those of `payload`.

    Raises UsageError if it has no list of rows.
    """
    key = _batch_format(payload)
    value = payload[key]
    if key == "dataframe_split" or (key == "input_data" and isinstance(value, Mapping) and "data" in value):
        return {**payload, key: {**_without_index(value), "data": _repeat_rows(value.get("data"), rows)}}
    if isinstance(value, Mapping) and value and all(isinstance(column, list) for column in value.values()):
        return {**payload, key: {name: _repeat_rows(column, rows) for name, column in value.items()}}
    return {**payload, key: _repeat_rows(value, rows)}


def _batch_format(payload: Mapping[str, Any]) -> str:
    keys = [key for key in _FORMATS if key in payload]
    if len(keys) != 1:
        raise UsageError(
            f"the request has the keys {', '.join(payload) or '(none)'}; expected one of {', '.join(_FORMATS)}"
        )
    return keys[0]


def _without_index(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in table.items() if name != "index"}


def _repeat_rows(rows: Any, number: int) -> list[Any]:
    if not isinstance(rows, list) or not rows:
        raise UsageError("the request's rows are not a list, so no batches can be made of them; give --batch 1")
    return list(islice(cycle(rows), number))
