"""Secret texts: used as a str, but masked wherever Python shows them. Nothing is stored."""

from __future__ import annotations

import os

from notebooks_lib import errors

MASK = "**********"


class SecretStr(str):
    """A str that is masked in `print`, f-strings and logs; libraries that take a str get the secret.

    Write `"Bearer " + token`, or `token.get_secret_value()` as with pydantic's SecretStr.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def get_secret_value(self) -> str:
        """Return the secret as an ordinary str; pydantic's SecretStr has the same method."""
        return str.__str__(self)


def secret(variable: str) -> SecretStr:
    """Return the value of the environment variable `variable` as a SecretStr; a SecretStr is returned as it is.

    Raises UsageError when the environment variable is unset or empty.
    """
    if isinstance(variable, SecretStr):
        return variable
    value = os.environ.get(variable)
    if not value:
        raise errors.UsageError(f"environment variable {variable}: found nothing, needed for a secret; set it")
    return SecretStr(value)
