"""The parameters cell is read as Python reads it; what is given is checked whole, before anything starts."""

import math
from pathlib import Path

import pytest

from notebooks_lib.errors import ParameterError
from notebooks_lib.notebooks import parameter_schema
from notebooks_lib.notebooks.parameter_types import NumberBounds, NumberType
from tests.notebooks.building import code, notebook
from tests.notebooks.building import parameters as built


def schema(source: str) -> parameter_schema.Schema:
    return parameter_schema.read_schema(built(source))


def only(source: str) -> parameter_schema.Parameter:
    (parameter,) = schema(source).parameters
    return parameter


def problems(source: str, /, **given: object) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        schema(source).check(given, notebook="n.ipynb")
    return list(caught.value.problems)


# The traps: papermill's own inspection, a regular expression, misreads most of these.
NASTY = [
    ("x = 'a # b'  # help", "a # b", "help"),
    ("x = 'a=b'  # y = 1", "a=b", "y = 1"),
    ('x = "#"', "#", ""),
    ("x: str = 'it''s'  # a: b = c # d", "its", "a: b = c # d"),
    ("x = {\n  'a=1': '#',  # inner\n  'b': [1, 2],\n}  # outer", {"a=1": "#", "b": [1, 2]}, "outer"),
    ("x = [  # first\n  1,\n]", [1], "first"),
    ("x = 1  # type: int", 1, ""),
    ("x = 1  # type: int the help", 1, "the help"),
    ("x = {}  # type: Dict[str, int]  # help", {}, "help"),
    ("x = 1  # type: ignore[assignment]  # why", 1, "why"),
    ("x = 1  # typed: no", 1, "typed: no"),
    ("x = 1  ## double", 1, "double"),
    ("x = '''a\n# not a comment\n'''  # help", "a\n# not a comment\n", "help"),
    ("x = ('a'\n     'b')  # joined", "ab", "joined"),
    ("x = -1.5e-3", -0.0015, ""),
    ("x = (1, -2)", (1, -2), ""),
    ("x = float('inf')", math.inf, ""),
    ("x = [float('-inf')]", [-math.inf], ""),
    ("x = None  # off", None, "off"),
    ("x = {1, 2}", {1, 2}, ""),
    ("x = set()", set(), ""),
    ("x = True", True, ""),
    ("x = 1_000", 1000, ""),
    ("x = 0xff", 255, ""),
    ("x = b'a'", b"a", ""),
    ("x = 1 + 2j", 1 + 2j, ""),
    ("x \\\n  = 1  # continued", 1, "continued"),
    ("x = 'ü🚀'  # Größe", "ü🚀", "Größe"),
    ("!ls\nx = 1", 1, ""),
    ("x = 1\r\n", 1, ""),
    ("x = 2\nx = 1", 1, ""),
]


@pytest.mark.parametrize(("source", "default", "help"), NASTY)
def test_default_and_help_are_what_python_reads(source, default, help):
    parameter = only(source)
    assert parameter.default == default
    assert type(parameter.default) is type(default)
    assert parameter.help == help
    assert not parameter.computed


@pytest.mark.parametrize(
    "source", ["x = f()", "x = 60 * 60", "x = f'{y}'", "x = [y]", "x = Path('a')", "x = {**y}", "x = !ls", "x += 1"]
)
def test_anything_but_a_literal_is_computed_and_shown_as_written(source):
    parameter = only(source)
    assert parameter.computed
    assert parameter.default_source
    assert parameter_schema.describe(schema(source))[0].default.endswith("(computed)")
    assert schema(source).defaults == {}


def test_several_targets_are_several_parameters():
    assert schema("a = b = 1\nc, (d, e) = 1, ('x', None)").defaults == {"a": 1, "b": 1, "c": 1, "d": "x", "e": None}
    assert all(one.computed for one in schema("a, b = f()\nc, *d = 1, 2\ne, f = [1, *g]").parameters)


def test_only_top_level_names_are_parameters():
    source = "import os\ndef f(): y = 1\nif os:\n  z = 1\nfor i in []: pass\na.b = 1\nc['d'] = 2\nx = 1"
    assert [one.name for one in schema(source).parameters] == ["x"]


