"""Makes the SDK's own objects out of files, by `azure.ai.ml.load_*`. What it prints and warns is held back."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from notebooks_lib import errors
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_schema import Kind


def load(kind: Kind, path: Path, values: dict[str, Any], filled_in: dict[str, Any]) -> Any:
    """Return the SDK's object for the values of a file, with what nbops fills in. Raises what the SDK raises."""
    with _silent():
        from azure.ai import ml
        from azure.ai.ml.entities._load_functions import load_model_batch_deployment, load_schedule  # nowhere else
    with _silent():  # again, for the import sets the level of the SDK's logger
        loaders = {
            "environment": ml.load_environment,
            "compute": ml.load_compute,
            "job": ml.load_job,
            "pipeline": ml.load_job,
            "endpoint": ml.load_online_endpoint,
            "deployment": ml.load_online_deployment,
            "schedule": load_schedule,
            "monitor": load_schedule,
            "batch_endpoint": ml.load_batch_endpoint,
            "batch_deployment": load_model_batch_deployment,
        }
        source = io.StringIO(yaml.safe_dump(values))
        override = [{key: value} for key, value in filled_in.items()]
        return loaders[kind](source, relative_origin=str(path), params_override=override)


def request_body(kind: Kind, path: Path, values: dict[str, Any], filled_in: dict[str, Any]) -> dict[str, Any]:
    """Return what the SDK would send to create what a file describes. Raises what the SDK raises."""
    loaded = load(kind, path, values, filled_in)
    with _silent():
        entity = loaded._to_job() if kind == "job" else loaded
        body: dict[str, Any] = entity._to_rest_object().as_dict()
    return body


def refusals(error: Exception) -> list[tuple[KeyPath, str]]:
    """Return key and text of what the SDK refuses.

    Where several forms are allowed, it complains of each that a value is not; the schema has settled which one it is.
    """
    found = list(_found(error))
    return [(path, text) for path, text in found if not _OTHER_FORM.search(text)] or found


_OTHER_FORM = re.compile(r"passed is not in set|^Unknown field\.$")


def _found(error: Exception) -> Iterator[tuple[KeyPath, str]]:
    """Yield the messages in an exception of the SDK: JSON in prose, at times in JSON again."""
    text = str(error)
    for _ in range(3):
        try:
            content, _end = json.JSONDecoder().raw_decode(text[max(text.find("{"), 0) :])
        except ValueError:
            break
        if not isinstance(content, dict):
            break
        inner = content.get("errors")
        if not (isinstance(inner, list) and inner and isinstance(inner[0], dict) and "message" in inner[0]):
            yield from _messages(content, ())
            return
        text = str(inner[0]["message"])
    yield (), errors.reason(error, 300)


def _messages(content: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _messages(value, path if key == "_schema" else (*path, key))
    elif isinstance(content, list):
        for value in content:
            yield from _messages(value, path)
    else:
        yield path, " ".join(str(content).split())


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hold back stdout, which belongs to the command's answer, and the warnings about experimental classes."""
    logger = logging.getLogger("azure.ai.ml")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
