"""Which endpoint a name opens, and which endpoints a project has."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from notebooks_lib.errors import UnknownNameError, UsageError
from notebooks_lib.release.rollout import check_endpoints
from notebooks_lib.serving import targets
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.targets import TARGETS, EndpointTarget, endpoint_for
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import TargetName
from notebooks_lib.settings.sections import Stage, Stages
from notebooks_lib.stages import STAGES


def test_the_settings_offer_what_the_table_has() -> None:
    assert set(get_args(TargetName)) == set(TARGETS)


def test_each_stage_has_its_settings() -> None:
    assert [name for name in Stages.model_fields if name != "default"] == list(STAGES)


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


def test_the_name_of_a_model_finds_its_endpoint_on_azure(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = empty_project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:"))})
    target: Any = EndpointTarget(lambda _, name, __: LocalEndpoint(empty_project, name), lambda _: ["breast-cancer"])
    monkeypatch.setitem(TARGETS, "azureml", target)
    for name in ("breast_cancer", "breast-cancer"):
        assert targets.choose_endpoint(settings, name).name == endpoint_for(settings, name).name == "breast-cancer"
