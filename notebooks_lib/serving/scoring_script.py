"""A model as Azure's inference server serves it: production/scoring/score.py only passes requests on to this module.

The server's environment has the model's requirements and an older pydantic. So this module, and what it imports, use
nothing but the standard library, pydantic_core and what a model needs anyway.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from notebooks_lib.errors import ModelError
from notebooks_lib.models import model_files
from notebooks_lib.models.model_folder import MLMODEL
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import invocation, model_loading, openapi
from notebooks_lib.serving.azure_data_collector import AzureDataCollector
from notebooks_lib.serving.invocation import InvocationAnswer, RefusedRequest

MODEL_SHA256 = "NBOPS_MODEL_SHA256"
MODEL_VERSION = "NBOPS_MODEL_VERSION"
BODY_LIMIT = "NBOPS_BODY_LIMIT"
_MODEL_FOLDER, _SERVER_FOLDER = "AZUREML_MODEL_DIR", "AML_APP_ROOT"
_LOG_OF_SERVER = "azmlinfsrv.print"
"""Of the inference server's loggers, the one whose lines go to Application Insights as well."""
_BLOCK = 1 << 20
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{0,200})?")

log = logging.getLogger("nbops.endpoint")


def scoring_variables(version: str, sha256: str, body_limit: int = invocation.BODY_LIMIT) -> dict[str, str]:
    """Return the environment variables that a deployment sets for score.py.

    `sha256` is the digest of the version's files (`model_files.py`), `body_limit` the largest body in bytes.
    """
    return {MODEL_VERSION: version, MODEL_SHA256: sha256, BODY_LIMIT: str(body_limit)}


class ScoringScript:
    """One model version that answers requests."""

    def __init__(
        self,
        model: ServedModel,
        *,
        body_limit: int = invocation.BODY_LIMIT,
        collector: AzureDataCollector | None = None,
    ) -> None:
        self.model = model
        self._body_limit = body_limit
        self._collector = collector

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Load the model that the environment variables name; it predicts its example before it is returned.

        Raises ModelError when its files are not those that were deployed, or do not load.
        """
        _log_to_server()
        model_loading.prepare_process()
        folder = find_model_folder(Path(environ.get(_MODEL_FOLDER, ".")))
        check_digest(folder, environ.get(MODEL_SHA256, ""))
        model = ServedModel.load(folder)
        model.complete()
        version = environ.get(MODEL_VERSION, "")
        _describe(model, version, environ)
        limit = int(environ.get(BODY_LIMIT, invocation.BODY_LIMIT))
        collector = AzureDataCollector.from_environment(environ, version, model.columns)
        return cls(model, body_limit=limit, collector=collector)

    def answer(self, method: str, headers: Mapping[str, str], body: IO[bytes]) -> InvocationAnswer:
        """Return what is answered to a request for /score. `headers` finds a name in any case."""
        try:
            if method != "POST":
                raise RefusedRequest(405, f"found {method[:20]} /score; expected POST /score")
            kind = invocation.media_type(headers.get("Content-Type", ""))
            content = self._read(headers.get("Content-Length", ""), body)
        except RefusedRequest as refusal:
            given = invocation.refused(refusal)
        else:
            given = invocation.answer(self.model, kind, content)
            if self._collector is not None and given.status == 200 and headers.get("x-nbops-probe") != "1":
                about = (_request_id(headers), _trace(headers))
                self._collector.offer(*about, kind, content, given.body)
        given.log(log, "/score")
        return given

    def _read(self, declared: str, body: IO[bytes]) -> bytes:
        limit = self._body_limit
        most = invocation.READ_AT_MOST * limit
        if declared.isdigit() and int(declared) > most:
            raise invocation.too_large(limit)
        parts, size = [], 0
        try:
            while size <= most and (part := body.read(_BLOCK)):
                size += len(part)
                if size <= limit:
                    parts.append(part)
        except Exception as error:  # the server's own classes: a broken chunk, a client that has gone
            raise RefusedRequest(400, f"the body cannot be read: {type(error).__name__}") from error
        if size > limit:
            raise invocation.too_large(limit)
        return b"".join(parts)


def find_model_folder(folder: Path) -> Path:
    """Return the one folder with an MLmodel file at or below `folder`; models inside a model do not count.

    Raises ModelError when there is none, or more than one.
    """
    below = [path.parent for path in folder.rglob(MLMODEL)]
    outermost = [path for path in below if not any(other in path.parents for other in below)]
    if len(outermost) != 1:
        named = ", ".join(sorted(map(str, outermost))) or "none"
        raise ModelError(f"expected one folder with a file {MLMODEL} at or below {folder}; found {named}")
    return outermost[0]


def check_digest(folder: Path, deployed: str) -> None:
    """Raise ModelError when a model's files have another digest than `deployed`, the digest of what was deployed."""
    if not deployed:
        raise ModelError(f"{MODEL_SHA256} is not set: score.py serves only files whose digest the deployment names")
    digest = model_files.read_model_files(folder).sha256
    if digest != deployed:
        raise ModelError(
            f"the model's files are not those that were deployed (digest {digest[:12]}, deployed {deployed[:12]}): "
            "they were changed; deploy the version again"
        )


def _request_id(headers: Mapping[str, str]) -> str:
    """Return the request's id as the local endpoint chooses it: the first valid one, else a new one."""
    sent = headers.get("x-request-id") or headers.get("x-ms-client-request-id") or ""
    return sent if _ID.fullmatch(sent) else uuid.uuid4().hex


def _trace(headers: Mapping[str, str]) -> str:
    """Return `traceparent` if it is valid, as the local endpoint does."""
    sent = headers.get("traceparent", "")
    return sent if _TRACE.fullmatch(sent) else ""


def _log_to_server() -> None:
    """Send what nbops logs to the inference server's log, which knows nothing of other loggers."""

    class ToServer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger(_LOG_OF_SERVER).handle(record)

    logger = logging.getLogger("nbops")
    logger.handlers = [ToServer()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _describe(model: ServedModel, version: str, environ: Mapping[str, str]) -> None:
    """Write the OpenAPI document to where the server looks for it: `GET /swagger.json?version=3.1` answers with it."""
    document = openapi.openapi_document("score", version, model, keyed=True)
    document["paths"] = {"/score": document["paths"]["/score"]}
    try:
        Path(environ[_SERVER_FOLDER], "swagger3.1.json").write_text(json.dumps(document), "utf-8")
    except (KeyError, OSError) as error:  # a read-only folder: the server describes /score in general terms
        log.info("no OpenAPI document of the model: %s", error)
