"""Settings are checked when they are read; what is wrong is named with file or variable, key and nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import errors, settings
from notebooks_lib.cli import doctor
from notebooks_lib.promotion.policy import Policy


def project(tmp_path: Path, text: str) -> Path:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text(text)
    return tmp_path


def test_nothing_has_to_be_configured(tmp_path: Path) -> None:
    here = settings.load(tmp_path, {})
    assert here.project_name == here.experiment == tmp_path.name
    assert here.data_folder == tmp_path / "data"


def test_a_variable_overrides_the_file(tmp_path: Path) -> None:
    root = project(tmp_path, '[tracking]\nuri = "http://a"\nexperiment = "kept"')
    here = settings.load(root, {"NBOPS_TRACKING_URI": "http://b", "NBOPS_ROOT": "ignored", "OTHER": "x"})
    assert (here.tracking.uri, here.experiment) == ("http://b", "kept")


@pytest.mark.parametrize("variable", ["NBOPS_CLONE", "NBOPS_HOME_DIR", "NBOPS_IMAGE_TAG", "NBOPS_"])
def test_a_variable_of_another_tool_is_left_alone(tmp_path: Path, variable: str) -> None:
    assert settings.load(tmp_path, {variable: "x"}) == settings.load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ('[tracking]\nurl = "x"', {}, r"settings.toml: unknown key 'url', did you mean 'uri'\?"),
        ('[trackin]\nuri = "x"', {}, r"unknown section 'trackin', did you mean 'tracking'\?"),
        ("", {"NBOPS_DATA_FOLDR": "x"}, r"NBOPS_DATA_FOLDR: unknown key 'foldr', did you mean 'folder'\?"),
        ("", {"NBOPS_ENDPOINT_PORT": "high"}, r"NBOPS_ENDPOINT_PORT: endpoint.port: .*'high'"),
        ("", {"NBOPS_TRACKING": "x"}, "say NBOPS_SECTION_KEY"),
        ("", {"NBOPS_TRAKING_URI": "x"}, r"unknown section 'traking', did you mean 'tracking'\?"),
        ("[data]\nholdout_share = 1.5", {}, "data.holdout_share"),
        ("[data]\nholdout_share = 0.6\nvalidation_share = 0.4", {}, "leave less than a tenth"),
        ('[azure]\nworkspace = "w"', {}, "workspace given without resource_group, subscription"),
        ("[promotion.models.cats]\nmin_row = 5", {}, r"unknown key 'min_row', did you mean 'min_rows'\?"),
        ("[promotion.models.cats]\nmin_rows = 0", {}, "promotion.models.cats.min_rows: .*greater than or equal to 1"),
        (
            "[promotion.models.cats]\nalpha = 0.2",
            {},
            "cats.alpha cannot be set for one model: it belongs to the budget",
        ),
        ("[promotion.models.cats]\nholdout_uses = 99", {}, r"cats.holdout_uses cannot .*; set it under \[promotion\]"),
        ("[promotion.models.cats]\ntolerance = 1", {}, "cats.tolerance cannot be set for one model"),
        ("[tracking", {}, "cannot be read"),
        ('root = "/x"', {}, "take the key out"),
        ('tracking = "x"', {}, "tracking"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    text: str, environ: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.SettingsError, match=message):
        settings.load(project(tmp_path, text), environ)


def test_a_model_has_its_own_policy_over_the_projects(tmp_path: Path) -> None:
    text = """
    [promotion]
    min_rows = 60
    holdout_uses = 4
    limits = { rmse = 60.0 }
    [promotion.models.cats]
    limits = { accuracy = 0.9 }
    slices = ["breed"]
    """
    here = settings.load(project(tmp_path, text), {})
    cats, dogs = (Policy.of(here.promotion, name, min_gain=0.5) for name in ("cats", "dogs"))
    assert (cats.limits, cats.slices) == ({"accuracy": 0.9}, ("breed",))
    assert (dogs.limits, dogs.slices) == ({"rmse": 60.0}, ())
    assert (cats.min_rows, cats.uses, cats.min_gain) == (dogs.min_rows, dogs.uses, dogs.min_gain) == (60, 4, 0.5)
    in_force = doctor.in_force(here)
    assert {key for key in in_force if key.startswith("promotion.models")} == {
        "promotion.models.cats.limits",
        "promotion.models.cats.slices",
    }


def test_a_folder_without_project_and_runs_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UsageError, match="no project and no runs here: .* go to the project's folder"):
        settings.existing()
    assert not list(tmp_path.iterdir())
    project(tmp_path, "")
    assert settings.existing().root == tmp_path


def test_a_variable_makes_stages_wait_for_an_approval(tmp_path: Path) -> None:
    stages = settings.load(tmp_path, {"NBOPS_STAGES_APPROVAL": "test, prod"}).stages
    assert [stages.of(name).approval for name in ("dev", "test", "prod")] == [False, True, True]
    with pytest.raises(errors.SettingsError, match="stages.approval.0: Input should be 'dev', 'test' or 'prod'"):
        settings.load(tmp_path, {"NBOPS_STAGES_APPROVAL": "production"})
