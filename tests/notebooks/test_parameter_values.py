"""What people write on a command line or in a file arrives as the value that the schema asks for, or is refused."""

import ast
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebooks_lib.errors import ParameterError
from notebooks_lib.notebooks import parameter_schema, parameter_values
from tests.notebooks.building import parameters as built


def schema(source: str) -> parameter_schema.Schema:
    return parameter_schema.read_schema(built(source))


def read(source: str, *pairs: str) -> dict[str, object]:
    return parameter_values.from_command_line(pairs, [], schema(source))


def from_file(source: str, text: str, name: str = "p.yaml") -> dict[str, object]:
    Path(name).write_text(text, "utf-8")
    return parameter_values.from_command_line([], [Path(name)], schema(source))


def problems(source: str, *pairs: str, file: str = "", name: str = "p.yaml") -> list[str]:
    files = []
    if file:
        Path(name).write_text(file, "utf-8")
        files = [Path(name)]
    with pytest.raises(ParameterError) as caught:
        parameter_values.from_command_line(pairs, files, schema(source))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ("x: int = 1", "5", 5),
        ("x: int = 1", "-5", -5),
        ("x: float = 1.0", "1e-3", 0.001),
        ("x: float = 1.0", "2", 2.0),
        ("x: float = 1.0", "inf", math.inf),
        ("x: bool = False", "yes", True),
        ("x: bool = False", "0", False),
        ("x: bool = False", "TRUE", True),
        ("x: str = ''", "5", "5"),
        ("x: str = ''", "", ""),
        ("x: str = ''", "a=b # c", "a=b # c"),
        ("x: str = ''", "None", "None"),
        ("x: str | None = ''", "None", None),
        ("x: Optional[str] = ''", "null", None),
        ("x: Optional[str] = ''", "5", "5"),
        ("x: Optional[int] = 1", "5", 5),
        ("x: int | str = 1", "5", 5),
        ("x: int | str = 1", "five", "five"),
        ("x: Optional[bool] = None", "no", False),
        ("x: Literal['a', '1', 2] = 'a'", "1", "1"),
        ("x: Literal['a', '1', 2] = 'a'", "2", 2),
        ("x: Literal[0.5, None] = None", "None", None),
        ("x: list[int] = []", "[1, 2]", [1, 2]),
        ("x: list[int] = []", "1, 2", [1, 2]),
        ("x: list = []", '["a", true, null]', ["a", True, None]),
        ("x: tuple[str, ...] = ()", "['a']", ("a",)),
        ("x: dict = {}", "{'a': 1}", {"a": 1}),
        ("x: dict[str, float] = {}", '{"a": 1}', {"a": 1.0}),
        ("x: list | None = None", "[1]", [1]),
        ("x = 1", "0.5", 0.5),
        ("x = 1", "2", 2),
        ("x = 1.0", "2", 2),
        ("x = True", "false", False),
        ("x = 'a'", "1", "1"),
        ("x = [1]", "[2]", [2]),
        ("x = None", "3", 3),
        ("x = None", "none", None),
        ("x = f()", "none", None),
        ("x = None", "abc", "abc"),
        ("x = f()", "[1, 'a']", [1, "a"]),
        ("x: np.ndarray = f()", "ridge", "ridge"),
        ("x: Annotated[float, '>0'] = 1.0", " 2 ", 2.0),
    ],
)
def test_text_is_read_by_the_annotation(declared, text, value):
    found = read(declared, f"x={text}")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("x: int = 1", "2.0"),
        ("x: int = 1", ""),
        ("x: int = 1", "9" * 5000),
        ("x: float = 1.0", "1,5"),
        ("x: bool = True", "maybe"),
        ("x: bool = True", "2"),
        ("x: Literal['a'] = 'a'", "b"),
        ("x: list[int] = []", "1 2"),
        ("x: list[int] = []", "['a']"),
        ("x: dict = {}", "a"),
        ("x: Optional[int] = 1", "a"),
        ("x: Optional[Annotated[int, '>0']] = 1", "-1"),
        ("x = 1", "a"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_what_is_allowed(declared, text):
    (line,) = problems(declared, f"x={text}")
    assert line.startswith("x")
    assert "allowed" in line
    assert len(line) < 250


def test_all_problems_come_at_once():
    found = problems(
        "a: int = 1\nb: float = 1.0\nr: int\ns: SecretStr = 'S'",
        *("a=x", "b", "b=1", "b=2", "c=3", "s=hunter2", "=5"),
        file="a: [\n",
    )
    assert len(found) == 8
    assert "p.yaml" in found[0]
    text = "\n".join(found)
    assert "-p b: found no name=value" in text
    assert "b: found more than one -p" in text
    assert "unknown parameter 'c'" in text
    assert "r: found no value" in text
    assert "hunter2" not in text


def test_a_refused_value_is_not_called_missing_too():
    assert len(problems("r: int", "r=x")) == 1


def test_pairs_win_over_files_and_later_files_over_earlier_ones():
    Path("a.yaml").write_text("x: 1\ny: 1\nz: 1")
    Path("b.yaml").write_text("y: 2\nz: 2")
    read = parameter_values.from_command_line(["z=3"], [Path("a.yaml"), Path("b.yaml")], schema("x = 0\ny = 0\nz = 0"))
    assert read == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ("x: float = 1.0", "x: 1e-3", 0.001),
        ("x = 1.0", "x: 1e-3", 0.001),
        ("x = None", "x: 1E5", 1e5),
        ("x: list[float] = []", "x: [1e-3, 1, .5]", [0.001, 1.0, 0.5]),
        ("x: dict[str, float] = {}", "x: {a: 1e-3}", {"a": 0.001}),
        ("x: Optional[float] = 1.0", "x: 1e-3", 0.001),
        ("x: str = ''", "x: 1e-3", "1e-3"),
        ("x: str = ''", "x: no", "no"),
        ("x: bool = True", "x: no", False),
        ("x: Literal['on', 'off'] = 'on'", "x: off", "off"),
        ("x: str = ''", "x: 2024-01-01", "2024-01-01"),
        ("x: str = ''", "x: 12:30", "12:30"),
        ("x: str = ''", "x: 007", "007"),
        ("x: str = ''", "x: '1'", "1"),
        ("x: float = 1.0", "x: .inf", math.inf),
        ("x: float = 1.0", "x: 1_000.5", 1000.5),
        ("x: int = 1", "x: 0x10", 16),
        ("x: int | None = 1", "x: ~", None),
        ("x: int | None = 1", "x:", None),
        ("x: str = ''", "# all comment", None),
        ("x: dict = {}", "b: &b {p: 1}\nx: {<<: *b, q: 2}", {"p": 1, "q": 2}),
        ("x: str = ''", "\ufeffx: ü🚀", "ü🚀"),
    ],
)
def test_yaml_keeps_its_types_without_yamls_surprises(declared, text, value):
    found = from_file(declared + "\nb = {}", text).get("x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("declared", "file", "said"),
    [
        ("x = 1", "- 1", "found a list, allowed a mapping"),
        ("x = 1", "x: 1\nx: 2", "'x' stands twice"),
        ("x = {}", "x: {a: 1, a: 2}", "'a' stands twice"),
        ("x = 1", "x: [", "line 1"),
        ("x: str = ''", "x: 5", "found 5 (int), allowed str; in a YAML or JSON file, put it in quotes"),
        ("x: int = 1", "x: 2.0", "write 2"),
        ("x: int = 1", "x: 010", "found '010' (str)"),
        ("x: bool = True", "x: 1", "allowed bool"),
        ("x: float = 1.0", "x: '1.0'", "found '1.0' (str), allowed float"),
        ("x: list = []", "x: &a [*a]", "holds itself"),
        ("x = 1", "1: 2", "unknown parameter '1'"),
        ("x = 1", "x: !!python/object:os.system 1", "could not determine a constructor"),
    ],
)
def test_a_wrong_file_is_a_problem_with_its_reason(declared, file, said):
    found = "\n".join(problems(declared, file=file))
    assert said in found


