"""A schedule's file names a pipeline and times that are kept; monitor.yml leaves to nbops what the signals compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.azure.project_files import file_check, schedule_file_kinds

DAILY = 'trigger: {type: cron, expression: "0 2 * * *"}\n'
COLLECTING = """\
data_collector:
  collections:
    model_inputs: {enabled: "true"}
    model_outputs: {enabled: "true"}
"""
SIGNAL = "create_monitor:\n  monitoring_signals:\n    drift:\n      type: data_drift\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder production/azure with a pipeline, a command job, and a deployment that collects."""
    place = file_check.folder(tmp_path)
    for name in ("schedules", "pipelines", "elsewhere"):
        (place / name).mkdir(parents=True)
    pipeline = "type: pipeline\ninputs: {dataset: sales}\njobs:\n  a: {command: nbops run a.ipynb}\n"
    for name in ("pipelines/retrain.yml", "elsewhere/retrain.yml"):
        (place / name).write_text(pipeline)
    (place / "pipelines" / "train.yml").write_text("type: command\ncommand: nbops run a.ipynb\n")
    (place / "deployment.yml").write_text(COLLECTING)
    return place


def _faults(place: Path, name: str) -> list[str]:
    checked = file_check.check(place.parent.parent, {}, by_sdk=False)
    lines = [fault.shown(place.parent.parent).removeprefix("production/azure/") for fault in checked.faults]
    return [line for line in lines if line.startswith(name)]


WRAPPED = (
    "describes a command job, and only pipelines can be scheduled: in a file in pipelines/, indent it by four spaces "
    "and write three lines above it: `type: pipeline`, `jobs:`, `  train:`"
)
INLINE = WRAPPED.replace("train:", "nightly:")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("create_job: ../pipelines/retrain.yml\n", "1: trigger: is missing: write type: cron"),
        (DAILY, "1: create_job: is missing: write create_job: ../pipelines/NAME.yml"),
        (f"{DAILY}create_job: ../pipelines/retrian.yml\n", "2: create_job: no file ../pipelines/retrian.yml beside t"),
        (f"{DAILY}create_job: ../elsewhere/retrain.yml\n", "2: create_job: ../elsewhere/retrain.yml is not in pipel"),
        (f"{DAILY}create_job: azureml:some-job\n", "2: create_job: is a job in Azure, which nbops cannot complete"),
        (f"{DAILY}create_job: {'x' * 3000}\n", "2: create_job: no file xxx"),
        (f"{DAILY}create_job: 5\n", "2: create_job: is no path: write create_job: ../pipelines/NAME.yml"),
        (f"{DAILY}create_job: ../pipelines/train.yml\n", f"2: create_job: {WRAPPED}"),
        (f"{DAILY}create_job:\n  type: command\n  job: ../pipelines/train.yml\n", f"2: create_job: {INLINE}"),
        (f"{DAILY}create_job:\n  command: nbops run a.ipynb\n", f"2: create_job: {INLINE}"),
        (
            f"{DAILY}create_job:\n  job: ../pipelines/retrain.yml\n",
            "2: create_job.type: is missing: write type: pipeline",
        ),
        (f"{DAILY}create_job:\n  type: pipeline\n", "2: job: is missing: write job: ../pipelines/NAME.yml"),
        (
            f"{DAILY}create_job: {{type: pipeline, job: ../pipelines/retrain.yml, input: {{}}}}\n",
            "2: input: unknown key, did you mean inputs?",
        ),
        (
            f"{DAILY}create_job: {{type: pipeline, job: ../pipelines/retrain.yml, inputs: [a]}}\n",
            "2: inputs: is not a mapping: write keys and values below inputs:",
        ),
        (
            f"{DAILY}create_job: {{type: pipeline, job: ../pipelines/retrain.yml, inputs: {{datset: a}}}}\n",
            "2: datset: the pipeline retrain.yml has no such input, did you mean dataset?",
        ),
        (
            f"{DAILY}create_job: {{type: pipeline, job: ../pipelines/retrain.yml, settings: {{force_rerunn: true}}}}\n",
            "2: force_rerunn: unknown key, did you mean force_rerun?",
        ),
        (
            f"{DAILY}create_job: {{type: pipeline, job: ../pipelines/retrain.yml, settings: {{default_compute: cpu}}}}\n",
            "2: default_compute: 'cpu' is no compute: write azureml:NAME",
        ),
        (
            'trigger:\n  type: cron\n  expression: "0 2 1 * *"\ncreate_job: ../pipelines/retrain.yml\n',
            "3: expression: Azure ignores the day of a cron expression ('1') and would run every day: write *, or",
        ),
        (
            "trigger:\n  type: recurrence\n  frequency: week\n  interval: 1\n  time_zone: Europe/Berlin\n"
            "create_job: ../pipelines/retrain.yml\n",
            "5: time_zone: 'Europe/Berlin' is no time zone of Azure, which takes the names of Windows: write \"W. Eu",
        ),
        (
            'trigger: {type: cron, expression: "0 2 * * *", end_time: "2020-01-01T00:00:00"}\n'
            "create_job: ../pipelines/retrain.yml\n",
            "1: end_time: 2020-01-01T00:00:00 is past, so that it would never run",
        ),
        (
            'trigger: {type: cron, expresion: "0 2 * * *"}\ncreate_job: ../pipelines/retrain.yml\n',
            "1: expresion: unknown key, did you mean expression?",
        ),
    ],
)
def test_a_schedule_that_would_not_run_as_its_file_says_is_a_fault(place: Path, content: str, fault: str) -> None:
    (place / "schedules" / "nightly.yml").write_text(content)
    (found,) = _faults(place, "schedules/")
    assert found.startswith(f"schedules/nightly.yml:{fault}")


