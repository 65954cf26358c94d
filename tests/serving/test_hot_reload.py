"""A server follows the state of its endpoint: it loads what was deployed, and only that."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.errors import EndpointError
from notebooks_lib.models import model_files
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.hot_reload import HotReloader
from notebooks_lib.serving.slots import Slots


def test_files_that_were_swapped_are_not_served(tmp_path: Path, light: dict[str, Path]) -> None:
    """By a server that starts, one that follows, and one that is told what was scored."""
    shutil.copytree(light["double"], tmp_path / "models" / "1")
    slot = SlotState("1", "1", since="now", sha256=model_files.read_model_files(light["double"]).sha256)
    wanted = EndpointState("sample", "127.0.0.1", 1, {"blue": slot}, {"blue": 100})
    HotReloader(tmp_path, Slots()).load_first(wanted, {"blue"})
    next((tmp_path / "models" / "1").rglob("weights.json")).write_text("3")
    with pytest.raises(EndpointError, match=r"version 1 in .* are not those that were deployed .* deploy the version"):
        HotReloader(tmp_path, Slots()).load_first(wanted, {"blue"})
    empty = Slots()
    HotReloader(tmp_path, empty).load_first(wanted, set())
    assert empty.choose() is None
    older = wanted.with_slot("blue", replace(slot, sha256=""))
    HotReloader(tmp_path, Slots()).load_first(older, {"blue"})
