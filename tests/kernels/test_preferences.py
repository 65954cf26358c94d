"""What a project wants of its kernels is read twice, here and in Settings; both must say the same. Its memory is a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib import errors, settings
from notebooks_lib.kernels import import_history, preferences


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
def test_settings_and_preferences_say_the_same(text: str, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text(text)
    (tmp_path / "experimentation").mkdir()
    wanted = settings.load(tmp_path, environ).kernels
    found = preferences.of(str(tmp_path / "experimentation"), {"HOME": "/nowhere", **environ})
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
def test_settings_that_are_wrong_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text(text)
    with pytest.raises(errors.SettingsError, match=message):
        settings.load(tmp_path, {})
    preferences.of(str(tmp_path), {"HOME": "/nowhere"})  # a kernel starts all the same


def test_each_project_has_a_memory_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "production").mkdir(parents=True)
        (tmp_path / name / "production" / "settings.toml").write_text("")
        (tmp_path / name / "work").mkdir()
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def of(folder: Path, **more: str) -> str:
        return preferences.of(str(folder), environ | more).memory

    one = of(tmp_path / "one")
    assert one == of(tmp_path / "one" / "work") == of(tmp_path, NBOPS_ROOT=str(tmp_path / "one"))
    assert one != of(tmp_path / "other")
    assert Path(one).is_relative_to(tmp_path / "cache")


def test_what_was_learned_is_kept_in_order(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "cache.json")
    import_history.add(path, ["b", "a"])
    import_history.add(path, ["a", "c"])
    assert import_history.read(path) == ["b", "a", "c"]
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["cache.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"modules": 1}', json.dumps({"never": []}), "\udcff"])
def test_a_cache_that_cannot_be_read_is_learned_anew(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert import_history.read(str(path)) == []
    import_history.add(str(path), ["a"])
    assert import_history.read(str(path)) == ["a"]


def test_a_cache_that_cannot_be_written_costs_nothing_but_speed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    import_history.add(str(tmp_path / "file" / "cache.json"), ["a"])
    assert import_history.read(str(tmp_path / "file" / "cache.json")) == []