def test_json_files_are_read_as_json():
    assert from_file("x: float = 1.0\ny = None", '{"x": 1e-3, "y": [true]}', "p.json") == {"x": 0.001, "y": [True]}
    assert "stands twice" in problems("x = 1", file='{"x": 1, "x": 2}', name="p.json")[0]


def test_a_file_that_is_not_there_is_a_problem_like_others():
    with pytest.raises(ParameterError, match=r"none\.yaml: No such file"):
        parameter_values.from_command_line([], [Path("none.yaml")], schema("x = 1"))


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NESTED)
def test_any_value_survives_the_way_through_json_and_the_assignment_in_a_kernel(value):
    Path("round.json").write_text(json.dumps({"x": value}), "utf-8")
    found = parameter_values.from_command_line([], [Path("round.json")], schema("x = None"))
    space: dict[str, object] = {}
    exec(compile(parameter_values.assignments(found), "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
    assert space["x"] == value
    assert repr(space["x"]) == repr(value)


def test_assignments_keep_what_papermills_own_injection_turns_into_text():
    given = {"a": (1, 2), "b": {1, 2}, "c": {1: "x"}, "d": float("nan"), "e": "a'\"\n\\"}
    space: dict[str, object] = {}
    exec(parameter_values.assignments(given), space)
    assert (space["a"], space["b"], space["c"], space["e"]) == ((1, 2), {1, 2}, {1: "x"}, given["e"])
    assert math.isnan(space["d"])  # type: ignore[arg-type]


CODES = ["0042", "007", "1E5", "1e-3", "0x1F", "00501", "8:05", "nan", "inf", "-inf", "X1", "0o17"]


@pytest.mark.parametrize("text", [*CODES, "42", "-3", "1.50", ".5", "1_000", "12345678901234567890", "+5"])
@pytest.mark.parametrize("annotation", ["int | float | str", "float | str | None", "str | float"])
def test_a_code_is_the_same_on_the_command_line_and_in_a_file(text: str, annotation: str, tmp_path: Path) -> None:
    declared = schema(f"x: {annotation} = 'all'")
    (tmp_path / "p.yaml").write_text(f"x: {text}\n")
    given = parameter_values.from_command_line([f"x={text}"], [], declared)["x"]
    assert given == parameter_values.from_command_line([], [tmp_path / "p.yaml"], declared)["x"]
    assert isinstance(given, str) == (text in CODES)


@pytest.mark.parametrize(
    "declared", ["x = 'a'", "x: str = 'a'", "x = None", "x: list = []", "x: dict = {}", "x: int | str = 1"]
)
def test_a_lone_surrogate_is_refused(declared: str, tmp_path: Path) -> None:
    value = (
        '["cut \\ud83d"]' if "list" in declared else '{"a": "cut \\ud83d"}' if "dict" in declared else '"cut \\ud83d"'
    )
    (tmp_path / "p.json").write_text('{"x": ' + value + "}")
    with pytest.raises(ParameterError, match="halves of characters"):
        parameter_values.from_command_line([], [tmp_path / "p.json"], schema(declared))
