"""`nbops azure schedule`: the files' schedules are applied once, switched, started, and gone with their file."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject, NbopsJson

pytestmark = pytest.mark.tracking
PIPELINE = "jobs:\n  look:\n    command: python -c 'print(1)'\n"
SCHEDULE = """\
display_name: Look for new data
trigger: {type: cron, expression: "0 2 * * *", time_zone: W. Europe Standard Time}
create_job: ../pipelines/look.yml
tags: {team: sales}
"""


def _write(project: Settings, **files: str) -> None:
    for name, content in files.items():
        file = project.root / "production" / "azure" / f"{name.replace('__', '/')}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def _commit(project: Settings) -> None:
    for command in (["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "next"]):
        subprocess.run(["git", *command], cwd=project.root, check=True)


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_a_schedule_from_its_file_to_its_end(
    azure_git_project: Settings, nbops_json: NbopsJson, azure_server: Emulated
) -> None:
    name = f"s-{uuid.uuid4().hex[:8]}"
    _write(azure_git_project, pipelines__look=PIPELINE, **{f"schedules__{name}": SCHEDULE})
    _commit(azure_git_project)

    def row() -> dict[str, Any] | None:
        code, listed, _ = nbops_json("azure", "schedule", "list")
        assert code == 0
        return next((each for each in listed["schedules"] if each["name"] == name), None)

    code, planned, _ = nbops_json("azure", "schedule", "apply", "--what-if")
    assert (code, planned["applied"]) == (0, False)
    assert planned["changes"] == [{"kind": "create", "what": f"schedule {name}", "lines": []}]
    assert row() is None

    code, done, _ = nbops_json("azure", "schedule", "apply", "--yes")
    assert (code, done["applied"], done["changes"]) == (0, True, planned["changes"])
    began = azure_server.record.position()
    code, again, _ = nbops_json("azure", "schedule", "apply", "--yes")
    assert (code, again["changes"], again["applied"]) == (0, [], False)
    assert {seen.method for seen in azure_server.record.since(began) if "/schedules" in seen.path} == {"GET"}
    first = row()
    assert first is not None
    assert (first["kind"], first["state"], first["last_run"], first["by_nbops"]) == ("pipeline", "on", None, True)
    assert str(first["next_run"]).endswith(("00:00", "01:00")), "two o'clock in Berlin, in UTC"

    code, started, _ = nbops_json("azure", "schedule", "now", name)
    assert code == 0
    deadline = time.monotonic() + 120
    while (last := row() or {})["last_status"] not in ("Completed", "Failed") and time.monotonic() < deadline:
        time.sleep(0.5)
    assert (last["last_job"], last["last_status"]) == (started["job"], "Completed")

    for command, changed in (("off", True), ("off", False)):
        assert nbops_json("azure", "schedule", command, name)[1] == {"name": name, "state": "off", "changed": changed}
    assert program.run(["azure", "schedule", "now", name]) == 2

    _write(azure_git_project, pipelines__look=PIPELINE.replace("print(1)", "print(2)"))
    _commit(azure_git_project)
    code, planned, _ = nbops_json("azure", "schedule", "apply", "--yes")
    (change,) = planned["changes"]
    assert (change["kind"], len(change["lines"])) == ("change", 1)
    assert change["lines"][0].startswith("what it starts, commit ")
    after = row()
    assert after is not None
    assert after["state"] == "off", "who switched it off, wants it off"
    subprocess.run(
        ["git", "commit", "-q", "--amend", "--no-edit", "--author=a <b>"], cwd=azure_git_project.root, check=True
    )
    assert nbops_json("azure", "schedule", "apply", "--what-if")[1]["changes"] == [], "the same content, another commit"

    (azure_git_project.root / "production" / "azure" / "schedules" / f"{name}.yml").unlink()
    code, gone, _ = nbops_json("azure", "schedule", "apply", "--yes")
    assert (code, gone["changes"]) == (0, [{"kind": "delete", "what": f"schedule {name}", "lines": []}])
    assert row() is None
    assert nbops_json("azure", "schedule", "delete", name, "--yes")[1] == {"name": name, "deleted": False}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"pipelines__look": "command: nbops run a.ipynb\n"},
            "describes a command job, and only pipelines can be sched",
        ),
        ({}, "create_job: no file ../pipelines/look.yml beside this one"),
    ],
)
def test_a_fault_of_a_file_is_told_before_anything_is_sent(
    azure_workspace: AzureProject,
    azure_server: Emulated,
    files: dict[str, str],
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _write(azure_workspace.settings, schedules__nightly=SCHEDULE, **files)
    began = azure_server.record.position()
    assert program.run(["azure", "schedule", "apply", "--yes"]) == 2
    assert fault in capsys.readouterr().err
    assert not list(azure_server.record.since(began))


def test_what_asks_needs_a_terminal(azure_workspace: AzureProject, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["apply"], ["delete", "nightly"]):
        assert program.run(["azure", "schedule", *command]) == 2
        assert "add --yes" in capsys.readouterr().err


def test_an_unknown_schedule_is_named_with_those_that_there_are(
    azure_workspace: AzureProject, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("on", "off", "now"):
        assert program.run(["azure", "schedule", command, "nightly"]) == 2
        assert "nbops azure schedule apply" in capsys.readouterr().err


def test_it_lists_without_the_sdk(azure_workspace: AzureProject) -> None:
    code = (
        "import sys\nfrom notebooks_lib.__main__ import run\nassert run(['azure', 'schedule', 'list']) == 0\n"
        "assert 'azure.ai.ml' not in sys.modules and 'mlflow' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=azure_workspace.settings.root, stdout=subprocess.DEVNULL
    )
