"""`nbops azure check`: faults on stdout, the count on stderr, exit code 1; offline, and quick where files have faults."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings

PAGES = Path(__file__).parents[2] / "docs"


def _write(project: Settings, name: str, content: str) -> None:
    file = project.root / "production" / "azure" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def test_faults_decide_the_exit_code(empty_project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["azure", "check"]) == 0
    assert capsys.readouterr() == (
        "",
        "no files under production/azure: the defaults hold (nbops azure check --show)\n",
    )
    _write(empty_project, "job.yml", "resources:\n  instance_typ: x\n")
    assert program.run(["azure", "check"]) == 1
    assert capsys.readouterr() == (
        "production/azure/job.yml:2: instance_typ: unknown key, did you mean instance_type?\n",
        "1 file, 1 fault\n",
    )
    assert program.run(["azure", "check", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    fault = {"line": 2, "key": "instance_typ", "text": "unknown key, did you mean instance_type?"}
    assert content["ok"] is False
    assert content["faults"] == [{"file": str(empty_project.root / "production/azure/job.yml"), **fault}]
    assert [(Path(file["file"]).name, file["exists"]) for file in content["files"]] == [
        ("environment.yml", False),
        ("job.yml", True),
        ("endpoint.yml", False),
        ("deployment.yml", False),
    ]


def test_the_parameters_of_the_infrastructure_are_checked_too(
    empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = empty_project.root / "production" / "infra"
    folder.mkdir()
    (folder / "main.bicep").write_text("param size string\n")
    (folder / "parameters.dev.json").write_text('{"parameters": {\n"sise": {"value": "sales"}}}')
    assert program.run(["azure", "check"]) == 1
    assert capsys.readouterr() == (
        "production/infra/parameters.dev.json:1: size: is missing: main.bicep needs it\n"
        "production/infra/parameters.dev.json:2: sise: no parameter of main.bicep, did you mean size?\n",
        "1 file, 2 faults\n",
    )


def test_show_completes_files_and_names_defaults_but_no_secret(
    empty_project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB", "hunter2")
    _write(empty_project, "job.yml", "environment_variables: {DB: '${DB}'}\n")
    assert program.run(["azure", "check", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "# production/azure/environment.yml (does not exist; the default)\nname: nbops\n" in shown
    assert "# production/azure/job.yml\ntype: command\ncommand: nbops run NOTEBOOK\n" in shown
    assert "DB: ${DB}" in shown
    assert "hunter2" not in shown
    assert program.run(["azure", "check", "--show", "--json"]) == 0
    (_, job, _, deployment) = json.loads(capsys.readouterr().out)["files"]
    assert job["completed"]["environment_variables"] == {"DB": "${DB}"}
    assert deployment["completed"]["model"] == "azureml:MODEL:VERSION"
    assert deployment["completed"]["instance_type"] == "Standard_DS2_v2"


def test_files_with_faults_are_answered_without_the_sdk(empty_project: Settings) -> None:
    """It takes seconds to import. So do no files, which is what most projects have."""
    _write(empty_project, "job.yml", "resources:\n  instance_typ: x\n")
    code = (
        "import sys\nfrom notebooks_lib.__main__ import run\n"
        "assert run(['azure', 'check']) == 1\nassert 'azure' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=empty_project.root)


def test_the_example_of_the_page_is_valid_and_its_faults_are_real(
    empty_project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALES_DB_PASSWORD", "hunter2")
    text = "".join(page.read_text("utf-8") for page in sorted(PAGES.glob("azure*.md")))
    blocks = dict(re.findall(r"```yaml\n# production/azure/(\S+)\n(.*?)```", text, re.DOTALL))
    jobs = {"environment.yml", "job.yml", "compute/cpu.yml", "compute/gpu.yml"}
    endpoints = {"deployment.yml", "prod/endpoint.yml", "monitor.yml"}
    assert blocks.keys() == {*jobs, *endpoints, "schedules/retrain.yml", "pipelines/retrain.yml"}
    pipeline = PAGES.parent / "production" / "azure" / "pipelines" / "retrain.yml"
    assert blocks["pipelines/retrain.yml"] == pipeline.read_text("utf-8")
    (empty_project.root / "environment.yml").write_text("dependencies: [python=3.11]\n")
    (stage,) = re.findall(r"```toml\n# production/settings.toml\n(.*?)```", text, re.DOTALL)
    empty_project.layout.settings_file.write_text(f"[project]\nname = 'a'\n{stage}")
    for name, content in blocks.items():
        _write(empty_project, name, content)
    assert program.run(["azure", "check"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    faulty = re.search(r"with five faults:\n\n```yaml\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert faulty
    _write(empty_project, "job.yml", faulty[1])
    monkeypatch.delenv("SALES_DB_PASSWORD")
    assert program.run(["azure", "check"]) == 1
    assert capsys.readouterr().out == faulty[2]
