"""Secrets of the files under production/azure: `${NAME}` is filled from the environment, a literal one is a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from notebooks_lib import errors, secret_forms
from notebooks_lib.azure.project_files.file_faults import FileFault, KeyPath, last_key
from notebooks_lib.azure.project_files.yaml_file import YamlFile

_VARIABLE = re.compile(r"\$\{(?!\{)(?P<name>[^}]*)(?P<end>\}?)")
"""`${NAME}`, but not Azure's `${{inputs.x}}`."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def filled(values: Any, environ: Mapping[str, str]) -> Any:
    """Return the values with each `${NAME}` replaced by that environment variable, if it is set."""
    if isinstance(values, dict):
        return {key: filled(value, environ) for key, value in values.items()}
    if isinstance(values, list):
        return [filled(value, environ) for value in values]
    if not isinstance(values, str):
        return values
    return _VARIABLE.sub(lambda match: environ.get(match["name"], match[0]) if match["end"] else match[0], values)


def faults(
    file: YamlFile, environ: Mapping[str, str], written_out: Callable[[KeyPath], str] = lambda path: ""
) -> Iterator[FileFault]:
    """Yield the variables that are not set, and the secrets that stand in a file. Neither shows the secret.

    `written_out` says why a text may have no variable; empty where it may.
    """
    yield from literal_faults(file)
    for path, value in _texts(file.values):
        for match in _VARIABLE.finditer(value):
            if text := written_out(path) or _problem(match, environ):
                yield file.fault(path, text)


def literal_faults(file: YamlFile) -> Iterator[FileFault]:
    """Yield the secrets that stand in a file, without showing them."""
    for number, kind, _ in secret_forms.find_secrets(file.text):
        above = [path for path, line in file.lines.items() if line <= number]
        path = max(above, key=lambda path: (file.lines[path], len(path)), default=())
        yield FileFault(file.path, number, last_key(path), f"{kind} stands in the file: {_advice(path)}")
    for path, value in _texts(file.values):
        if not list(secret_forms.find_secrets(value)) and secret_forms.is_secret(str(path[-1]), value):
            yield file.fault(path, f"a secret stands in the file: {_advice(path)}")


def hidden(text: str, file: YamlFile, environ: Mapping[str, str]) -> str:
    """Return a text about a file with `${NAME}` in place of what was filled in for it."""
    for _, value in _texts(file.values):
        for match in _VARIABLE.finditer(value):
            secret = environ.get(match["name"], "")
            for spelled in {secret, repr(secret)[1:-1], " ".join(secret.split())}:
                text = text.replace(spelled, match[0]) if len(spelled) > 2 else text
    return text


def _problem(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name = match["name"]
    if not match["end"] or not _NAME.fullmatch(name):
        return "a variable is written ${NAME}: a letter or _, then letters, digits and _, then }"
    if environ.get(name):
        return ""
    nearest = errors.nearest(name, [known for known in environ if environ[known]])
    hint = f", did you mean {nearest}?" if nearest else f": export {name}=…, and in CI take it from a secret"
    return f"the environment variable {name} is {'empty' if name in environ else 'not set'}{hint}"


def _advice(path: KeyPath) -> str:
    name = re.sub(r"\W+", "_", last_key(path)).strip("_").upper() or "NAME"
    return f"revoke it, write ${{{name}}} and set the environment variable {name}"


def _texts(values: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(values, str | int | float) and not isinstance(values, bool):
        yield path, str(values)
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield from _texts(value, (*path, key))
