"""Values go to source and back unchanged, and nothing is ever run on the way."""

import ast
import enum
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.notebooks import expressions

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.text() | st.integers())
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_a_value_written_as_source_is_read_back_the_same(value):
    written = expressions.write_literal(value)
    back = expressions.read_literal(ast.parse(written, mode="eval").body)
    assert type(back) is type(value)
    assert expressions.write_literal(back) == written


def test_subclasses_are_written_as_the_plain_value():
    class Level(enum.IntEnum):
        HIGH = 3

    class Name(str):
        def __repr__(self) -> str:
            return "<name>"

    assert expressions.write_literal([Level.HIGH, Name("a")]) == "[3, 'a']"


@pytest.mark.parametrize(
    "text", ["f()", "a", "1 + 1", "[*a]", "{[]: 1}", "float(x)", "float('x')", "__import__('os')", ""]
)
def test_what_is_no_literal_is_not_constant(text):
    with pytest.raises(expressions.NotConstant):
        expressions.read_text(text)


def test_python_and_json_literals_are_read():
    assert expressions.read_text(' {"a": [true, null]} ') == {"a": [True, None]}
    assert expressions.read_text("{'a': (True, None)}") == {"a": (True, None)}
    assert expressions.read_text("float('inf')") == math.inf


NAMES = {"model": "ridge", "n": 3, "alpha": 0.5, "flag": False, "none": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model + '-x'", "ridge-x"),
        ("f'{model}_{n:03d}_{alpha:.1f}_{model!r}'", "ridge_003_0.5_'ridge'"),
        ("f'{n:{n}}'", "  3"),
        ("none or 'd'", "d"),
        ("model and 'd'", "d"),
        ("'a' if flag else model", "ridge"),
        ("str(n)", "3"),
        ("os.environ.get('K', 'd')", "k"),
        ("os.getenv('NO', model)", "ridge"),
        ("os.getenv('NO')", None),
        ("os.environ['K']", "k"),
        ("n + 1", 4),
    ],
)
def test_simple_constant_expressions_are_evaluated(text, value):
    assert expressions.evaluate(ast.parse(text, mode="eval").body, NAMES, {"K": "k"}) == value


@pytest.mark.parametrize(
    "text",
    [
        "unknown",
        "f()",
        "model * 10**9",
        "f'{n:999999999}'",
        "f'{n:d{n}{n}{n}{n}}'",
        "f'{f()}'",
        "os.environ['NO']",
        "os.environ[n]",
        "model + n",
        "model.upper()",
        "a[0]",
    ],
)
def test_everything_else_is_unknown(text):
    tree = ast.parse(text, mode="eval")
    with pytest.raises(expressions.NotConstant):
        expressions.evaluate(tree.body, NAMES, {"K": "k"})


def test_an_endless_expression_is_unknown_and_no_crash():
    node: ast.expr = ast.Constant("a")
    for _ in range(5000):
        node = ast.BinOp(node, ast.Add(), ast.Constant("a"))
    with pytest.raises(expressions.NotConstant):
        expressions.evaluate(node, {})


def test_without_an_environment_what_is_read_from_it_is_unknown():
    with pytest.raises(expressions.NotConstant):
        expressions.evaluate(ast.parse("os.getenv('K', 'd')", mode="eval").body, {}, None)
