"""Any question gives a name that a file, an experiment and a shell can bear, or one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib import errors
from notebooks_lib.notebooks import document, new_notebook
from tests.notebooks import building
from tests.notebooks.building import code, md

CONTENT = new_notebook.Content(
    "Who leaves?", "Rows.", "To call them.", "experimentation/who_leaves.ipynb", "who_leaves"
)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Does boosting beat ridge?", "does_boosting_beat_ridge"),
        ('Don\'t "they" pay /etc/passwd ../..?', "dont_they_pay_etc_passwd"),
        ("Où va l’été à la Straße?", "ou_va_lete_a_la_strasse"),
        ("What is 2×2\tin\nfact?", "what_is_2_2_in_fact"),
        ("Is " + "word " * 40, "is" + "_word" * 11),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_question_names_the_file(question, name):
    assert new_notebook.file_name(question) == name
    assert new_notebook.check_name(name) == name


@pytest.mark.parametrize("question", ["", "  ", "?!…", "../..", "a\x00b", "a\x1bb", "a\udcffb", "#"])
def test_what_is_no_question_is_one_line(question):
    with pytest.raises(errors.UsageError) as caught:
        new_notebook.one_line(question, "QUESTION")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("QUESTION: found ")


@pytest.mark.parametrize("question", ["売上は2倍か?", "Где 2?", "ð and more"])
def test_another_script_asks_for_a_name(question):
    with pytest.raises(errors.UsageError, match="--name"):
        new_notebook.file_name(question)


@pytest.mark.parametrize("name", ["", "../a", "a b", "A", ".hidden", "-a", "x" * 61, "é", "a/b"])
def test_a_given_name_is_checked(name):
    with pytest.raises(errors.UsageError, match="--name: found"):
        new_notebook.check_name(name)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_a_name_or_a_usage_error(question):
    try:
        name = new_notebook.file_name(new_notebook.one_line(question, "QUESTION"))
    except errors.UsageError as error:
        answer = str(error)
    else:
        answer = f"name {name}"
    assert re.fullmatch(r"name [a-z0-9][a-z0-9_]{0,59}|.*(: found|--name my_question).*", answer), answer


def built(*cells, content=CONTENT) -> document.Notebook:
    raw = new_notebook.build(building.notebook(*cells), content)
    return building.notebook(*raw["cells"], path=Path("new.ipynb"))


def test_title_and_defaults_are_new_and_instructions_are_comments():
    parameters = code(
        'a = "é"; dataset: str = "old@1"  # which\nexperiment = "old"\nC = 1.0\nfor experiment in "x": pass',
        "parameters",
    )
    content = new_notebook.Content(**{**vars(CONTENT), "parameters": {"dataset": "mine@2"}})
    title, setup, defaults, text = built(
        md("# Old\n\nWrite here."), md("## Setup\n\nSay --> this."), parameters, md("Only text."), content=content
    ).cells
    assert title.source == (
        "# Who leaves?\n\n- **What:** Rows.\n- **Why:** To call them.\n"
        "- **Without an editor:** `nbops run experimentation/who_leaves.ipynb`"
    )
    assert setup.source == "## Setup\n\n<!-- Say -- > this. -->"
    assert defaults.source == (
        'a = "é"; dataset: str = "mine@2"  # which\nexperiment = "who_leaves"\nC = 1.0\nfor experiment in "x": pass'
    )
    assert text.source == "<!-- Only text. -->"


def test_a_template_of_ones_own_without_title_or_parameters_gets_a_title():
    notebook = built(code("x = 1"), code("broken =", "parameters"))
    assert notebook.title == "Who leaves?"
    assert [cell.source for cell in notebook.cells[1:]] == ["x = 1", "broken ="]
    assert len({cell.id for cell in notebook.cells}) == 3


def test_a_kept_output_is_that_of_the_dataset():
    content = new_notebook.Content(**{**vars(CONTENT), "kept_output": "mine\n"})
    output = {"output_type": "stream", "name": "stdout", "text": "old\n"}
    cells = [code("print()", "keep_output", outputs=[output], id=name) for name in ("facts", "other")]
    facts, other = built(*cells, content=content).raw["cells"][1:]
    assert facts["outputs"] == [{**output, "text": ["mine\n"]}]
    assert other["outputs"] == []
