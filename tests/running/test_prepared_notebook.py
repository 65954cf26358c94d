"""What is executed is the author's notebook with the given values where they count, or it is refused before the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from notebooks_lib import errors
from notebooks_lib.cli import run as command
from notebooks_lib.notebooks import document
from notebooks_lib.running import plan
from notebooks_lib.running.prepared_notebook import prepare
from notebooks_lib.settings import Settings


def write(path: Path, *cells: tuple[str, str, str], spoil: Callable[[Any], object] = lambda raw: None) -> Path:
    """A notebook of (kind, source, tag) cells."""
    built: list[dict[str, Any]] = []
    for kind, source, tag in cells:
        cell: dict[str, Any] = {"cell_type": kind, "source": source, "metadata": {"tags": [tag] if tag else []}}
        built.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    raw = {"cells": built, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    spoil(raw)
    path.write_text(json.dumps(raw))
    return path


P = ("code", "alpha: float = 1.0\nbeta = 'a'", "parameters")
OLD = ("code", "alpha = 3\nbeta = 'c'", "injected-parameters")
USE = ("code", "print(alpha)", "")


def sources(path: Path, given: dict[str, object]) -> list[str]:
    return [cell.source for cell in prepare(document.read(path), given, {}).notebook.cells]


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ([P, USE], 1),
        ([("markdown", "## Settings", "parameters"), P, USE], 2),
        ([("raw", "settings", "parameters"), ("markdown", "x", "parameters"), P, USE], 3),
        ([("code", "import os", ""), P, USE], 2),
        ([P, OLD, USE], 1),
        ([OLD, P, USE], 1),
        ([P, USE, OLD], 1),
        ([P, OLD, OLD, USE], 1),
        ([P, ("code", "gamma = 2", "parameters"), USE], 1),
        ([P, ("markdown", "failed", "papermill-error-cell-tag"), USE], 1),
    ],
)
def test_given_values_are_injected_after_the_cell_they_were_checked_against(
    cells: list[tuple[str, str, str]], place: int, tmp_path: Path
) -> None:
    prepared = prepare(document.read(write(tmp_path / "n.ipynb", *cells)), {"alpha": 0.5}, {})
    found = [index for index, cell in enumerate(prepared.notebook.cells) if cell.source == "# Parameters\nalpha = 0.5"]
    assert found == [place]
    assert prepared.notebook.cells[place - 1].source == P[1]
    tags = [tag for cell in prepared.notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("injected-parameters") == 1
    assert "papermill-error-cell-tag" not in tags
    assert [cells[index][1] for index in prepared.origins if index is not None] == [
        cell.source for at, cell in enumerate(prepared.notebook.cells) if at != place
    ]


def test_without_values_what_an_earlier_run_injected_stays_and_is_recorded(project: Settings) -> None:
    path = write(project.root / "n.ipynb", P, OLD, USE)
    assert sources(path, {}) == [P[1], OLD[1], USE[1]]
    start = plan.make_plan(path, project).start
    assert start is not None
    assert start.parameters == {"alpha": 3, "beta": "c"}
    start = plan.make_plan(path, project, {"alpha": 0.5}).start
    assert start is not None
    assert start.parameters == {"alpha": 0.5, "beta": "a"}
    alone = plan.make_plan(write(project.root / "m.ipynb", OLD, USE), project).start
    assert alone is not None
    assert alone.parameters == {"alpha": 3, "beta": "c"}


@pytest.mark.parametrize(
    "cell",
    [
        "alpha = 0.1",
        "alpha: float = 0.1",
        "x = 1; alpha = 2",
        "a, alpha = 1, 2",
        "alpha = b = 2",
        "with open('x') as alpha:\n    pass",
        "with open('x') as f:\n    alpha = f.read()",
        "for alpha in (1, 2):\n    print(alpha)",
        "from m import alpha",
        "import m as alpha",
        "def alpha():\n    pass",
        "%time\nalpha = 3",
    ],
)
@pytest.mark.parametrize("tag", ["", "parameters"])
def test_a_value_that_would_be_lost_is_refused(cell: str, tag: str, project: Settings) -> None:
    path = write(project.root / "n.ipynb", P, USE, ("code", cell, tag))
    for tracked in (True, False):
        with pytest.raises(errors.ParameterError, match=r"alpha: cell 2 assigns it again"):
            plan.make_plan(path, project, {"alpha": 0.5}, tracked=tracked)
    plan.make_plan(path, project, {"beta": "b"})


@pytest.mark.parametrize(
    "cell",
    [
        "alpha = float(alpha)",
        "alpha = alpha or 3",
        "alpha += 1",
        "if debug:\n    alpha = 1",
        "def f():\n    alpha = 2",
        "for alpha in range(alpha):\n    pass",
        "frame['alpha'] = 1",
        "x.alpha = 1",
        "[alpha for alpha in (1, 2)]",
        "print(alpha == 1)",
    ],
)
def test_values_computed_from_a_parameter_and_conditional_assignments_are_allowed(cell: str, project: Settings) -> None:
    plan.make_plan(write(project.root / "n.ipynb", P, ("code", cell, "")), project, {"alpha": 0.5})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.pop("metadata"),
        lambda raw: raw.update(metadata=None),
        lambda raw: raw["metadata"].update(kernelspec=None, language_info=None),
        lambda raw: raw["metadata"].update(kernelspec={}, language_info={}),
        lambda raw: raw["metadata"].update(kernelspec=[], language_info="python"),
        lambda raw: raw.pop("nbformat_minor"),
        lambda raw: raw.update(nbformat_minor=None),
        lambda raw: raw.update(nbformat_minor=0),
        lambda raw: raw["cells"][1].pop("metadata"),
        lambda raw: raw["cells"][1].update(metadata=None),
        lambda raw: raw["cells"][1].update(metadata={"tags": None, "collapsed": "yes"}),
        lambda raw: [raw["cells"][1].pop(key) for key in ("outputs", "execution_count")],
        lambda raw: raw["cells"][1].update(outputs=None),
        lambda raw: raw["cells"][1].update(outputs=[{"no": "output"}]),
        lambda raw: raw["cells"][1].update(prompt_number=3, execution_count="3"),
        lambda raw: raw["cells"][1].update(source=["print(", "alpha)"]),
        lambda raw: raw["cells"][1].update(id="of another"),
        lambda raw: raw.update(signature="sha256:00"),
    ],
)
def test_what_a_notebook_lacks_is_filled_in(spoil: Callable[[Any], object], tmp_path: Path) -> None:
    path = write(tmp_path / "n.ipynb", P, USE, spoil=spoil)
    assert sources(path, {"alpha": 2}) == [P[1], "# Parameters\nalpha = 2", USE[1]]


def test_a_notebook_of_format_3_is_run(tmp_path: Path) -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["print(1)"]}]}], "nbformat": 3}
    (tmp_path / "n.ipynb").write_text(json.dumps(old))
    assert sources(tmp_path / "n.ipynb", {}) == ["print(1)"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'{"cells": [{"cell_type": "heading", "source": "x", "metadata": {}}], "nbformat": 4}',
            "not a valid notebook",
        ),
        (b'{"cells": [{"cell_type": "code", "source": "x = \'\\ud83d\'"}], "nbformat": 4}', "half a character"),
        (b'{"cells": [{"cell_type": "markdown", "source": "cut \\ud83d"}], "nbformat": 4}', "half a character"),
        (b'{"cells": [{"cell_type": "code", "source": "\xff"}], "nbformat": 4}', "not UTF-8"),
        (b'{"cells": [{"cell_type": "code", "source": 5}], "nbformat": 4}', "damaged"),
        (b'{"cells": [{"source": "x"}], "nbformat": 4}', "damaged"),
        (b'{"cells": {}, "nbformat": 4}', "no list of `cells`"),
        (b'{"cells": [], "nbformat": "4"}', "not known"),
        (b'{"worksheets": [5], "nbformat": 2}', "cannot be converted"),
        (b"[]", "is a list"),
        (b"", "not JSON"),
    ],
)
def test_what_cannot_be_read_is_exit_2_and_one_object(content: bytes, said: str, empty_project: Settings) -> None:
    path = empty_project.root / "n.ipynb"
    path.write_bytes(content)
    outcome = CliRunner().invoke(command.command, [str(path), "--json", "--untracked"])
    assert isinstance(outcome.exception, errors.UsageError)
    assert outcome.exception.exit_code == 2
    told = json.loads(outcome.stdout)
    assert told["status"] is None
    assert said in told["error"]["message"]


@pytest.mark.parametrize(
    "arguments", [["--timeout", "x"], ["--no-such"], ["-o", "n.ipynb"], ["--name", " "], ["-o", "."]]
)
def test_json_is_printed_for_any_usage_error(arguments: list[str], empty_project: Settings) -> None:
    write(empty_project.root / "n.ipynb", P, USE)
    outcome = CliRunner().invoke(command.command, ["n.ipynb", "--json", *arguments])
    assert outcome.exit_code != 0
    assert json.loads(outcome.stdout)["error"]["error"] == "UsageError"


def test_a_linked_notebook_runs_where_its_link_lies(project: Settings, tmp_path: Path) -> None:
    """As in JupyterLab: modules beside the link are found, and the run belongs to its project."""
    write(tmp_path / "shared.ipynb", ("code", "import helper", ""))
    (project.root / "work").mkdir()
    link = project.root / "work" / "n.ipynb"
    link.symlink_to(tmp_path / "shared.ipynb")
    (project.root / "work" / "helper.py").write_text("value = 41")
    made = plan.make_plan(link, project)
    assert made.notebook.opened.parent == project.root / "work"
    assert made.start is not None
    assert made.start.notebook == "work/n.ipynb"


@pytest.mark.parametrize("stem", ["n" * 249, "é" * 124, "漢" * 83, "🐍" * 62])
def test_a_long_name_leaves_room_for_the_run(stem: str, project: Settings) -> None:
    file = plan.executed_file(plan.make_plan(write(project.root / f"{stem}.ipynb", USE), project), "0123456789")
    assert len(file.name.encode()) <= 255
    assert file.name.endswith("-01234567.ipynb")
    assert file.name.startswith(stem[:40])


def test_an_artifact_has_no_line_end_in_its_name(project: Settings) -> None:
    notebook = write(project.root / "new\nline\x1b é.ipynb", USE)
    file = plan.executed_file(plan.make_plan(notebook, project), "0123456789")
    assert file.name == "new_line_ é-01234567.ipynb"