KINDS = [
    # annotation, allowed values, refused values
    ("int", [1, -1, 10**30], [1.5, 2.0, "1", True, None]),
    ("float", [1, 1.5, math.inf], ["1", False, None, 10**400]),
    ("bool", [True, False], [1, 0, "true"]),
    ("str", ["", "1"], [1, None, True]),
    ("list", [[], [1, "a"]], ["a", {}, 1, {1}]),
    ("list[int]", [[1]], [["a"], [1.5]]),
    ("t.List[float]", [[1.0]], [["a"]]),
    ("dict", [{}, {"a": 1}], [[], "{}"]),
    ("dict[str, int]", [{"a": 1}], [{"a": "b"}, {1: 1}]),
    ("tuple[int, ...]", [(), (1, 2)], [("a",)]),
    ("tuple[int, str]", [(1, "a")], [(1,), (1, 2), (1, "a", "b")]),
    ("set[int]", [{1}], [{"a"}, [[1]]]),
    ("Optional[int]", [None, 1], ["a", 1.5]),
    ("typing.Optional[str]", [None, "a"], [1]),
    ("int | None", [None, 1], ["a"]),
    ("Union[int, str]", [1, "a"], [1.5, None]),
    ("Literal['a', 'b', 1]", ["a", "b", 1], ["c", 1.0, True, None]),
    ("Literal[0.5, -1]", [0.5, -1], [1, 0.4]),
    ("Literal[1.0]", [1.0], [True]),
    ("Literal[True]", [True], [1]),
    ("Optional[Literal['a']]", ["a", None], ["b"]),
    ("'int'", [1], ["a"]),
    ("'Optional[int]'", [1, None], ["a"]),
    ("Final[int]", [1], ["a"]),
    ("Annotated[float, Gt(0), Le(1)]", [0.5, 1], [0, 1.1, math.nan]),
    ("Annotated[float, annotated_types.Interval(ge=0, lt=1)]", [0, 0.9], [1, -1]),
    ("t.Annotated[int, Field(gt=0, description='x')]", [1], [0, 1.5]),
    ("Annotated[float, '>0']", [0.1], [0]),
    ("Annotated[float, '>=0, <1']", [0, 0.5], [1, -1]),
    ("Annotated[int, '1..10']", [1, 10], [0, 11]),
    ("Annotated[float, '..1e-3']", [-5, 0.001], [0.002]),
    ("Annotated[int, range(1, 10)]", [1, 9], [0, 10]),
    ("Annotated[int | None, range(3)]", [None, 0], [3]),
    ("Annotated[Annotated[int, '>0'], '<5']", [4], [0, 5]),
    ("Annotated[str, 'a remark']", ["x"], [1]),
    ("Annotated[float, unknown(3)]", [1.0], ["x"]),
    ("PositiveInt", [1], [0, 1.5]),
    ("NonNegativeFloat", [0, 1.5], [-1]),
    # what is not known accepts anything that can be written down
    ("np.ndarray", [1, "a", None, [1]], [Ellipsis, object()]),
    ("Literal[Color.RED]", [1, "a"], []),
    ("Optional[Path]", ["a", 1], []),
    ("'not python ('", [1, "a"], []),
    ("f(x)[1:2]", [1, "a"], []),
]


@pytest.mark.parametrize(("annotation", "allowed", "refused"), KINDS)
def test_an_annotation_is_the_schema(annotation, allowed, refused):
    source = f"x: {annotation} = compute()"
    for value in allowed:
        assert schema(source).check({"x": value}) == {"x": value}
    for value in refused:
        (line,) = problems(source, x=value)
        assert line.startswith("x")
        assert "found" in line
        assert "allowed" in line


@pytest.mark.parametrize(
    ("default", "allowed", "refused"),
    [
        ("1", [1, 0.5, math.inf], ["1", True, None]),
        ("0.5", [1, 0.5], ["1", False]),
        ("True", [False], [0, 1, "true"]),
        ("'a'", ["b"], [1, None]),
        ("[1]", [["a"]], ["a"]),
        ("{}", [{"a": 1}], [[]]),
        ("None", [1, "a", None], []),
    ],
)
def test_without_annotation_the_default_gives_the_type(default, allowed, refused):
    for value in allowed:
        assert schema(f"x = {default}").check({"x": value}) == {"x": value}
    for value in refused:
        assert problems(f"x = {default}", x=value)


def test_values_come_back_in_their_parameters_type():
    source = "a: float = 1\nb: tuple[int, ...] = ()\nc: set[str] = set()\nd: str = ''"
    checked = schema(source).check({"a": 2, "b": [1], "c": ["x", "x"], "d": Path("a") / "b"})
    assert checked == {"a": 2.0, "b": (1,), "c": {"x"}, "d": str(Path("a/b"))}
    assert type(checked["a"]) is float


