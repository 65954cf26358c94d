"""Searches the runs and model versions of a workspace by plain requests, for commands that must not wait for MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notebooks_lib.azure import clouds, workspace
from notebooks_lib.azure.rest_client import RestClient
from notebooks_lib.run_result import restore_infinity

PAGE = 1000
"""Runs or versions of one answer at most."""
PARALLEL = 8


@dataclass(frozen=True)
class FoundRun:
    """One run of a workspace that a search found."""

    run_id: str
    experiment: str
    status: str
    started_ms: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model that was made of a run."""

    model: str
    version: str
    tags: Mapping[str, str]


class RunSearch:
    """Searches in one workspace, which its tracking URI names."""

    def __init__(self, tracking_uri: str, *, page: int = PAGE) -> None:
        self._page = page
        self._client = RestClient(f"https://{urlsplit(tracking_uri).netloc}", clouds.current().scope)
        self._api = f"/mlflow/v2.0{workspace.of_tracking_uri(tracking_uri).path}/api/2.0/mlflow"

    def runs(self, condition: str) -> list[FoundRun]:
        """Return the runs of all experiments that match a filter in MLflow's language, newest first."""
        names = {each["experiment_id"]: each["name"] for each in self._pages("experiments/search", "experiments", {})}
        if not names:
            return []
        asked = {"experiment_ids": list(names), "filter": condition, "run_view_type": "ACTIVE_ONLY"}
        found = [_found(run, names) for run in self._pages("runs/search", "runs", asked)]
        return sorted(found, key=lambda run: run.started_ms, reverse=True)

    def versions_of(self, run_ids: Iterable[str]) -> dict[str, list[RegisteredVersion]]:
        """Return the model versions that were made of each run; several runs are asked about at once."""
        ids = list(run_ids)
        with ThreadPoolExecutor(PARALLEL) as pool:
            return dict(zip(ids, pool.map(self._versions, ids), strict=True))

    def _versions(self, run_id: str) -> list[RegisteredVersion]:
        path, what = f"{self._api}/model-versions/search", "the registered models"
        query = {"filter": f"run_id='{run_id}'", "max_results": str(self._page)}
        answer = self._client.request("GET", path, "", what=what, query=query)
        return [
            RegisteredVersion(each["name"], str(each["version"]), _pairs(each.get("tags")))
            for each in answer.get("model_versions") or ()
        ]

    def _pages(self, call: str, key: str, asked: Mapping[str, object]) -> Iterator[Any]:
        token: str | None = None
        while True:
            body = {**asked, "max_results": self._page, **({"page_token": token} if token else {})}
            answer = self._client.request("POST", f"{self._api}/{call}", "", what="the workspace's runs", body=body)
            yield from answer.get(key) or ()
            token = answer.get("next_page_token")
            if not token:
                return


def _found(run: Mapping[str, Any], names: Mapping[str, str]) -> FoundRun:
    info, data = run["info"], run.get("data") or {}
    return FoundRun(
        run_id=str(info["run_id"]),
        experiment=names.get(info["experiment_id"], ""),
        status=str(info.get("status") or ""),
        started_ms=int(info.get("start_time") or 0),
        tags=_pairs(data.get("tags")),
        metrics={each["key"]: restore_infinity(float(each["value"])) for each in data.get("metrics") or ()},
    )


def _pairs(items: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in items or ()}
