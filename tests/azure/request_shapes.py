"""Holds a request's body against the models that Azure's SDK was generated with: a private module, used in tests only."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from enum import EnumMeta
from typing import Any

FITTING = {"distributionType": {"Ray"}}
"""Values that Azure takes and the models of the pinned SDK do not know."""


def misfits(body: Any, model: str) -> list[str]:
    """Return where a body does not fit the model of that name: unknown, read-only and missing keys, types, values."""
    from azure.ai.ml._restclient.arm_ml_service import models

    return list(_of_model(body, getattr(models, model), model))


def _of_model(body: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{path}: {body!r} is no object"
        return
    model({})  # which fills in the fields
    fields = model._attr_to_rest_field
    discriminators = [field for field in fields.values() if field._is_discriminator]
    for field in discriminators:
        known = {key.lower(): value for key, value in getattr(model, "__mapping__", {}).items()}
        chosen = str(body.get(field._rest_name))
        if chosen.lower() in known and known[chosen.lower()] is not model:
            yield from _of_model(body, known[chosen.lower()], path)
            return
        if known and chosen.lower() not in known and chosen not in FITTING.get(field._rest_name, ()):
            yield f"{path}.{field._rest_name}: {chosen} is none of {', '.join(known)}"
    hints = {
        key: hint for base in reversed(model.__mro__) for key, hint in getattr(base, "__annotations__", {}).items()
    }
    by_name = {field._rest_name: (field, hints[name]) for name, field in fields.items()}
    for key, value in body.items():
        if key not in by_name:
            if not any(body.get(name) in values for name, values in FITTING.items()):
                yield f"{path}.{key}: unknown"
        elif by_name[key][0]._visibility == ["read"]:
            yield f"{path}.{key}: read-only"
        else:
            yield from _of_type(value, by_name[key][1], f"{path}.{key}")
    for key, (field, hint) in by_name.items():
        if (
            key not in body
            and not field._is_discriminator
            and "NoneType" not in str(hint)
            and "Optional" not in str(hint)
        ):
            yield f"{path}.{key}: missing"


def _of_type(value: Any, hint: Any, path: str) -> Iterator[str]:
    from azure.ai.ml._restclient.arm_ml_service import models

    if isinstance(hint, typing.ForwardRef | str):
        name = hint if isinstance(hint, str) else hint.__forward_arg__
        hint = getattr(models, name.rpartition(".")[2])
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        others = [each for each in inner if each is not type(None)] if value is not None else inner
        wrong = [list(_of_type(value, each, path)) for each in others]
        if all(wrong):
            yield from wrong[-1]
    elif hint is typing.Any or hint is type(None):
        if hint is type(None) and value is not None:
            yield f"{path}: {value!r} is not null"
    elif origin is typing.Literal:
        if str(value).lower() not in {str(getattr(each, "value", each)).lower() for each in inner}:
            yield f"{path}: {value!r} is not {inner}"
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
        else:
            for key, each in value.items():
                yield from _of_type(each, inner[1], f"{path}.{key}")
    elif origin is list:
        for number, each in enumerate(value if isinstance(value, list) else [None]):
            yield from _of_type(each, inner[0], f"{path}[{number}]")
    elif isinstance(hint, EnumMeta):
        if str(value).lower() not in {str(each.value).lower() for each in hint}:
            yield f"{path}: {value!r} is none of {[each.value for each in hint]}"
    elif hasattr(hint, "_is_model"):
        yield from _of_model(value, hint, path)
    elif hint in (str, int, bool, float):
        wanted = (int, float) if hint is float else hint
        if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
            yield f"{path}: {value!r} is no {hint.__name__}"
