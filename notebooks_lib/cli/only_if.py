"""`--only-if FILE`: a step of a pipeline ends well and says why when the step before it found nothing new."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import out_file
from notebooks_lib.tags import Env, Tag

option = click.option(
    "--only-if",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Do nothing unless FILE, which `nbops data newer` or a step after it wrote, says "newer": true.',
)
"""The option, whose value goes to `nothing_to_do`."""


def nothing_to_do(file: Path | None, *, out: Path | None, as_json: bool) -> bool:
    """Return whether a command has nothing to do, after printing why; with `out` the next step reads the same.

    If there is something to do, the version that the file names is the latest one of its dataset for this process.
    Raises UsageError for a file that is missing or damaged: to go on, or not, could both be wrong.
    """
    if file is None:
        return False
    content = _read(file)
    if content["newer"]:
        _take_version(content)
        return False
    reason = str(content.get("skipped") or content.get("reason") or "there is nothing new")
    answer = {"newer": False, "skipped": reason}
    out_file.write(out, answer)
    click.echo(json.dumps(answer) if as_json else f"nothing done: {safe_text.printable(reason)}")
    if (run := os.environ.get("AZUREML_RUN_ID")) and Env.OWNER_RUN not in os.environ:
        _note(run, reason)
    return True


@dataclass(frozen=True)
class Answer:
    """Where the JSON object of a command goes, and what is in it for the next step of a pipeline."""

    as_json: bool
    out: Path | None
    passed_on: Mapping[str, Any]

    @classmethod
    def of(cls, only_if: Path | None, out: Path | None, *, as_json: bool) -> Answer:
        """Return what the options --only-if, --out and --json ask for."""
        return cls(as_json, out, passed_on(only_if))

    def give(self, content: Mapping[str, Any]) -> bool:
        """Write and print the object as asked for; return whether it was printed, so that nothing else may be."""
        complete = json.loads(json.dumps({**content, **self.passed_on}, default=str))
        out_file.write(self.out, complete)
        if self.as_json:
            sys.stdout.write(json.dumps(complete, ensure_ascii=False) + "\n")
        return self.as_json


def passed_on(file: Path | None) -> dict[str, Any]:
    """Return what a command that had something to do adds to its object, so that the next step takes that as FILE."""
    return {} if file is None else {key: value for key, value in _read(file).items() if key in ("newer", "newest")}


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise errors.UsageError(
            f"--only-if {file}: there is no such file; give what `nbops data newer --out` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise errors.UsageError(f"--only-if {file}: is no JSON: {errors.reason(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("newer"), bool):
        raise errors.UsageError(
            f'--only-if {file}: holds no "newer": true or false; give what `nbops data newer` wrote'
        )
    return content


def _take_version(content: Mapping[str, Any]) -> None:
    """Let a dataset without a version be the one that was found, whatever is added or pushed in the meantime."""
    name, _, version = str(content.get("newest") or "").partition("@")
    if name and version.isdecimal():
        known = json.loads(os.environ.get(Env.DATASETS) or "{}")
        os.environ[Env.DATASETS] = json.dumps({**known, name: int(version)})


def _note(run_id: str, reason: str) -> None:
    """Keep the reason with the run of the job, for those who follow it. Without it the step ends well, too."""
    from notebooks_lib import settings
    from notebooks_lib.tracking import store

    try:
        connected = store.connect(settings.here())
        with store.translate_store_errors(connected):
            connected.client.set_tag(run_id, Tag.SKIPPED, reason[:500])
    except errors.NbopsError as error:
        click.echo(f"nbops: the reason is not kept with the run: {error}", err=True)
