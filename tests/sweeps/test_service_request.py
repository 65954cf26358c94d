"""What Azure ML's sweep job would refuse, at once or only when it starts, is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import search_space
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.service_request import ServiceSweepRequest
from tests import building

pytestmark = pytest.mark.tracking

PARAMETERS = (
    "from typing import Annotated\n"
    "alpha: Annotated[float, '>0'] = 1.0  # strength\n"
    "share: Annotated[float, '(0, 1)'] = 0.5  # of the rows\n"
    "beta: float = 1.0  # any\n"
    "depth: int = 3  # levels\n"
    "rows: int  # how many\n"
    "other: int = 1  # levels\n"
    "free = None  # anything"
)


def request(
    project: Settings, *, grid: tuple[str, ...] = (), space: tuple[str, ...] = (), **options: Any
) -> ServiceSweepRequest:
    building.write(project.root / "experimentation" / "n.ipynb", "rmse = alpha", parameters=PARAMETERS)
    source = NotebookPlanner(project.root / "experimentation" / "n.ipynb", project)
    domain = search_space.read_search_space(source.schema, parameters=["rows=1"], grid=grid, space=space)
    given: dict[str, Any] = {"goal": Goal("rmse"), "on": "azureml:cpu", "trials": 8 if space else None}
    return ServiceSweepRequest(source=source, domain=domain, **(given | options))


ALPHA = ("alpha=loguniform(1e-3, 10)",)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"grid": ("alpha=0.1,1",), "trials": 2}, "--trials goes with --space: this grid has 2 combinations"),
        ({"space": ALPHA, "trials": None}, "a space has no end: give the number of trials"),
        ({"space": ALPHA, "trials": 1001}, "1,001 trials: the service runs at most 1,000"),
        ({"grid": ("depth=1..40", "other=1..40")}, "1,600 trials: the service runs at most 1,000"),
        ({"space": ALPHA, "jobs": 9}, "--jobs 9 are more trials at once than the 8 in all"),
        ({"space": ALPHA, "sampler": "bayesian"}, "bayesian sampling takes choice, int, uniform and quniform"),
        ({"space": ("depth=int(1, 9)",), "sampler": "bayesian", "prune": "median"}, "--prune with --sampler bayesian"),
        ({"space": ("depth=int(1, 9)",), "sampler": "bayesian", "seed": 1}, "--seed with --sampler bayesian"),
        ({"space": ALPHA, "seed": 2**31}, "the service takes one up to 2147483647"),
        ({"space": ALPHA, "prune": "hyperband"}, "allowed: median, truncation:20, bandit:0.1"),
        ({"space": ALPHA, "prune": "percentile:25"}, "found the pruner 'percentile:25'"),
        ({"space": ALPHA, "prune": "truncate:20"}, "did you mean 'truncation'?"),
        ({"space": ALPHA, "prune": "truncation:0.5"}, "the percentage of trials to end, 1 to 99"),
        ({"space": ALPHA, "prune": "bandit"}, "the share of the best value by which a trial may be worse"),
        ({"space": ALPHA, "prune": "bandit:-1"}, "found the pruner 'bandit:-1'"),
        ({"space": ALPHA, "sweep_timeout": float("inf")}, "give 60 or more"),
        ({"space": ALPHA, "sweep_timeout": 59.0}, "the service treats less than 60 seconds as 60 days"),
        ({"space": ("share=normal(0.5, 0.1)",)}, "the service cannot draw these values: share: normal(0.5, 0.1) may"),
        ({"space": ("free=choice(1, 1.0)",)}, "1 and 1.0 cannot be distinguished"),
        ({"space": ("beta=choice(nan, 1)",)}, "they are not equal once they are written"),
        ({"space": ALPHA, "on": "azure:cpu"}, "did you mean azureml:cpu"),
        ({"space": ALPHA, "on": "azureml:"}, "azureml"),
    ],
)
def test_it_is_refused_with_the_reason(project: Settings, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        request(project, **given)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"grid": ("alpha=0.1,1", "depth=1..3"), "prune": "median", "jobs": 6},
        {"space": ALPHA, "sampler": "sobol", "seed": 2**31 - 1, "prune": "truncation:20", "jobs": 8},
        {"space": ALPHA, "prune": "bandit:0.1", "sweep_timeout": 60.0, "on": "azureml:serverless"},
        {"space": ("depth=int(1, 9)", "share=uniform(0.1, 0.9)"), "sampler": "bayesian"},
        {"space": ("free=choice('a b', \"it's\", $HOME, -1, 1e-3, größe, None, [1, 2])",), "trials": 1000},
    ],
)
def test_what_the_service_can_do_is_a_request(project: Settings, given: dict[str, Any]) -> None:
    made = request(project, **given)
    assert made.parameters.keys() == made.domain.swept.described.keys()
    assert made.sampling == ("grid" if "grid" in given else given.get("sampler", "random"))
    assert made.swept.search_space(made.source.schema).swept == made.domain.swept  # as a trial reads it
