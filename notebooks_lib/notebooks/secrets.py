"""Owns the text that must not be seen: usable as a str, masked wherever Python shows it. It stores nothing."""

from __future__ import annotations

import os

from notebooks_lib import errors

MASK = "**********"


class SecretStr(str):
    """A str that shows itself masked, in print, f-strings and whatever is logged; libraries that take a str see it.

    Write `"Bearer " + token`, or ask for it by `token.get_secret_value()`, as of pydantic's SecretStr.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def get_secret_value(self) -> str:
        """The secret as an ordinary str, as pydantic spells it."""
        return str.__str__(self)


def secret(variable: str) -> SecretStr:
    """The secret that the environment variable holds; a SecretStr is given back as it is. Raises UsageError."""
    if isinstance(variable, SecretStr):
        return variable
    value = os.environ.get(variable)
    if not value:
        raise errors.UsageError(f"environment variable {variable}: found nothing, needed for a secret; set it")
    return SecretStr(value)
