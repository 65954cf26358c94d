"""Try a registered version as Azure would serve it: in its scoring environment, by score.py on the inference server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from notebooks_lib import errors, uv_environment
from notebooks_lib.models import fast_scorer, model_files, model_folder, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.serving.scoring_code import scoring_code
from notebooks_lib.serving.scoring_environment import ScoringRequirements, scoring_requirements
from notebooks_lib.serving.scoring_script import scoring_variables
from notebooks_lib.serving.scoring_server import ScoringServer
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store as stores

BUILD_SECONDS = 1200.0


@dataclass(frozen=True)
class ScoringCheck:
    """How a version did."""

    model: str
    version: str
    environment: str = ""
    """Name and version of the scoring environment, as in the workspace."""
    request: Any = None
    """What was sent: the model's example; None if it has none."""
    answer: Any = None
    fault: str = ""
    """What is wrong; empty if nothing is."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops azure check --json` prints."""
        return {"ok": not self.fault, **asdict(self)}


def check_scoring(
    settings: Settings, model: str, version: str = "", *, tell: Callable[[str], None] = lambda line: None
) -> ScoringCheck:
    """Build the scoring environment of a version, by default the newest, start the server in it and send the example.

    `tell` gets a line before each step that takes long. Whatever does not work is the `fault` of the result. Raises
    UnknownNameError when there is no such version.
    """
    store = stores.connect(settings)
    chosen = _version(store, model, version)
    try:
        with tempfile.TemporaryDirectory(prefix="nbops-scoring-") as scratch:
            folder = model_files.download(chosen.source, Path(scratch))
            return _check(settings, chosen, folder, tell)
    except errors.NbopsError as error:
        return ScoringCheck(chosen.model, chosen.version, fault=str(error))


def find_or_build_environment(
    settings: Settings, requirements: ScoringRequirements, *, tell: Callable[[str], None] = lambda line: None
) -> str:
    """Return the Python of a scoring environment on this machine. It is built once, under .nbops/scoring.

    Raises NbopsError when it cannot be built.
    """
    if requirements.conda:
        raise errors.NbopsError(
            f"the model needs {', '.join(requirements.conda)} from conda, and only what pip installs is tried here: "
            "Azure builds it when it is deployed"
        )
    environment = requirements.environment()
    folder = settings.layout.scoring / environment.version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not uv_environment.is_made(folder):
            tell(f"building {environment.name}:{environment.version} once, which can take minutes")
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
                file.write("\n".join(requirements.packages))
                file.flush()
                uv_environment.make_environment(
                    folder,
                    *("install", "--requirement", file.name),
                    python=requirements.python,
                    subject="the scoring environment",
                    timeout=BUILD_SECONDS,
                )
    return uv_environment.python_of(folder)


def _check(settings: Settings, version: Version, folder: Path, tell: Callable[[str], None]) -> ScoringCheck:
    requirements = scoring_requirements(folder)
    environment = requirements.environment()
    named = f"{environment.name}:{environment.version}"
    python = find_or_build_environment(settings, requirements, tell=tell)
    request = fast_scorer.logged_example(folder, model_folder.read_mlmodel(folder).get("saved_input_example_info"))
    digest = version.sha256 or model_files.read_model_files(folder).sha256
    variables = scoring_variables(version.version, digest, settings.endpoint.body_limit)
    tell("starting the inference server")
    log = settings.layout.scoring / f"{version.model}@{version.version}.log"
    with ScoringServer(python, scoring_code(settings.root).files, folder, variables, log=log) as server:
        if request is None:
            return ScoringCheck(version.model, version.version, named)
        body = json.dumps(request).encode()
        status, content = server.request("POST", "/score", body, {"Content-Type": "application/json"})
    answer = json.loads(content)
    fault = (
        "" if status == 200 else f"the example is answered with {status}: {answer.get('message', answer)}; log: {log}"
    )
    return ScoringCheck(version.model, version.version, named, request, answer, fault)


def _version(store: stores.Store, model: str, version: str) -> Version:
    if version:
        return registry.get(store, model, version)
    versions = registry.versions(store, model)
    return versions[0] if versions else registry.get(store, model, "1")  # whose error lists the models
