"""`--out FILE`: the JSON object of a command in a file too, for the next step of a pipeline."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from notebooks_lib import errors


def _check(ctx: click.Context, parameter: click.Parameter, file: Path | None) -> Path | None:
    """Refuse, before anything is done, a file that the command could not or should not replace."""
    if file is None:
        return None
    if file.is_dir():
        raise click.BadParameter(f"{file} is a folder; name a file in it")
    if file.is_file() and file.stat().st_size and file.suffix != ".json" and not _has_object(file):
        raise click.BadParameter(f"{file} exists and holds no JSON object of a command; name another file")
    return file


option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_check,
    help="Also write the JSON object to FILE, for the next step of a pipeline.",
)
"""The option, whose value goes to `write`. A command that has it has `--json` too."""


def write(file: Path | None, content: Mapping[str, object]) -> None:
    """Write the object that `--json` prints to a file, which readers see whole or not at all; None writes nothing.

    Raises UsageError when it cannot be written.
    """
    if file is None:
        return
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file.resolve(), text)
    except OSError as error:
        raise errors.UsageError(f"--out {file} cannot be written: {error.strerror}") from error


def _replace(file: Path, text: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(file.stat().st_mode):
            file.write_text(text, "utf-8")  # such as /dev/stdout
            return
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(file)
    except OSError:
        file.write_text(text, "utf-8")  # an output of a job may be mounted as this one file
    finally:
        draft.unlink(missing_ok=True)


def _has_object(file: Path) -> bool:
    """Return whether a file holds one JSON object, and is no notebook."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "cells" not in content
