"""A sweep file equals the options, and its errors name the file and the key."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebooks_lib.errors import UsageError
from notebooks_lib.sweeps import sweep_file
from notebooks_lib.sweeps.samplers_and_pruners import ALL_SAMPLERS
from notebooks_lib.sweeps.sweep_file import SweepFile


def load(text: str, name: str = "sweep.yaml") -> SweepFile:
    Path(name).write_text(text, "utf-8")
    return sweep_file.load_file(Path(name))


WHOLE = """
notebook: ../experimentation/ridge.ipynb
parameters: {dataset: diabetes@1}
grid: {alpha: [0.01, 0.1], seed: 1..5}
space: {beta: "loguniform(1e-3, 10)", depth: {int: [2, 8]}}
trials: 50
sampler: random
seed: 7
metric: auc:max
jobs: 2
on: local
job: mpi.yml
prune: percentile:25
timeout: 60
cell_timeout: 1.5
experiment: sweeps
name: first
fail_fast: true
service: false
sweep_timeout: 3600
"""


def test_every_key_is_read():
    file = load(WHOLE)
    assert file.notebook == Path("../experimentation/ridge.ipynb")
    assert file.parameters == {"dataset": "diabetes@1"}
    assert file.grid == {"alpha": [0.01, 0.1], "seed": "1..5"}
    assert file.space == {"beta": "loguniform(1e-3, 10)", "depth": {"int": [2, 8]}}
    assert (file.trials, file.sampler, file.seed, file.metric) == (50, "random", 7, "auc:max")
    assert (file.jobs, file.on, file.prune) == (2, "local", "percentile:25")
    assert file.job == Path("mpi.yml")
    assert (file.timeout, file.cell_timeout) == (60.0, 1.5)
    assert (file.experiment, file.name, file.fail_fast) == ("sweeps", "first", True)
    assert (file.service, file.sweep_timeout) == (False, 3600.0)
    assert all(getattr(file, key.name) not in (None, {}) for key in fields(SweepFile))


def test_the_paths_of_notebook_and_job_are_relative_to_the_file():
    Path("deep").mkdir()
    file = load("notebook: a.ipynb\njob: mpi.yml", "deep/sweep.yaml")
    assert (file.notebook, file.job) == (Path("deep/a.ipynb"), Path("deep/mpi.yml"))


def test_missing_keys_are_none():
    assert load("") == SweepFile()
    assert load("prune:\ntrials: ~\ngrid:\n") == SweepFile()


def test_json_is_read_too():
    assert load('{"trials": 3, "grid": {"a": [1]}}', "sweep.json") == SweepFile(trials=3, grid={"a": [1]})


def test_yaml_words_such_as_on_stay_text_where_text_is_expected():
    file = load("name: yes\non: local\nexperiment: 1e3")
    assert (file.name, file.on, file.experiment) == ("yes", "local", "1e3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gird: {}", "unknown key 'gird', did you mean 'grid'?"),
        ("1: 2", "unknown key '1'"),
        ("trials: many", "trials: found 'many' (str), allowed int >= 1"),
        ("trials: 0", "trials: found 0 (int), allowed int >= 1"),
        ("trials: 1.5", "trials: found 1.5 (float), allowed int"),
        ("trials: true", "trials: found True (bool), allowed int"),
        ("jobs: -1", "jobs: found -1 (int), allowed int >= 1"),
        ("seed: -1", "seed: found -1 (int)"),
        ("sampler: bayes", f"sampler: found 'bayes' (str), allowed one of {', '.join(map(repr, ALL_SAMPLERS))}"),
        ("metric: ':max'", "metric: metric ':max': it has no name"),
        ("metric: [rmse]", "metric: found ['rmse'] (list), allowed str"),
        ("prune: mediann", "prune: found the pruner 'mediann', did you mean 'median'?"),
        ("timeout: 0", "timeout: found 0 (int), allowed float > 0"),
        ("timeout: .inf", "timeout: found inf"),
        ("timeout: .nan", "timeout: found nan"),
        ("cell_timeout: 1m", "cell_timeout: found '1m' (str), allowed float > 0"),
        ("fail_fast: 1", "fail_fast: found 1 (int), allowed bool"),
        ("grid: [1]", "grid: found [1] (list), allowed a mapping of parameters to values"),
        ("space: text", "space: found 'text' (str), allowed a mapping"),
        ("parameters: {1: 2}", "parameters: found the key 1 (int), allowed names of parameters"),
        ("- a", "found a list, allowed a mapping"),
        ("a: [", "line 1: "),
        ("trials: 1\ntrials: 2", "key 'trials' stands twice"),
        ("name: &a [*a]", "a value holds itself"),
    ],
)
def test_errors_name_the_file_and_the_key(text, said):
    with pytest.raises(UsageError) as caught:
        load(text)
    assert str(caught.value).startswith("sweep.yaml: ")
    assert said in str(caught.value)


def test_all_errors_are_reported_at_once_and_a_missing_file_too():
    with pytest.raises(UsageError, match=r"trials: .*; jobs: .*; unknown key 'x'.*; prune: "):
        load("trials: 0\njobs: 0\nx: 1\nprune: no")
    with pytest.raises(UsageError, match=r"absent\.yaml: No such file"):
        sweep_file.load_file(Path("absent.yaml"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.dictionaries(st.sampled_from(["grid", "trials", "on", "name"]), st.text()).map(str)))
def test_any_text_is_read_or_rejected(text):
    try:
        file = load(text.encode("utf-8", "replace").decode())
    except UsageError:
        return
    assert isinstance(file.grid, dict)
    assert file.trials is None or file.trials >= 1


def test_a_file_for_the_service_takes_its_pruners_and_samplers():
    file = load("service: true\nprune: bandit:0.1\nsampler: sobol")
    assert (file.service, file.prune, file.sampler) == (True, "bandit:0.1", "sobol")
    with pytest.raises(UsageError, match="prune: found the pruner 'hyperband' .allowed: median, truncation:20"):
        load("service: true\nprune: hyperband")
    with pytest.raises(UsageError, match="prune: found the pruner 'bandit:0.1' .allowed: median, percentile:25"):
        load("prune: bandit:0.1")
