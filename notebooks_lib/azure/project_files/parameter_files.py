"""Checks production/infra/parameters.STAGE.json against main.bicep, without network and without a Bicep compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors, regular_file
from notebooks_lib.azure.project_files import file_secrets, yaml_file
from notebooks_lib.azure.project_files.file_faults import FileFault
from notebooks_lib.azure.project_files.yaml_file import YamlFile

_PARAMETER = re.compile(r"^(?:@.*\)\s*)?param\s+(\w+)\s+((?:'[^']*'|[^'=\n/]|/(?!/))+)(=)?")
_LITERAL = re.compile(r"'([^']*)'")
_ALLOWED = re.compile(r"@allowed\(\[(.*?)\]\)", re.DOTALL)
_BOUND = re.compile(r"@(min|max)(?:Length|Value)\((\d+)\)")
_OPEN = "…"
"""A type that goes on in the next line, where its default may stand."""
_TYPES: Mapping[str, type] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
_EXAMPLES = {"string": '"text"', "int": "7", "bool": "true", "object": "{}", "array": "[]"}
_NAMES = {
    "prefix": (r"[a-z][a-z0-9]*", "write small letters and digits, a letter first: it begins Azure's names"),
    "workspaceName": (r"[A-Za-z0-9][\w-]*", "write letters, digits, - and _, a letter or digit first"),
    "peopleId": (
        r"([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?",
        "write the object id of a group or user: `az ad group show --group NAME --query id`",
    ),
    "wakeSchedule": (r"([A-Za-z0-9][\w-]{0,254})?", "write letters, digits, - and _, a letter or digit first"),
    "registryName": (r"([A-Za-z0-9][A-Za-z0-9-]{2,32})?", "write 3 to 33 letters, digits and -, or nothing"),
}
"""Parameters of our template that are names -> Azure's rule, and what to write."""
_READ = ("prefix", "peopleId")
"""What nbops itself goes by."""
_MADE_BY_UP = ("prefix",)
"""What may be left out though the template needs it: `nbops azure up` gives it."""


@dataclass(frozen=True)
class TemplateParameter:
    """A parameter that a template declares."""

    type: str
    """string, int, bool, object or array; another one, such as a type of the template's own, is left to Azure."""
    required: bool
    allowed: tuple[str, ...] = ()
    """Empty: any value."""
    least: int | None = None
    most: int | None = None
    """Bounds of a number, or of the length of a text or an array."""
    nullable: bool = False


def stage_of(path: Path) -> str:
    """Return STAGE of parameters.STAGE.json."""
    return path.name.split(".")[1]


def template_parameters(text: str) -> dict[str, TemplateParameter]:
    """Return the parameters that a Bicep text declares, with their decorators."""
    found: dict[str, TemplateParameter] = {}
    block = ""
    for line in text.splitlines(keepends=True):
        block = block + line if line.strip() else ""
        if match := _PARAMETER.match(line):
            allowed = _ALLOWED.search(block)
            bounds = {end: int(number) for end, number in _BOUND.findall(block)}
            kind, choices = _type(match[2].strip().removesuffix("?"))
            values = tuple(_LITERAL.findall(allowed[1])) if allowed else choices
            nullable = match[2].strip().endswith("?")
            required = not (match[3] or nullable or kind == _OPEN)
            found[match[1]] = TemplateParameter(
                kind, required, values, bounds.get("min"), bounds.get("max"), nullable=nullable
            )
            block = ""
    return found