def test_a_schedule_is_named_by_its_file(place: Path) -> None:
    (place / "schedules" / "-a b.yml").write_text(f"{DAILY}create_job: ../pipelines/retrain.yml\n")
    assert "is no name of a schedule: rename the file" in _faults(place, "schedules/")[0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (SIGNAL, "1: trigger: is missing"),
        (
            f"{DAILY}create_monitor: {{monitoring_target: {{}}}}\n",
            "2: monitoring_target: nbops decides it: it is the s",
        ),
        (f"{DAILY}create_monitor: {{compute: {{runtime_version: '2.0'}}}}\n", "2: runtime_version: 2.0 is none of 3.4"),
        (f"{DAILY}create_monitor: {{compute: {{runtime_version: 3.4}}}}\n", "2: runtime_version: is a number to YAML"),
        (
            f"{DAILY}{SIGNAL}      reference_data: {{}}\n",
            "6: reference_data: nbops decides it: it is the training data",
        ),
        (
            f"{DAILY}{SIGNAL}      production_data: {{input_data: {{}}}}\n",
            "6: input_data: nbops decides it: it is what",
        ),
        (f"{DAILY}{SIGNAL}      features: some\n", "6: features: names no columns: write all_features, a list"),
        (
            f"{DAILY}{SIGNAL.replace('data_drift', 'custom')}",
            "5: drift.type: nbops cannot complete custom: write data_drift",
        ),
        (
            f"{DAILY}{SIGNAL.replace('data_drift', 'data_drifd')}",
            "5: drift.type: 'data_drifd' is none of data_drift, data_",
        ),
        (
            f"{DAILY}create_monitor: {{alert_notification: {{emails: [me]}}}}\n",
            "2: emails[0]: 'me' is no e-mail address: write NAME@DOMAIN",
        ),
        (
            f"{DAILY}create_monitor: {{alert_notification: azmonitoring}}\n",
            "2: alert_notification: 'azmonitoring' is not a mapping",
        ),
    ],
)
def test_what_a_monitor_compares_is_not_written_in_its_file(place: Path, content: str, fault: str) -> None:
    (place / "monitor.yml").write_text(content)
    (found,) = _faults(place, "monitor")
    assert found.startswith(f"monitor.yml:{fault}")


def test_a_monitor_needs_a_deployment_that_collects(place: Path) -> None:
    (place / "monitor.yml").write_text(DAILY)
    assert _faults(place, "monitor") == []
    (place / "deployment.yml").write_text(COLLECTING.replace('model_outputs: {enabled: "true"}', "other: {}"))
    (fault,) = _faults(place, "monitor")
    assert fault.startswith(
        "monitor.yml:1: monitors what a deployment collects, and no deployment.yml collects model_o"
    )
    (place / "prod").mkdir()
    (place / "prod" / "deployment.yml").write_text(COLLECTING)
    assert _faults(place, "monitor") == []


def test_three_named_signals_stand_for_a_monitor_that_names_none() -> None:
    completed = schedule_file_kinds.completed_monitor({"trigger": {}})["create_monitor"]
    signals: dict[str, Any] = completed["monitoring_signals"]
    assert list(signals) == ["data_drift", "prediction_drift", "data_quality"]
    for name, signal in signals.items():
        assert signal["alert_enabled"] is True
        assert signal["reference_data"]["data_context"] == "training"
        assert signal["metric_thresholds"]["numerical"]
        of_outputs = name == "prediction_drift"
        assert signal["production_data"]["data_context"] == ("model_outputs" if of_outputs else "model_inputs")


def test_what_a_file_says_of_a_signal_is_kept() -> None:
    signal = {"type": "data_drift", "alert_enabled": False, "features": ["a"], "metric_thresholds": {"numerical": {}}}
    completed = schedule_file_kinds.completed_signal(signal | {"production_data": {"data_window": {"x": 1}}})
    assert signal.items() <= completed.items()
    assert completed["production_data"]["data_window"] == {"x": 1}


@pytest.mark.parametrize(("name", "fault"), [("retrain", ""), ("", ""), ("retrian", "did you mean retrain?")])
def test_new_data_wakes_a_schedule_that_there_is(place: Path, name: str, fault: str) -> None:
    (place / "schedules" / "retrain.yml").write_text(f"{DAILY}create_job: ../pipelines/retrain.yml\n")
    infra = place.parent / "infra"
    infra.mkdir()
    (infra / "main.bicep").write_text("param prefix string\n\nparam wakeSchedule string = ''\n")
    parameters = {"parameters": {"prefix": {"value": "sales"}, "wakeSchedule": {"value": name}}}
    (infra / "parameters.dev.json").write_text(json.dumps(parameters, indent=1))
    checked = file_check.check(place.parent.parent, {}, by_sdk=False)
    faults = [each.text for each in checked.faults if each.key == "wakeSchedule"]
    assert faults == ([f"no schedule {name!r} to wake: {fault}"] if fault else [])


def test_a_faulty_file_is_shown_by_no_default(place: Path) -> None:
    (place / "monitor.yml").write_text(DAILY)
    (file,) = [
        each for each in file_check.check(place.parent.parent, {}, by_sdk=False).files if each.kind.name == "monitor"
    ]
    assert yaml.safe_load(yaml.safe_dump(file.completed))["name"] == "ENDPOINT-monitor"
