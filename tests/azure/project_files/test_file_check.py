"""All files of production/azure are checked at once: each fault is a line with file, line, key and what to write."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.project_files import (
    batch_file_kinds,
    endpoint_file_kinds,
    file_check,
    file_kinds,
    file_loading,
    pipeline_file_kind,
    schedule_file_kinds,
    stage_files,
)

MACHINE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/m"
VALID = {
    "environment.yml": """\
image: registry.example.com/base:3
conda_file: conda.yaml
os_type: Linux
tags: {team: sales}
inference_config:
  liveness_route: {port: 5001, path: /live}
  readiness_route: {port: 5001, path: /ready}
  scoring_route: {port: 5001, path: /score}
""",
    "job.yml": """\
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
description: a job on several machines
resources:
  instance_type: Standard_NC6s_v3
  instance_count: 2
  shm_size: 2g
  locations: [westeurope]
distribution:
  type: PyTorch
  process_count_per_instance: 1
identity: {type: UserIdentity}
limits: {timeout: 3600}
queue_settings: {job_tier: Spot}
environment_variables:
  OMP_NUM_THREADS: 4
  DB_PASSWORD: ${DB_PASSWORD}
  LOG_LEVEL: "debug"
tags: {team: sales}
""",
    "compute/cpu.yml": """\
type: amlcompute
size: STANDARD_DS3_V2
tier: low_priority
min_instances: 0
max_instances: 4
idle_time_before_scale_down: 120
ssh_public_access_enabled: false
identity:
  type: user_assigned
  user_assigned_identities:
    - resource_id: /subscriptions/s/resourceGroups/g/providers/x
""",
    "endpoint.yml": """\
description: predictions for the shops
auth_mode: aml_token
identity:
  type: user_assigned
  user_assigned_identities:
    - resource_id: /subscriptions/s/resourceGroups/g/providers/x
public_network_access: disabled
tags: {team: sales}
""",
    "deployment.yml": """\
instance_type: Standard_DS3_v2
instance_count: 3
environment_variables:
  WORKER_COUNT: 2
request_settings:
  request_timeout_ms: 6000
  max_concurrent_requests_per_instance: 2
liveness_probe: {period: 10, failure_threshold: 30}
readiness_probe: {initial_delay: 10, timeout: 2}
scale_settings: {type: default}
egress_public_network_access: enabled
data_collector:
  rolling_rate: hour
  sampling_rate: 0.5
  collections:
    model_inputs: {enabled: "true"}
    model_outputs: {enabled: "true"}
tags: {team: sales}
""",
    "test/endpoint.yml": "auth_mode: key\ncompute: azureml:k8s\n",
    "test/deployment.yml": """\
instance_type: defaultinstancetype
resources:
  requests: {cpu: "0.1", memory: 0.5Gi}
  limits: {cpu: "1", memory: 1Gi}
scale_settings:
  type: target_utilization
  min_instances: 1
  max_instances: 4
  polling_interval: 10
  target_utilization_percentage: 70
""",
    "pipelines/retrain.yml": "inputs: {dataset: sales}\njobs:\n  train: {command: nbops run a.ipynb}\n",
    "schedules/retrain.yml": """\
display_name: Retrain when there is something new
trigger:
  type: cron
  expression: "0 2 * * 1-5"
  time_zone: W. Europe Standard Time
  start_time: "2026-12-01T00:00:00"
create_job:
  type: pipeline
  job: ../pipelines/retrain.yml
  inputs: {dataset: sales}
tags: {team: sales}
""",
    "schedules/monthly.yml": """\
trigger:
  type: recurrence
  frequency: month
  interval: 1
  schedule: {hours: [6], minutes: 30, month_days: [1, 15]}
create_job: ../pipelines/retrain.yml
""",
    "monitor.yml": """\
trigger:
  type: recurrence
  frequency: day
  interval: 1
  schedule: {hours: 3, minutes: 15}
