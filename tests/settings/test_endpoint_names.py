"""A stage's endpoint: on this machine or in a workspace, under a name that is taken there; else it says which is."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import SettingsError, UsageError
from notebooks_lib.settings import Settings, endpoint_names, load
from notebooks_lib.settings.sections import Stage, Stages


@pytest.mark.parametrize(
    ("endpoint", "target", "name"),
    [
        ("", "local", "breast_cancer"),
        ("live_{model}", "local", "live_breast_cancer"),
        ("azureml:", "azureml", "breast-cancer"),
        ("azureml:{model}-live", "azureml", "breast-cancer-live"),
        ("azureml:scores", "azureml", "scores"),
    ],
)
def test_an_endpoint_runs_on_this_machine_or_in_a_workspace(endpoint: str, target: str, name: str) -> None:
    stages = Stages(prod=Stage(endpoint=endpoint))
    assert (stages.of("prod").target, stages.endpoint("prod", "breast_cancer")) == (target, name)


def test_without_a_name_azures_stages_have_those_of_this_machine() -> None:
    stages = Stages(dev=Stage(endpoint="azureml:"), test=Stage(endpoint="azureml:"))
    assert [stages.endpoint(name, "my.model") for name in ("dev", "test")] == ["my-model-dev", "my-model-test"]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            'endpoint = "azureml:breast_cancer"',
            "letters, digits and -, a letter first, no - at the end, 3 to 32 in all; did you mean"
            " azureml:breast-cancer?",
        ),
        ('endpoint = "azureml:{model}_live"', r"did you mean azureml:{model}-live\?"),
        ('endpoint = "azureml:7"', r"did you mean azureml:model\?"),
        (f'endpoint = "azureml:{"a" * 40}"', rf"did you mean azureml:{'a' * 32}\?"),
        (
            'endpoint = "azure:houses"',
            "no such place; an endpoint is NAME, on this machine, or azureml:NAME; did you mean azureml:houses?",
        ),
        ('endpoint = "aks:houses"', "no such place"),
        ('workspace = "other"', 'workspace = "other" needs an endpoint there: set endpoint = "azureml:NAME"'),
        (
            'endpoint = "azureml:"\nworkspace = "a/b/c/d"',
            "stages.prod.workspace: write NAME, GROUP/NAME or SUBSCRIPTION/GROUP/NAME",
        ),
        (
            'endpoint = "azureml:{model}-test"',
            """test and prod have one endpoint, '{model}-test'; give prod another: endpoint = "azureml:{model}-test-prod\"""",
        ),
        (
            'endpoint = "azureml:{model}-test"\nworkspace = "w"\n[stages.test]\nendpoint = "azureml:"\nworkspace = "w"',
            "test and prod have one endpoint, '{model}-test'",
        ),
    ],
)
def test_what_no_endpoint_can_be_is_refused_with_what_is_near(keys: str, problem: str, empty_project: Settings) -> None:
    empty_project.layout.settings_file.write_text(f"[stages.prod]\n{keys}\n")
    with pytest.raises(SettingsError) as refused:
        load(empty_project.root, {})
    assert problem.replace("\\", "") in str(refused.value)


def test_what_azure_refuses_for_the_models_name_alone_is_refused_with_the_key() -> None:
    assert endpoint_names.check_azure_name("endpoint", "houses-2") == "houses-2"
    with pytest.raises(UsageError) as refused:
        endpoint_names.check_azure_name("endpoint", "häuser", "prod")
    assert str(refused.value) == (
        "endpoint 'häuser': Azure takes letters, digits and -, a letter first, no - at the end, 3 to 32 in all; set"
        ' endpoint = "azureml:h-user" under [stages.prod]'
    )


@pytest.mark.parametrize(
    "name", ["", "_", "1", "ab", "-", "a" * 99, "a_", "__init__", "ünicode", "9lives", "x" * 31 + "-y"]
)
def test_the_nearest_name_is_one_that_azure_takes(name: str) -> None:
    nearest = endpoint_names.nearest_azure_name(name)
    assert endpoint_names.check_azure_name("slot", nearest) == nearest
