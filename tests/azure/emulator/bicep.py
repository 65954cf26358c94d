"""Reads a Bicep file with pycep, and says what it would deploy: the resources with their values, and the outputs.

It knows the part of the language that production/infra uses, and fails on any other. pycep does not tell a text from a
name, so a text must not be the name of anything in its file; `test_infrastructure_files.py` holds that.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pycep import BicepParser

_PARSER = BicepParser()
_HOLE = re.compile(r"\$\{([^}]+)\}")
Read = Callable[[str], Any]
"""Returns the document of a deployed resource."""


@dataclass(frozen=True)
class Place:
    """Where and by whom something is deployed."""

    subscription: str
    group: str
    location: str
    tenant: str
    deployer: str

    @property
    def path(self) -> str:
        """The path of the resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"


@dataclass(frozen=True)
class Declared:
    """One resource that a template declares, with all of its values."""

    symbol: str
    id: str
    type: str
    api_version: str
    body: dict[str, Any]


class NotDeployed(LookupError):
    """A value is asked of a resource that is not there yet."""


@dataclass
class Template:
    """One Bicep file."""

    file: Path
    place: Place
    parameters: Mapping[str, Any]
    read: Read
    loop: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The file as pycep reads it."""
        return dict(_PARSER.parse(text=self.file.read_text("utf-8")))

    def problems(self) -> Iterator[str]:
        """Yield why the parameters do not fit the template."""
        declared = self.content["parameters"]
        yield from (f"no parameter {name}" for name in self.parameters if name not in declared)
        missing = [
            name for name, each in declared.items() if name not in self.parameters and each.get("default") is None
        ]
        yield from (f"no value for parameter {name}" for name in missing)
        for name, each in declared.items() if not missing else ():
            value = self.value(name)
            rules = {rule["type"]: rule.get("argument") for rule in each["decorators"]}
            if "allowed" in rules and value not in rules["allowed"]:
                yield f"{name} is {value!r}, which is none of {rules['allowed']}"
            size = len(value) if isinstance(value, str) else value
            least = rules.get("min_length", rules.get("min_value", size))
            most = rules.get("max_length", rules.get("max_value", size))
            if isinstance(size, int) and not least <= size <= most:
                yield f"{name} is {value!r}, which is not within {least} and {most}"

    def resources(self) -> Iterator[Declared]:
        """Yield the resources in the order of the file, those of modules at the end. A condition that is false: none."""
        for symbol, each in self.content["resources"].items():
            if each["existing"]:
                continue
            config = each["config"]
            if "loop_type" in config:
                detail = config["loop_type"]["detail"]
                for item in self.value(detail["array_name"]):
                    self.loop[detail["item_name"]] = item
                    yield self._declared(symbol, config["config"])
                self.loop.clear()
            elif "condition" not in config or self.value(config["condition"]):
                yield self._declared(symbol, config.get("config", config))
        for each in self.content.get("modules", {}).values():
            config = each["config"]
            if "condition" not in config or self.value(config["condition"]):
                given = self.value(config.get("config", config)["params"])
                module = Template(self.file.parent / each["detail"]["path"], self.place, given, self.read)
                assert not [*module.problems()], [*module.problems()]
                yield from module.resources()

    def outputs(self) -> dict[str, Any]:
        """Return the outputs."""
        return {name: self.value(each["value"]) for name, each in self.content["outputs"].items()}

    def _declared(self, symbol: str, config: dict[str, Any]) -> Declared:
        resource = self.content["resources"][symbol]
        body = {key: self.value(each) for key, each in config.items() if key not in ("name", "parent", "scope")}
        return Declared(symbol, self._id(symbol), resource["type"], resource["api_version"], body)

    def _id(self, symbol: str) -> str:
        resource = self.content["resources"][symbol]
        config = resource["config"].get("config", resource["config"])
        name, kind = self.value(config["name"]), resource["type"]
        if "parent" in config:
            return f"{self._id(config['parent'])}/{kind.rpartition('/')[2]}/{name}"
        scope = self._id(config["scope"]) if "scope" in config else self.place.path
        return f"{scope}/providers/{kind}/{name}"

    # -- values

    def value(self, expression: Any) -> Any:
        """Return the value of an expression."""
        if isinstance(expression, list):
            return [self.value(each) for each in expression]
        if isinstance(expression, str):
            return self._text(expression)
        if not isinstance(expression, dict):
            return expression
        if "function" in expression:
            return self._call(expression["function"])
        if "operator" in expression:
            return self._operate(expression["operator"])
        return {
            self._text(key.strip("'")) if "$" in key else key.strip("'"): self.value(each)
            for key, each in expression.items()
        }

    def _text(self, text: str) -> Any:
        if text in self.loop:
            return self.loop[text]
        if text in self.content["parameters"]:
            given = self.parameters.get(text)
            return self.value(self.content["parameters"][text].get("default")) if given is None else given
        if text in self.content.get("variables", {}):
            return self.value(self.content["variables"][text]["value"])
        return _HOLE.sub(lambda hole: str(self.value(_expression(hole[1]))), text)

    def _call(self, function: dict[str, Any]) -> Any:
        own = self.place
        given = [self.value(each) for each in function.get("parameters", {}).values() if each is not None]
        match function["type"]:
            case "resource_group":
                return {"id": own.path, "location": own.location, "name": own.group}
            case "subscription":
                identity = {"id": f"/subscriptions/{own.subscription}", "subscriptionId": own.subscription}
                return identity | {"tenantId": own.tenant}
            case "deployer":
                return {"objectId": own.deployer, "tenantId": own.tenant}
            case "environment":
                return {"name": "AzureCloud", "resourceManager": "https://management.azure.com/"}
            case "unique_string":
                digest = hashlib.sha256("-".join(given).encode()).digest()
                return base64.b32encode(digest).decode().lower()[:13]
            case "guid":
                return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(given)))
            case "subscription_resource_id":
                return f"/subscriptions/{own.subscription}/providers/{given[0]}/{given[1]}"
            case "empty":
                return not given[0]
            case "union":
                return {key: each for part in given for key, each in part.items()}
            case "substring":
                return given[0][given[1] :]
        raise NotImplementedError(f"function {function['type']}")

    def _operate(self, operator: dict[str, Any]) -> Any:
        operands = operator["operands"]
        match operator["type"]:
            case "not":
                return not self.value(operands["bool_value"])
            case "conditional":
                chosen = "true_value" if self.value(operands["condition"]) else "false_value"
                return self.value(operands[chosen])
            case "index_accessor":
                return self.value(operands["operand_1"])[self.value(operands["operand_2"])]
            case "property_accessor":
                first, *names = _chain(operator)
                return self._property(first, names)
        raise NotImplementedError(f"operator {operator['type']}")

    def _property(self, first: Any, names: list[str]) -> Any:
        if isinstance(first, dict) and first.get("operator", {}).get("type") == "function_accessor":
            call = first["operator"]["operands"]
            return self.read(f"{self._id(call['operand_1'])}/{call['func_name']}")[names[0]]
        resource = isinstance(first, str) and first in self.content["resources"]
        if resource and names in (["id"], ["name"]):
            return self._id(first) if names == ["id"] else self._id(first).rpartition("/")[2]
        found = self.read(self._id(first)) if resource else self.value(first)
        for name in names:
            found = found[name]
        return found


@cache
def _expression(text: str) -> Any:
    return _PARSER.parse(text=f"var x = {text}\n")["variables"]["x"]["value"]


def _chain(operator: dict[str, Any]) -> Iterator[Any]:
    """Yield `a`, `b`, `c` of `a.b.c`, which pycep nests to the right."""
    yield operator["operands"]["operand_1"]
    last = operator["operands"]["operand_2"]
    if isinstance(last, dict):
        yield from _chain(last["operator"])
    else:
        yield last


def symbols_in(expression: Any) -> Iterator[str]:
    """Yield every text and name in an expression, and those within the holes of texts."""
    if isinstance(expression, dict):
        for key, each in expression.items():
            yield from symbols_in(key) if "$" in key else ()
            yield from symbols_in(each)
    elif isinstance(expression, list):
        for each in expression:
            yield from symbols_in(each)
    elif isinstance(expression, str):
        yield expression
        for hole in _HOLE.findall(expression):
            yield from symbols_in(_expression(hole))
