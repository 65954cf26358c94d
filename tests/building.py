"""Notebooks for tests, built in memory from cell texts; and one call that runs one."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from notebooks_lib.run_result import RunResult
from notebooks_lib.running import plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings


def write(path: Path, *cells: str, parameters: str | None = None, title: str = "") -> Path:
    """A notebook file with these code cells, after a parameters cell and a title if they are given."""
    built: list[dict[str, Any]] = []
    if title:
        built.append({"cell_type": "markdown", "source": f"# {title}", "metadata": {}})
    if parameters is not None:
        built.append(_code(parameters, "parameters"))
    built += [_code(cell) for cell in cells]
    for cell in built:
        cell["id"] = uuid.uuid4().hex[:8]
    notebook = {
        "cells": built,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
    return path


def _code(source: str, *tags: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "execution_count": None,
    }


def run(
    settings: Settings,
    *cells: str,
    values: dict[str, object] | None = None,
    parameters: str | None = None,
    experiment: str | None = None,
    tracked: bool = True,
    page: bool = False,
    **limits: Any,
) -> RunResult:
    """Write a notebook into the project and run it, without the HTML page unless it is asked for."""
    path = write(settings.root / "work" / f"n{uuid.uuid4().hex[:6]}.ipynb", *cells, parameters=parameters)
    planned = plan.make_plan(path, settings, values, experiment=experiment, tracked=tracked)
    return run_notebook(planned, html=page, **limits)


def outputs(result: RunResult) -> str:
    """All that the cells put out, as text."""
    notebook = json.loads(result.output.read_text())
    found = [out for cell in notebook["cells"] for out in cell.get("outputs", ())]
    return "".join("".join(out.get("text", out.get("data", {}).get("text/plain", ""))) for out in found)
