"""`nbops clean`: take out of notebooks what does not belong in git; with `-` as git's filter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from notebooks_lib import errors
from notebooks_lib.cli import notebook_paths, output


@click.command()
@click.argument("paths", nargs=-1, type=notebook_paths.GivenPath(path_type=Path, allow_dash=True))
@click.option(
    "--setup-git",
    is_flag=True,
    help="Let this repository's git clean, compare and merge notebooks by itself, and stop. Changes .git/config and "
    "the Jupyter of this environment.",
)
def command(paths: tuple[Path, ...], setup_git: bool) -> int:
    """Remove outputs, counts and noisy metadata from notebooks, add missing cell ids, and write them in one form.

    Cells tagged `keep_output` keep their outputs. A Python notebook gets the kernel `python3` in place of its own; one
    of another language keeps its kernel. Without PATHS: all notebooks of this project. `-` reads a notebook
    from standard input and writes it to standard output; what is no notebook passes unchanged.
    """
    if setup_git:
        from notebooks_lib.cli import git_setup

        for line in (*git_setup.set_up(Path.cwd()), *git_setup.set_up_jupyter()):
            click.echo(line)
        return 0
    if Path("-") in paths:
        if len(paths) > 1:
            raise errors.UsageError("-: found other paths beside it; name either - or files")
        return _filter()
    files = notebook_paths.find_notebooks(paths)
    unreadable = [file for file in files if not _clean_file(file)]
    return 1 if unreadable else 0


def _filter() -> int:
    """Clean standard input. Whatever goes wrong with a notebook, its bytes are handed on: git must not lose them."""
    content = sys.stdin.buffer.read()
    try:
        cleaned = _cleaned(Path("-"), content)
        if problem := _find_problem(cleaned):
            click.echo(f"nbops clean: {problem}", err=True)
    except errors.NotebookError as error:
        click.echo(f"nbops clean: left unchanged: {str(error).removeprefix('-: ')}", err=True)
        cleaned = content
    sys.stdout.buffer.write(cleaned)
    sys.stdout.buffer.flush()
    return 0


def _clean_file(file: Path) -> bool:
    """Write the cleaned notebook in place, if anything changes. Return whether it is a notebook."""
    from notebooks_lib import atomic_private_files
    from notebooks_lib.notebooks import document

    try:
        content = document.read_content(file)
        cleaned = _cleaned(file, content)
        if cleaned != content:
            target = notebook_paths.resolve_to_write(file)
            atomic_private_files.write(target, cleaned.decode(), durable=False, keep_rights=True)
            click.echo(f"{output.path(file)}: cleaned", err=True)
        if problem := _find_problem(cleaned):
            click.echo(f"{output.path(file)}: {problem}", err=True)
    except errors.NotebookError as error:
        click.echo(f"left unchanged: {error}", err=True)
        return False
    except OSError as error:
        raise errors.UsageError(f"{output.path(file)} cannot be cleaned: {error.strerror or error}") from error
    return True


def _cleaned(path: Path, content: bytes) -> bytes:
    from notebooks_lib.notebooks import cleaning, document

    return cleaning.clean_text(document.parse(path, content, upgrade=False)).encode()


def _find_problem(cleaned: bytes) -> str:
    """Return what is still wrong with a cleaned notebook, in one line; empty if it is valid."""
    from notebooks_lib.notebooks import format_validity

    problem = format_validity.find_problem(json.loads(cleaned))
    return f"Jupyter still finds a fault, to be mended by hand: {problem}" if problem else ""
