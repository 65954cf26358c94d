"""`nbops sweep --service`: a sweep whose trials Azure ML proposes. Ctrl-C stops showing it; the sweep goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import sweep_output
from notebooks_lib.cli.only_if import Answer
from notebooks_lib.sweeps import samplers_and_pruners

if TYPE_CHECKING:
    from notebooks_lib.running.plan import NotebookPlanner
    from notebooks_lib.settings import Settings
    from notebooks_lib.sweeps.goal import Goal
    from notebooks_lib.sweeps.search_space import SearchSpace
    from notebooks_lib.sweeps.service_request import ServiceSweepRequest


def run(
    options: dict[str, Any], domain: SearchSpace, arguments: Sequence[str], run_ids: list[str], answer: Answer
) -> int:
    """Submit the sweep or come back to it, show it to its end, and return the exit code.

    The id of its run is added to `run_ids` as soon as it is submitted.
    """
    from notebooks_lib import settings
    from notebooks_lib.running.plan import NotebookPlanner
    from notebooks_lib.sweeps.goal import Goal

    project = settings.load(settings.find_root(options["notebook"], fallback=Path.cwd()), os.environ)
    goal = Goal.parse(options["metric"]) if options["metric"] else None
    source = NotebookPlanner(options["notebook"], project, experiment=options["experiment"])
    try:
        _refuse_options(options)
        assert goal is not None
        request = _request(options, domain, goal, source)
    except errors.UsageError as error:
        other = (
            f". Without it nbops proposes the trials: {command}"
            if (command := _without_service(options, domain, goal, source, arguments))
            else ""
        )
        raise errors.UsageError(f"--service: {error}{other}") from error
    try:
        return _show(
            request,
            project,
            arguments,
            run_ids,
            Answer.of(options["only_if"], options["out"], as_json=options["as_json"]),
        )
    except KeyboardInterrupt:
        if not run_ids:
            raise
        return _detached(
            run_ids[0], arguments, Answer.of(options["only_if"], options["out"], as_json=options["as_json"])
        )


def _refuse_options(options: dict[str, Any]) -> None:
    """Raise UsageError for options of a sweep that only nbops itself can run."""
    if not (options["on"] or "").startswith("azureml"):
        found = f"found --on {options['on']}" if options["on"] else "found no --on"
        raise errors.UsageError(f"the trials run in Azure ML: {found}, give --on azureml:NAME or azureml:serverless")
    if options["metric"] is None:
        raise errors.UsageError("the service needs a metric to compare trials by: give --metric NAME:min or NAME:max")
    if options["sampler"] not in (None, *samplers_and_pruners.SERVICE_SAMPLERS):
        known = ", ".join(samplers_and_pruners.SERVICE_SAMPLERS)
        raise errors.UsageError(f"--sampler {options['sampler']} is nbops' own: the service has {known}")
    for option, why in {
        "skip_seen": "the service proposes each trial when it begins, and cannot skip one",
        "fail_fast": "the service goes on after a trial that fails",
    }.items():
        if options[option]:
            raise errors.UsageError(f"--{option.replace('_', '-')}: {why}; leave it out")


def _request(options: dict[str, Any], domain: SearchSpace, goal: Goal, source: NotebookPlanner) -> ServiceSweepRequest:
    from notebooks_lib.sweeps.executors import TrialLimits
    from notebooks_lib.sweeps.service_request import ServiceSweepRequest

    return ServiceSweepRequest(
        source=source,
        domain=domain,
        goal=goal,
        on=options["on"],
        job_file=options["job"],
        trials=options["trials"],
        sampler=options["sampler"],
        seed=options["seed"],
        prune=options["prune"],
        jobs=options["jobs"],
        limits=TrialLimits(options["timeout"], options["cell_timeout"], options["kernel"], bool(options["cold"])),
        sweep_timeout=options["sweep_timeout"],
        resume=options["resume"],
        name=options["name"],
    )


def _show(
    request: ServiceSweepRequest,
    project: Settings,
    arguments: Sequence[str],
    run_ids: list[str],
    answer: Answer,
) -> int:
    from notebooks_lib.cli.live_table import table
    from notebooks_lib.sweeps import report, service_sweep
    from notebooks_lib.tracking import query, store

    def submitted(run_id: str, _: str) -> None:
        run_ids.append(run_id)
        tell(f"sweep {run_id}")

    def tell(line: str) -> None:
        if not answer.as_json:
            click.echo(safe_text.printable(line), err=True)

    connected = store.connect(project)
    with table(request.total, request.goal, jobs=request.jobs or request.total, silent=answer.as_json) as shown:
        result = service_sweep.run_service_sweep(
            request, connected, os.environ, on_open=submitted, on_change=shown.show, tell=tell
        )
    if not answer.give({**report.document(result), "resume": None}):  # it has ended: nothing is left to do
        experiment = query.get_run(connected, result.run_id).experiment
        sweep_output.print_result(result, experiment, arguments, resumable=False)
    return sweep_output.exit_code(result)


def _detached(run_id: str, arguments: Sequence[str], answer: Answer) -> int:
    command = sweep_output.resume_command(arguments, run_id)
    click.echo(
        f"detached: sweep {run_id} goes on; to come back: {command}; to stop it: nbops azure jobs stop {run_id}",
        err=True,
    )
    answer.give({"run_id": run_id, "status": None, "resume": command, "detached": True})
    return 130


def _without_service(
    options: dict[str, Any], domain: SearchSpace, goal: Goal | None, source: NotebookPlanner, arguments: Sequence[str]
) -> str:
    """Return the command by which nbops itself proposes the trials; empty if it would refuse that as well."""
    from notebooks_lib.sweeps import compute_targets
    from notebooks_lib.sweeps.sweep_request import SweepRequest

    if options["resume"] is not None or (options["job"] and not options["on"]):
        return ""  # it would be another sweep; nothing says where the job runs
    given = {name: options[name] for name in ("sampler", "prune", "sweep_timeout")}
    dropped = {f"--{name.replace('_', '-')}" for name, value in given.items() if value and not _is_ours(name, value)}
    if dropped - {word.partition("=")[0] for word in arguments}:
        return ""  # the sweep file says so
    kept = {name: value for name, value in given.items() if value and _is_ours(name, value)}
    try:
        if options["on"]:
            compute_targets.find_compute_target(options["on"], options["job"])
        SweepRequest(source, domain, goal, options["trials"], **kept)
    except errors.UsageError:
        return ""
    remaining: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if name not in dropped:
            remaining.append(word)
        elif not equals:
            words.pop(0)
    return sweep_output.toggle_service(remaining, service=False)


def _is_ours(option: str, value: str) -> bool:
    """Return whether nbops itself has this sampler or pruner; it has no limit of time for a sweep."""
    if option != "prune":
        return option == "sampler" and value in samplers_and_pruners.SAMPLERS
    try:
        return bool(samplers_and_pruners.parse_pruner(value))
    except errors.UsageError:
        return False
