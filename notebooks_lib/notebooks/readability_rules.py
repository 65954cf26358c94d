"""Rules about how a notebook reads: title, text between cells, length, and what was left unfinished."""

from __future__ import annotations

import ast
import re

from notebooks_lib.notebooks.document import PARAMETERS_TAG, Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule

LONGEST_CELL = 15
LONGEST_FUNCTION = 5
MOST_CODE_CELLS_IN_A_ROW = 2
_UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
_COMMENT = re.compile(r"#.*")
TEMPLATE_NAMES = ("template.ipynb", "template_regression.ipynb")
TEMPLATE_TEXTS = (
    "Which question does this notebook answer?",
    "Write the question as the title",
    "Say what is worth varying, and between which values",
    "All imports, once, and the run that the notebook logs to",
    "Say where the data come from, what one row is",
    "This is the one cell whose output is kept in git",
    "Say why this split is fair",
    "Name the number to beat",
    "The idea in two sentences, and what each parameter does to it",
    "Say, before the numbers, what good, bad and suspicious would look like",
    "One figure that shows *where* it errs",
    "What would make a run worthless, as three to five asserts",
    "List what is kept: what one needs to judge the run",
    "Answer the question of the title in the first sentence",
)
"""The instructions in the cells of both templates in experimentation/; a test holds them together."""


def title(notebook: Notebook) -> Findings:
    """Yield a missing title, and each heading of level 1 after the first."""
    titles = [(index, text) for index, level, text in notebook.headings if level == 1]
    if not titles:
        yield Finding(0, "no title: no heading of level 1")
    for index, text in titles[1:]:
        yield Finding(index, f"a second heading of level 1: {text!r}; the title is {titles[0][1]!r}", cause="second")


def prose(notebook: Notebook) -> Findings:
    """Yield code cells before any text, and the first code cell too many in a row without text."""
    row: int | None = None
    for cell in notebook.cells:
        if cell.kind == "markdown" and cell.source.strip():
            row = 0
        elif cell.kind == "code" and cell.source.strip():
            if row is None:
                yield Finding(cell.index, "code before any text")
            row = (row or 0) + 1
            if row == MOST_CODE_CELLS_IN_A_ROW + 1:
                yield Finding(cell.index, f"code cell number {row} in a row without text")


def cell_length(notebook: Notebook) -> Findings:
    """Yield code cells with too many lines. Blank lines do not count; the parameters cell may have any length."""
    for cell in notebook.code_cells:
        lines = sum(1 for line in cell.source.split("\n") if line.strip())
        if lines > LONGEST_CELL and PARAMETERS_TAG not in cell.tags:
            yield Finding(cell.index, f"{lines} lines of code, {LONGEST_CELL} at most")


def definitions(notebook: Notebook) -> Findings:
    """Yield classes, and functions that are long enough to need tests."""
    for cell in notebook.python_cells:
        for node in cell.nodes:
            if isinstance(node, ast.ClassDef):
                yield Finding(cell.index, f"class {node.name}", node.lineno)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield Finding(
                        cell.index, f"function {node.name} of {lines} lines, {LONGEST_FUNCTION} at most", node.lineno
                    )


def unfinished(notebook: Notebook) -> Findings:
    """Yield TODO and similar marks in texts and comments of a notebook in `production/`."""
    if not notebook.is_production:
        return
    for cell in notebook.cells:
        for number, line in enumerate(cell.source.split("\n"), 1):
            text = line if cell.kind == "markdown" else "".join(_COMMENT.findall(line))
            if match := _UNFINISHED.search(text):
                yield Finding(cell.index, text[match.start() :].strip()[:60], number)


def template_texts(notebook: Notebook) -> Findings:
    """Yield instructions of a template that were not replaced, except in the templates themselves.

    `nbops new` keeps them in comments, which no reader sees: below the heading there is nothing, then.
    """
    if notebook.path.name in TEMPLATE_NAMES:
        return
    for cell in notebook.cells:
        if cell.kind == "markdown":
            text = " ".join(cell.source.split())
            if instruction := next((part for part in TEMPLATE_TEXTS if part in text), None):
                yield Finding(cell.index, f"text of the template: {instruction!r}", cause="template")


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB009",
        "not exactly one title",
        "The title is the question; it names the run and the report.",
        "Begin with one `# Question?`, and use `##` for sections.",
        title,
        bad="""\
# %% [markdown]
## Data
""",
        good="""\
# %% [markdown]
# Do prices follow size?
""",
        convention=True,
    ),
    NotebookRule(
        "NB012",
        f"a code cell of more than {LONGEST_CELL} lines",
        "A long cell cannot be read at a glance or rerun in parts.",
        "Split it, with a sentence before each part, or move logic to a module with tests.",
        cell_length,
        bad="""\
print(0)
print(1)
print(2)
print(3)
print(4)
print(5)
print(6)
print(7)
print(8)
print(9)
print(10)
print(11)
print(12)
print(13)
print(14)
print(15)
""",
        good="""\
print(0)
print(1)
""",
        convention=True,
    ),
    NotebookRule(
        "NB013",
        f"a class, or a function of more than {LONGEST_FUNCTION} lines",
        "Logic in a notebook has no tests and is copied from there.",
        "Move it to a module with tests, and import it.",
        definitions,
        bad="""\
class Model:
    pass
""",
        good="""\
from models import Model
Model()
""",
        convention=True,
    ),
    NotebookRule(
        "NB019",
        "code that no text leads up to",
        "A reader should know what to look for before seeing it.",
        f"Put a heading or a sentence before it; {MOST_CODE_CELLS_IN_A_ROW} code cells may follow it.",
        prose,
        bad="""\
# %%
print(1)
# %%
print(2)
# %%
print(3)
""",
        good="""\
# %% [markdown]
Three numbers:
# %%
print(1)
# %%
print(2)
# %% [markdown]
And now the third:
# %%
print(3)
""",
        convention=True,
    ),
    NotebookRule(
        "NB027",
        "in `production/`, TODO, FIXME or XXX",
        "What others rely on is not finished.",
        "Do it, or open an issue and name it.",
        unfinished,
        bad="""\
# %%% production/release.ipynb
# %%
x = 3  # TODO: ask whether it is four
""",
        good="""\
# %%% production/release.ipynb
# %%
x = 3  # todos per person
""",
        convention=True,
    ),
    NotebookRule(
        "NB028",
        "text of the template",
        "An instruction to the author tells a reader nothing about this notebook.",
        "Write what the text asks for, or delete the cell.",
        template_texts,
        bad="""\
# %% [markdown]
Name the number to beat: the mean, or last week.
""",
        good="""\
# %% [markdown]
The number to beat is the mean of last week.
""",
        convention=True,
    ),
)
