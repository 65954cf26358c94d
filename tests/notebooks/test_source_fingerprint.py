"""The source fingerprint changes with what a run would execute, and with nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebooks_lib.notebooks import document, source_fingerprint
from tests.notebooks.building import code, md, notebook, raw, write

PARAMETERS = "alpha: float = 1.0\nn = 1\ntags: list[str] = []\nout = f()\ntoken: SecretStr = 'T'"


def of(*cells, values=None, lock="l", root: Path = Path(), **extra) -> str:
    read = notebook(code(PARAMETERS, "parameters"), *cells, path=root / "n.ipynb", **extra)
    return source_fingerprint.source_fingerprint(read, values or {}, lock, root)


def test_the_fingerprint_is_the_same_for_the_same_code():
    assert of(code("x = 1")) == of(code("x = 1"))
    assert len(of()) == 64


def test_outputs_ids_markdown_metadata_and_empty_cells_do_not_count():
    other = code("x = 1\n", "tag", id="other", execution_count=3, outputs=[{"output_type": "stream", "text": "a"}])
    assert of(md("# T"), other, code(""), metadata={"x": 1}) == of(code("x = 1"))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: of(code("x = 2")),
        lambda: of(code("x = 1"), code("y")),
        lambda: of(code("x = 1"), lock="other"),
        lambda: of(code("x = 1"), values={"alpha": 2.0}),
        lambda: of(code("x = 1"), values={"n": 1.0}),
        lambda: of(code("x = 1"), values={"n": float("nan")}),
        lambda: of(code("x = 1"), values={"tags": ["a"]}),
        lambda: of(code("x = 1"), values={"out": "a"}),
    ],
)
def test_code_lock_and_values_count(changed):
    assert changed() != of(code("x = 1"))


def test_equal_values_of_a_parameter_count_alike():
    same = [of(values=values) for values in ({}, {"alpha": 1.0}, {"alpha": 1}, {"n": 1}, {"tags": []})]
    assert len(set(same)) == 1
    assert of(values={"n": 2, "alpha": 3}) == of(values={"alpha": 3, "n": 2})
    assert of(values={"out": {"a": 1, "b": 2}}) == of(values={"out": {"b": 2, "a": 1}})
    assert of(values={"out": {1: 2}}) != of(values={"out": {"1": 2}})
    nan, infinity = float("nan"), float("inf")
    assert of(values={"alpha": nan}) == of(values={"alpha": nan}) != of(values={"alpha": infinity})


def test_a_secret_does_not_count():
    assert of(values={"token": "s3cret"}) == of()


def test_the_content_of_an_imported_module_counts_and_its_line_ends_do_not(importing_project):
    read = document.read(write(importing_project / "work" / "n.ipynb", code("import pkg.a")))

    def now() -> str:
        return source_fingerprint.source_fingerprint(read, {}, "l", importing_project)

    before = now()
    (importing_project / "pkg/unused.py").write_text("x = 1")
    (importing_project / "pkg/a.py").write_bytes((importing_project / "pkg/a.py").read_bytes().replace(b"\n", b"\r\n"))
    assert now() == before
    (importing_project / "top.py").write_text("import pkg.a\nx = 1\n")
    assert now() != before


def test_the_fingerprint_does_not_depend_on_the_projects_path(importing_project, tmp_path):
    write(importing_project / "work" / "n.ipynb", code("import pkg.a"))
    moved = tmp_path / "elsewhere"
    first = source_fingerprint.source_fingerprint(
        document.read(importing_project / "work" / "n.ipynb"), {}, "l", importing_project
    )
    importing_project.rename(moved)
    assert source_fingerprint.source_fingerprint(document.read(moved / "work" / "n.ipynb"), {}, "l", moved) == first


def test_the_run_fingerprint_adds_the_datasets_in_any_order():
    one = source_fingerprint.run_fingerprint("s", ["a@1#x", "b@1#y"])
    assert one == source_fingerprint.run_fingerprint("s", ["b@1#y", "a@1#x", "a@1#x"])
    assert (
        len(
            {
                one,
                source_fingerprint.run_fingerprint("s", ["a@1#x"]),
                source_fingerprint.run_fingerprint("t", ["a@1#x", "b@1#y"]),
            }
        )
        == 3
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sources=st.lists(st.text(max_size=20), max_size=5),
    prose=st.text(max_size=20),
    count=st.none() | st.integers(0, 99),
    identity=st.text(max_size=5),
)
def test_whatever_the_code_is_only_the_code_counts(sources, prose, count, identity):
    plain = raw(*map(code, sources))
    noisy = raw(md(prose), *(code(source, prose, execution_count=count, id=identity) for source in sources))
    digests = []
    for content in (plain, noisy):
        Path("h.ipynb").write_text(json.dumps(content))
        read = document.read(Path("h.ipynb"))
        digests.append(source_fingerprint.source_fingerprint(read, {}, "l", Path()))
    assert digests[0] == digests[1]
    changed = raw(*map(code, [*sources, "one = 'more'"]))
    Path("h.ipynb").write_text(json.dumps(changed))
    assert source_fingerprint.source_fingerprint(document.read(Path("h.ipynb")), {}, "l", Path()) not in digests
