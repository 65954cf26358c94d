"""Findings that a change brings: a moved or renumbered cell brings none."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.notebooks import ruff_linter
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.new_findings import FindingChanges, find_new_findings
from tests.notebooks.building import code, md
from tests.review.reviews import read

TITLE = md("# Does it hold?\nWhat and why.", id="t")
OK = code("x = 1\nprint(x)", id="ok")
BAD = code("print(undefined_name)", id="bad")
WORSE = code("another_name()", id="worse")
KEY = "AKIA" + "QZ7XW3RT5YP2LKMN"[:15]
"""All but the last character of what looks like a key of AWS."""
PRINTED: dict[str, Any] = {
    "outputs": [{"output_type": "stream", "name": "stdout", "text": "1\n"}],
    "execution_count": 1,
}


def compare(base: list[dict[str, Any]], head: list[dict[str, Any]]) -> FindingChanges:
    (changes,) = find_new_findings([compare_notebooks(read("q.ipynb", *base), read("q.ipynb", *head))])
    return changes


def codes(changes: FindingChanges) -> list[tuple[str, int, str]]:
    return [(one.code, one.cell, one.id) for one in changes.new if one.code != "NB019"]  # text between cells


@pytest.mark.parametrize(
    ("base", "head", "new", "mended"),
    [
        ([TITLE, OK, BAD], [TITLE, OK, BAD], [], 0),
        ([TITLE, OK, BAD], [TITLE, BAD, OK], [], 0),
        ([TITLE, OK, BAD], [TITLE, md("more", id="m"), md("and more", id="n"), OK, BAD], [], 0),
        ([TITLE, OK], [TITLE, OK, BAD], [("F821", 2, "bad")], 0),
        ([TITLE, OK, BAD], [TITLE, OK], [], 1),
        ([TITLE, OK, BAD], [TITLE, OK, {**BAD, "source": "print(x)"}], [], 1),
        ([TITLE, OK, BAD], [TITLE, OK, {**BAD, "source": "print(x)"}, WORSE], [("F821", 3, "worse")], 1),
        ([TITLE, OK, BAD], [TITLE, OK, {**BAD, "source": "y = 2\nprint(undefined_name, y)"}], [], 0),
        (
            [TITLE, OK, BAD],
            [TITLE, OK, {**BAD, "source": "print(undefined_name)\nanother_name()"}],
            [("F821", 2, "bad")],
            0,
        ),
    ],
)
def test_new_and_mended(base: Any, head: Any, new: Any, mended: int) -> None:
    changes = compare(base, head)
    assert (codes(changes), changes.mended) == (new, mended)


def test_of_a_finding_in_several_cells_those_are_named_that_are_new() -> None:
    base = [TITLE, {**OK, **PRINTED}, code("y = 2\nprint(y)", id="y")]
    head = [
        TITLE,
        {**OK, **PRINTED},
        code("y = 2\nprint(y)", id="y", **PRINTED),
        code("z = 3\nprint(z)", id="z", **PRINTED),
    ]
    (finding,) = (one for one in compare(base, head).new if one.code == "NB001")
    assert (finding.cell, finding.id, finding.cells) == (2, "y", (2, 3))
    assert compare(base, base).new == ()


@pytest.mark.parametrize(
    ("base", "head", "new", "mended"),
    [
        ("print(undef_1)", "print(undef_2)", ["F821"], 1),
        (f"key = '{KEY}A'\nprint(key)", f"key = '{KEY}B'\nprint(key)", ["NB030"], 1),
        (f"key = '{KEY}A'\nprint(key)", f"secret = '{KEY}A'\nprint(secret)", [], 0),
    ],
)
def test_another_name_or_secret_in_the_place_of_one_is_new(base: str, head: str, new: list[str], mended: int) -> None:
    changes = compare(*([TITLE, code(source, id="c")] for source in (base, head)))
    assert ([code for code, *_ in codes(changes)], changes.mended) == (new, mended)


def shown(*texts: str) -> dict[str, Any]:
    """A cell that keeps these outputs."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": text} for text in texts]
    return code("print(x)", "keep_output", id="shown", outputs=outputs)


def with_default(password: str) -> dict[str, Any]:
    return code(f"password: str = {password!r}\nprint(password)", "parameters", id="p")


@pytest.mark.parametrize(
    ("base", "head", "new", "mended"),
    [
        (shown(), shown(KEY + "A"), ["NB030"], 0),
        (shown(KEY + "A"), shown(KEY + "A"), [], 0),
        (shown(KEY + "A"), shown(KEY + "B"), ["NB030"], 1),
        (shown(KEY + "A"), shown(KEY + "A", KEY + "B"), ["NB030"], 0),
        (shown(KEY + "A", KEY + "B"), shown(KEY + "A"), [], 0),
        (with_default("hunter2"), with_default("hunter2"), [], 0),
        (with_default("hunter2"), with_default("correct-horse"), ["NB030"], 1),
    ],
)
def test_a_secret_is_new_in_a_kept_output_and_as_a_default_too(base: Any, head: Any, new: Any, mended: int) -> None:
    changes = compare([TITLE, OK, base], [TITLE, OK, head])
    assert ([code for code, *_ in codes(changes)], changes.mended) == (new, mended)
    assert KEY not in repr(changes)
    assert "hunter2" not in repr(changes)


def test_a_parameter_that_no_cell_reads_stays_one_under_another_name() -> None:
    base, head = ([TITLE, code(f"{name}: int = 1", "parameters", id="p"), OK] for name in ("old", "new"))
    assert [one for one in compare(base, base).new if one.code == "NB022"] == []
    assert compare(base, head) == FindingChanges()
    (added,) = compare(base, [TITLE, code("old: int = 1\nnew: int = 2", "parameters", id="p"), OK]).new
    assert (added.code, added.message) == ("NB022", "no cell reads parameter 'new'")


def test_what_concerns_the_file_stays_when_the_first_cell_goes() -> None:
    base = [code("x = 1\nprint(x)", id="a"), OK]
    assert compare(base, [md("no title", id="b"), *base]).new == ()


def test_a_new_notebook_brings_all_its_findings_and_a_deleted_one_none() -> None:
    assert ("F821", 2, "bad") in codes(compare([], [TITLE, OK, BAD]))
    assert compare([TITLE, OK, BAD], []) == FindingChanges()


def test_ruff_is_called_once_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    lint = ruff_linter.lint
    monkeypatch.setattr(ruff_linter, "lint", lambda *args: (calls.append(args), lint(*args))[1])
    diffs = [compare_notebooks(read(f"{n}.ipynb", TITLE, OK), read(f"{n}.ipynb", TITLE, OK, BAD)) for n in range(5)]
    assert [codes(changes) for changes in find_new_findings(diffs)] == [[("F821", 2, "bad")]] * 5
    assert len(calls) == 2
