"""Every kind of request that the journey from `azure up` to `azure down` makes, by what it is for.

A kind is a method, a host and a path, with names in place of what differs from day to day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.azure.emulator import RESOURCE_GROUP, SUBSCRIPTION, Emulated

REQUESTS: Mapping[str, tuple[str, ...]] = {
    "sign in": (
        r"POST login /ID/oauth2/v2\.0/token",
        r"GET login /ID/v2\.0/\.well-known/openid-configuration",
    ),
    "make what the template declares, and look at it": (
        r"(GET|PUT) management <GROUP>",
        r"(GET|PUT) management <GROUP>/providers/Microsoft\.Resources/deployments/nbops-dev-NAME(/operations)?",
        r"(GET|PUT) management <RESOURCE>(/blobServices/default)?",
        r"(GET|PUT) management (<RESOURCE>|<WS>)/providers/Microsoft\.Authorization/roleAssignments/ID",
        r"(GET|PUT) management <WS>",
        r"GET management <SUB>/providers/Microsoft\.KeyVault/deletedVaults",
    ),
    "look at what is permitted, and what is left of the quota": (
        r"GET management (<RESOURCE>|<WS>)/providers/Microsoft\.Authorization/permissions",
        r"GET management <PROVIDER>",
        r"GET management <LOCATION>/(vmSizes|usages)",
    ),
    "make the compute": (
        r"(GET|PUT) management <WS>/computes/NAME",
        r"GET management <LOCATION>/computeOperationsStatus/ID",
    ),
    "make the environments": (r"(GET|PUT) management <WS>/environments/nbops(-scoring)?/versions/\w+",),
    "send the code": (
        r"GET management <WS>/codes/ID/versions",
        r"POST management <WS>/codes/ID/versions/1/startPendingUpload",
        r"(HEAD|PUT) blob /ID/\S+",
        r"PUT management <WS>/codes/ID/versions/1",
    ),
    "keep the versions of the dataset, and read them in the jobs": (
        r"GET management <WS>/datastores(/workspaceblobstore)?",
        r"POST management <WS>/datastores/workspaceblobstore/listSecrets",
        r"(HEAD|PUT|GET) blob /blobstore/nbops/datasets/sales/\w+/\S+",
        r"(GET|PUT) management <WS>/data/sales/versions(/\d)?",
    ),
    "submit jobs, follow and stop them": (
        r"(GET|PUT) management <WS>/jobs/ID\w*",
        r"GET management <WS>/jobs",
        r"POST management <WS>/jobs/ID/cancel",
        r"GET management <LOCATION>/mfeOperationResults/ID",
        r"GET api /history/v1\.0<WS>/runs/ID\w*/details",
    ),
    "track the runs": (
        r"(GET|POST|DELETE) api /mlflow/v2\.0<WS>/api/2\.0/mlflow/\S+",
        r"(GET|POST) api /history/v1\.0<WS>/experiments/\S+/runs/ID\w*/artifacts\S*",
        r"(PUT|GET|HEAD) blob /azureml/ExperimentRun/dcid\.ID\w*/\S+",
    ),
    "promote": (
        r"GET management <WS>/models/sales/versions(/\d)?",
        r"PUT blob /blobstore/nbops/examples/\w+/example\.json",
        r"(GET|PUT|DELETE) management <WS>/onlineEndpoints/sales-(test|live|far)(/deployments/(blue|green))?",
        r"GET management <WS>/onlineEndpoints(/sales-(test|live|far)/deployments)?",
        r"GET management <LOCATION>/mfeOperationsStatus/ID",
        r"POST management <WS>/onlineEndpoints/sales-(test|live|far)/listKeys",
        r"GET management <WS>/onlineEndpoints/sales-live(/deployments/\w+)?/providers/Microsoft\.Insights/metrics",
        r"POST sales-(test|live|far) /score",
    ),
    "share the champion with another workspace": (
        r"GET eastus /registrymanagement/v1\.0/registries/NAME/discovery",
        r"GET api /mferp/managementfrontend<REGISTRY>/(environments/nbops-scoring|models/sales)/versions/\w+",
        r"POST api /mferp/managementfrontend<REGISTRY>/import",
        r"GET api /mferp/managementfrontend/operations/ID",
    ),
    "read what an endpoint collected": (
        r"PUT management <WS>/data/sales-(test|live|far)-(blue|green)-model_(inputs|outputs)/versions/1",
        r"GET blob /blobstore",
        r"GET blob /blobstore/modelDataCollector/sales-test/\S+",
    ),
    "retrain by a schedule": (
        r"(GET|PUT|DELETE) management <WS>/schedules/retrain",
        r"GET management <WS>/schedules",
        r"POST management <WS>/schedules/retrain/trigger",
        r"PUT management <WS>/components/azureml_anonymous/versions/ID",
    ),
    "score a batch": (
        r"(GET|PUT|DELETE) management <WS>/batchEndpoints/sales-live-batch(/deployments/version-2)?",
        r"GET management <WS>/jobs/sales-live-batch-version-2-\w+",
        r"POST sales-live-batch /jobs",
        r"(PUT|GET|HEAD) blob /blobstore/nbops/batch/[\w-]+/\S+",
    ),
    "remove everything": (
        r"GET management <GROUP>/resources",
        r"GET management <GROUP>/providers/Microsoft\.Authorization/(locks|roleAssignments|permissions)",
        r"DELETE management (<RESOURCE>|<WS>)\S*",
    ),
}
"""What the journey is for -> the kinds of requests that it makes. No other may be made, and each must be."""

_HOSTS = {
    "management.azure.com": "management",
    "westeurope.api.azureml.ms": "api",
    "login.microsoftonline.com": "login",
}


def kinds(server: Emulated, began: int, group: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the kinds of the requests since `began`; each of `names` is told as NAME."""
    subscription = f"/subscriptions/{SUBSCRIPTION}"
    provider = f"{subscription}/providers/Microsoft.MachineLearningServices"
    in_group = f"{subscription}/resourceGroups/(?:{group}|{RESOURCE_GROUP})"
    for seen in server.record.since(began):
        path = re.sub(
            rf"(?i){in_group}/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+", "<WS>", seen.path
        )
        path = re.sub(
            rf"(?i){in_group}/providers/Microsoft\.MachineLearningServices/registries/[^/]+", "<REGISTRY>", path
        )
        path = re.sub(rf"(?i){in_group}/providers/(?!Microsoft\.Resources)[^/]+/[^/]+/[^/]+", "<RESOURCE>", path)
        path = re.sub(rf"(?i){in_group}", "<GROUP>", path).replace(f"{provider}/locations/westeurope", "<LOCATION>")
        path = path.replace(provider, "<PROVIDER>").replace(subscription, "<SUB>")
        for name in names:
            path = path.replace(name, "NAME")
        path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=[/.])[0-9a-f]{32}(?![0-9a-f])", "ID", path)
        host = _HOSTS.get(seen.host, "blob" if ".blob." in seen.host else seen.host.partition(".")[0])
        yield f"{seen.method} {host} {path}"
