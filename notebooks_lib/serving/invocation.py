"""Answer one invocation of a model: a content type and a body in, a status and JSON out. It knows no server.

The local endpoint and Azure's inference server (`scoring_script.py`) both answer with what this module returns.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from notebooks_lib.errors import InputError, PredictionError, reason
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.inference import predict

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a body, unless the settings of the endpoint say otherwise."""
READ_AT_MOST = 4
"""Times the limit that is read of a longer body: a client does not read the reason before it has sent its request."""

_ERROR_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "ENDPOINT_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "PREDICTION_TIMEOUT",
}


class RefusedRequest(Exception):
    """A request is refused, with this status and reason for the client."""

    def __init__(self, status: int, message: str, *, code: str = "") -> None:
        self.status = status
        self.message = message
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class InvocationAnswer:
    """What the client gets."""

    status: int
    body: bytes
    """JSON: the predictions, or an error code and a message."""
    error: Exception | None = None
    """Why there are no predictions."""

    def log(self, logger: logging.Logger, path: str) -> None:
        """Log a refusal in one line, and a fault of the model or of nbops with its traceback."""
        if isinstance(self.error, RefusedRequest | InputError):
            logger.warning("%s: %d %s", path, self.status, self.error)
        elif self.error is not None:
            logger.error("%s: %s", path, self.error, exc_info=self.error)


def media_type(content_type: str) -> str:
    """Return the media type in a Content-Type header. Raises RefusedRequest unless it is JSON or CSV in UTF-8."""
    # It must be sent: a foreign web page can send a body without it, and the browser asks no permission first.
    if content_type == "application/json":
        return content_type
    kind, *options = content_type.lower().split(";")
    kind = kind.strip()
    if kind not in ("application/json", "text/csv"):
        raise RefusedRequest(415, f"content type {kind[:80]!r}; expected application/json or text/csv")
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise RefusedRequest(415, f"charset {value.strip()[:40]!r}; expected utf-8")
    return kind


def too_large(limit: int) -> RefusedRequest:
    """Return the refusal of a body of more than `limit` bytes."""
    return RefusedRequest(413, f"the body is larger than {limit} bytes; send fewer rows at once")


def answer(model: ServedModel, kind: str, body: bytes) -> InvocationAnswer:
    """Return what is answered to a body of this media type: predictions, or 400 or 500 with the reason."""
    try:
        return InvocationAnswer(200, predict(model, kind, body))
    except InputError as error:
        return InvocationAnswer(400, error_json(400, str(error)), error)
    except PredictionError as error:
        return InvocationAnswer(500, error_json(500, str(error)), error)
    except Exception as error:  # noqa: BLE001 - a fault of nbops itself, which the caller logs
        return InvocationAnswer(
            500, error_json(500, f"the endpoint failed: {reason(error)}; its log says where"), error
        )


def refused(refusal: RefusedRequest) -> InvocationAnswer:
    """Return the answer to a request that no model is asked about."""
    return InvocationAnswer(refusal.status, error_json(refusal.status, refusal.message, refusal.code), refusal)


def error_json(status: int, message: str, code: str = "") -> bytes:
    """Return the JSON of a refusal. It is ASCII, because a message may quote half of a surrogate pair."""
    return json.dumps({"error_code": code or _ERROR_CODES.get(status, "BAD_REQUEST"), "message": message}).encode()
