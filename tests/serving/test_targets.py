"""Which endpoint a name opens, and which endpoints a project has."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from notebooks_lib.azure.client.workspace import stage_workspace
from notebooks_lib.errors import SettingsError, UnknownNameError, UsageError
from notebooks_lib.release.rollout import check_endpoints
from notebooks_lib.serving import azure_endpoint, targets
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.targets import TARGETS, EndpointTarget, endpoint_for
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import TargetName
from notebooks_lib.settings.sections import Azure, Stage, Stages
from notebooks_lib.stages import STAGES


def test_the_settings_offer_what_the_table_has() -> None:
    assert set(get_args(TargetName)) == set(TARGETS)


def test_each_stage_has_its_settings() -> None:
    assert [name for name in Stages.model_fields if name not in ("default", "approval")] == list(STAGES)


@pytest.mark.parametrize(
    ("name", "stage"),
    [("houses-dev", "dev"), ("try-houses", "test"), ("houses", "prod"), ("dev", "prod"), ("-dev", "")],
)
def test_an_endpoint_is_run_by_the_target_of_the_stage_whose_pattern_fits_best(
    name: str, stage: str, empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    stages = Stages(test=Stage(endpoint="azureml:try-{model}"))
    settings = empty_project.model_copy(update={"stages": stages})
    for each in TARGETS:
        target: Any = EndpointTarget(
            lambda _, name, stage, each=each: opened.append(f"{each} {stage} {name}"), lambda _: []
        )
        monkeypatch.setitem(TARGETS, each, target)
    if stage:
        endpoint_for(settings, name)
        assert opened == [f"{stages.of(stage).target} {stage} {name}"]
        assert targets.stage_of(settings, name) == stage
    else:
        with pytest.raises(UsageError, match="starting with a letter or digit"):
            endpoint_for(settings, name)


@pytest.mark.parametrize("model", ["houses-dev", "houses-test"])
def test_a_release_opens_the_endpoint_of_its_stage_whatever_the_models_name(
    model: str, empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their names alone these would be dev's and test's endpoints of houses."""
    settings = empty_project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:"))})
    opened: list[tuple[str, str]] = []
    azure: Any = EndpointTarget(lambda _, name, stage: opened.append((name, stage)), lambda _: [])
    monkeypatch.setitem(TARGETS, "azureml", azure)
    targets.stage_endpoint(settings, "prod", model)
    assert opened == [(model, "prod")]
    stage = model.removeprefix("houses-")
    with pytest.raises(UsageError, match=f"of model '{model}' in prod has the name of an endpoint of {stage}; give"):
        check_endpoints(settings, ("prod",), model)
    check_endpoints(empty_project, ("prod",), model)  # all on this machine: one name is one endpoint


def test_a_name_may_say_its_stage_too(empty_project: Settings) -> None:
    assert endpoint_for(empty_project, "prod:houses").name == "houses"
    assert endpoint_for(empty_project, "dev:houses-dev").name == "houses-dev"
    with pytest.raises(UsageError, match="starting with a letter or digit"):
        endpoint_for(empty_project, "dev:houses")


def test_an_endpoint_that_no_stage_names_is_local(empty_project: Settings) -> None:
    own = Stages(prod=Stage(endpoint="live-{model}"))
    assert isinstance(endpoint_for(empty_project.model_copy(update={"stages": own}), "houses"), LocalEndpoint)


def test_the_only_endpoint_need_not_be_named(empty_project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setitem(TARGETS, "local", EndpointTarget(targets.open_here, lambda _: names))
    with pytest.raises(UsageError, match="there is no endpoint yet; start one with: nbops endpoint start MODEL"):
        targets.choose_endpoint(empty_project, None)
    names.append("houses")
    assert targets.choose_endpoint(empty_project, None).name == "houses"
    names.append("flats")
    with pytest.raises(UsageError, match="there are 2 endpoints, say which: flats, houses"):
        targets.choose_endpoint(empty_project, None)
    with pytest.raises(UnknownNameError, match="did you mean 'flats'"):
        targets.choose_endpoint(empty_project, "flat")


def test_endpoints_of_other_kinds_are_not_asked_for_one_that_is_named(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, what runs on this machine can still be looked at."""
    settings = empty_project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:"))})
    monkeypatch.setitem(TARGETS, "local", EndpointTarget(targets.open_here, lambda _: ["houses-dev", "houses"]))
    azure: Any = EndpointTarget(targets.open_here, lambda _: pytest.fail("it is asked"))
    monkeypatch.setitem(TARGETS, "azureml", azure)
    assert targets.choose_endpoint(settings, "houses-dev").name == "houses-dev"
    monkeypatch.setitem(TARGETS, "azureml", EndpointTarget(targets.open_here, lambda _: []))
    assert list(targets.endpoints(settings)) == ["houses-dev"], "houses is a stage's in the workspace"


def test_one_name_in_two_workspaces_is_told_apart_by_its_stage(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(test=Stage(endpoint="azureml:{model}"), prod=Stage(endpoint="azureml:", workspace="other"))
    own = Azure(subscription="s", resource_group="g", workspace="w", registry="shared")
    settings = empty_project.model_copy(update={"stages": stages, "azure": own})
    assert stages.endpoint("prod", "my_houses") == "prod:my-houses"
    opened = endpoint_for(settings, "prod:my_houses")
    assert isinstance(opened, AzureEndpoint)
    assert (opened.name, opened._at.endpoint, opened._at.workspace.name) == ("prod:my-houses", "my-houses", "other")
    with pytest.raises(
        UsageError, match="2 stages have an endpoint 'houses', in workspaces of their own: say test:houses or prod:hou"
    ):
        endpoint_for(settings, "houses")
    with pytest.raises(UnknownNameError, match="did you mean 'prod'"):
        endpoint_for(settings, "prd:houses")
    listed = [(["test"], "houses"), (["prod"], "houses"), (["prod"], "flats")]
    monkeypatch.setattr(azure_endpoint, "names_by_stages", lambda *_: listed)
    assert list(targets.endpoints(settings)) == ["prod:flats", "prod:houses", "test:houses"]
    same = settings.model_copy(update={"azure": own.model_copy(update={"workspace": "OTHER"})})
    with pytest.raises(SettingsError, match=r"^test and prod have one endpoint in workspace 'other': give one"):
        stage_workspace(same, "prod")


def test_the_name_of_a_model_finds_its_endpoint_on_azure(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = empty_project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:"))})
    target: Any = EndpointTarget(lambda _, name, __: LocalEndpoint(empty_project, name), lambda _: ["breast-cancer"])
    monkeypatch.setitem(TARGETS, "azureml", target)
    for name in ("breast_cancer", "breast-cancer"):
        assert targets.choose_endpoint(settings, name).name == endpoint_for(settings, name).name == "breast-cancer"
