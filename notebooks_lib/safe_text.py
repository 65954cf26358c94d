"""Make text from outside fit to be shown or kept: no control characters, no passwords."""

from __future__ import annotations

import re
import unicodedata

_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,40}://)[^\s/?#\"'<>]*@")
_UNENCODED = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,40}://)[^\s/?#@:\[\]\"'<>]*:(?!\d*(?:[/?#\s\"']|$))[^\s@\"'<>]*@"
)
"""With a slash, question mark or number sign in the password, which database drivers accept as it is."""
_SECRET = "[a-z0-9_.-]{0,40}(?:token|secret|passw(?:or)?d|passwd|signature|credential|api_?key|accesskey)|sig|sas|pwd"
_SIGNED = re.compile(rf"(?i)(?P<name>[?&;#](?:{_SECRET}|auth|key|code|accountkey)=)[^&\s\"'<>#;]+")
_SIGNED_PATH = re.compile(rf"(?i)(?P<name>[?&](?:{_SECRET})=)(?!=)[^&\s\"'<>#;]+")
"""Without a scheme, where code could stand as well: names alone that mean nothing else."""
MASK = "***"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HARMLESS = "\t\u200c\u200d\u00ad"  # a tab, and parts of words and of emoji


def printable(text: str) -> str:
    """Return `text` in one line, with escapes for what would move a cursor, set colours or reverse the writing."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _moves(character) else character for character in text)


def printable_lines(text: str) -> str:
    """Return `text` line by line as `printable` does."""
    return "\n".join(printable(line) for line in text.split("\n"))


def uncoloured(text: str) -> str:
    """Return `text` without a terminal's colours and movements of its cursor."""
    return _ANSI.sub("", text)


def masked(text: str) -> str:
    """Return `text` with the credentials of every URL in it replaced by stars: passwords, signatures, tokens.

    Of a URL without its scheme and host, such as `/path?sig=…`, these are the values in its query.
    """
    if "://" not in text:
        return _SIGNED_PATH.sub(rf"\g<name>{MASK}", text) if "=" in text else text
    for pattern in (_UNENCODED, _CREDENTIALS):
        text = pattern.sub(rf"\g<scheme>{MASK}@", text)
    return _SIGNED.sub(rf"\g<name>{MASK}", text)


def _moves(character: str) -> bool:
    """Return whether a character is a control, line separator, surrogate, or changes the direction of writing."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") and character not in _HARMLESS


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
