"""Searches the runs and model versions of a workspace by plain requests, for commands that must not wait for MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, workspace
from notebooks_lib.azure.client.rest_client import RestClient
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
    run_id: str = ""


class RunSearch:
    """Searches in one workspace, which its tracking URI names."""

    def __init__(self, tracking_uri: str, *, page: int = PAGE) -> None:
        self._page = page
        self._client = RestClient(f"https://{urlsplit(tracking_uri).netloc}", clouds.current().scope)
        self._api = f"/mlflow/v2.0{workspace.of_tracking_uri(tracking_uri).path}/api/2.0/mlflow"

    def runs(self, condition: str) -> list[FoundRun]:
        """Return the runs of all experiments that match a filter in MLflow's language, newest first."""
        names = {
            each["experiment_id"]: each["name"]
            for each in self._search_by_body("experiments/search", "experiments", {})
        }
        if not names:
            return []
        asked = {"experiment_ids": list(names), "filter": condition, "run_view_type": "ACTIVE_ONLY"}
        found = [_found(run, names) for run in self._search_by_body("runs/search", "runs", asked)]
        return sorted(found, key=lambda run: run.started_ms, reverse=True)

    def versions_of(self, run_ids: Iterable[str]) -> dict[str, list[RegisteredVersion]]:
        """Return the model versions that were made of each run; several runs are asked about at once."""
        ids = list(run_ids)
        with ThreadPoolExecutor(PARALLEL) as pool:
            return dict(zip(ids, pool.map(lambda run_id: self._versions(f"run_id='{run_id}'"), ids), strict=True))

    def versions_named(self, model: str) -> list[RegisteredVersion]:
        """Return the versions of one registered model."""
        quoted = model.replace("'", "''")
        return [each for each in self._versions(f"name='{quoted}'") if each.model == model]

    def models(self) -> list[str]:
        """Return the names of the registered models, sorted."""
        found = self._search("registered-models/search", "registered_models", {})
        return sorted(str(each["name"]) for each in found)

    def aliases_of(self, model: str) -> dict[str, str] | None:
        """Return alias -> version of a registered model, empty where the registry has none; None for no such model."""
        answer = self._get("registered-models/get", f"model {model}", {"name": model})
        if answer is None:
            return None
        return {each["alias"]: str(each["version"]) for each in answer["registered_model"].get("aliases") or ()}

    def tags_of(self, run_id: str) -> dict[str, str]:
        """Return the tags of a run; none when there is no such run."""
        answer = self._get("runs/get", f"run {run_id}", {"run_id": run_id}) if run_id else None
        return {} if answer is None else _pairs((answer["run"].get("data") or {}).get("tags"))

    def _versions(self, condition: str) -> list[RegisteredVersion]:
        found = self._search("model-versions/search", "model_versions", {"filter": condition})
        return [
            RegisteredVersion(
                each["name"], str(each["version"]), _pairs(each.get("tags")), str(each.get("run_id") or "")
            )
            for each in found
        ]

    def _get(self, call: str, what: str, query: Mapping[str, str]) -> Any:
        """Return an answer; None when the workspace has no such thing."""
        try:
            return self._client.request("GET", f"{self._api}/{call}", "", what=f"the workspace's {what}", query=query)
        except errors.AzureError as error:
            if error.status == 404:
                return None
            raise

    def _search(self, call: str, key: str, query: Mapping[str, str]) -> Iterator[Any]:
        """Yield what a search of the registry finds, page after page."""
        path, what = f"{self._api}/{call}", "the workspace's registered models"

        def ask(page: Mapping[str, Any]) -> Any:
            return self._client.request("GET", path, "", what=what, query={**query, **_texts(page)})

        yield from self._pages(key, ask)

    def _search_by_body(self, call: str, key: str, body: Mapping[str, object]) -> Iterator[Any]:
        """Yield what a search of runs or experiments finds, page after page."""
        path, what = f"{self._api}/{call}", "the workspace's runs"
        yield from self._pages(
            key, lambda page: self._client.request("POST", path, "", what=what, body={**body, **page})
        )

    def _pages(self, key: str, ask: Callable[[Mapping[str, Any]], Any]) -> Iterator[Any]:
        token = ""
        while True:
            answer = ask({"max_results": self._page, **({"page_token": token} if token else {})})
            yield from answer.get(key) or ()
            token = answer.get("next_page_token") or ""
            if not token:
                return


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


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