create_monitor:
  compute: {instance_type: standard_e8s_v3}
  monitoring_signals:
    drift:
      type: data_drift
      features: [rooms, area]
      metric_thresholds:
        numerical: {normalized_wasserstein_distance: 0.2}
      production_data:
        data_window: {lookback_window_size: P3D, lookback_window_offset: P0D}
    quality: {type: data_quality, alert_enabled: false}
  alert_notification:
    emails: [someone@example.com]
tags: {team: sales}
""",
    "batch/endpoint.yml": "description: scores of each night\ntags: {team: sales}\n",
    "batch/deployment.yml": """\
description: on the small cluster
compute: azureml:cpu
resources: {instance_count: 2}
settings:
  mini_batch_size: 4
  max_concurrency_per_instance: 2
  retry_settings: {max_retries: 3, timeout: 300}
  logging_level: info
  environment_variables: {OMP_NUM_THREADS: 1}
tags: {team: sales}
""",
    "compute/k8s.yml": f"type: kubernetes\nresource_id: {MACHINE}\nnamespace: default\n",
    "compute/vm.yml": f"""\
type: VirtualMachine
resource_id: {MACHINE}
ssh_settings:
  admin_username: me
  admin_password: ${{DB_PASSWORD}}
  ssh_port: 22
""",
}
ENVIRON = {"DB_PASSWORD": "s3cret"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder production/azure with a conda file beside."""
    place = file_check.folder(tmp_path)
    for name in ("compute", "test", "schedules", "pipelines", "batch"):
        (place / name).mkdir(parents=True)
    (place / "conda.yaml").write_text("dependencies: [python=3.11]\n")
    return place


