"""Tells a request of this machine from one that a web page sends through the user's browser. It knows no keys.

A page cannot send another Host than the name that its browser looked up, nor another Origin than its own. So an
endpoint that asks no key answers to names of this machine only, as MLflow's own server does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def foreign(headers: Iterable[tuple[bytes, bytes]], allowed: Sequence[str] = ()) -> str:
    """Why a request is taken for one of a foreign page; empty when it is not. `allowed` holds further host names."""
    for name, value in headers:
        if name == b"host":
            match = _HOST.fullmatch(value.decode("latin-1").strip())
            if match is None or not _ours(match["name"], allowed):
                return f"Host {_shown(value)} is no name of this machine"
        elif name == b"origin" and not _ours(_host_of(value), allowed):
            return f"Origin {_shown(value)} is another than this machine's"
    return ""


def _ours(name: str, allowed: Sequence[str]) -> bool:
    name = name.strip("[]").rstrip(".").lower()
    if name == "localhost" or name in (each.lower() for each in allowed):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_of(origin: bytes) -> str:
    """Empty for what is no web page's origin, as "null" of a sandboxed frame or a local file."""
    scheme, _, rest = origin.decode("latin-1").strip().partition("://")
    match = _HOST.fullmatch(rest) if scheme in ("http", "https") else None
    return match["name"] if match else ""


def _shown(value: bytes) -> str:
    return ascii(value[:100].decode("latin-1"))