def _type(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a type of Bicep and the values that it allows, such as those of `'Basic' | 'Premium'`."""
    if text.endswith("[]"):
        return "array", ()
    if text.startswith("'") and not _LITERAL.sub("", text).strip(" |"):
        return "string", tuple(_LITERAL.findall(text))
    return (_OPEN if text.endswith(("{", "[", "(", "|")) else text), ()


def faults(path: Path, template: Path) -> Iterator[FileFault]:
    """Yield what is wrong with a parameters file."""
    text = regular_file.read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        yield FileFault(path, line, "", f"is not JSON: {getattr(error, 'msg', error)}")
        return
    given = content.get("parameters") if isinstance(content, dict) else None
    if not isinstance(given, dict):
        yield FileFault(path, 1, "", 'has no parameters: write {"parameters": {"prefix": {"value": "sales"}}}')
        return
    read, _ = yaml_file.read(path)  # JSON is YAML, and this one knows the lines; but for a tab
    file = read or YamlFile(path, text, content, {})
    declared = template_parameters(regular_file.read_text(template))
    yield from file_secrets.literal_faults(file)
    for name, parameter in declared.items():
        if parameter.required and name not in given and name not in _MADE_BY_UP:
            yield file.fault(("parameters", name), f"is missing: {template.name} needs it")
    for name, entry in given.items():
        where = ("parameters", name)
        if name not in declared:
            near = errors.nearest(name, declared)
            yield file.fault(where, f"no parameter of {template.name}" + (f", did you mean {near}?" if near else ""))
        elif not isinstance(entry, dict) or not entry.keys() & {"value", "reference"}:
            yield file.fault(where, f'write {{"value": {_EXAMPLES.get(declared[name].type, "…")}}}')
        elif name in _READ and "value" not in entry:
            yield file.fault(where, 'nbops reads it before Azure does: write {"value": "text"}')
        elif "value" in entry and (problem := _problem(name, entry["value"], declared[name], stage_of(path))):
            yield file.fault(where, problem)


def wake_faults(path: Path, schedules: Collection[str]) -> Iterator[FileFault]:
    """Yield a fault if a parameters file lets new data wake a schedule that no file describes."""
    file, _ = yaml_file.read(path)
    where = ("parameters", "wakeSchedule", "value")
    name: Any = file.values if file else None
    for key in where:
        name = name.get(key) if isinstance(name, dict) else None
    if file is not None and isinstance(name, str) and name and name not in schedules:
        near = errors.nearest(name, schedules)
        hint = f"did you mean {near}?" if near else f"write production/azure/schedules/{name}.yml"
        yield file.fault(where[:2], f"no schedule {name!r} to wake: {hint}")


def values(path: Path) -> dict[str, Any]:
    """Return the values of a parameters file without faults; references to a key vault are left out."""
    given = json.loads(regular_file.read_text(path))["parameters"]
    return {name: entry["value"] for name, entry in given.items() if "value" in entry}


def shared_prefixes(paths: Sequence[Path]) -> Iterator[FileFault]:
    """Yield a fault for each file whose prefix another stage has: in one resource group they would be one workspace."""
    found: list[tuple[YamlFile, str]] = []
    for file in filter(None, (yaml_file.read(path)[0] for path in paths)):
        given = file.values.get("parameters")
        entry = given.get("prefix") if isinstance(given, dict) else None
        if isinstance(entry, dict) and isinstance(entry.get("value"), str):
            found.append((file, entry["value"]))
    for file, prefix in found:
        for other in (other.path.name for other, same in found if other is not file and same == prefix):
            yield file.fault(("parameters", "prefix"), f"{prefix!r} is that of {other}: each stage needs its own")


def _problem(name: str, value: Any, parameter: TemplateParameter, stage: str) -> str:
    wanted = _TYPES.get(parameter.type)
    if value is None and parameter.nullable:
        return ""
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
        return f"{value!r} is no {parameter.type}: write {_EXAMPLES[parameter.type]}, for example"
    if parameter.allowed and value not in parameter.allowed:
        near = errors.nearest(str(value), parameter.allowed)
        return f"{value!r} is none of {', '.join(parameter.allowed)}" + (f", did you mean {near}?" if near else "")
    unit = {"string": " characters", "array": " entries"}.get(parameter.type, "")
    size = value if parameter.type == "int" else len(value) if unit else None
    for bound, wrong in ((parameter.least, "least"), (parameter.most, "most")):
        if size is not None and bound is not None and (size < bound if wrong == "least" else size > bound):
            return f"{value!r} must have at {wrong} {bound}{unit}" if unit else f"{value!r} must be at {wrong} {bound}"
    rule, advice = _NAMES.get(name, (r"[\s\S]*", ""))
    if isinstance(value, str) and not re.fullmatch(rule, value):
        return f"{value!r} will not do: {advice}"
    if name == "tags" and (wrong_tags := [tag for tag, text in value.items() if not isinstance(text, str)]):
        return f'{", ".join(wrong_tags)}: a tag is text: write {{"{wrong_tags[0]}": "{value[wrong_tags[0]]}"}}'
    if name == "stage" and value != stage:
        return f"{value!r} in the file of stage {stage}: write {stage}"
    return ""
