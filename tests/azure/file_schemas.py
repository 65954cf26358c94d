"""Derives `notebooks_lib/azure/project_files/file_schemas.json` from the SDK: `python -m tests.azure.file_schemas` after an upgrade.

The SDK holds what a file may say only in private marshmallow classes, and takes seconds to import. So they are read
here, not in the product.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

from notebooks_lib import azure

FILE = Path(azure.__file__).with_name("project_files") / "file_schemas.json"
LEFT_TO_THE_SDK = {"inputs", "outputs", "environment", "code", "compute", "model", "code_configuration"}
LEFT_TO_THE_SDK |= {"data", "jobs", "component", "default_compute"}
LEFT_TO_THE_SDK |= {"create_job", "features", "input_data"}
"""Keys that nbops decides, so that no file has them, or that its own rules check."""


def derive() -> dict[str, Any]:
    """Return a JSON Schema for each kind of file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        import azure.ai.ml  # noqa: F401
        from azure.ai.ml._schema._deployment.batch.model_batch_deployment import ModelBatchDeploymentSchema
        from azure.ai.ml._schema._deployment.online import online_deployment
        from azure.ai.ml._schema._endpoint.batch.batch_endpoint import BatchEndpointSchema
        from azure.ai.ml._schema._endpoint.online import online_endpoint
        from azure.ai.ml._schema.assets.environment import EnvironmentSchema
        from azure.ai.ml._schema.compute.aml_compute import AmlComputeSchema
        from azure.ai.ml._schema.compute.kubernetes_compute import KubernetesComputeSchema
        from azure.ai.ml._schema.compute.virtual_machine_compute import VirtualMachineComputeSchema
        from azure.ai.ml._schema.job.command_job import CommandJobSchema
        from azure.ai.ml._schema.monitoring.schedule import MonitorScheduleSchema
        from azure.ai.ml._schema.pipeline.pipeline_command_job import PipelineCommandJobSchema
        from azure.ai.ml._schema.pipeline.pipeline_job import PipelineJobSchema
        from azure.ai.ml._schema.schedule.schedule import JobScheduleSchema

        context = {"base_path": Path()}
        deployments = []
        for name in ("Managed", "Kubernetes"):
            form = _object(getattr(online_deployment, f"{name}OnlineDeploymentSchema")(context=context))
            form["properties"]["type"] = {"enum": [name.lower()]}  # the SDK takes both words in both
            deployments.append(form)
        endpoint, kubernetes = (
            _object(getattr(online_endpoint, f"{name}OnlineEndpointSchema")(context=context))
            for name in ("Managed", "Kubernetes")
        )
        pipeline, step = (_object(each(context=context)) for each in (PipelineJobSchema, PipelineCommandJobSchema))
        for form, name in ((pipeline, "pipeline"), (step, "command")):
            form["properties"]["type"] = {"enum": [name]}
        pipeline["properties"]["jobs"] = {"type": "object", "additionalProperties": step}
        computes = [AmlComputeSchema, KubernetesComputeSchema, VirtualMachineComputeSchema]
        return {
            "environment": _object(EnvironmentSchema(context=context)),
            "compute": _one_of([_object(schema(context=context)) for schema in computes]),
            "job": _object(CommandJobSchema(context=context)),
            "pipeline": pipeline,
            "endpoint": endpoint | {"properties": endpoint["properties"] | kubernetes["properties"]},
            "deployment": _one_of(deployments),
            "batch_endpoint": _object(BatchEndpointSchema(context=context)),
            "batch_deployment": _object(ModelBatchDeploymentSchema(context=context)),
            "schedule": _object(JobScheduleSchema(context=context)),
            "monitor": _object(MonitorScheduleSchema(context=context)),
        }


def _object(schema: Any) -> dict[str, Any]:
    fields = {field.data_key or name: field for name, field in schema.fields.items()}
    properties = {
        name: {}
        if name == "$schema"
        else {"readOnly": True}
        if field.dump_only
        else {}
        if name in LEFT_TO_THE_SDK
        else _value(field)
        for name, field in sorted(fields.items())
    }
    required = sorted(name for name, field in fields.items() if field.required)
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _value(field: Any) -> dict[str, Any]:
    form = _form(field)
    return {**form, "type": [form["type"], "null"]} if field.allow_none and "type" in form else form


def _form(field: Any) -> dict[str, Any]:
    from azure.ai.ml._schema.core import fields as azure_fields
    from marshmallow import fields

    if inner := getattr(field, "_experimental_field", None):
        return _value(inner)
    if isinstance(field, azure_fields.UnionField):
        if all(each.dump_only for each in field.union_fields):
            return {"readOnly": True}
        return _union([_value(each) for each in field.union_fields])
    if isinstance(field, azure_fields.StringTransformedEnum):
        snake = field.casing_transform("LowPriority") == "low_priority"
        return {"enum": field.allowed_values, **({"camelCase": True} if snake else {})}
    if isinstance(field, fields.Nested):
        return _object(field.schema)
    if isinstance(field, fields.Dict):
        return {"type": "object", "additionalProperties": _value(field.value_field) if field.value_field else {}}
    if isinstance(field, fields.List):
        return {"type": "array", "items": _value(field.inner)}
    kinds = {fields.Integer: "integer", fields.Number: "number", fields.Boolean: "boolean", fields.Raw: None}
    name = next((kinds[kind] for kind in kinds if isinstance(field, kind)), "string")
    return {"type": name} if name else {}


def _union(forms: list[dict[str, Any]]) -> dict[str, Any]:
    if {} in forms:
        return {"type": ["string", "object"]}  # a path of a file, or its content
    distinct = [form for number, form in enumerate(forms) if form not in forms[:number]]
    if len(distinct) == 1:
        return distinct[0]
    if all("type" in form.get("properties", {}) for form in distinct):
        return _one_of(distinct)
    for items in (form["items"] for form in distinct if form.get("type") == "array"):
        if items.get("type") != "string":  # one, or several of them
            return {"type": ["string" if "enum" in items else items["type"], "array"], "items": items}
    if any("enum" in form for form in distinct) and any(form.get("properties") for form in distinct):
        return next(
            form for form in distinct if form.get("properties")
        )  # instead of one word that Azure no longer takes
    # Text beside an enumeration is a reference to an input of a pipeline, and an object beside a dictionary likewise.
    for kept in ("enum", "integer"):
        if any(kept in (*form, form.get("type")) for form in distinct):
            return next(form for form in distinct if kept in (*form, form.get("type")))
    objects = [form for form in distinct if form.get("type") == "object"]
    if objects:
        return objects[0]
    return {"type": [form["type"] for form in distinct], "items": {"type": "string"}}


def _one_of(forms: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a schema in which the key `type` says which of the forms holds, so that faults name one form's keys."""
    names: list[str] = []
    distinct = []
    for form in forms:
        if new := [name for name in form["properties"]["type"]["enum"] if name not in names]:
            names += new
            distinct.append(form)  # a form for all that others have not claimed comes last
    camel = {"camelCase": True} if any("camelCase" in form["properties"]["type"] for form in forms) else {}
    return {
        "type": "object",
        "properties": {"type": {"enum": names, **camel}},
        "required": ["type"],
        "allOf": [
            {"if": {"properties": {"type": form["properties"]["type"]}, "required": ["type"]}, "then": form}
            for form in distinct
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(derive(), indent=1) + "\n", "utf-8")
