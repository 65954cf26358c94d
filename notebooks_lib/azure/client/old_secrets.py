"""The secrets of older CI templates for Azure ML, and what each becomes. Their values are never read.

`python -m` with the names of variables, as `make variables` runs it, ends with exit code 2 unless all of them are set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

REPLACEMENTS = {
    "AZURE_CREDENTIALS": "the variables AZURE_CLIENT_ID and AZURE_TENANT_ID, and a federated credential instead of the"
    " password",
    "SUBSCRIPTION_ID": "subscription under [azure] in production/settings.toml, and the variable AZURE_SUBSCRIPTION_ID",
    "RESOURCE_GROUP": "resource_group under [azure], and the variable AZURE_RESOURCE_GROUP",
    "WORKSPACE_NAME": "workspace under [azure], and workspaceName in production/infra/parameters.STAGE.json",
    "LOCATION": "location in production/infra/parameters.STAGE.json",
    "FRIENDLY_NAME": "nothing: Studio shows the name of the workspace",
}
"""Secret -> what it becomes; docs/azure-ci.md has the same table."""
_NAMED_BY_NOTHING_ELSE = ("AZURE_CREDENTIALS", "WORKSPACE_NAME")


def explain(environ: Mapping[str, str]) -> str:
    """Return a line for each of the secrets that is set, to end an error with; empty when there is none.

    Names such as LOCATION mean this only where AZURE_CREDENTIALS or WORKSPACE_NAME is set too.
    """
    if not any(environ.get(name) for name in _NAMED_BY_NOTHING_ELSE):
        return ""
    lines = [f"  {name} becomes {what}" for name, what in REPLACEMENTS.items() if environ.get(name)]
    return "\n".join(["", *lines, "  how to set up CI: docs/azure-ci.md"])


def check_variables(names: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return which of the variables are not set, with what old secrets become; empty when all are set."""
    missing = [name for name in names if not environ.get(name)]
    hint = "set them in the repository's settings, or in those of the environment"
    return f"CI cannot sign in to Azure without {' and '.join(missing)}: {hint}{explain(environ)}" if missing else ""


if __name__ == "__main__":
    if problem := check_variables(sys.argv[1:], os.environ):
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
