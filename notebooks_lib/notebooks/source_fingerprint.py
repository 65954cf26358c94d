"""Digests of what a run executes: its source, known before it starts, and that source with its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from notebooks_lib.notebooks import expressions, parameter_types
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.parameter_schema import read_schema
from notebooks_lib.notebooks.project_modules import find_modules

# Part of every digest: raise it when the same content is to give another digest.
_FORM = 1


def source_fingerprint(
    notebook: Notebook,
    values: Mapping[str, object],
    lock_sha256: str,
    root: Path,
    project_modules: Sequence[tuple[str, str]] | None = None,
) -> str:
    """Return the sha256 of all that a run executes. The same inputs give the same digest on any machine.

    It covers the code cells, the parameters, the lock file, and the modules under `root` that the cells import,
    directly or indirectly. `values` replace defaults; secrets are left out. `project_modules` are the modules, if known
    already.
    """
    content = {
        "form": _FORM,
        "language": notebook.language,
        "code": notebook.code_sha256,
        "parameters": _parameters(notebook, values),
        "lock": lock_sha256,
        "modules": dict(find_modules(notebook, root) if project_modules is None else project_modules),
    }
    return _digest(content)


def run_fingerprint(source: str, datasets: Iterable[str]) -> str:
    """Return the sha256 of a source fingerprint and the fingerprints of the datasets that the run used."""
    return _digest({"form": _FORM, "source": source, "datasets": sorted(set(datasets))})


def _parameters(notebook: Notebook, values: Mapping[str, object]) -> dict[str, str]:
    parameters = read_schema(notebook)
    merged = {**parameters.defaults, **values}
    texts = {}
    for name, value in merged.items():
        parameter = parameters.find(name)
        if parameter is not None and parameter.secret:
            continue
        try:
            value = parameter.kind.check(value) if parameter else value
        except parameter_types.Mismatch:
            pass  # a default outside its own annotation still counts as it is
        texts[name] = _text(value)
    return texts


def _text(value: object) -> str:
    """Return one text for equal values of one type; keys of dicts are sorted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{_text(key)}: {_text(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        marks = "[]" if isinstance(value, list) else "()"
        return marks[0] + ", ".join(map(_text, value)) + marks[1]
    try:
        return expressions.write_literal(value)
    except expressions.NotConstant:
        return repr(value)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
