"""The names by which Azure is reached, and certificates for them by an authority that only tests trust."""

from __future__ import annotations

import fnmatch
from pathlib import Path

REGIONS = ("westeurope", "northeurope")
MANAGEMENT = "management.azure.com"
LOGIN = "login.microsoftonline.com"
GITHUB = "pipelines.actions.githubusercontent.com"
"""Where a job on GitHub asks for its OIDC token."""
AZURE_PIPELINES = "dev.azure.com"
"""Where a job on Azure Pipelines asks for its OIDC token."""
HOSTS = (
    MANAGEMENT,
    LOGIN,
    "ml.azure.com",
    "*.api.azureml.ms",
    "*.blob.core.windows.net",
    *(f"*.{region}.inference.ml.azure.com" for region in REGIONS),
    GITHUB,
    AZURE_PIPELINES,
)


def known_host(host: str) -> bool:
    """Whether `host` is a name of Azure's that the emulator answers on."""
    return any(fnmatch.fnmatchcase(host.lower(), name) for name in HOSTS)


def issue(folder: Path) -> tuple[Path, Path]:
    """Write ca.pem, the authority to trust, to `folder`; return the files of the server's chain and key."""
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert(*HOSTS, "localhost", "127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for blob in server.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    server.private_key_pem.write_to_path(str(key))
    return chain, key
