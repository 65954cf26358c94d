"""The executed notebook is written whole or not at all and shows no secret; its page is rendered once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from notebooks_lib import errors
from notebooks_lib.running import notebook_page, outcome, runner
from notebooks_lib.running.engine import Execution
from notebooks_lib.running.executed_notebook_writer import MASK, ExecutedNotebook
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store
from tests import building


@pytest.mark.parametrize("secret", ["plain-secret", 'quo"te', "back\\slash", "new\nline", "snow☃man", 'it\'s "both"'])
def test_a_secret_is_masked_however_it_is_spelled(secret: str, tmp_path: Path) -> None:
    texts = [secret, repr(secret), json.dumps(secret), repr([secret]), json.dumps({"a": json.dumps(secret)})]
    cells = [new_code_cell("x", outputs=[new_output("stream", name="stdout", text=text)]) for text in texts]
    ExecutedNotebook(tmp_path / "n.ipynb", [secret]).save(new_notebook(cells=cells))
    written = json.loads((tmp_path / "n.ipynb").read_text())
    for cell in written["cells"]:
        assert MASK in "".join(cell["outputs"][0]["text"])
        assert secret not in "".join(cell["outputs"][0]["text"])


def test_text_without_secrets_is_not_changed(tmp_path: Path) -> None:
    ExecutedNotebook(tmp_path / "n.ipynb", ["1", ""]).save(new_notebook(cells=[new_code_cell("x = 1")]))
    assert "x = 1" in (tmp_path / "n.ipynb").read_text()


def test_a_folder_that_cannot_be_written_is_refused_before_the_start(tmp_path: Path) -> None:
    runner._refuse_unwritable(tmp_path / "new" / "folder" / "n.ipynb")
    (tmp_path / "file").touch()
    with pytest.raises(errors.UsageError, match=r"file/executed.* cannot be written .*--output"):
        runner._refuse_unwritable(tmp_path / "file" / "executed" / "n.ipynb")
    with pytest.raises(errors.UsageError, match=r"new is a folder: .* --output .*new/executed.ipynb"):
        runner._refuse_unwritable(tmp_path / "new")
    with pytest.raises(errors.UsageError, match="File name too long.*--output"):
        runner._refuse_unwritable(tmp_path / f"{'n' * 250}.ipynb")


def test_input_in_a_notebook_fails_with_advice() -> None:
    execution = Execution(
        ExecutedNotebook(Path("n.ipynb")), {}, Path("n.ipynb"), error=("StdinNotImplementedError", "raw_input …")
    )
    status, failure = outcome.decide_outcome(execution)
    assert status == "FAILED"
    assert failure is not None
    assert "make the answer a parameter" in failure.message


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "cut \ud83d", b"\xff", {"a": [math.nan, "\udc80"]}, {1: math.inf}]
)
@pytest.mark.parametrize("place", ["output", "metadata", "papermill"])
def test_the_executed_notebook_is_json_that_every_parser_takes(value: object, place: str, tmp_path: Path) -> None:
    data = {"application/json": {"value": value}} if place == "output" else {}
    cell = new_code_cell("x", outputs=[new_output("display_data", data=data)])
    notebook = new_notebook(cells=[cell], metadata={"papermill": {"parameters": {"x": value}}, "x": value})
    ExecutedNotebook(tmp_path / "n.ipynb").save(notebook)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    written = json.loads((tmp_path / "n.ipynb").read_bytes().decode(), parse_constant=refuse)
    assert written["cells"][0]["source"] in ("x", ["x"])


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"application/vnd.plotly.v1+json": {"data": []}}, True),
        ({"application/vnd.plotly.v1+json": {"data": []}, "text/plain": "Figure()"}, True),
        ({"application/vnd.vegalite.v5+json": {}, "text/plain": "<VegaLite>"}, True),
        ({"application/vnd.bokehjs_exec.v0+json": ""}, True),
        ({"application/x-own": "x"}, True),
        ({"application/vnd.plotly.v1+json": {}, "image/png": "iVBORw0KGgo="}, False),
        ({"application/vnd.plotly.v1+json": {}, "text/html": "<div></div>"}, False),
        ({"text/plain": "5"}, False),
        ({"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "Slider()"}, False),
        ({"text/latex": "$x$"}, False),
    ],
)
def test_a_figure_that_the_page_cannot_show_is_named(data: dict[str, object], named: bool) -> None:
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", data=data)])])
    noted = notebook_page._with_notes(notebook).cells[0].outputs[0].data
    assert ("this page cannot show it" in noted.get("text/plain", "")) == named
    assert notebook.cells[0].outputs[0].data == data


@pytest.mark.tracking
@pytest.mark.notebooks
def test_a_page_is_rendered_when_it_is_first_asked_for(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    result = building.run(project, "print('said in a cell')")
    connected = store.connect(project)
    assert result.run_id is not None
    assert [a.path for a in connected.client.list_artifacts(result.run_id, "notebook")] == [
        f"notebook/{result.output.name}"
    ]

    page = notebook_page.fetch_page(connected, result.run_id)
    assert "said in a cell" in page.read_text()
    assert page.is_relative_to(project.root)
    kept = [a.path for a in connected.client.list_artifacts(result.run_id, "notebook")]
    assert f"notebook/{page.name}" in kept

    monkeypatch.setattr(notebook_page, "to_html", lambda *_: pytest.fail("rendered a second time"))
    page.unlink()
    assert "said in a cell" in notebook_page.fetch_page(connected, result.run_id).read_text()


@pytest.mark.tracking
@pytest.mark.notebooks
def test_a_run_without_a_notebook_has_no_page(project: Settings) -> None:
    connected = store.connect(project)
    run = connected.client.create_run(connected.experiment_id("sample"))
    with pytest.raises(errors.UsageError, match="keeps no notebook"):
        notebook_page.fetch_page(connected, run.info.run_id)
    connected.client.log_text(run.info.run_id, "the summary", notebook_page.SWEEP)
    assert notebook_page.fetch_page(connected, run.info.run_id).read_text() == "the summary"
    with pytest.raises(errors.TrackingError, match="nowhere"):
        notebook_page.fetch_page(connected, "nowhere")
