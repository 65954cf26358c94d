"""The files under production/azure/schedules, each a schedule of a pipeline, and production/azure/monitor.yml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.project_files import file_schema, pipeline_file_kind, schedule_trigger, yaml_file
from notebooks_lib.azure.project_files.file_kinds import Faults, FileKind, exists
from notebooks_lib.stages import STAGES

PIPELINES = pipeline_file_kind.FOLDER
"""The folder beside that of the schedules, with a file for each pipeline."""
SIGNALS = ("data_drift", "prediction_drift", "data_quality")
"""The kinds of signals that nbops completes: what they compare is known."""
COLLECTIONS = ("model_inputs", "model_outputs")
"""What the data collector of a slot keeps, and signals compare."""
MONITOR_COMPUTE = {"instance_type": "standard_e4s_v3", "runtime_version": "3.4"}
_RUNTIMES = ("3.4", "3.5")
_DRIFT = {
    "numerical": {"normalized_wasserstein_distance": 0.1},
    "categorical": {"jensen_shannon_distance": 0.1},
}
_RATES = {"null_value_rate": 0.01, "data_type_error_rate": 0.01, "out_of_bounds_rate": 0.05}
_THRESHOLDS = {
    "data_drift": _DRIFT,
    "prediction_drift": _DRIFT,
    "data_quality": {"numerical": _RATES, "categorical": _RATES},
}
"""From which value on a signal alerts, unless the file says otherwise."""
_SCHEDULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
OVERRIDES = ("inputs", "settings")
"""What `create_job` may give to the pipeline in place of its own."""
_OF_CREATE_JOB = ("type", "job", *OVERRIDES)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_IN_EACH = {
    "id": "Azure sets it",
    "is_enabled": "`nbops azure schedule on NAME` and `off NAME` switch it",
    "creation_context": "Azure sets it",
    "provisioning_state": "Azure sets it",
}


def pipeline_file(schedule: Path, values: Mapping[str, Any]) -> Path | None:
    """Return the file of the pipeline that a schedule's file names; None if it names none."""
    job = values.get("create_job")
    name = job.get("job") if isinstance(job, dict) else job
    return schedule.parent / name if isinstance(name, str) and name else None


def _schedule_rules(path: Path, values: dict[str, Any]) -> Faults:
    if not _SCHEDULE_NAME.fullmatch(path.stem):
        yield (), "is no name of a schedule: rename the file; a letter or digit, then letters, digits, - and _"
    yield from _trigger_rules(values)
    job = values.get("create_job")
    if job is None:
        yield ("create_job",), f"is missing: write create_job: ../{PIPELINES}/NAME.yml, the file of a pipeline"
    elif isinstance(job, dict):
        yield from _job_rules(path, job)
    elif isinstance(job, str):
        yield from ((("create_job",), text) for text in _pipeline_faults(path, job))
    else:
        yield ("create_job",), f"is no path: write create_job: ../{PIPELINES}/NAME.yml, the file of a pipeline"


def _trigger_rules(values: Mapping[str, Any]) -> Faults:
    trigger = values.get("trigger")
    if "trigger" not in values:
        yield ("trigger",), "is missing: write type: cron and expression: below trigger:, or type: recurrence"
    elif isinstance(trigger, dict):
        found = schedule_trigger.faults(trigger, datetime.now(UTC))
        yield from ((("trigger", *path), text) for path, text in found)


def _job_rules(path: Path, job: Mapping[str, Any]) -> Faults:
    """Yield what is wrong with create_job where it is a mapping: a pipeline with other inputs or settings."""
    if _is_command(job):
        yield ("create_job",), _wrapping(path.stem)
        return
    for key in (key for key in job if key not in _OF_CREATE_JOB):
        known = [name for name in _OF_CREATE_JOB if name not in job]
        near = errors.nearest(key, known)
        hint = f", did you mean {near}?" if near else f", write one of: {', '.join(known)}"
        yield ("create_job", key), f"unknown key{hint}"
    kind = job.get("type")
    if kind is None:
        yield ("create_job", "type"), "is missing: write type: pipeline"
    elif kind != "pipeline":
        yield ("create_job", "type"), f"{kind!r} cannot be scheduled: write type: pipeline"
    for key in OVERRIDES:
        if key in job and not isinstance(job[key], dict):
            yield ("create_job", key), f"is not a mapping: write keys and values below {key}:, indented by two spaces"
    faults = list(_pipeline_faults(path, job["job"])) if isinstance(job.get("job"), str) else []
    if isinstance(job.get("job"), str) and not faults:
        yield from ((("create_job", *key), text) for key, text in _override_faults(path.parent / job["job"], job))
    if isinstance(job.get("job"), str):
        yield from ((("create_job", "job"), text) for text in faults)
    else:
        yield ("create_job", "job"), f"is missing: write job: ../{PIPELINES}/NAME.yml, the file of a pipeline"


