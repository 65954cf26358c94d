"""A report stays below its limit, and what is large in one notebook takes nothing away from another one."""

from __future__ import annotations

import re

import pytest

from notebooks_lib.review.report_length import Detail, Diff, ReportSection, fit

LIMIT = 60_000
WHERE = "in the page"
LEFT_OUT = re.compile(r"\b(\d+)(?: more)? lines? \(in the page\)")


def section(name: int, *lines: int, width: int = 20, essentials: int = 300, details: int = 100) -> ReportSection:
    """A notebook with a diff of so many lines for each of `lines`."""
    diffs = tuple(Diff(f"**cell {cell}** edited", ("+" + "x" * width,) * number) for cell, number in enumerate(lines))
    detail = Detail("d" * details, f"{details} letters")
    return ReportSection(f"- q{name}: brief", f"### q{name}\n\n{'e' * essentials}", (detail,), diffs)


def parts(text: str) -> dict[str, str]:
    """The notebooks that are shown with more than one line."""
    return {part.split("\n")[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}


SHAPES: dict[str, list[ReportSection]] = {
    "none": [],
    "one line": [section(0, 1)],
    "1,400 cells beside one": [section(0, *[1] * 1_400, width=40), section(1, 1)],
    "60 notebooks of 25 cells": [section(name, *[8] * 25) for name in range(60)],
    "wide lines": [section(name, *[200] * 3, width=300) for name in range(20)],
    "empty diffs": [section(0, *[0] * 3_000), section(1, 3)],
    "a long one beside short ones": [section(0, 20_000), *(section(name, 5, 3) for name in range(1, 9))],
    "long titles": [ReportSection("- q0", "### q0", (), (Diff("t" * 70_000, ("+",) * 9),)), section(1, 3)],
    "essentials above the limit": [section(0, 9, essentials=70_000), *(section(name, 9) for name in range(1, 9))],
    "details above the limit": [section(0, 9, details=70_000), *(section(name, 9) for name in range(1, 9))],
    "long details of each": [section(name, *[5] * 10, details=14_000) for name in range(8)],
    "more notebooks than lines fit": [section(name, 9) for name in range(2_000)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_comes(name: str) -> None:
    text = fit("head", SHAPES[name], LIMIT, WHERE)
    assert len(text) <= LIMIT
    shown = parts(text)
    for one in SHAPES[name]:
        part = shown.get(one.essentials.split("\n")[0].removeprefix("### "), "")
        lines = sum(len(diff.lines) for diff in one.diffs)
        assert not part or part.count("\n+") + sum(map(int, LEFT_OUT.findall(part))) == lines
        for detail in one.details if part else ():
            assert (detail.text in part) != (detail.size in part), "what is not shown is counted"
        if sum(len(other.essentials) + 60 for other in SHAPES[name]) < LIMIT:
            assert one.essentials in text, "what failed, numbers and findings are never cut"
        if (
            lines < 10
            and len(SHAPES[name]) < 10
            and len(one.essentials) + sum(len(detail.text) for detail in one.details) < 1_000
        ):
            assert part.count("\n+") == lines or len(one.diffs[0].title) > LIMIT, (
                "a small one is whole beside any other"
            )


def test_large_and_small() -> None:
    text = fit("head", [section(0, *[1] * 1_400, width=40), section(1, 1, width=40)], LIMIT, WHERE)
    first, second = parts(text).values()
    assert len(text) > 0.9 * LIMIT
    assert second.count("\n+") == 1
    (changes, lines) = map(int, re.findall(r"(\d+) more changes with (\d+) lines \(in the page\)", first)[0])
    assert first.count("\n+") == 1_400 - lines == 1_400 - changes > 500


def test_many_notebooks_of_many_cells_show_some_of_each() -> None:
    text = fit("head", [section(name, *[8] * 25) for name in range(60)], LIMIT, WHERE)
    assert all(part.count("\n+") >= 3 for part in parts(text).values())
    assert len(parts(text)) == 60


def test_details_take_no_room_from_another_notebook_and_not_all_from_its_diffs() -> None:
    """Four notebooks of 25 long parameters: none of them is shown in full at the cost of the last one."""
    text = fit("head", [section(name, *[50] * 5, width=40, details=14_000) for name in range(4)], LIMIT, WHERE)
    assert [part.count("\n+") for part in parts(text).values()] == [250] * 4
    assert text.count("14000 letters (in the page)") == 3, "the room that is left shows one of them"
    alone = fit("head", [section(0, *[5] * 5, details=50_000)], LIMIT, WHERE)
    assert "d" * 50_000 in alone, "where diffs are short"
    assert alone.count("\n+") == 25


@pytest.mark.parametrize(
    ("lines", "most", "shown"),
    [
        ("-a -b -c +A +B +C", 4, "-a -b @@1 +A +B"),
        ("-a -b -c -d -e +A", 4, "-a -b -c @@2 +A"),
        ("-a +A +B +C +D +E", 4, "-a +A +B +C"),
        (". -a -b . . +A +B .", 3, "-a @@3 +A +B"),
        ("-a +A @ -b -c +B +C", 5, "-a +A @ -b @@1 +B"),
        ("-a +A @ -b -c +B +C", 3, "-a +A"),
        ("-a -b -c", 2, "-a -b"),
        ("-a +A", 1, ""),
    ],
)
def test_a_diff_that_is_cut_shows_what_came_beside_what_went(lines: str, most: int, shown: str) -> None:
    diff = Diff("title", tuple(lines.split()))
    text = diff.render(most, WHERE)
    short = re.sub(r"@@ (\d+) lines? left out @@", r"@@\1", text)
    fenced = re.findall(r"^[-+@.].*", short, re.MULTILINE)
    assert fenced == shown.split()
    assert sum(map(int, LEFT_OUT.findall(text))) == len(diff.lines) - sum(not line.startswith("@@") for line in fenced)
