"""Signing in: a client secret, an OIDC assertion, a managed identity. Tokens are JWTs that expire."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tests.azure.emulator import CLIENT, IDENTITY, IDENTITY_CLIENT, JOB_TOKEN, LIFETIMES, SECRET, TENANT
from tests.azure.emulator.certificates import LOGIN

EXCHANGE = "api://AzureADTokenExchange"
AUDIENCES = ("https://management.azure.com", "https://ml.azure.com")
_KEY = "a key of the emulator's own, which no client knows"


class SignIn:
    """The login, the places that give a job its OIDC token, and the check of a token."""

    def __init__(self) -> None:
        self.lifetimes = dict(LIFETIMES)
        self.managed_identity = Route("/msi/token", self._managed_identity)
        configuration = Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        token = Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"])
        self.login = Router([configuration, token, Route("/common/discovery/instance", self._instances)])
        self.github = Router([Route("/{path:path}", self._job_token)])
        self.pipelines = Router([Route("/{path:path}", self._job_token, methods=["POST"])])

    def refuse(self, request: Request, audiences: tuple[str, ...] = AUDIENCES) -> Response | None:
        """Return None for a token of ours for one of the audiences that has not expired, else the refusal."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        code, message = "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
        try:
            if scheme == "Bearer":
                jwt.decode(token, _KEY, ["HS256"], audience=audiences)
                return None
        except jwt.ExpiredSignatureError:
            code, message = "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now."
        except jwt.InvalidAudienceError:
            code, message = "InvalidAuthenticationTokenAudience", "The access token is for the wrong audience."
        except jwt.InvalidTokenError:
            code, message = "InvalidAuthenticationToken", "The access token is invalid."
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return JSONResponse({"error": {"code": code, "message": message}}, 401, challenge)

    def issue(self, audience: str, kind: str = "access") -> tuple[str, int]:
        """Return a token for `audience` and the seconds that it is good for."""
        seconds, now = self.lifetimes[kind], int(time.time())
        claims = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT, "oid": CLIENT}
        token = jwt.encode(claims | {"appid": CLIENT, "iat": now, "nbf": now, "exp": now + seconds}, _KEY, "HS256")
        return token, seconds

    async def _configuration(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        if tenant != TENANT:
            return _failure(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        base = f"https://{LOGIN}/{tenant}"
        answer = {"issuer": f"{base}/v2.0", "jwks_uri": f"{base}/discovery/v2.0/keys"}
        answer |= {f"{what}_endpoint": f"{base}/oauth2/v2.0/{what}" for what in ("authorization", "token")}
        return JSONResponse(answer)

    async def _instances(self, request: Request) -> Response:
        """The names of the login, which a client asks for after a refusal."""
        names = {"preferred_network": LOGIN, "preferred_cache": "login.windows.net", "aliases": [LOGIN]}
        return JSONResponse({"api-version": "1.1", "metadata": [names]})

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("client_id") != CLIENT or request.path_params["tenant"] != TENANT:
            return _failure(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        if "client_assertion" in form:
            try:
                jwt.decode(form["client_assertion"], _KEY, ["HS256"], audience=EXCHANGE)
            except jwt.ExpiredSignatureError:
                return _failure(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")
            except jwt.InvalidTokenError:
                return _failure(401, "invalid_client", 700021, "Client assertion application identifier is wrong.")
        elif form.get("client_secret") != SECRET:
            return _failure(401, "invalid_client", 7000215, "Invalid client secret provided.")
        token, seconds = self.issue(form.get("scope", "").removesuffix("/.default").rstrip("/"))
        return JSONResponse({"token_type": "Bearer", "expires_in": seconds, "access_token": token})

    async def _managed_identity(self, request: Request) -> Response:
        """Managed identity as on App Service (2019-08-01), or as on a compute of Azure ML, which wants its name."""
        named = request.query_params.get("clientid") == IDENTITY_CLIENT and request.headers.get("secret") == IDENTITY
        if request.headers.get("X-IDENTITY-HEADER") != IDENTITY and not named:
            return JSONResponse({"error": "invalid_client"}, 401)
        audience = request.query_params.get("resource", "")
        token, seconds = self.issue(audience.rstrip("/"))
        answer = {"access_token": token, "expires_on": str(int(time.time()) + seconds), "token_type": "Bearer"}
        return JSONResponse(answer | {"resource": audience})

    async def _job_token(self, request: Request) -> Response:
        """What a job on GitHub (GET) or Azure Pipelines (POST) asks for each time that it signs in."""
        if request.headers.get("Authorization", "").lower() != f"bearer {JOB_TOKEN}":
            return Response(status_code=401)
        if request.method == "POST":
            return JSONResponse({"oidcToken": self.issue(EXCHANGE, "assertion")[0]})
        return JSONResponse({"value": self.issue(request.query_params.get("audience", ""), "assertion")[0]})


def _failure(status: int, error: str, number: int, message: str) -> Response:
    answer = {"error": error, "error_description": f"AADSTS{number}: {message}", "error_codes": [number]}
    return JSONResponse(answer, status)
