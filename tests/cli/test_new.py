"""`nbops new` makes a notebook that passes `nbops check` and runs, and never overwrites one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.__main__ import run
from notebooks_lib.cli import new
from notebooks_lib.datasets import data_quality
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.models import logged_models
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.tracking import store

ANSWERS = ("--what", "Rows of customers.", "--why", "Sales wants to call them.")
FOLDER = Path(new.__file__).parents[2] / "experimentation"
TEMPLATES = {task: FOLDER / name for task, name in new.TEMPLATES.items()}
TEMPLATE = TEMPLATES["classification"]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))


@pytest.mark.parametrize(
    ("options", "template", "expected"),
    [
        ([], TEMPLATE, {"dataset": "digits@1", "C": 1.0}),
        (["--task", "regression"], TEMPLATES["regression"], {"dataset": "diabetes@1", "alpha": 1.0}),
    ],
)
def test_a_new_notebook_passes_the_check_once_its_instructions_are_followed(options, template, expected, capsys):
    assert run(["new", "Who *leaves*, `us` <b>or</b> # them?", *ANSWERS, *options]) == 0
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
    assert defaults == {**expected, "experiment": path.stem}
    code_before = [cell.source for cell in document.read(template).code_cells if "parameters" not in cell.tags]
    assert [cell.source for cell in notebook.code_cells if "parameters" not in cell.tags] == code_before


def test_a_dataset_becomes_the_default_and_its_facts_the_kept_output(capsys):
    assert run(["new", "Who?", *ANSWERS, "--dataset", "wine"]) == 0
    notebook = document.read("experimentation/who.ipynb")
    assert 'dataset: str = "wine@1"' in notebook.parameters_cell.source
    (facts,) = (cell for cell in notebook.raw["cells"] if cell["id"] == "facts")
    assert facts["outputs"][0]["text"][0] == "wine@1: 178 rows, 14 columns, target 'target'\n"
    assert capsys.readouterr().err.splitlines()[-1] == "next  nbops run experimentation/who.ipynb"
    assert run(["new", "What?", *ANSWERS, "--dataset", "whine"]) == 2
    assert "did you mean 'wine'" in capsys.readouterr().err


TABLE = pd.DataFrame(
    {
        "age": [*range(60)],
        "name": [f"customer {i % 30}" for i in range(60)],
        "churned": [i % 2 == 0 for i in range(60)],
        "rooms": [i % 5 for i in range(60)],
        "zip": [8000 + i % 30 for i in range(60)],
        "stars": [i % 5 / 2 for i in range(60)],
        "paid": [float(i % 30) for i in range(60)],
        "flag": [float(i % 2) for i in range(60)],
        "due": pd.date_range("2024-01-01", periods=60),
    }
)


@pytest.mark.parametrize(
    ("target", "guess", "line"),
    [
        ("name", "classification", "the target 'name' is text"),
        ("churned", "classification", "the target 'churned' is boolean"),
        ("rooms", "classification", "5 different whole numbers; if they are amounts, delete the notebook"),
        ("flag", "classification", "2 different whole numbers; if they are amounts, delete the notebook"),
        ("zip", "regression", "more than 20 different whole numbers; if they name classes, delete the notebook"),
        ("paid", "regression", "more than 20 different whole numbers; if they name classes, delete the notebook"),
        ("stars", "regression", "the target 'stars' holds numbers with fractions"),
    ],
)
def test_the_target_chooses_the_template_and_task_the_other(target, guess, line, project, tmp_path, capsys):
    TABLE.to_parquet(tmp_path / "table.parquet")
    datasets.add(tmp_path / "table.parquet", "table", project, target=target)
    other = ({*TEMPLATES} - {guess}).pop()
    assert run(["new", "What?", *ANSWERS, "--dataset", "table"]) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith(f"task  {guess}: ")
    assert line in told
    assert is_from(guess, "what")
    possible = told.endswith(f"delete the notebook, and make it with --task {other}")
    assert run(["new", "Else?", *ANSWERS, "--dataset", "table", "--task", other]) == (0 if possible else 2)
    error = capsys.readouterr().err
    if possible:
        assert is_from(other, "else")
        assert "task " not in error, "what was chosen is not told"
    else:
        assert error.startswith(f"nbops: --task {other}: the target {target!r} of table@1 ")
        assert run(["new", "Else?", *ANSWERS, "--dataset", "table", "--task", guess]) == 0
    assert bool(data_quality.class_shares(datasets.load("table"))) == (guess == "classification"), "as data add shows"


def is_from(task: str, name: str) -> bool:
    """Whether a new notebook has the code of the template for a task."""
    made, template = document.read(f"experimentation/{name}.ipynb"), document.read(TEMPLATES[task])
    sources = [[cell.source for cell in one.code_cells if "parameters" not in cell.tags] for one in (made, template)]
    return sources[0] == sources[1]


def test_a_time_is_no_target(project, tmp_path, capsys):
    TABLE.to_parquet(tmp_path / "table.parquet")
    datasets.add(tmp_path / "table.parquet", "table", project, target="due")
    assert run(["new", "When?", *ANSWERS, "--dataset", "table"]) == 2
    assert (
        "'due' of table@1 holds times, which are neither classes nor numbers; add a column" in capsys.readouterr().err
    )


def test_the_templates_differ_only_where_the_task_does():
    """So that what is changed in one is changed in the other."""
    cells = [{cell.id: cell.source for cell in document.read(path).cells} for path in TEMPLATES.values()]
    assert [*cells[0]] == [*cells[1]]
    assert run(["new", "What?", *ANSWERS, "--dataset", "diabetes"]) == 0
    kept = [cell.get("outputs") for cell in document.read(TEMPLATES["regression"]).raw["cells"]]
    assert kept == [cell.get("outputs") for cell in document.read("experimentation/what.ipynb").raw["cells"]]
    differing = {name for name in cells[0] if cells[0][name] != cells[1][name]}
    texts = {"title", "about-parameters", *(f"about-{of}" for of in ("split", "baseline", "figure", "checks"))}
    assert differing == texts | {"conclusion", "parameters", "setup", "split", "baseline", "model", "evaluation"} | {
        "figure",
        "checks",
        "record",
    }
    assert all(cells[0][name].split("\n")[-1] == cells[1][name].split("\n")[-1] for name in ("setup", "model"))
    code = [cells[of]["model"].replace("LogisticRegression(C=C, max_iter=1000)", "Ridge(alpha=alpha)") for of in (0, 1)]
    assert code[0] == code[1]
    setups = [re.sub(r"from sklearn.(dummy|linear_model|metrics) .*", "", cells[of]["setup"]) for of in (0, 1)]
    assert setups[0] == setups[1]


def test_a_notebook_is_never_overwritten(capsys):
    Path("experimentation").mkdir()
    Path("experimentation/who.ipynb").write_text("mine")
    Path("experimentation/link.ipynb").symlink_to("nowhere")
    for name in ("who", "link", "who.ipynb"):
        assert run(["new", "Who?", *ANSWERS, "--name", name]) == 2
        assert "exists and is not overwritten" in capsys.readouterr().err
    assert Path("experimentation/who.ipynb").read_text() == "mine"
    assert not Path("experimentation/nowhere").exists()


def test_no_notebook_takes_the_place_of_a_template_or_of_the_folder(capsys):
    for question, name in (
        ("Template", "template"),
        ("template?", "template"),
        ("Template: regression?", "template_regression"),
    ):
        assert run(["new", question, *ANSWERS]) == 2
        assert f"/{name}.ipynb is what new notebooks are made from; choose another --name" in capsys.readouterr().err
    assert not Path("experimentation").exists()
    for put in (Path("experimentation").touch, lambda: Path("experimentation").symlink_to("nowhere")):
        put()
        assert run(["new", "Who?", *ANSWERS]) == 2
        assert "experimentation is a file, or a link to nothing; a folder is needed" in capsys.readouterr().err
        Path("experimentation").unlink()


@pytest.mark.parametrize("task", TEMPLATES)
def test_the_projects_own_template_comes_first(task):
    Path("experimentation").mkdir()
    own = TEMPLATES[task].read_bytes().replace(b"StandardScaler", b"MyScaler")
    Path("experimentation", TEMPLATES[task].name).write_bytes(own)
    for each in TEMPLATES:
        assert run(["new", "Who?", *ANSWERS, "--name", each, "--task", each]) == 0
        assert ("MyScaler" in Path(f"experimentation/{each}.ipynb").read_text("utf-8")) == (each == task)


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


def run_cells(task: str, table: pd.DataFrame, target: str, **parameters: float) -> dict[str, Any]:
    """Execute a template's cells on a table here, without a kernel, and return their names and the model's example."""
    parts = (SimpleNamespace(X=rows.drop(columns=target), y=rows[target]) for rows in (table[:250], table[250:]))
    names: dict[str, Any] = dict(zip(("train", "validation"), parts, strict=True)) | parameters
    cells = {cell.id: cell.source for cell in document.read(TEMPLATES[task]).code_cells}
    imports, _, _ = cells["setup"].partition("from notebooks_lib")
    checks = "\n".join(line for line in cells["checks"].split("\n") if "both" not in line)  # needs whole parts
    for source in (imports, *(cells[name] for name in ("baseline", "model", "evaluation", "figure")), checks):
        exec(source, names)
    names["plt"].close(names["figure"])
    others = dict.fromkeys(("log_params", "log_dataset", "log", "log_figure"), lambda *_: None)
    log_model = lambda _, example: names.update(example=example)  # noqa: E731
    names |= {"dataset": "", "data": None, "run": SimpleNamespace(**others, log_model=log_model)}
    exec(cells["record"], names)
    return names


def test_the_cells_for_a_number_take_free_text_missing_values_and_dates():
    table = messy_table().drop(columns=["customer", "left"])
    names = run_cells("regression", table, "price", alpha=1.0)
    X, y = names["validation"].X, names["validation"].y
    truth, answers = Truth(y.to_numpy(), None), Answers(names["model"].predict(X), None)
    assert [*names["metrics"]] == ["rmse", "mae", "r2"]
    for name, value in names["metrics"].items():  # what promotion computes
        assert value == pytest.approx(METRICS[name].score(truth, answers)), name
        assert METRICS[name].gain(value, names["baseline"][name]) > 0, name
    assert [*names["example"]] == ["age", "visits", "city", "note", "member"]


def test_the_cells_of_the_template_take_free_text_a_rare_class_and_missing_numbers():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.normal(size=400), "note": [f"Müller rief an, {i}" for i in range(400)]})
    table["fraud"] = np.where(table["age"] + random.normal(size=400) > 2.2, "yes", "no")
    table.loc[::7, "age"] = np.nan
    table["since"] = pd.Timestamp("2024-01-01")
    names = run_cells("classification", table, "fraud", C=1.0)
    model, metrics = names["model"], names["metrics"]
    assert model[0].get_feature_names_out().tolist()[1:] == ["onehotencoder__note_infrequent_sklearn"]
    X, y = names["validation"].X, names["validation"].y
    answers = Answers(model.predict(X), model.predict_proba(X))
    for name in ("brier", "roc_auc", "log_loss", "accuracy"):  # what promotion computes, so that no run is refused
        assert metrics[name] == pytest.approx(METRICS[name].score(Truth(y.to_numpy(), model.classes_), answers)), name
    example = names["example"]
    assert list(example) == ["age", "note"], "dates are left out, so a request need not name them"
    assert (model.predict(example) == model.predict(names["train"].X)).all()


def messy_table() -> pd.DataFrame:
    """Customers with several rows each: text, missing values, a date, a flag, a class and an amount to predict."""
    random = np.random.default_rng(0)
    age, number = random.normal(size=600), np.arange(600)
    table = pd.DataFrame({"customer": number // 2, "age": age, "visits": random.integers(0, 9, 600)})
    table["city"] = random.choice(["Zürich", "Basel", None], size=600)
    table["note"] = [f"Müller rief an, {i}" for i in number]
    table["member"] = random.random(600) < 0.5
    table["since"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(number, unit="D")
    table["price"] = 3 * age + table["visits"] + random.normal(size=600)
    table["left"] = np.where(age + random.normal(size=600) > 0, "yes", "no")
    table.loc[::7, "age"] = np.nan
    table.loc[::11, "note"] = None
    return table


@pytest.mark.proof
@pytest.mark.notebooks
@pytest.mark.parametrize(("target", "other", "metric"), [("price", "left", "rmse"), ("left", "price", "brier")])
def test_a_messy_table_becomes_a_run_with_a_model(target, other, metric, project, tmp_path, capsys):
    messy_table().drop(columns=other).to_csv(tmp_path / "table.csv", index=False)
    datasets.add(tmp_path / "table.csv", "table", project, target=target, group="customer")
    assert run(["new", "What?", *ANSWERS, "--dataset", "table"]) == 0
    capsys.readouterr()
    assert run(["run", "--json", "experimentation/what.ipynb"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "FINISHED"
    assert METRICS[metric].gain(told["metrics"][metric], told["metrics"][f"baseline_{metric}"]) > 0
    source = logged_models.model_of_run(store.connect(project), told["run_id"]).source
    example = logged_models.example(source)
    assert [*example] == ["age", "visits", "city", "note", "member"], "neither the date nor the group"
    assert len(logged_models.load(source).predict(example)) == len(example)
