"""Text in the tags of a run: whole and in order, within the limits of every store, also when a write fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from notebooks_lib.errors import TrackingError
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.run_text import PAGE, RunText, delete_text, read_text
from notebooks_lib.tracking.store import Store

pytestmark = pytest.mark.tracking


def make_run(store: Store, **tags: str) -> str:
    return str(store.client.create_run(store.experiment_id("text"), tags=tags).info.run_id)


def test_text_of_any_length_keeps_to_the_limits_of_a_run(either_store: Store) -> None:
    first = make_run(either_store, **{f"other.{number}": "x" for number in range(10)})
    text = RunText(either_store, first)
    lines = [f"{number} {'x' * 700}\n" for number in range(150)]
    text.append(lines[:1])
    text.append(lines[1:120])
    for line in lines[120:]:
        text.append([line])
    assert read_text(either_store, first) == "".join(lines)
    run_id, runs = first, []
    while run_id:
        tags = either_store.client.get_run(run_id).data.tags
        runs.append(run_id)
        assert len(tags) <= 50
        assert max(map(len, tags.values())) <= 1000
        run_id = tags.get(Tag.CHANGE_NEXT, "")
    assert len(runs) == 4
    delete_text(either_store, first)
    assert {either_store.client.get_run(run).info.lifecycle_stage for run in runs} == {"deleted"}


def test_a_line_that_fits_no_run_is_refused(either_store: Store) -> None:
    text = RunText(either_store, make_run(either_store))
    text.append(["1\n", "x" * (PAGE - 1) + "\n"])
    with pytest.raises(ValueError, match="30001 characters"):
        text.append(["x" * PAGE + "\n"])


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("at", [1, 5, 40])
def test_what_failed_is_replaced_by_the_next_line(project: Any, carried_out: bool, at: int) -> None:
    """Whether the store did it and only its answer was lost, or did nothing."""
    from mlflow.exceptions import MlflowException

    from notebooks_lib.tracking.store import connect

    store = connect(project)
    run = make_run(store)
    text = RunText(store, run)
    lines = [f"{number} {'x' * 900}\n" for number in range(at)]
    text.append(lines)
    real: Callable[..., Any] = store.client.log_batch

    def fails(*given: Any, **named: Any) -> None:
        if carried_out:
            real(*given, **named)
        raise MlflowException("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.client, "log_batch", fails)
        with pytest.raises(TrackingError, match="no answer"):
            text.append([f"lost {'y' * 3000}\n"])
    text.append(["next\n"])
    text.append(["last\n"])
    assert [line for line in read_text(store, run).split("\n") if line] == [line[:-1] for line in lines] + [
        "next",
        "last",
    ]
