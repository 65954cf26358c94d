"""`nbops new`: a notebook for a question, out of the template."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from notebooks_lib import errors, project_root
from notebooks_lib.cli import output

FOLDER = "experimentation"
TEMPLATE = "template.ipynb"
MOST_CLASSES = 20
"""With more values in a column of numbers to predict, a note says that the template predicts classes."""


@click.command()
@click.argument("question")
@click.option("--what", help="What it looks at: the rows, the idea. Asked for on a terminal.")
@click.option("--why", help="Why: who wants to know, and what they do with the answer. Asked for on a terminal.")
@click.option("--dataset", "ref", metavar="NAME[@V]", help="The dataset to begin with; else the template's.")
@click.option("--name", help="The file's name, if not made from the question: a-z, 0-9, _ and -.")
def command(question: str, what: str | None, why: str | None, ref: str | None, name: str | None) -> int:
    """Make experimentation/NAME.ipynb for QUESTION, which becomes its title. Prints its path.

    It comes from experimentation/template.ipynb of this project, else from the one of nbops, and runs as it is. The
    template's instructions are comments in its text cells; `nbops check` names those that are left.
    A file that exists is not overwritten.
    """
    from notebooks_lib.notebooks import document, new_notebook

    question = new_notebook.one_line(question, "QUESTION")
    name = new_notebook.check_name(name) if name is not None else new_notebook.file_name(question)
    root = project_root.find_root(Path.cwd())
    file = root / FOLDER / f"{name}.ipynb"
    if file.name == TEMPLATE:
        raise errors.UsageError(f"{FOLDER}/{TEMPLATE} is what new notebooks are made from; choose another --name")
    if file.exists() or file.is_symlink():
        raise errors.UsageError(f"{output.path(file)} exists and is not overwritten; choose another --name")
    content = new_notebook.Content(
        question,
        new_notebook.one_line(_answer(what, "--what", "What does it look at"), "--what"),
        new_notebook.one_line(_answer(why, "--why", "Why: who wants to know, for what"), "--why"),
        f"{FOLDER}/{file.name}",
        name,
        *(_about_dataset(ref) if ref else ()),
    )
    _write(file, as_text(new_notebook.build(document.read(find_template(root)), content)))
    click.echo(output.path(file))
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


def find_template(root: Path | None) -> Path:
    """Return the template notebook of the project at `root`; without one, that of nbops."""
    from notebooks_lib.notebooks import new_notebook

    packed = Path(new_notebook.__file__).with_name(TEMPLATE)
    source = Path(__file__).parents[2] / FOLDER / TEMPLATE
    own = [root / FOLDER / TEMPLATE] if root else []
    return next((file for file in (*own, packed) if file.is_file()), source)


def _about_dataset(ref: str) -> tuple[dict[str, str], str]:
    """Return the parameter for a dataset, and what the template's cell `facts` prints about it."""
    from notebooks_lib import datasets, settings

    dataset = datasets.read(ref, settings.here())
    if dataset.target is None:
        raise errors.UsageError(
            f"{dataset.ref} names no column to predict; add it again: nbops data add FILE --name {dataset.name} "
            "--target COLUMN"
        )
    values = 0 if dataset.train.y is None else dataset.train.y.nunique()
    if dataset.columns[dataset.target] not in ("text", "boolean") and values > MOST_CLASSES:
        click.echo(
            f"note: the template predicts classes, and {dataset.target!r} holds {values} different numbers: change its "
            "cells as docs/first-model.md of nbops shows under 'Is your target a number?'",
            err=True,
        )
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