def with_overrides(pipeline: Mapping[str, Any], job: object) -> dict[str, Any]:
    """Return the values of a pipeline with the inputs and settings that the `create_job` of a schedule has."""
    given = job if isinstance(job, dict) else {}
    merged = {key: {**(pipeline.get(key) or {}), **given[key]} for key in OVERRIDES if given.get(key)}
    return {**pipeline, **merged}


def _override_faults(file: Path, job: Mapping[str, Any]) -> Faults:
    """Yield what is wrong with the inputs and settings that a schedule gives to the pipeline of a file."""
    content, _ = yaml_file.read(file)
    mappings = [each.get(key) or {} for each in (job, content.values if content else {}) for key in OVERRIDES]
    if content is None or not all(isinstance(each, dict) for each in mappings):
        return  # a fault of its own
    known = list(content.values.get("inputs") or {})
    for name in job.get("inputs") or {}:
        if name not in known:
            near = errors.nearest(name, known)
            hint = f", did you mean {near}?" if near else f"; it has {', '.join(known) or 'none'}"
            yield ("inputs", name), f"the pipeline {file.name} has no such input{hint}"
    values, kind = with_overrides(content.values, job), pipeline_file_kind.PIPELINE
    completed = kind.completed({**kind.filled_in(file), **values})
    found = list(file_schema.faults(kind.name, completed, written=values, decided=kind.decided))
    found = found or list(kind.rules(file, values))
    yield from ((path, text) for path, text in found if len(path) > 1 and path[1] in (job.get(str(path[0])) or {}))


def _pipeline_faults(path: Path, name: str) -> Iterator[str]:
    """Yield what is wrong with the file that a schedule names; the pipeline's own faults are reported at its file."""
    file, folder = path.parent / name, path.parent.parent / PIPELINES
    if name.startswith("azureml:"):
        yield f"is a job in Azure, which nbops cannot complete: write ../{PIPELINES}/NAME.yml, the file of a pipeline"
        return
    if not exists(file, "file"):
        there = sorted(each.name for each in folder.glob("*.yml"))
        near = errors.nearest(Path(name).name, there)
        hint = f", did you mean ../{PIPELINES}/{near}?" if near else f": write ../{PIPELINES}/NAME.yml"
        yield f"no file {name} beside this one{hint}"
        return
    if file.resolve().parent != folder.resolve():
        yield f"{name} is not in {folder.name}/: move it there, so that it is checked and completed"
        return
    content, _ = yaml_file.read(file)
    if content is not None and _is_command(content.values):
        yield _wrapping(file.stem)


def _is_command(values: Mapping[str, Any]) -> bool:
    return str(values.get("type")).lower() == "command" or ("command" in values and "jobs" not in values)


def _wrapping(name: str) -> str:
    return (
        "describes a command job, and only pipelines can be scheduled: in a file in "
        f"{PIPELINES}/, indent it by four spaces and write three lines above it: `type: pipeline`, `jobs:`, `  {name}:`"
    )


