"""`nbops init`: a fresh project, in an empty folder or beside what a repository has already."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from notebooks_lib import errors
from notebooks_lib.cli import notebook_paths, output
from notebooks_lib.cli.wheel_command import WHEELS, wheel_command


@click.command()
@click.argument("folder", metavar="DIR", type=notebook_paths.GivenPath(path_type=Path))
def command(folder: Path) -> int:
    """Make a project in DIR: folders, a first notebook, settings, tests, a Makefile, workflows.

    DIR may be new, empty, or a repository with notebooks. Existing files stay as they are, and are listed. A second
    call adds files that are missing. Nothing is installed; `make setup` does that.
    """
    from notebooks_lib.cli import project_files

    if folder.exists() and not folder.is_dir():
        raise errors.UsageError(f"{folder} is a file; name a folder, new or existing")
    repository = _repository(folder)
    files = project_files.contents(folder)
    if repository and repository != folder.resolve():
        files = {path: text for path, text in files.items() if not path.startswith(project_files.OF_REPOSITORY)}
    try:
        written = project_files.write(folder, files)
    except OSError as error:
        if errors.machine_fault(error):
            raise
        raise errors.UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}; what was there is as it was"
        ) from error
    for path in written.new:
        click.echo(f"made     {path}")
    for path, lacking in written.existing.items():
        click.echo(f"kept     {path}, which was there{f': {lacking}' if lacking else ''}")
    if not written.new:
        click.echo("nothing to do: all files are there")
    for line in _next(folder, repository):
        click.echo(line)
    return 0


def _repository(folder: Path) -> Path | None:
    """Return the root of the git repository around a folder that may not be there yet."""
    from notebooks_lib.git_repository import GitRepository

    nearest = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    try:
        return GitRepository.find(nearest).root.resolve()
    except errors.UsageError:
        return None


def _next(folder: Path, repository: Path | None) -> Iterator[str]:
    if repository and repository != folder.resolve():
        yield f"left out .github, .ci and .pre-commit-config.yaml: they belong to the repository's root, {repository}"
    ours = [folder.absolute() / name for name in notebook_paths.FOLDERS]
    notebooks = notebook_paths.find_notebooks([folder])
    elsewhere = [path for path in notebooks if not any(path.is_relative_to(root) for root in ours)]
    if elsewhere:
        number = f"{len(elsewhere)} notebook{'s are' if len(elsewhere) > 1 else ' is'}"
        yield (
            f"{number} elsewhere: make run, test and check leave them alone until they are in experimentation/; "
            "nbops check . reports on them"
        )
    name = output.path(folder)
    place = f"./{name}" if name.startswith("-") else name
    commands = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(place)}"]
    commands += [] if repository else ["git init"]
    build = wheel_command(next(iter(importlib.metadata.distributions(name="nbops")), None))
    if build and not [*(folder / WHEELS).glob("nbops-*.whl")]:
        yield (
            f"this nbops came from no index: the next line puts its wheel into {WHEELS}/, where make finds it; "
            "commit it, so that CI finds it too"
        )
        commands.append(build)
    yield f"next     {' && '.join([*commands, 'make setup run test check'])}"
