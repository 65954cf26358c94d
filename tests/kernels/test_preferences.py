"""What a project wants of its kernels is read twice, here and in Settings; both must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import errors, settings
from notebooks_lib.kernels import preferences


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("", {}),
        ("[kernels]\nwarm = false", {}),
        ("[kernels]\nwarm = true", {"NBOPS_KERNELS_WARM": "false"}),
        ("[kernels]\nwarm = false", {"NBOPS_KERNELS_WARM": "1"}),
        *(("", {"NBOPS_KERNELS_WARM": word}) for word in ("0", "no", "off", "False", "n", "true", "on", "yes")),
        ('[kernels]\npreload = ["numpy", "scipy.stats"]\nnever = ["torch"]\nidle_minutes = 2.5', {}),
        ('[kernels]\npreload = ["numpy"]', {"NBOPS_KERNELS_PRELOAD": "pandas, pyarrow.parquet"}),
        ("", {"NBOPS_KERNELS_NEVER": "torch,jax", "NBOPS_KERNELS_IDLE_MINUTES": "0"}),
    ],
)
def test_settings_and_preferences_agree(text: str, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text(text)
    (tmp_path / "experimentation").mkdir()
    wanted = settings.load(tmp_path, environ).kernels
    found = preferences.read_preferences(str(tmp_path / "experimentation"), {"HOME": "/nowhere", **environ})
    assert found.enabled == wanted.warm
    assert found.preload == wanted.preload
    assert found.never == wanted.never
    assert found.idle_seconds == 60 * wanted.idle_minutes
    assert found.watch == (str(tmp_path / "requirements.lock"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kernels]\nwarn = false", "unknown key 'warn', did you mean 'warm'"),
        ('[kernels]\npreload = ["scipy stats"]', r"kernels.preload.0: .*'scipy stats'"),
        ("[kernels]\nidle_minutes = -1", "kernels.idle_minutes"),
    ],
)
def test_wrong_settings_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text(text)
    with pytest.raises(errors.SettingsError, match=message):
        settings.load(tmp_path, {})
    preferences.read_preferences(str(tmp_path), {"HOME": "/nowhere"})  # a kernel starts all the same


def test_each_project_has_its_own_import_history(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "production").mkdir(parents=True)
        (tmp_path / name / "production" / "settings.toml").write_text("")
        (tmp_path / name / "work").mkdir()
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def of(folder: Path, **more: str) -> str:
        return preferences.read_preferences(str(folder), environ | more).memory

    one = of(tmp_path / "one")
    assert one == of(tmp_path / "one" / "work") == of(tmp_path, NBOPS_ROOT=str(tmp_path / "one"))
    assert one != of(tmp_path / "other")
    assert Path(one).is_relative_to(tmp_path / "cache")
