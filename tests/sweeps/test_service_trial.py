"""A trial of the service's sweep finds its number and its values in what the service sets."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.sweeps.service_trial import ServiceTrial, SweptParameters, trial_number
from notebooks_lib.tags import Env, Tag
from tests.sweeps import building

SCHEMA = building.schema(alpha="float", depth="int", name="str", rows="int")


def variables(swept: SweptParameters, run: str = "abc_7", **values: str) -> dict[str, str]:
    own = {f"AZUREML_SWEEP_{name}": value for name, value in values.items()}
    return {Env.SWEEP: swept.as_text("abc"), "AZUREML_RUN_ID": run, **own}


def test_a_trial_knows_its_sweep_number_and_values() -> None:
    swept = SweptParameters.of(building.spread("alpha=loguniform(1e-3, 10)", "seed=int(0, 4)", "name=choice(a b, 7)"))
    trial = ServiceTrial.received(variables(swept, alpha="0.5", seed="3.0", name="'7'"), building.WIDE)

    assert trial.proposal.values == {"alpha": 0.5, "seed": 3, "name": "7"}
    assert trial.name("ridge") == "ridge alpha=0.5 seed=3 name='7'"
    assert trial.tags == {
        "mlflow.parentRunId": "abc",
        Tag.TRIAL: "7",
        Tag.TRIAL_VALUES: '{"alpha": 0.5, "seed": 3, "name": "7"}',
    }


def test_a_grid_is_known_by_its_lists() -> None:
    swept = SweptParameters.of(building.grid("alpha=0.1,1", "model=ridge,lasso"))
    trial = ServiceTrial.received(variables(swept, alpha="1.0", model="lasso"), building.WIDE)
    assert trial.proposal.values == {"alpha": 1.0, "model": "lasso"}


def test_a_value_that_is_missing_names_the_sweep() -> None:
    with pytest.raises(UsageError, match="trial of sweep abc: alpha: the service has set no value"):
        ServiceTrial.received(variables(SweptParameters.of(building.grid("alpha=0.1,1"))), building.WIDE)


def test_parameters_that_are_fixed_elsewhere_are_not_asked_for() -> None:
    swept = SweptParameters("grid", {"alpha": "[0.1, 1.0]"})
    assert ServiceTrial.received(variables(swept, alpha="0.1"), SCHEMA).proposal.values == {"alpha": 0.1}


def test_a_trials_number_ends_its_name() -> None:
    assert [trial_number(name) for name in ("abc_0", "a_b_12")] == [0, 12]
    assert trial_number("renamed") != trial_number("renamed too")
