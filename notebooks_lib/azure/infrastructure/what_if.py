"""What a deployment would change, read from the answer of Azure's what-if. It asks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["create", "change", "delete", "unknown"]
_KINDS: Mapping[str, Kind] = {
    "Create": "create",
    "Modify": "change",
    "Deploy": "change",
    "Delete": "delete",
    "Unsupported": "unknown",
}
"""Azure's word -> ours. All others (NoChange, NoEffect, Ignore) leave a resource as it is."""
_LONGEST = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class ResourceChange:
    """What would happen to one resource."""

    kind: Kind
    """`unknown` when Azure cannot say it before the deployment."""
    id: str
    properties: tuple[str, ...] = ()
    """For a change, a line for each property; for an unknown one, Azure's reason."""
    location: str = ""
    """Where a new one would lie, if it lies anywhere."""

    @property
    def resource(self) -> str:
        """Type and name, such as `Microsoft.Storage/storageAccounts/NAME`; for a role, what it is a role on."""
        scope, _, last = self.id.rpartition("/providers/")
        if "roleAssignments/" in last and "/providers/" in scope:
            return f"role on {scope.rpartition('/providers/')[2]}"
        return last


def read_changes(answer: Mapping[str, Any]) -> list[ResourceChange]:
    """Return the changes in an answer of what-if, without the resources that stay as they are."""
    changes = []
    for each in answer.get("changes") or ():
        kind = _KINDS.get(str(each.get("changeType")))
        properties = tuple(_differences(each.get("delta") or ()))
        if kind == "unknown":
            properties = tuple(filter(None, [str(each.get("unsupportedReason") or "")]))
        if kind is None or (each.get("changeType") == "Modify" and not properties):
            continue
        location = str((each.get("after") or {}).get("location") or "") if kind == "create" else ""
        changes.append(ResourceChange(kind, str(each.get("resourceId") or ""), properties, location))
    return sorted(changes, key=lambda change: (change.kind, change.resource))


def foreign_resources(answer: Mapping[str, Any], managed_by: str, *others: str) -> dict[str, str]:
    """Return the ids of resources that are there, and would get the tags of somebody else's deployment.

    Each id has the tags that it would lose, such as `nbops.stage: dev`; empty for one without the tag `managed_by`.
    Of the `others`, a tag that is not there yet comes from an older template of the same deployment.
    """
    foreign = {}
    for each in answer.get("changes") or ():
        before, after = _tags(each.get("before")), _tags(each.get("after"))
        taken = [
            f"{tag}: {before[tag]}" for tag in others if tag in before and after.get(tag, before[tag]) != before[tag]
        ]
        if each.get("before") and managed_by in after and (managed_by not in before or taken):
            foreign[str(each["resourceId"])] = ", ".join(taken)
    return foreign


def _tags(resource: Any) -> Mapping[str, Any]:
    return (resource or {}).get("tags") or {}


def _differences(delta: Sequence[Mapping[str, Any]], path: str = "") -> Iterator[str]:
    """Yield `path: before -> after` for each property that would really change.

    Azure also lists properties without an effect, and those that a template takes from another resource: what-if does
    not compute them, and shows the expression instead of the value (arm-template-whatif#156).
    """
    for each in delta:
        here = f"{path}.{each.get('path')}" if path else str(each.get("path"))
        before, after = each.get("before"), each.get("after")
        if each.get("children"):
            yield from _differences(each["children"], here)
        elif each.get("propertyChangeType") != "NoEffect" and before != after and not _not_computed(after):
            yield f"{here}: {_shown(before)} -> {_shown(after)}"


def _not_computed(value: object) -> bool:
    return isinstance(value, str) and value.startswith("[") and value.endswith("]")


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
