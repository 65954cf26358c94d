"""GitHub's expressions, as far as our workflows use them. What is not known here is refused, not taken for empty."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(==|!=|&&|\|\||[!(),])|(true|false)\b|([A-Za-z_][\w-]*(?:\.[\w-]+)*))")
STATUS = ("success", "failure", "cancelled", "always")
"""Functions that say how the jobs went that a job needs; a condition without one of them means `success() && …`."""
Look = Callable[[str], Any]
"""Returns what a name stands for, such as "inputs.stage"; raises Unknown for a name that nothing gives."""


class Unknown(AssertionError):
    """Something that the interpreter does not know: it must be taught before the workflow may use it."""


def evaluate(text: str, look: Look, status: Mapping[str, bool] | None = None) -> Any:
    """Return the value of an expression, without its `${{ }}`."""
    return _Parser(text, look, status or {}).whole()


def fill(text: str, look: Look) -> str:
    """Return a text with the values of its `${{ }}`."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _shown(evaluate(found[1], look)), text)


def condition(text: str, look: Look, status: Mapping[str, bool]) -> bool:
    """Return whether a job or step runs. `status` has a value for each of STATUS."""
    text = text.strip().removeprefix("${{").removesuffix("}}")
    wanted = bool(evaluate(text, look, status))
    return wanted and (status["success"] or any(re.search(rf"\b{name}\(\)", text) for name in STATUS))


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Parser:
    def __init__(self, text: str, look: Look, status: Mapping[str, bool]) -> None:
        self.text, self.look, self.status = text, look, status
        self.tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            found = TOKEN.match(text, position)
            if not found:
                raise Unknown(f"no expression of ours: {text!r} at {text[position:]!r}")
            kind = ("text", "sign", "bool", "name")[(found.lastindex or 0) - 1]
            self.tokens.append((kind, found[found.lastindex or 0]))
            position = found.end()

    def whole(self) -> Any:
        value = self._either()
        if self.tokens:
            raise Unknown(f"no expression of ours: {self.text!r}")
        return value

    def _take(self, *signs: str) -> str:
        """Take the next token if it is one of these signs."""
        return self.tokens.pop(0)[1] if self.tokens and self.tokens[0] in [("sign", sign) for sign in signs] else ""

    def _either(self) -> Any:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._same()
        while self._take("&&"):
            other = self._same()
            value = value and other
        return value

    def _same(self) -> Any:
        value = self._single()
        while sign := self._take("==", "!="):
            other = self._single()
            if not isinstance(value, str) or not isinstance(other, str):
                raise Unknown(f"{self.text!r} compares {value!r} with {other!r}: only texts are compared here")
            value = (value.lower() == other.lower()) == (sign == "==")
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._either()
            if not self._take(")"):
                raise Unknown(f"a bracket is not closed: {self.text!r}")
            return value
        if not self.tokens or self.tokens[0][0] == "sign":
            raise Unknown(f"no expression of ours: {self.text!r}")
        kind, token = self.tokens.pop(0)
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "bool":
            return token == "true"
        if self._take("("):
            if token not in self.status or not self._take(")"):
                raise Unknown(f"no function of ours: {token} in {self.text!r}")
            return self.status[token]
        return self.look(token)
