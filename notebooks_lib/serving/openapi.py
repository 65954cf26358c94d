"""Describe a served model as an OpenAPI document or a page, from its signature and example. It serves nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from notebooks_lib.models.input_schema import Column
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import request_formats

_TYPES: Mapping[str, dict[str, str]] = {
    "double": {"type": "number", "format": "double"},
    "float": {"type": "number", "format": "float"},
    "long": {"type": "integer", "format": "int64"},
    "integer": {"type": "integer", "format": "int32"},
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "format": "byte"},
}
_NUMPY = {"f": "double", "i": "long", "u": "long", "b": "boolean", "s": "string", "d": "datetime"}

_ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
_FAULTS = {
    "400": "The request does not fit the model's signature; the message names the field and what is expected.",
    "401": "A key is required and was not given.",
    "413": "The body is too large.",
    "415": "Neither application/json nor text/csv.",
    "500": "The model failed.",
    "503": "No model is loaded yet.",
}


def openapi_document(title: str, version: str, model: ServedModel | None, *, keyed: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an endpoint that serves `model`; `keyed` says whether requests need a key."""
    paths: dict[str, Any] = {
        "/ping": {"get": _get("Whether the model is loaded", {})},
        "/health": {"get": _get("Whether the model is loaded", {})},
        "/version": {
            "get": _get("The model, its version, run and dataset, and since when it is served", {"type": "object"})
        },
    }
    if model is not None:
        for path in ("/invocations", "/score"):
            paths[path] = {"post": _post(model)}
    schemes = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        **({"components": {"securitySchemes": schemes}, "security": [{"key": []}]} if keyed else {}),
    }


def openapi_page(content: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page: its paths, the request format, an example and the schemas."""
    info, parts = content["info"], []
    for path, methods in content["paths"].items():
        for method, about in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(about['summary'])}.</p>")
            if "description" in about:
                parts.append(f"<p>{escape(about['description'])}</p>")
            request = about.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in request:
                parts.append(f"<p>Example</p>{_shown(request['example'])}")
            for title, schema in (("Requests", request.get("schema")), ("Answers", about["responses"])):
                if schema is not None:
                    parts.append(f"<details><summary>{title}</summary>{_shown(schema)}</details>")
    title = f"{info['title']}, version {info['version']}" if info["version"] else info["title"]
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}pre{overflow:auto}</style>"
        f'<h1>{escape(title)}</h1><p>As an OpenAPI document: <a href="openapi.json">openapi.json</a></p>'
        f"{''.join(parts)}</html>"
    )


def _shown(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _get(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "responses": {"200": answer, "503": _fault("503")}}


def _post(model: ServedModel) -> dict[str, Any]:
    request: dict[str, Any] = {"schema": {"oneOf": _requests(model)}}
    if model.example is not None:
        request["example"] = model.example
    predictions = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": _outputs(model.outputs)},
    }
    return {
        "summary": "Predict",
        "description": f"The model takes {request_formats.describe_format(model.columns)}.",
        "requestBody": {
            "required": True,
            "content": {"application/json": request, "text/csv": {"schema": {"type": "string"}}},
        },
        "responses": {
            "200": {"description": "Predictions, one a row", "content": {"application/json": {"schema": predictions}}},
            **{status: _fault(status) for status in _FAULTS},
        },
    }


def _fault(status: str) -> dict[str, Any]:
    return {"description": _FAULTS[status], "content": {"application/json": {"schema": _ERROR}}}


def _requests(model: ServedModel) -> list[dict[str, Any]]:
    columns = model.columns
    named = [column for column in columns if column.name is not None]
    if not columns or not named:
        anything = _value(columns[0]) if columns else {}
        return [
            _request("inputs", anything, model),
            _request("instances", anything, model),
            _request("input_data", anything, model),
        ]
    record = {
        "type": "object",
        "required": [column.name for column in named if column.required],
        "properties": {column.name: _value(column, row=True) for column in named},
        "additionalProperties": False,
    }
    by_column = {**record, "properties": {column.name: _value(column) for column in named}}
    table = {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "items": {"enum": [column.name for column in named]}},
            "index": {"type": "array"},
            "data": {"type": "array", "minItems": 1, "items": {"type": "array"}},
        },
        "additionalProperties": False,
    }
    records = {"type": "array", "minItems": 1, "items": record}
    schemas = [_request("inputs", by_column, model), _request("instances", records, model)]
    if model.tabular:
        schemas = [_request("dataframe_split", table, model), _request("dataframe_records", records, model), *schemas]
    return [*schemas, _request("input_data", {"oneOf": [{**table, "required": ["data"]}, {"type": "array"}]}, model)]


def _request(key: str, schema: dict[str, Any], model: ServedModel) -> dict[str, Any]:
    params = {str(param.name): _value(param, row=True) for param in model.params}
    extra = {"params": {"type": "object", "properties": params, "additionalProperties": False}} if params else {}
    return {
        "type": "object",
        "title": key,
        "required": [key],
        "properties": {key: schema, **extra},
        "additionalProperties": False,
    }


def _outputs(outputs: Sequence[Column]) -> dict[str, Any]:
    if not outputs:
        return {}
    if len(outputs) == 1 and outputs[0].name is None:
        return _value(outputs[0])
    properties = {str(column.name): _value(column, row=True) for column in outputs}
    return {"type": "array", "items": {"type": "object", "properties": properties}}


def _value(column: Column, *, row: bool = False) -> dict[str, Any]:
    """Return the schema of a column's values; of one row with `row`."""
    schema: dict[str, Any] = dict(_TYPES.get(column.type) or _TYPES.get(_NUMPY.get(column.type[:1], ""), {}))
    if column.shape is None:
        return schema if row else {"type": "array", "minItems": 1, "items": schema}
    for length in reversed(column.shape[1:] if row else column.shape):
        fixed = {"minItems": length, "maxItems": length} if length >= 0 else {}
        schema = {"type": "array", "items": schema, **fixed}
    return schema
