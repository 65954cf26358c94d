"""How `--on` names a compute of a workspace. It imports nothing of Azure, and asks nobody."""

from __future__ import annotations

import re

from notebooks_lib import errors

PREFIX = "azureml:"
SERVERLESS = "serverless"
"""Instead of a compute's name: Azure brings a machine for the job, and takes it away again."""
FORMS = "azureml:NAME or azureml:serverless"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}")


def compute_name(on: str) -> str:
    """Return NAME of `azureml:NAME`. Raises UsageError for any other text."""
    scheme, _, name = on.partition(":")
    if f"{scheme}:" == PREFIX and _NAME.fullmatch(name):
        return name
    bare = "; name a compute, such as azureml:cpu" if on.rstrip(":") == PREFIX.rstrip(":") else ""
    raise errors.UsageError(f"--on {on!r}: found no such place, allowed {FORMS}{likely_meant(on) or bare}")


def likely_meant(on: str) -> str:
    """Return ", did you mean azureml:NAME?" for a misspelt place of a workspace; empty for any other text."""
    scheme, _, name = on.partition(":")
    near = errors.nearest(scheme, [PREFIX.rstrip(":")]) or scheme in ("azure", "aml", "amlcompute", "")
    wanted = f"{PREFIX}{name}" if near and _NAME.fullmatch(name) else ""
    return f", did you mean {wanted}?" if wanted and wanted != on else ""
