"""Notebooks for pure tests, as files or as values; nothing here starts a kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.document import Notebook


def md(source: str, **extra: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source, **extra}


def code(source: str | list[str], *tags: str, **extra: Any) -> dict[str, Any]:
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
        **extra,
    }


def raw(*cells: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {
        "cells": [{"id": f"cell-{index}", **cell} for index, cell in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
        **extra,
    }


def write(path: Path, *cells: dict[str, Any], **extra: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw(*cells, **extra)), "utf-8")
    return path


def notebook(*cells: dict[str, Any], path: Path = Path("built.ipynb"), **extra: Any) -> Notebook:
    """Read back from a file beside the test, as a real one is."""
    return document.read(write(path, *cells, **extra))


def parameters(source: str, *more: str) -> Notebook:
    """A notebook with this parameters cell and these code cells after it."""
    return notebook(code(source, "parameters"), *(code(cell) for cell in more))
