"""The outputs of a step of a GitHub workflow, for the steps after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

VARIABLE = "GITHUB_OUTPUT"


def write(values: Mapping[str, str]) -> None:
    """Add values to the file that GitHub names, if it names one. A line says where that fails: the work is done."""
    file = os.environ.get(VARIABLE)
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.write("".join(f"{name}={value}\n" for name, value in values.items()))
    except OSError as error:
        reason = error.strerror or str(error)
        click.echo(f"{VARIABLE}: {file} cannot be written ({reason}); later steps get no outputs of this one", err=True)