def test_numbers_of_numpy_become_pythons():
    np = pytest.importorskip("numpy")
    checked = schema("a: int = 1\nb: float = 1.0\nc = 1").check(
        {"a": np.int64(3), "b": np.float32(0.5), "c": np.float64(2)}
    )
    assert [type(value) for value in checked.values()] == [int, float, float]


def test_a_default_of_none_makes_the_annotation_optional():
    assert schema("x: int = None").check({"x": None}) == {"x": None}


def test_all_problems_come_at_once_and_each_says_found_and_allowed():
    source = "alpha: Annotated[float, '>0'] = 1.0\nmodel: Literal['a', 'b'] = 'a'\nn: int = 1\ntags: list[str] = []"
    found = problems(source, alpha=-1, modle="a", model="c", n=2.0, tags=["x", 3])
    assert found == [
        "alpha: found -1 (int), allowed float > 0",
        "unknown parameter 'modle', did you mean 'model'? (known: alpha, model, n, tags)",
        "model: found 'c' (str), allowed one of 'a', 'b'",
        "n: found 2.0 (float), allowed int; write 2",
        "tags[1]: found 3 (int), allowed str; in a YAML or JSON file, put it in quotes",
    ]


def test_a_giant_value_does_not_fill_the_screen():
    (line,) = problems("x: int = 1", x="a" * 1_000_000)
    assert len(line) < 200
    (line,) = problems("x: str = ''", x=1 << 100_000)
    assert len(line) < 200


def test_without_a_parameters_cell_any_given_value_is_an_error():
    empty = parameter_schema.read_schema(notebook(code("x = 1")))
    assert empty.check({}) == {}
    with pytest.raises(ParameterError, match="no cell tagged `parameters`"):
        empty.check({"x": 1})
    other = parameter_schema.read_schema(
        notebook(code("x <- 1", "parameters"), metadata={"language_info": {"name": "R"}})
    )
    with pytest.raises(ParameterError, match="Python notebooks only"):
        other.check({"x": 1})
    broken = parameter_schema.read_schema(built("x = (\ny = 1"))
    with pytest.raises(ParameterError, match="is not Python: line"):
        broken.check({"x": 1})


def test_a_parameter_that_is_only_annotated_must_be_given():
    assert problems("x: int  # rows") == ["x: found no value, allowed int; it has no default"]
    assert schema("x: int").check({"x": 1}) == {"x": 1}


def test_ranges_and_choices_are_described():
    assert only("x: Optional[Literal['a']] = None").kind.allowed == "only 'a' or None"
    assert only("x: int = 1").kind.allowed == "int"
    assert only("x: Annotated[float, '>0, <=1'] = 1.0").kind == NumberType("float", NumberBounds(gt=0, le=1))
    assert isinstance(only("x = 1").kind, NumberType)


def test_describe_gives_a_row_for_each_parameter():
    source = "a: Annotated[float, '>0'] = 1.0  # strength\nm: Literal['x', 'y'] = 'x'\n"
    source += "z = f()\nl = [  # many\n1,\n]\nr: int\n"
    assert [tuple(row) for row in parameter_schema.describe(schema(source))] == [
        ("a", "float", "1.0", "> 0", "strength"),
        ("m", "choice", "'x'", "'x', 'y'", ""),
        ("z", "any", "f() (computed)", "", ""),
        ("l", "list", "[1]", "", "many"),
        ("r", "int", "(must be given)", "", ""),
    ]


@pytest.mark.parametrize("spelling", ["SecretStr", "'SecretStr'", "pydantic.SecretStr", "SecretStr | None"])
@pytest.mark.parametrize("default", ["'MY_TOKEN'", "SecretStr('MY_TOKEN')"])
def test_a_secret_names_its_environment_variable(spelling, default):
    read = schema(f"token: {spelling} = {default}\nx = 1")
    assert read.secrets == {"token": "MY_TOKEN"}
    assert read.defaults == {"x": 1}
    assert parameter_schema.missing_secrets(read, {"MY_TOKEN": "s"}) == []
    assert parameter_schema.missing_secrets(read, {}) == [
        "token: found nothing in the environment variable MY_TOKEN; set it"
    ]


def test_a_given_secret_is_refused_and_not_shown():
    (line,) = problems("token: SecretStr = 'MY_TOKEN'", token="hunter2")
    assert "MY_TOKEN" in line
    assert "hunter2" not in line


def test_a_secret_that_names_no_variable_is_a_problem():
    (line,) = parameter_schema.missing_secrets(schema("token: SecretStr = 'sk-123 456'"), {})
    assert "name of an environment variable" in line
    assert "sk-123" not in line + str(parameter_schema.describe(schema("token: SecretStr = 'sk-123 456'")))
