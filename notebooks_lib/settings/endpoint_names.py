"""Names of endpoints: where one runs, as the settings say it, and the names that Azure takes."""

from __future__ import annotations

import re
from typing import Literal

from notebooks_lib import errors

TargetName = Literal["local", "azureml"]
AZUREML: TargetName = "azureml"
MODEL = "{model}"
"""What stands for the model's name in a pattern."""
RULE = "letters, digits and -, a letter first, no - at the end, 3 to 32 in all"
"""What Azure takes as the name of an endpoint or of a slot."""
_AZURE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")


def target_of(endpoint: str) -> TargetName:
    """Return what runs the endpoint that a stage names: this machine, or for `azureml:…` a workspace."""
    return AZUREML if endpoint.startswith(f"{AZUREML}:") else "local"


def check_endpoint(endpoint: str) -> str:
    """Return the endpoint of a stage if its form and its name are right. Raises ValueError, with the nearest right one.

    The name of the model is not known here: what Azure refuses for it alone, `check_azure_name` finds.
    """
    scheme, colon, pattern = endpoint.partition(":")
    if not colon:
        return endpoint
    if scheme != AZUREML:
        near = scheme in ("azure", "aml", "") or errors.nearest(scheme, [AZUREML])
        hint = f"; did you mean {AZUREML}:{pattern}?" if near else ""
        raise ValueError(f"no such place; an endpoint is NAME, on this machine, or {AZUREML}:NAME{hint}")
    shortest = pattern.replace(MODEL, "m" if pattern != MODEL else "mod")
    if pattern and not _AZURE_NAME.fullmatch(shortest):
        parts = [_spelled(part) for part in pattern.split(MODEL)]
        nearest = MODEL.join(parts) if MODEL in pattern else nearest_azure_name(pattern)
        raise ValueError(f"Azure takes {RULE}; did you mean {AZUREML}:{nearest}?")
    return endpoint


def azure_name(model: str) -> str:
    """Return a model's name as the name of an endpoint has it: `breast_cancer` becomes `breast-cancer`."""
    return re.sub(r"[_. ]", "-", model)


def check_azure_name(kind: str, name: str, stage: str = "") -> str:
    """Return a name that Azure takes. Raises UsageError with the nearest that it takes, to be set for a `stage`."""
    if _AZURE_NAME.fullmatch(name):
        return name
    nearest = nearest_azure_name(name)
    way = f'set endpoint = "{AZUREML}:{nearest}" under [stages.{stage}]' if stage else f"did you mean {nearest!r}?"
    raise errors.UsageError(f"{kind} {name!r}: Azure takes {RULE}; {way}")


def nearest_azure_name(name: str) -> str:
    """Return the name that Azure takes and that is nearest to a name."""
    spelled = re.sub(r"^[^A-Za-z]+", "", _spelled(name))[:32].strip("-")
    return spelled if _AZURE_NAME.fullmatch(spelled) else f"{spelled}-model".strip("-")


def _spelled(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text)
