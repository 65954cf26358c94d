"""What a cell prints stays bounded, and reads as it would on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.running.output_limits import HEAD, TAIL, BoundedText


def fed(*pieces: str) -> str:
    text = BoundedText()
    for piece in pieces:
        text.feed(piece)
    return str(text)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a\nb"], "a\nb"),
        (["a", "b\n", "c"], "ab\nc"),
        (["  0%|", "\r 50%|", "\r100%|\n"], "100%|\n"),
        (["a\rb\nc"], "b\nc"),
        (["a\r\nb"], "a\nb"),
        (["a\r", "\nb"], "a\nb"),
        (["a", "\r\r", "\n"], "a\n"),
        (["abc\b\bX"], "aX"),
        (["é", "☃\n"], "é☃\n"),
        ([""], ""),
    ],
)
def test_text_is_kept_as_a_terminal_shows_it(pieces: list[str], shown: str) -> None:
    assert fed(*pieces) == shown


def test_beginning_and_end_are_kept_with_a_note_on_the_gap() -> None:
    lines = [f"line {number}\n" for number in range(20_000)]
    text = fed(*lines)
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 19998\nline 19999\n")
    assert f"{sum(map(len, lines)) - HEAD - TAIL:,} characters left out" in text


@given(st.lists(st.text("ab\n\r\b", max_size=9)))
def test_how_it_is_cut_into_pieces_makes_no_difference(pieces: list[str]) -> None:
    whole = "".join(pieces)
    if not whole.endswith("\r"):  # what follows it is not known yet
        assert fed(*pieces) == fed(whole)


@pytest.mark.parametrize("piece", ["x" * 1000, "x" * 1000 + "\n", "x" * 1000 + "\r"])
def test_it_never_grows_beyond_its_bounds(piece: str) -> None:
    assert len(fed(*[piece] * 1000)) < 2 * HEAD + TAIL + 100