def completed_monitor(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of monitor.yml with what nbops decides; in capitals, what is known only when it is sent.

    A value of a wrong form is left alone: it is reported as a fault.
    """
    own = values.get("create_monitor", {})
    if not isinstance(own, dict):
        return values
    compute, signals = own.get("compute", {}), own.get("monitoring_signals") or default_signals()
    target = {"ml_task": "classification", "endpoint_deployment_id": "azureml:ENDPOINT:SLOT"}
    completed = {**own, "compute": completed_compute(compute), "monitoring_target": target}
    if isinstance(signals, dict):
        completed["monitoring_signals"] = {
            name: completed_signal(signal) if _can_be_completed(signal) else signal for name, signal in signals.items()
        }
    return {**values, "create_monitor": completed}


def default_signals() -> dict[str, Any]:
    """Return the signals of a monitor whose file names none."""
    return {kind: {"type": kind} for kind in SIGNALS}


def completed_compute(compute: Any) -> Any:
    """Return the machines on which a monitor runs, with what a file leaves out."""
    return {**MONITOR_COMPUTE, **compute} if isinstance(compute, dict) else compute


def _can_be_completed(signal: object) -> bool:
    if not isinstance(signal, dict) or not isinstance(signal.get("production_data", {}), dict):
        return False
    return str(signal.get("type")).lower() in SIGNALS


def completed_signal(
    signal: Mapping[str, Any],
    inputs: str = "azureml:ENDPOINT-SLOT-model_inputs:1",
    outputs: str = "azureml:ENDPOINT-SLOT-model_outputs:1",
    reference: str = "azureml:DATASET-reference:1",
    target: str = "",
) -> dict[str, Any]:
    """Return a signal with the data that it compares: what a slot collects, and the rows of the training."""
    kind = str(signal["type"]).lower()
    of_outputs = kind == "prediction_drift"
    production = {
        **(signal.get("production_data") or {}),
        "input_data": {"path": outputs if of_outputs else inputs, "type": "uri_folder"},
        "data_context": "model_outputs" if of_outputs else "model_inputs",
    }
    compared: dict[str, Any] = {"input_data": {"path": reference, "type": "mltable"}, "data_context": "training"}
    if target:
        compared["data_column_names"] = {"target_column": target}
    features = {} if of_outputs else {"features": "all_features"}
    return {
        **features,
        "metric_thresholds": _THRESHOLDS[kind],
        "alert_enabled": True,
        **signal,
        "production_data": production,
        "reference_data": compared,
    }


def _monitor_rules(path: Path, values: dict[str, Any]) -> Faults:
    yield from _trigger_rules(values)
    if missing := [name for name in COLLECTIONS if not any(map(partial(_collects, name), _deployment_files(path)))]:
        yield (
            (),
            f"monitors what a deployment collects, and no deployment.yml collects {missing[0]}: write {missing[0]}: "
            '{enabled: "true"} there, below data_collector: and collections:',
        )
    monitor = values.get("create_monitor")
    if not isinstance(monitor, dict):
        return
    top = "create_monitor"
    if "monitoring_target" in monitor:
        yield (
            (top, "monitoring_target"),
            "nbops decides it: it is the slot that serves now, and the task of its model; take it out",
        )
    compute = monitor.get("compute") or {}
    if not isinstance(compute, dict):
        yield (top, "compute"), "is not a mapping: write instance_type: standard_e4s_v3 below compute:"
    elif str(compute.get("runtime_version", _RUNTIMES[0])) not in _RUNTIMES:
        wrong = compute["runtime_version"]
        yield (top, "compute", "runtime_version"), f'{wrong} is none of {", ".join(_RUNTIMES)}: write "{_RUNTIMES[0]}"'
    elif isinstance(compute.get("runtime_version"), float):
        yield (
            (top, "compute", "runtime_version"),
            f'is a number to YAML: write "{compute["runtime_version"]}" in quotes',
        )
    signals = monitor.get("monitoring_signals")
    for name, signal in (signals or {}).items():
        if isinstance(signal, dict):
            yield from (((top, "monitoring_signals", name, *path), text) for path, text in _signal_rules(signal))
    for number, email in enumerate((monitor.get("alert_notification") or {}).get("emails") or ()):
        if isinstance(email, str) and not _EMAIL.fullmatch(email):
            yield (top, "alert_notification", "emails", number), f"{email!r} is no e-mail address: write NAME@DOMAIN"


def _deployment_files(monitor: Path) -> list[Path]:
    return [monitor.with_name("deployment.yml"), *(monitor.parent / stage / "deployment.yml" for stage in STAGES)]


def _collects(name: str, deployment: Path) -> bool:
    """Return whether a deployment's file switches a collection on; one that cannot be read has faults of its own."""
    content, _ = yaml_file.read(deployment) if exists(deployment, "file") else (None, [])
    found: Any = content.values if content else {}
    for key in ("data_collector", "collections", name):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, dict) and str(found.get("enabled")).lower() == "true"


def _signal_rules(signal: Mapping[str, Any]) -> Faults:
    kind = signal.get("type")
    if isinstance(kind, str) and kind.lower() not in SIGNALS:
        yield (
            ("type",),
            f"nbops cannot complete {kind}: write {', '.join(SIGNALS)}, or make it by `az ml schedule create` in a"
            " monitor of its own",
        )
    if "reference_data" in signal:
        yield ("reference_data",), "nbops decides it: it is the training data of the champion; take it out"
    production = signal.get("production_data")
    for key in (key for key in (production or {}) if key != "data_window"):
        yield ("production_data", key), "nbops decides it: it is what the slot that serves collects; take it out"
    features = signal.get("features")
    if features is not None and not (
        features == "all_features"
        or (isinstance(features, list) and all(isinstance(each, str) for each in features))
        or (isinstance(features, dict) and list(features) == ["top_n_feature_importance"])
    ):
        yield (
            ("features",),
            "names no columns: write all_features, a list of them, or top_n_feature_importance: 10 below",
        )


def has_emails(values: Mapping[str, Any]) -> bool:
    """Return whether somebody is notified when a monitor alerts."""
    own = values.get("create_monitor") or {}
    return bool((own.get("alert_notification") or {}).get("emails"))


SCHEDULE = FileKind(
    "schedule",
    {"name": "the file's name is the name of the schedule", **_IN_EACH},
    lambda path: {"name": path.stem},
    None,
    _schedule_rules,
    stand_in={"create_job": "azureml:PIPELINE"},
)
MONITOR = FileKind(
    "monitor",
    {"name": "it is named after the endpoint", **_IN_EACH},
    lambda path: {"name": "ENDPOINT-monitor"},
    None,
    _monitor_rules,
    completed=completed_monitor,
)
