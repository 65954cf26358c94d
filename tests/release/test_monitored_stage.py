"""The endpoints of the last stage on Azure are monitored."""

from __future__ import annotations

import pytest

from notebooks_lib.release import monitored_stage
from notebooks_lib.settings import Settings, load

AZURE = 'endpoint = "azureml:"\n'


@pytest.mark.parametrize(
    ("stages", "monitored"),
    [
        ("", ""),
        (f"[stages.test]\n{AZURE}", "test"),
        (f"[stages.dev]\n{AZURE}[stages.prod]\n{AZURE}", "prod"),
        (f"[stages.dev]\n{AZURE}[stages.test]\n{AZURE}", "test"),
    ],
)
def test_the_last_stage_on_azure(empty_project: Settings, stages: str, monitored: str) -> None:
    azure = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n'
    empty_project.layout.settings_file.write_text(azure + stages)
    settings = load(empty_project.root, {})
    assert monitored_stage.monitored_stage(settings) == monitored
    assert monitored_stage.monitor_file(settings).name == "monitor.yml"