def _write(place: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (place / name).write_text(content)


def _faults(place: Path) -> list[str]:
    root = place.parent.parent
    return [fault.shown(root).removeprefix("production/azure/") for fault in file_check.check(root, ENVIRON).faults]


def test_valid_files_of_each_kind_pass_and_are_completed(place: Path) -> None:
    _write(place, VALID)
    checked = file_check.check(place.parent.parent, ENVIRON)
    assert [fault.text for fault in checked.faults] == []
    completed = {file.path.relative_to(place).as_posix(): file.completed for file in checked.files}
    assert completed.keys() == VALID.keys()
    assert completed["compute/cpu.yml"]["name"] == "cpu"
    assert completed["job.yml"]["command"] == "nbops run NOTEBOOK"
    assert completed["job.yml"]["environment_variables"]["DB_PASSWORD"] == "${DB_PASSWORD}", "it is not shown"
    assert not checked.unread


@pytest.mark.proof
def test_the_sdks_own_words_are_held_back(place: Path) -> None:
    """In a process of its own, for it says them once."""
    _write(place, VALID)
    code = (
        "import sys\nfrom pathlib import Path\nfrom notebooks_lib.azure.project_files import file_check\n"
        "assert not file_check.check(Path(sys.argv[1]), {'DB_PASSWORD': 'x'}).faults\nassert 'azure.ai.ml' in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(place.parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_sdk_makes_its_own_objects_of_completed_files(place: Path) -> None:
    """As they are shown, they are complete: what az ml reads."""
    _write(place, VALID)
    made = {
        file.path.relative_to(place).with_suffix("").as_posix().removeprefix("compute/"): file_loading.load(
            file.kind.name, file.path, file.completed, {}
        )
        for file in file_check.check(place.parent.parent, ENVIRON).files
        if file.kind.name != "schedule"  # which needs its pipeline completed
    }
    assert {name: type(entity).__name__ for name, entity in made.items()} == {
        "environment": "Environment",
        "job": "Command",
        "cpu": "AmlCompute",
        "k8s": "KubernetesCompute",
        "vm": "VirtualMachineCompute",
        "endpoint": "ManagedOnlineEndpoint",
        "deployment": "ManagedOnlineDeployment",
        "test/endpoint": "KubernetesOnlineEndpoint",
        "test/deployment": "KubernetesOnlineDeployment",
        "batch/endpoint": "BatchEndpoint",
        "batch/deployment": "ModelBatchDeployment",
        "monitor": "MonitorSchedule",
        "pipelines/retrain": "PipelineJob",
    }
    assert (made["cpu"].tier, made["job"].limits.timeout, made["job"].resources.instance_count) == (
        "low_priority",
        3600,
        2,
    )


def test_without_files_defaults_hold_that_have_no_fault_themselves(place: Path) -> None:
    (place.parent.parent / "environment.yml").write_text("dependencies: [python=3.11]\n")
    checked = file_check.check(place.parent.parent, {})
    names = ["environment.yml", "job.yml", "endpoint.yml", "deployment.yml"]
    assert [(file.path.name, file.exists) for file in checked.files] == [(name, False) for name in names]
    for file in checked.files:
        (place / file.path.name).write_text(yaml.safe_dump(dict(file.values) or {"tags": {}}))  # empty: a fault
    assert _faults(place) == []


def test_all_faults_of_all_files_are_named_at_once(place: Path) -> None:
    files = {
        "environment.yml": "image: a\nbuild: {path: .}\n",
        "job.yml": "resources:\n  instance_typ: a\n  instance_count: 0\nname: x\n",
        "compute/cpu.yml": "type: amlcompute\n  size: x\n",
    }
    _write(place, files)
    assert _faults(place) == [
        "compute/cpu.yml:2: is no YAML here (mapping values are not allowed here): check indentation, quotes and colons",
        "environment.yml:2: build: stands beside image: keep image (with conda_file), or build (with your own Dockerfile)",
        "job.yml:2: instance_typ: unknown key, did you mean instance_type?",
        "job.yml:3: instance_count: 0 is too few: write 1 or more",
        "job.yml:4: name: nbops decides it: each run has a name of its own; take it out",
    ]


@pytest.mark.parametrize(
    "kind",
    [file_kinds.COMPUTE, *file_check.FILES.values(), *file_check.BATCH.values()],
    ids=lambda kind: kind.name,
)
def test_what_nbops_decides_is_refused_with_the_reason(place: Path, kind: file_kinds.FileKind) -> None:
    name = "compute/cpu.yml" if kind.name == "compute" else f"{kind.name}.yml".replace("batch_", "batch/")
    decided = [*kind.decided]
    content = "".join(f"{key}: x\n" for key in decided) + VALID[name].replace("tags: {", "tags: {nbops.x: a, ")
    _write(place, {name: content})
    expected = [
        f"{name}:{n}: {key}: nbops decides it: {kind.decided[key]}; take it out" for n, key in enumerate(decided, 1)
    ]
    assert _faults(place)[: len(expected)] == expected
    tags = [fault for fault in _faults(place) if "nbops.x: tags that begin with nbops. are written by nbops" in fault]
    assert len(tags) == ("tags" in content)


RULES = [
    ("environment.yml", "os_type: linux\n", "1: image: is missing: write image: mcr.microsoft.com/"),
    ("environment.yml", "image: a\nconda_file: gone.yml\n", "2: conda_file: no file gone.yml beside this one"),
    ("environment.yml", "image: a\nconda_file: bad.yaml\n", "2: conda_file: bad.yaml:2: is no YAML here"),
    ("environment.yml", "image: a\nconda_file: no.yaml\n", "2: conda_file: no.yaml has no key `dependencies`"),
    ("environment.yml", f"image: a\nconda_file: {'x' * 3000}\n", "2: conda_file: no file xxx"),
    (
        "environment.yml",
        "image: a\nconda_file: secret.yaml\n",
        "2: conda_file: secret.yaml:2: a password in an address",
    ),
    ("environment.yml", "build: a\n", "1: build: 'a' is not a mapping: write keys and values below build:"),
    ("environment.yml", "image: ''\n", "1: image: is empty: write mcr.microsoft.com/"),
    ("environment.yml", "build: {}\n", "1: path: is missing: write the path of the folder with the Dockerfile"),
    ("environment.yml", "build: {path: gone}\n", "1: path: no folder gone beside this file"),
    ("environment.yml", "build:\n  path: compute\n", "2: path: no file Dockerfile in compute"),
    ("environment.yml", "name: x\ndependencies: [a]\n", "2: dependencies: this is a conda file: keep it elsewhere"),
    ("compute/a_b.yml", "type: amlcompute\n", "1: is no name of a compute: rename the file; a letter, then"),
    ("compute/me.yml", "type: computeinstance\nsize: a\n", "1: type: nbops makes no compute instances: `az ml compute"),
    ("compute/cpu.yml", "size: a\n", "1: type: is missing: write type: amlcompute or kubernetes or virtualmachine"),
    (
        "compute/cpu.yml",
        "type: amlcompute\nmin_instances: 5\nmax_instances: 2\n",
        "2: min_instances: 5 is more than max",
    ),
    ("compute/cpu.yml", "type: amlcompute\nmax_instances: 0\n", "2: max_instances: 0 is too few: write 1 or more"),
    ("compute/k.yml", "type: kubernetes\nnamespace: a\n", "1: is no name of a compute"),
    ("compute/k8s.yml", "type: kubernetes\nnamespace: a\n", "1: resource_id: is missing: write the id of the cluster"),
    (
        "compute/c1.yml",
        "type: amlcompute\nidentity: {}\n",
        "2: identity.type: is missing: write type: system_assigned or",
    ),
    (
        "compute/c1.yml",
        "type: amlcompute\nnetwork_settings:\n  subnet: s\n",
        "3: subnet: is a name without its network",
    ),
    ("compute/c1.yml", "type: amlcompute\nnetwork_settings: {vnet_name: v}\n", "2: subnet: is missing: write the name"),
    ("compute/c1.yml", "type: amlcompute\nssh_settings: {}\n", "2: admin_username: is missing: write the name"),
    ("compute/vm.yml", "type: virtualmachine\nresource_id: vm\n", "2: resource_id: is no id of a resource"),
    ("job.yml", "type: pipeline\njobs: {}\n", "1: type: describes a pipeline job, and a command job is wanted"),
    ("job.yml", "jobs:\n  a: {}\n", "1: jobs: describes a pipeline job, and a command job is wanted"),
    (
        "job.yml",
        "limits: {}\nsearch_space: {}\n",
        "2: search_space: describes a sweep job, and a command job is wanted",
    ),
    ("job.yml", "type: comand\n", "1: type: 'comand' is none of command, did you mean command?"),
    ("job.yml", "limits: {timeout: 0}\n", "1: timeout: 0 s is too short: write seconds, 1 or more"),
    ("job.yml", "environment_variables: {A: yes}\n", '1: A: is no text: write it in quotes, as in A: "true"'),
    *(
        ("job.yml", f"environment_variables: {{{name}: a}}\n", f"1: {name}: nbops and the service set this variable")
        for name in (
            *("MLFLOW_RUN_ID", "NBOPS_TRACKING_URI", "NBOPS_JOB", "NBOPS_ROOT", "NBOPS_OWNER_RUN"),
            *("NBOPS_OWNER_STORE", "NBOPS_OWNER_EXPERIMENT", "NBOPS_OTHER_STORE", "NBOPS_KERNEL"),
        )
    ),
    ("endpoint.yml", "compute: k8s\n", "1: compute: is no compute of the workspace: write azureml:NAME"),
    ("endpoint.yml", "compute: [a]\n", "1: compute: is no compute of the workspace: write azureml:NAME"),
    (
        "endpoint.yml",
        "compute: azureml:k8s\npublic_network_access: disabled\n",
        "2: public_network_access: holds for managed endpoints only, and compute makes this one Kubernetes",
    ),
    (
        "endpoint.yml",
        "auth_mode: AadToken\ncompute: azureml:k8s\n",
        "1: auth_mode: a Kubernetes endpoint takes no aad_token: write key or aml_token",
    ),
    ("endpoint.yml", "identity: {}\n", "1: identity.type: is missing: write type: system_assigned or user_assigned"),
    (
        "endpoint.yml",
        "identity: {type: UserAssigned}\n",
        "1: user_assigned_identities: names 0 identities: write one, by resource_id",
    ),
    (
        "endpoint.yml",
        "identity:\n  type: user_assigned\n  user_assigned_identities: [{id: a}]\n",
        "3: user_assigned_identities: is missing resource_id: write the id of the identity",
    ),
    ("deployment.yml", "instance_count: 0\n", "1: instance_count: 0 is too few: write 1 or more"),
    ("deployment.yml", "liveness_probe: {period: 0}\n", "1: period: 0 is too few: write 1 or more"),
    (
        "deployment.yml",
        "request_settings: {request_timeout_ms: 200000}\n",
        "1: request_timeout_ms: 200000 is too long: write 180000 or less",
    ),
    (
        "deployment.yml",
        "scale_settings: {type: target_utilization}\n",
        "1: scale_settings.type: a managed deployment is scaled by rules of Azure Monitor: write default, or take it out",
    ),
    ("deployment.yml", "resources: {}\n", "1: resources: unknown key, write one of: app_insights_enabled, data_"),
    (
        "deployment.yml",
        "data_collector: {sampling_rate: 2, collections: {a: {enabled: 'true'}}}\n",
        "1: sampling_rate: 2 is no share: write a number from 0 to 1",
    ),
    (
        "deployment.yml",
        "data_collector: {rolling_rate: day}\n",
        "1: collections: is missing: write model_inputs:",
    ),
    (
        "deployment.yml",
        "data_collector:\n  collections:\n    model_inputs: {enabled: true}\n",
        '3: enabled: true is no text here: write it in quotes, "true"',
    ),
    (
        "deployment.yml",
        "data_collector:\n  collections:\n    a: {enabled: 'true', data: 'azureml:a:1'}\n",
        "3: data: nbops decides it: each slot's data has an asset of its own; take it out",
    ),
    ("deployment.yml", "environment_variables: {AZUREML_X: a}\n", "1: AZUREML_X: nbops and the service set this"),
    (
        "test/deployment.yml",
        "scale_settings:\n  min_instances: 5\n  max_instances: 2\n  type: target_utilization\n",
        "2: min_instances: 5 is more than max_instances (2): make one fit",
    ),
]


@pytest.mark.parametrize(("name", "content", "fault"), RULES, ids=range(len(RULES)))
def test_what_azure_would_refuse_only_later_is_a_fault(place: Path, name: str, content: str, fault: str) -> None:
    (place / "bad.yaml").write_text("dependencies: []\n  - a\n")
    (place / "secret.yaml").write_text("dependencies:\n  - pip: [--index-url https://me:hunter2@host/simple]\n")
    (place / "no.yaml").write_text("packages: []\n")
    _write(place, {name: content})
    assert fault in "\n".join(f"{line}\n" for line in _faults(place) if line.startswith(name))
    assert len([line for line in _faults(place) if line.startswith(f"{name}:{fault[0]}: ")]) in (1, 2)


@pytest.mark.parametrize(
    "content",
    [
        "type: amlcompute\nssh_settings:\n  admin_username: me\n  admin_password: 20261129\n",
        "type: amlcompute\nssh_settings:\n  admin_username: me\n  admin_password: 2026-11-29\n",
        f"type: amlcompute\ntier: ghp_{'aB3dE5gH7j' * 4}\n",
    ],
)
def test_no_other_fault_shows_a_secret_of_its_line(place: Path, content: str) -> None:
    _write(place, {"compute/cpu.yml": content})
    (fault,) = _faults(place)
    assert "stands in the file: revoke it" in fault
    assert content.split()[-1] not in fault


def test_a_misspelt_key_is_not_missing_too(place: Path) -> None:
    _write(place, {"environment.yml": "imag: a\n", "compute/cpu.yml": "tpe: amlcompute\n"})
    assert _faults(place) == [
        "compute/cpu.yml:1: type: is missing: write type: amlcompute or kubernetes or virtualmachine",
        "environment.yml:1: imag: unknown key, did you mean image?",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "resources: {instance_count: '${SECRET}'}\n",
        "identity: {type: '${SECRET}'}\n",
        "tags: '${SECRET}'\n",
        "services: {a: {type: ssh, nodes: '${SECRET}'}}\n",
    ],
)
def test_no_fault_shows_what_was_filled_in(place: Path, content: str) -> None:
    secret = 'it\'s a\nvery "long" one ' * 5
    _write(place, {"job.yml": content})
    checked = file_check.check(place.parent.parent, {"SECRET": secret})
    assert checked.faults
    for fault in checked.faults:
        assert "very" not in fault.text
        assert fault.text.startswith(("'${SECRET}' is", "Azure's SDK"))


def test_files_of_nearly_the_right_name_are_faults_and_others_are_named(place: Path) -> None:
    (place / "computes").mkdir()
    _write(place, {"jobs.yml": "a: 1", "compute/cpu.yaml": "a: 1", "computes/x.yml": "a: 1", "mine.yml": "a: 1"})
    (place / "prd").mkdir()
    _write(place, {"test/job.yml": "a: 1", "test/deploymen.yml": "a: 1", "test/other.yml": "a: 1"})
    checked = file_check.check(place.parent.parent, {})
    assert _faults(place) == [
        "compute/cpu.yaml:1: this file is not read: rename it to cpu.yml",
        "computes:1: this folder is not read: rename it to compute",
        "jobs.yml:1: this file is not read: rename it to job.yml",
        "prd:1: this folder is not read: rename it to prod",
        "test/deploymen.yml:1: this file is not read: rename it to deployment.yml",
        "test/job.yml:1: a stage has no file of this kind: move it to azure/",
    ]
    assert [path.name for path in checked.unread] == ["conda.yaml", "mine.yml", "other.yml"]


def test_a_stages_file_holds_key_by_key_instead_of_the_general_one(place: Path) -> None:
    files = {name: VALID[name] for name in ("endpoint.yml", "deployment.yml", "test/endpoint.yml")}
    _write(place, files | {"test/deployment.yml": "instance_count: 5\ninstance_type: large\nscale_settings: null\n"})
    assert _faults(place) == [
        "test/deployment.yml:3: scale_settings: has no value: write keys and values below"
        " scale_settings:, each indented by two spaces, or take the line out"
    ]
    _write(place, {"test/deployment.yml": "instance_count: 5\ninstance_type: large\n"})
    read = stage_files.read_stage_values
    root, kinds = place.parent.parent, (endpoint_file_kinds.ENDPOINT, endpoint_file_kinds.DEPLOYMENT)
    (endpoint, deployment), (general, managed) = (
        [read(root, stage, kind, ENVIRON) for kind in kinds] for stage in ("test", "prod")
    )
    assert (endpoint["compute"], endpoint["auth_mode"], general["auth_mode"]) == ("azureml:k8s", "key", "aml_token")
    assert "compute" not in general
    assert (deployment["type"], deployment["instance_type"], deployment["instance_count"]) == ("kubernetes", "large", 5)
    assert (managed["type"], managed["instance_type"], managed["instance_count"]) == ("managed", "Standard_DS3_v2", 3)
    assert deployment["request_settings"] == managed["request_settings"]
    _write(place, {"deployment.yml": "instance_count: 0\n"})
    with pytest.raises(errors.UsageError, match=r"azure/deployment.yml:1: instance_count: 0 is too few"):
        read(root, "test", endpoint_file_kinds.DEPLOYMENT, ENVIRON)


def test_without_files_a_small_machine_serves_with_insights_and_without_a_collector(tmp_path: Path) -> None:
    values = stage_files.read_stage_values(tmp_path, "prod", endpoint_file_kinds.DEPLOYMENT, {})
    small = {"instance_type": "Standard_DS2_v2", "instance_count": 1}
    requests = {"max_concurrent_requests_per_instance": 8}  # Azure's own default, 1, refuses the load of a release
    assert values == {"type": "managed", **small, "app_insights_enabled": True, "request_settings": requests}
    assert stage_files.read_stage_values(tmp_path, "prod", endpoint_file_kinds.ENDPOINT, {}) == {"auth_mode": "key"}


def test_a_fault_that_only_the_sdk_finds_names_the_key_too(place: Path) -> None:
    _write(place, {"job.yml": "limits: {}\nservices:\n  mine: {type: ssh, nodes: some}\n"})
    text = "nodes should be either 'all' or None, but received 'some'."
    assert _faults(place) == [f"job.yml:3: mine: Azure's SDK refuses it: {text}"]


def _mutated(content: str, chance: random.Random) -> tuple[str, str]:
    """Return a file with one change, and what the change was."""
    lines = content.splitlines()
    numbers = [number for number, line in enumerate(lines) if ":" in line and not line.startswith("$")]
    number = chance.choice(numbers)
    line = lines[number]
    key, _, value = line.partition(":")
    change = chance.choice(["key", "type", "dropped", "indented", "outdented", "tab", "quote", "twice", "colon"])
    letter = chance.randrange(len(key.strip()) - 1) + len(key) - len(key.strip())
    lines[number] = {
        "key": f"{key[:letter]}{key[letter + 1 :]}:{value}",
        "type": f"{key}: {chance.choice(['[1, 2]', '{a: b}', '12', 'true', 'some text', '2026-01-31', '1.5'])}",
        "dropped": f"{key}:",
        "indented": f"   {line}",
        "outdented": line[2:] if line.startswith("  ") else f" {line}",
        "tab": f"\t{line}",
        "quote": f'{key}: "{value.strip()}',
        "twice": f"{line}\n{line}",
        "colon": f"{key}{value}",
    }[change]
    return "\n".join(lines) + "\n", f"{change} in line {number + 1}: {lines[number]!r}"


@pytest.mark.proof
@pytest.mark.parametrize("name", VALID)
def test_mutated_files_give_lines_that_name_the_fault(place: Path, name: str) -> None:
    """A hundred of each file, by a seed. One that is still valid must be so for the SDK, too: it gives no fault."""
    chance = random.Random(f"{name} 20261129")
    line_form = re.compile(rf"{re.escape(name)}:(\d+): (?:[\w$.<>\[\] -]+: )?\S.{{8,}}")
    still_valid = 0
    for _ in range(100):
        content, change = _mutated(VALID[name], chance)
        _write(place, {name: content})
        faults = _faults(place)
        still_valid += not faults
        for fault in faults:
            match = line_form.fullmatch(fault)
            assert match, (change, fault)
            assert 1 <= int(match[1]) <= content.count("\n") + 1, (change, fault)
            assert "Traceback" not in fault
            assert "Azure's SDK refuses it" not in fault, (change, fault)
            assert re.search(
                r"did you mean|write|take|indent|check|quotes|spaces|keep|is none of|as in|rename|export|move|make",
                fault,
            ), (change, fault)
    assert still_valid < 40
    print(f"{name}: {still_valid} of 100 still valid", file=sys.stderr)


def test_a_refusal_of_the_sdk_shows_no_value_that_was_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "job.yml"
    file.write_text("tags: {token: '${TOKEN}'}\n")
    refusal = file_check.sdk_refusal(file, ValueError("not s3cret99 here"), {"TOKEN": "s3cret99"})
    assert str(refusal).startswith(f"{file}: Azure's SDK refuses it: ")
    assert str(refusal).endswith("not ${TOKEN} here")


def test_the_page_lists_what_nbops_decides() -> None:
    page = (Path(__file__).parents[3] / "docs" / "azure.md").read_text("utf-8")
    kinds = {
        "environment.yml": file_kinds.ENVIRONMENT,
        "compute/NAME.yml": file_kinds.COMPUTE,
        "job.yml": file_kinds.JOB,
        "endpoint.yml": endpoint_file_kinds.ENDPOINT,
        "deployment.yml": endpoint_file_kinds.DEPLOYMENT,
        "batch/endpoint.yml": batch_file_kinds.BATCH_ENDPOINT,
        "batch/deployment.yml": batch_file_kinds.BATCH_DEPLOYMENT,
        "pipelines/NAME.yml": pipeline_file_kind.PIPELINE,
        "schedules/NAME.yml": schedule_file_kinds.SCHEDULE,
        "monitor.yml": schedule_file_kinds.MONITOR,
    }
    rows = dict(
        re.findall(r"^\| `(\S+)` \| ((?:`\w+`(?:, )?)+)", page.partition("### What nbops decides")[2], re.MULTILINE)
    )
    assert {file: set(re.findall(r"\w+", keys)) for file, keys in rows.items()} == {
        file: set(kind.decided) for file, kind in kinds.items()
    }
