"""What is known of a model without the holdout: its file, its requirements, where its code is, what the data are like."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from notebooks_lib.datasets import run_datasets
from notebooks_lib.errors import ModelError
from notebooks_lib.models import logged_models, model_files
from notebooks_lib.promotion import model_facts
from notebooks_lib.promotion.candidate_screening import Candidate
from notebooks_lib.promotion.evidence import HoldoutFigures
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.running import plan
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import ModelPolicy
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from tests.building import write
from tests.promotion.conftest import middling


@pytest.mark.tracking
def test_a_models_file_is_all_of_its_content_and_nothing_else(trials, houses, tmp_path: Path) -> None:
    run_id = trials.fitted(middling(), houses)
    source = logged_models.model_of_run(trials.store, run_id).source
    files = model_files.read_model_files(source)
    assert files.size_bytes > 1000
    assert any(line.startswith("scikit-learn==") for line in files.requirements or ())
    copy = model_files.download(source, tmp_path / "copy")
    assert model_files.read_model_files(copy) == files
    (copy / "registered_model_meta").write_text("model_name: houses\nmodel_version: 1\n")
    assert model_files.read_model_files(copy) == files
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "a.pyc").write_bytes(b"1")  # it would run instead of what stands beside it
    assert model_files.read_model_files(copy).sha256 != files.sha256
    shutil.rmtree(copy / "__pycache__")
    (copy / "more").write_text("")
    assert model_files.read_model_files(copy).sha256 != files.sha256
    with pytest.raises(ModelError, match="holds no MLmodel"):
        model_files.read_model_files(tmp_path)
    assert 0 < model_facts.latency(source, houses) < 10_000


@pytest.mark.tracking
def test_every_fact_that_a_rule_may_read_is_collected_when_all_limits_are_set(trials, houses) -> None:
    run_id = trials.fitted(middling(), houses)
    run, source = query.get_run(trials.store, run_id), logged_models.model_of_run(trials.store, run_id).source
    unset = [name for name, threshold in ModelPolicy.model_fields.items() if threshold.default in (None, False)]
    policy = Policy.model_validate(dict.fromkeys(unset, 1))
    side = model_facts.challenger_side(trials.store, Candidate(run, None, source=source), houses, policy)
    later = {figure.name for figure in fields(HoldoutFigures)} | {"version"}
    facts = {fact.name: getattr(side, fact.name) for fact in fields(side) if fact.name not in later}
    assert [name for name, fact in facts.items() if fact in (None, "")] == []


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.tracking
def test_a_fingerprint_comes_out_again_from_commit_parameters_and_data(trials, houses, project: Settings) -> None:
    root = project.root
    (root / ".gitignore").write_text(".nbops\ndata\n")
    (root / "helping.py").write_text("x = 1\n")
    path = write(root / "experimentation" / "n.ipynb", "import helping", parameters="alpha: float = 1.0")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    start = plan.make_plan(path, project, {"alpha": 2.0}).start
    assert start is not None

    from notebooks_lib.notebooks.source_fingerprint import run_fingerprint

    used = run_datasets.tag_value(houses)
    tags = {
        "mlflow.source.git.commit": git(root, "rev-parse", "HEAD"),
        Tag.NOTEBOOK: "experimentation/n.ipynb",
        Tag.SOURCE_FINGERPRINT: start.source_fingerprint,
        Tag.RUN_FINGERPRINT: run_fingerprint(start.source_fingerprint, [used]),
    }

    def why(parameters: object, **changes: str) -> str | None:
        run_id = trials.run({}, dataset=houses, **{**tags, **changes})
        trials.store.client.log_text(run_id, json.dumps(parameters), "nbops/parameters.json")
        return model_facts.irreproducible(trials.store, query.get_run(trials.store, run_id))

    given = dict(start.parameters)
    (root / "helping.py").write_text("x = 2\n")  # what lies in the work tree does not matter
    assert why(given) == ""
    assert "give another one" in why({**given, "alpha": 3.0})
    assert "is not in this repository" in why(given, **{"mlflow.source.git.commit": "c0ffee00"})
    assert "its data are not those" in why(given, **{Tag.RUN_FINGERPRINT: run_fingerprint("a", [used])})
    assert "cannot be computed anew" in why(given, **{Tag.NOTEBOOK: "experimentation/gone.ipynb"})
    assert "has no fingerprint" in why(given, **{Tag.SOURCE_FINGERPRINT: ""})
    git(root, "commit", "-qam", "second")
    assert "give another one" in why(given, **{"mlflow.source.git.commit": git(root, "rev-parse", "HEAD")})
    shutil.rmtree(root / ".git")
    assert "is not in this repository" in why(given)
