"""Parameters before and after: what a person would call renamed is renamed, and nothing else is."""

from __future__ import annotations

import pytest

from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.parameter_changes import find_parameter_changes
from tests.notebooks.building import code, md
from tests.review.reviews import BASE, HEAD, read

USE = "fit(alpha)\nplot(beta)"


def changes(base: str, head: str, use: str = USE, new_use: str = USE) -> list[tuple[str, str, str, str]]:
    sides = [
        read("q.ipynb", code(cell, "parameters", id="p"), code(uses, id="u"))
        for cell, uses in ((base, use), (head, new_use))
    ]
    return [(one.kind, one.name, one.base, one.head) for one in find_parameter_changes(compare_notebooks(*sides))]


TWO = "alpha: float = 1.0\nbeta: int = 2"


@pytest.mark.parametrize(
    ("head", "new_use", "expected"),
    [
        (TWO, USE, []),
        ("alpha: float = 1.00  # help\nbeta: int = 2", USE, []),
        ("alpha: float = 1.5\nbeta: int = 2", USE, [("default", "alpha", "1.0", "1.5")]),
        (
            "alpha: int = 1\nbeta: int = 2",
            USE,
            [("default", "alpha", "1.0", "1"), ("annotation", "alpha", "float", "int")],
        ),
        ("alpha = 1.0\nbeta: int = 2", USE, [("annotation", "alpha", "float", "none")]),
        ("alpha: float = 2 / 2\nbeta: int = 2", USE, [("default", "alpha", "1.0", "2 / 2")]),
        (TWO + "\ngamma: str = 'a'", USE, [("added", "gamma", "", "'a'")]),
        ("beta: int = 2", "plot(beta)", [("removed", "alpha", "1.0", "")]),
        (
            "strength: float = 1.0\nbeta: int = 2",
            "fit(strength)\nplot(beta)",
            [("renamed", "strength", "alpha", "strength")],
        ),
        (
            "strength: float = 3.0\nbeta: int = 2",
            "fit(alpha=strength)\nplot(beta)",
            [("renamed", "strength", "alpha", "strength"), ("default", "strength", "1.0", "3.0")],
        ),
        (
            "one: float = 1.0\ntwo: int = 2",
            "fit(one)\nplot(two)",
            [("renamed", "one", "alpha", "one"), ("renamed", "two", "beta", "two")],
        ),
        (
            "first: str = ''\nstrength: float = 1.0\nbeta: int = 2",
            "fit(strength)\nplot(beta)",
            [("added", "first", "", "''"), ("renamed", "strength", "alpha", "strength")],
        ),
        (
            "new: int = 3\nstrength: float = 1.0\nbeta: int = 2",
            "fit(strength, new)\nplot(beta)",
            [("added", "new", "", "3"), ("renamed", "strength", "alpha", "strength")],
        ),
        (  # which is which is told by the uses, and not by equal defaults
            "two: int = 2\none: float = 1.0",
            "fit(two)\nplot(one)",
            [
                *(("renamed", "two", "alpha", "two"), ("default", "two", "1.0", "2")),
                *(("annotation", "two", "float", "int"), ("renamed", "one", "beta", "one")),
                *(("default", "one", "2", "1.0"), ("annotation", "one", "int", "float")),
            ],
        ),
        # at another place, or with uses that stayed, it is another parameter
        (
            "beta: int = 2\nstrength: float = 1.0",
            "plot(beta)\nfit(strength)",
            [("added", "strength", "", "1.0"), ("removed", "alpha", "1.0", "")],
        ),
        (
            "folds: int = 5\nbeta: int = 2",
            "fit(0.3)\nplot(beta)",
            [("added", "folds", "", "5"), ("removed", "alpha", "1.0", "")],
        ),
        (
            "plot: float = 1.0\nbeta: int = 2",
            "fit(1)\nplot(beta)",
            [("added", "plot", "", "1.0"), ("removed", "alpha", "1.0", "")],
        ),
    ],
)
def test_parameter_changes(head: str, new_use: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert changes(TWO, head, new_use=new_use) == expected


def test_a_secret_is_not_shown() -> None:
    secret = "token: SecretStr = {}"
    assert changes(secret.format("'FIRST'"), secret.format("'hunter2 is here'"), "", "") == [
        ("default", "token", "from environment variable FIRST", "(names no variable)")
    ]


def test_nothing_is_said_of_a_new_notebook_a_broken_cell_or_another_language() -> None:
    empty = read("q.ipynb")
    assert find_parameter_changes(compare_notebooks(empty, HEAD)) == ()
    assert find_parameter_changes(compare_notebooks(BASE, empty)) == ()
    assert changes(TWO, "alpha: float = (", USE) == []


def test_a_parameters_cell_that_comes_brings_its_parameters() -> None:
    base = read("q.ipynb", md("# T", id="t"), code("fit(1)", id="u"))
    head = read("q.ipynb", md("# T", id="t"), code("a: int = 1", "parameters", id="p"), code("fit(a)", id="u"))
    (change,) = find_parameter_changes(compare_notebooks(base, head))
    assert (change.kind, change.name, change.head) == ("added", "a", "1")


def test_the_example_of_the_documentation() -> None:
    (change,) = find_parameter_changes(compare_notebooks(BASE, HEAD))
    assert (change.kind, change.base, change.head) == ("renamed", "alpha", "strength")
