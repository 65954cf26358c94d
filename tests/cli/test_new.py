"""`nbops new` makes a notebook that passes `nbops check` and runs, and never overwrites one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.cli import new
from notebooks_lib.notebooks import document, parameter_schema

ANSWERS = ("--what", "Rows of customers.", "--why", "Sales wants to call them.")
TEMPLATE = Path(new.__file__).parents[2] / "experimentation" / "template.ipynb"


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))


def test_a_new_notebook_passes_the_check_once_its_instructions_are_followed(capsys):
    assert run(["new", "Who *leaves*, `us` <b>or</b> # them?", *ANSWERS]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == Path("experimentation/who_leaves_us_b_or_b_them.ipynb")
    notebook = document.read(path)
    assert path.read_text("utf-8").endswith("}\n")
    assert run(["check", "--select", "ALL", "experimentation"]) == 1
    assert set(re.findall(r"NB\d+", capsys.readouterr().out)) == {"NB028"}
    raw = json.loads(path.read_text("utf-8"))
    for cell in raw["cells"]:
        cell["source"] = re.sub(r"<!--.*?-->", "Written by its author.", "".join(cell["source"]), flags=re.DOTALL)
    path.write_text(json.dumps(raw), "utf-8")
    capsys.readouterr()
    assert run(["check", "--select", "ALL", "experimentation"]) == 0
    assert notebook.title == "Who *leaves*, `us` <b>or</b> # them?"
    assert "Sales wants to call them." in notebook.purpose
    defaults = {parameter.name: parameter.default for parameter in parameter_schema.read_schema(notebook).parameters}
    assert defaults == {"dataset": "digits@1", "C": 1.0, "experiment": path.stem}
    code_before = [cell.source for cell in document.read(TEMPLATE).code_cells if "parameters" not in cell.tags]
    assert [cell.source for cell in notebook.code_cells if "parameters" not in cell.tags] == code_before


def test_a_dataset_becomes_the_default_and_its_facts_the_kept_output(capsys):
    assert run(["new", "Who?", *ANSWERS, "--dataset", "wine"]) == 0
    notebook = document.read("experimentation/who.ipynb")
    assert 'dataset: str = "wine@1"' in notebook.parameters_cell.source
    (facts,) = (cell for cell in notebook.raw["cells"] if cell["id"] == "facts")
    assert facts["outputs"][0]["text"][0] == "wine@1: 178 rows, 14 columns, target 'target'\n"
    assert capsys.readouterr().err == "next  nbops run experimentation/who.ipynb\n"
    assert run(["new", "How much?", *ANSWERS, "--dataset", "diabetes"]) == 0
    assert "note: the template predicts classes" in capsys.readouterr().err
    assert run(["new", "What?", *ANSWERS, "--dataset", "whine"]) == 2
    assert "did you mean 'wine'" in capsys.readouterr().err


def test_a_notebook_is_never_overwritten(capsys):
    Path("experimentation").mkdir()
    Path("experimentation/who.ipynb").write_text("mine")
    Path("experimentation/link.ipynb").symlink_to("nowhere")
    for name in ("who", "link", "who.ipynb"):
        assert run(["new", "Who?", *ANSWERS, "--name", name]) == 2
        assert "exists and is not overwritten" in capsys.readouterr().err
    assert Path("experimentation/who.ipynb").read_text() == "mine"
    assert not Path("experimentation/nowhere").exists()


def test_no_notebook_takes_the_place_of_the_template_or_of_the_folder(capsys):
    for question in ("Template", "template?"):
        assert run(["new", question, *ANSWERS]) == 2
        assert "template.ipynb is what new notebooks are made from; choose another --name" in capsys.readouterr().err
    assert not Path("experimentation").exists()
    for put in (Path("experimentation").touch, lambda: Path("experimentation").symlink_to("nowhere")):
        put()
        assert run(["new", "Who?", *ANSWERS]) == 2
        assert "experimentation is a file, or a link to nothing; a folder is needed" in capsys.readouterr().err
        Path("experimentation").unlink()


def test_the_projects_own_template_comes_first(capsys):
    Path("experimentation").mkdir()
    Path("experimentation/template.ipynb").write_bytes(TEMPLATE.read_bytes().replace(b"StandardScaler", b"MyScaler"))
    assert run(["new", "Who?", *ANSWERS]) == 0
    assert "MyScaler" in Path("experimentation/who.ipynb").read_text("utf-8")


def test_what_and_why_are_required_and_asked_for_on_a_terminal(monkeypatch, capsys):
    for given, missing in ((ANSWERS[2:], "--what"), (ANSWERS[:2], "--why")):
        assert run(["new", "Who?", *given]) == 2
        error = capsys.readouterr().err
        assert f"{missing} is missing, and there is no terminal" in error
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    prompts = []
    monkeypatch.setattr("click.prompt", lambda text, err: prompts.append(text) or "an answer")
    assert run(["new", "Who?"]) == 0
    assert len(prompts) == 2
    assert "**Why:** an answer" in Path("experimentation/who.ipynb").read_text("utf-8")


@pytest.mark.parametrize("question", ["", "?!", "売上?", "a\x1b[31m", "a\udcff"])
def test_what_names_no_file_is_one_line(question, capsys):
    assert run(["new", question, *ANSWERS]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert not Path("experimentation").exists()


def test_the_cells_of_the_template_take_free_text_a_rare_class_and_missing_numbers():
    import numpy as np
    import pandas as pd

    from notebooks_lib.metrics.builtin import METRICS
    from notebooks_lib.metrics.metric import Answers, Truth

    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.normal(size=400), "note": [f"Müller rief an, {i}" for i in range(400)]})
    table["fraud"] = np.where(table["age"] + random.normal(size=400) > 2.2, "yes", "no")
    table.loc[::7, "age"] = np.nan
    table["since"] = pd.Timestamp("2024-01-01")
    parts = (SimpleNamespace(X=rows.drop(columns="fraud"), y=rows["fraud"]) for rows in (table[:250], table[250:]))
    names = dict(zip(("train", "validation"), parts, strict=True)) | {"C": 1.0}
    cells = {cell.id: cell.source for cell in document.read(TEMPLATE).code_cells}
    imports, _, _ = cells["setup"].partition("from notebooks_lib")
    checks = cells["checks"].partition("\n")[2].partition("\n")[2]  # the first two lines are about duplicate rows
    for source in (imports, cells["baseline"], cells["model"], cells["evaluation"], checks):
        exec(source, names)
    model, metrics = names["model"], names["metrics"]
    assert model[0].get_feature_names_out().tolist()[1:] == ["onehotencoder__note_infrequent_sklearn"]
    X, y = names["validation"].X, names["validation"].y
    answers = Answers(model.predict(X), model.predict_proba(X))
    for name in ("brier", "roc_auc", "log_loss", "accuracy"):  # what promotion computes, so that no run is refused
        assert metrics[name] == pytest.approx(METRICS[name].score(Truth(y.to_numpy(), model.classes_), answers)), name
    examples = []
    others = dict.fromkeys(("log_params", "log_dataset", "log", "log_figure"), lambda *_: None)
    names |= {name: name for name in ("dataset", "data", "figure")}
    names["run"] = SimpleNamespace(**others, log_model=lambda _, example: examples.append(example))
    exec(cells["record"], names)
    (example,) = examples
    assert list(example) == ["age", "note"], "dates are left out, so a request need not name them"
    assert (model.predict(example) == model.predict(names["train"].X)).all()


def test_the_cells_that_the_page_of_the_first_model_names_predict_numbers():
    import numpy as np
    import pandas as pd

    page = (Path(new.__file__).parents[2] / "docs" / "first-model.md").read_text()
    _, _, block = page.partition("### Is your target a number?")[2].partition("```python\n")
    section = re.compile(r"^# ([A-Z][a-z ]+), [^\n]*:\n(.*?)\n(?=\n# |```)", re.DOTALL | re.MULTILINE)
    sections = dict(section.findall(block))
    assert [*sections] == ["Parameters", "Setup", "Baseline", "Model", "The figure", "Checks"]
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.normal(size=400), "code": random.choice(["a", "b"], size=400)})
    table["price"] = 3 * table["age"] + random.normal(size=400)
    table.loc[::7, "age"] = np.nan
    parts = (SimpleNamespace(X=rows.drop(columns="price"), y=rows["price"]) for rows in (table[:250], table[250:]))
    names = dict(zip(("train", "validation"), parts, strict=True))
    cells = {cell.id: cell.source for cell in document.read(TEMPLATE).code_cells}
    imports, _, _ = cells["setup"].partition("from notebooks_lib")
    model, line, rest = cells["model"].partition(
        "model = make_pipeline(columns, LogisticRegression(C=C, max_iter=1000))"
    )
    assert line
    exec("from typing import Annotated\n" + sections["Parameters"] + "\n" + imports + sections["Setup"], names)
    changed = (sections["Baseline"], model + sections["Model"] + rest)
    for source in (*changed, cells["evaluation"], sections["The figure"], sections["Checks"]):
        exec(source, names)
    assert names["metrics"]["rmse"] < names["baseline"]["rmse"]
    names["plt"].close(names["figure"])
