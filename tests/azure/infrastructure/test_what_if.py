"""What-if's answer becomes the changes that there would really be."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.azure.infrastructure.what_if import ResourceChange, foreign_resources, read_changes

GROUP = "/subscriptions/S/resourceGroups/G/providers"
STORAGE = f"{GROUP}/Microsoft.Storage/storageAccounts/st"
ROLE = f"{STORAGE}/providers/Microsoft.Authorization/roleAssignments/1"


def entry(change: str, resource: str = STORAGE, **more: Any) -> dict[str, Any]:
    return {"changeType": change, "resourceId": resource, **more}


def prop(path: str, before: Any, after: Any, kind: str = "Modify", **more: Any) -> dict[str, Any]:
    return {"path": path, "propertyChangeType": kind, "before": before, "after": after, **more}


@pytest.mark.parametrize("change", ["NoChange", "NoEffect", "Ignore"])
def test_what_stays_as_it_is_is_no_change(change: str) -> None:
    assert read_changes({"changes": [entry(change, delta=[])]}) == []


def test_each_kind_has_its_word_and_resource() -> None:
    answer = [
        entry("Create"),
        entry("Delete", ROLE),
        entry("Unsupported", unsupportedReason="not yet"),
        entry("Deploy"),
    ]
    assert read_changes({"changes": answer}) == [
        ResourceChange("change", STORAGE),
        ResourceChange("create", STORAGE),
        ResourceChange("delete", ROLE),
        ResourceChange("unknown", STORAGE, ("not yet",)),
    ]
    assert ResourceChange("create", STORAGE).resource == "Microsoft.Storage/storageAccounts/st"
    assert ResourceChange("create", ROLE).resource == "role on Microsoft.Storage/storageAccounts/st"


def test_a_change_names_its_properties() -> None:
    delta = [
        prop("sku.name", "Basic", "Standard"),
        prop(
            "properties", None, None, children=[prop("cors", None, None, "Array", children=[prop("0", "a", "b" * 99)])]
        ),
    ]
    (change,) = read_changes({"changes": [entry("Modify", delta=delta)]})
    assert change.properties == ("sku.name: Basic -> Standard", f"properties.cors.0: a -> {'b' * 60} …")


def test_what_has_no_effect_or_is_not_computed_is_no_change() -> None:
    """Else every second deployment of a role would be one: arm-template-whatif#156."""
    delta = [
        prop("properties.principalId", "id", "[reference(resourceId('…')).principalId]"),
        prop("properties.a", 1, 2, "NoEffect"),
        prop("properties.principalType", None, None, "Create"),
    ]
    assert read_changes({"changes": [entry("Modify", ROLE, delta=delta)]}) == []
    assert read_changes({"changes": None}) == []


def test_what_would_get_our_tag_and_is_there_without_it_is_somebody_elses() -> None:
    ours, theirs = {"tags": {"nbops.managed-by": "x"}}, {"tags": {"team": "sales"}}
    answer = [
        entry("Modify", "/theirs", before=theirs, after=ours),
        entry("Modify", "/untagged", before={}, after=ours),
        entry("Modify", "/null", before={"tags": None}, after=ours),
        entry("Modify", "/ours", before=ours, after=ours),
        entry("Create", "/new", before=None, after=ours),
        entry("Modify", "/of a template without tags", before=theirs, after={"tags": None}),
    ]
    assert foreign_resources({"changes": answer}, "nbops.managed-by") == {"/theirs": "", "/null": ""}


def test_what_another_stage_or_prefix_made_is_somebody_elses_but_not_what_an_older_template_made() -> None:
    def tags(**own: str) -> dict[str, Any]:
        return {"tags": {"nbops.managed-by": "up", **{f"nbops.{name}": value for name, value in own.items()}}}

    wanted = tags(stage="test", prefix="sales")
    answer = [
        entry("Modify", "/of dev", before=tags(stage="dev", prefix="sales"), after=wanted),
        entry("Modify", "/of another", before=tags(stage="test", prefix="north"), after=wanted),
        entry("Modify", "/older", before=tags(stage="test"), after=wanted),
        entry("NoChange", "/same", before=wanted, after=wanted),
    ]
    assert foreign_resources({"changes": answer}, "nbops.managed-by", "nbops.stage", "nbops.prefix") == {
        "/of dev": "nbops.stage: dev",
        "/of another": "nbops.prefix: north",
    }
