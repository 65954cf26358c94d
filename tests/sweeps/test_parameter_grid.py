"""Listed values are read and checked as `-p` reads one; an error is one line with a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.notebooks import expressions, parameter_types
from notebooks_lib.sweeps import parameter_grid
from tests.sweeps.building import kind


@pytest.mark.parametrize(
    ("annotation", "text", "values"),
    [
        ("float", "0.01,0.1,1", [0.01, 0.1, 1.0]),
        ("float", " 1e-3 , inf ", [0.001, float("inf")]),
        ("float", "1..3", [1.0, 2.0, 3.0]),
        ("int", "1..5", [1, 2, 3, 4, 5]),
        ("int", "1..9..2,20,-3..-1", [1, 3, 5, 7, 9, 20, -3, -2, -1]),
        ("int", "1..10..4", [1, 5, 9]),
        ("int", "5..1..-2", [5, 3, 1]),
        ("int", "3..3", [3]),
        ("int", "[1, 2]", [1, 2]),
        ("", "1,a,[1, 2],true,3..4", [1, "a", [1, 2], True, 3, 4]),
        ("bool", "yes,0", [True, False]),
        ("str", "a, b", ["a", "b"]),
        ("str", '["a,b","c"]', ["a,b", "c"]),
        ("str", '"a,b",c', ["a,b", "c"]),
        ("str", "it's,that's", ["it's", "that's"]),
        ("str", '"",a', ["", "a"]),
        ("str", "1..5", ["1..5"]),
        ("str", "[a,b],c", ["[a,b]", "c"]),
        ("str", "a(b,c", ["a(b", "c"]),
        ("str", "ä,🚀,日本", ["ä", "🚀", "日本"]),
        ("str", "None", ["None"]),
        ("str | None", "None,x", [None, "x"]),
        ("float | None", "null,0.5", [None, 0.5]),
        ("int | str", "1..5,2", ["1..5", 2]),
        ("Literal[16, 32, 64]", "16,64", [16, 64]),
        ("Literal['1..2', 'b']", "1..2,b", ["1..2", "b"]),
        ("list[int]", "[1,2],[3]", [[1, 2], [3]]),
        ("list[int]", "[[1,2],[3]]", [[1, 2], [3]]),
        ("tuple[int, int]", "(1,2),(3,4)", [(1, 2), (3, 4)]),
        ("dict[str, int]", '{"a": 1, "b": 2},{"a": 3}', [{"a": 1, "b": 2}, {"a": 3}]),
    ],
)
def test_a_text_becomes_values_of_the_type(annotation, text, values):
    values_read = parameter_grid.read_values(text, kind(annotation))
    assert list(values_read) == values
    assert [type(one) for one in values_read] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        ("float", "", "found no values"),
        ("float", "  ", "found no values"),
        ("float", "1,,2", 'write "" for an empty text'),
        ("float", "1,2,", "nothing between two commas"),
        ("float", "1,1.0", "found 1.0 twice"),
        ("str", "a,a", "found 'a' twice"),
        ("float", "[]", "found an empty list"),
        ("float", "1;2", "found '1;2' (str), allowed float"),
        ("float", "0.1..0.5", "in whole numbers"),
        ("int", "1..", "a range is FIRST..LAST"),
        ("int", "5..1", "write 5..1..-1 to count down"),
        ("int", "1..5..0", "holds no number"),
        ("int", "1..5..-1", "holds no number"),
        ("int", "1..1000000000", "found 1,000,000,000 values in 1..1000000000, allowed at most 100,000"),
        ("int", "1..60000,60001..120000", "found more than 100,000 values"),
        ("int", "1.." + "9" * 5000, "a range is FIRST..LAST"),
        ("int", "9" * 5000, "allowed int"),
        ("int", "1.0", "allowed int"),
        ("int", '["1"]', "found '1' (str), allowed int"),
        ("Annotated[float, '>0']", "-1,0,2", "found -1.0 (float), allowed float > 0 (and 1 more)"),
        ("Literal[16, 32, 64]", "16..18", "found 17 (int), allowed one of 16, 32, 64 (and 1 more)"),
        ("list[int]", "[1,2]", "write [[...], [...]]"),
        ("str", "[a,b,c]", "allowed a JSON list; quote all of it for the shell"),
        ("list[int]", "[['a'],[1]]", "[0]: found 'a' (str)"),
        ("float", 0.1, "allowed a list of values"),
        ("float", None, "allowed a list of values"),
        ("float", {"a": 1}, "allowed a list of values"),
        ("float", ["0.1"], "found '0.1' (str), allowed float"),
    ],
)
def test_errors_are_one_line(annotation, given, message):
    with pytest.raises(parameter_grid.InvalidSearchSpace) as caught:
        parameter_grid.read_values(given, kind(annotation))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


ANNOTATIONS = ["int", "float", "str", "bool", "list[int]", "str | None", "Literal['a', 1]", "dict", ""]


@given(annotation=st.sampled_from(ANNOTATIONS), text=st.text(max_size=30))
def test_any_text_is_read_or_rejected(annotation, text):
    wanted = kind(annotation)
    try:
        values_read = parameter_grid.read_values(text, wanted)
    except parameter_grid.InvalidSearchSpace:
        return
    assert values_read
    assert len({expressions.write_literal(value) for value in values_read}) == len(values_read)
    for value in values_read:
        wanted.check(value)


@given(st.text(alphabet="ab,'\"[](){}\\: ", max_size=20))
def test_split_keeps_everything_except_the_commas(text):
    assert "".join("".join(parameter_grid.split_at_commas(text)).split()).replace(",", "") == "".join(
        text.split()
    ).replace(",", "")


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=8, unique_by=repr))
def test_numbers_are_read_as_on_the_command_line(numbers):
    wanted = parameter_types.NumberType("float")
    assert list(parameter_grid.read_values(",".join(map(repr, numbers)), wanted)) == [
        wanted.read(repr(one)) for one in numbers
    ]
