"""`nbops new`: a notebook for a question, out of the template for its task."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, project_root
from notebooks_lib.cli import output

if TYPE_CHECKING:
    from notebooks_lib.datasets.dataset import Dataset
    from notebooks_lib.metrics.metric import Task

FOLDER = "experimentation"
TEMPLATES: Mapping[Task, str] = {"classification": "template.ipynb", "regression": "template_regression.ipynb"}
"""The template notebook for each task."""


@click.command()
@click.argument("question")
@click.option("--what", help="What it looks at: the rows, the idea. Asked for on a terminal.")
@click.option("--why", help="Why: who wants to know, and what they do with the answer. Asked for on a terminal.")
@click.option("--dataset", "ref", metavar="NAME[@V]", help="The dataset to begin with; else the template's.")
@click.option(
    "--task",
    type=click.Choice([*TEMPLATES]),
    help="What its model predicts: classes or a number. Without it, guessed from the dataset's target.",
)
@click.option("--name", help="The file's name, if not made from the question: a-z, 0-9, _ and -.")
def command(
    question: str, what: str | None, why: str | None, ref: str | None, task: Task | None, name: str | None
) -> int:
    """Make experimentation/NAME.ipynb for QUESTION, which becomes its title. Prints its path.

    It comes from experimentation/template.ipynb of this project, or template_regression.ipynb for a number to predict,
    else from those of nbops, and runs as it is. The template's instructions are comments in its text cells;
    `nbops check` names those that are left. A file that exists is not overwritten.
    """
    from notebooks_lib.notebooks import document, new_notebook

    question = new_notebook.one_line(question, "QUESTION")
    name = new_notebook.check_name(name) if name is not None else new_notebook.file_name(question)
    root = project_root.find_root(Path.cwd())
    file = root / FOLDER / f"{name}.ipynb"
    if file.name in TEMPLATES.values():
        raise errors.UsageError(f"{FOLDER}/{file.name} is what new notebooks are made from; choose another --name")
    if file.exists() or file.is_symlink():
        raise errors.UsageError(f"{output.path(file)} exists and is not overwritten; choose another --name")
    dataset = _dataset(ref) if ref else None
    task, reason = _task(dataset, task) if dataset else (task or "classification", "")
    content = new_notebook.Content(
        question,
        new_notebook.one_line(_answer(what, "--what", "What does it look at"), "--what"),
        new_notebook.one_line(_answer(why, "--why", "Why: who wants to know, for what"), "--why"),
        f"{FOLDER}/{file.name}",
        name,
        *(_about_dataset(dataset) if dataset else ()),
    )
    _write(file, as_text(new_notebook.build(document.read(find_template(root, task)), content)))
    click.echo(output.path(file))
    if reason:
        click.echo(f"task  {reason}", err=True)
    click.echo(f"next  nbops run {shlex.quote(output.path(file))}", err=True)
    return 0


def _answer(text: str | None, option: str, prompt: str) -> str:
    """Return the text of an option, asked for on a terminal. Raises UsageError where there is none to ask at."""
    if text is not None:
        return text
    if not sys.stdin.isatty():
        raise errors.UsageError(f"{option} is missing, and there is no terminal to ask at; give {option} TEXT")
    answer: str = click.prompt(prompt, err=True)
    return answer


def find_template(root: Path | None, task: Task) -> Path:
    """Return the template notebook for a task of the project at `root`; without one, that of nbops."""
    from notebooks_lib.notebooks import new_notebook

    name = TEMPLATES[task]
    packed = Path(new_notebook.__file__).with_name(name)
    source = Path(__file__).parents[2] / FOLDER / name
    own = [root / FOLDER / name] if root else []
    return next((file for file in (*own, packed) if file.is_file()), source)


def _dataset(ref: str) -> Dataset:
    """Return a dataset whose target can be predicted. Raises UsageError without a target, and for one of times."""
    from notebooks_lib import datasets, settings

    dataset = datasets.read(ref, settings.here())
    if dataset.target is None:
        raise errors.UsageError(
            f"{dataset.ref} names no column to predict; add it again: nbops data add FILE --name {dataset.name} "
            "--target COLUMN"
        )
    if dataset.columns[dataset.target] in ("time", "instant"):
        raise errors.UsageError(
            f"the target {dataset.target!r} of {dataset.ref} holds times, which are neither classes nor numbers; add a "
            "column of numbers to the file, such as the days until then, and predict that"
        )
    return dataset


def _task(dataset: Dataset, chosen: Task | None) -> tuple[Task, str]:
    """Return the task, and why it was guessed and how to get the other; nothing for one that was chosen.

    Raises UsageError for a task that the target does not fit.
    """
    from notebooks_lib.datasets import data_quality

    assert dataset.target is not None
    kind = dataset.columns[dataset.target]
    target = f"the target {dataset.target!r}"
    if kind in ("text", "boolean"):
        if chosen == "regression":
            raise errors.UsageError(
                f"--task regression: {target} of {dataset.ref} is {kind}, not a number; leave out --task, or add the "
                f"file again with --kind {shlex.quote(f'{dataset.target}=number')}"
            )
        return "classification", "" if chosen else f"classification: {target} is {kind}"
    if data_quality.has_fractions(dataset):
        if chosen == "classification":
            raise errors.UsageError(
                f"--task classification: {target} of {dataset.ref} holds numbers with fractions, which are no classes; "
                "leave out --task"
            )
        return "regression", "" if chosen else f"regression: {target} holds numbers with fractions"
    if chosen:
        return chosen, ""
    way_out = "delete the notebook, and make it with --task"
    if data_quality.has_classes(dataset):
        holds = f"{target} holds {data_quality.target_values(dataset).nunique()} different whole numbers"
        return "classification", f"classification: {holds}; if they are amounts, {way_out} regression"
    holds = f"{target} holds more than {data_quality.MOST_CLASSES} different whole numbers"
    return "regression", f"regression: {holds}; if they name classes, {way_out} classification"


def _about_dataset(dataset: Dataset) -> tuple[dict[str, str], str]:
    """Return the parameter for a dataset, and what the template's cell `facts` prints about it."""
    facts = f"{dataset.ref}: {dataset.rows} rows, {len(dataset.columns)} columns, target {dataset.target!r}\n"
    return {"dataset": dataset.ref}, f"{facts}fingerprint {dataset.fingerprint}\n"


def as_text(raw: dict[str, object]) -> str:
    """Return the JSON of a notebook as text, in the form in which Jupyter saves notebooks."""
    import json

    return json.dumps(raw, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _write(file: Path, text: str) -> None:
    """Write a notebook to a file that does not exist yet. Raises UsageError."""
    if not file.parent.is_dir() and os.path.lexists(file.parent):
        raise errors.UsageError(f"{output.path(file.parent)} is a file, or a link to nothing; a folder is needed there")
    try:
        file.parent.mkdir(exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise errors.UsageError(f"{output.path(file)} exists and is not overwritten; choose another --name") from error
    except OSError as error:
        raise errors.UsageError(f"{output.path(file)} cannot be written: {error.strerror or error}") from error
