"""What every run carries, and what a notebook may rely on while it runs."""

from __future__ import annotations

import asyncio
import html
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.running import plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def test_a_run_carries_source_git_and_parameters(project: Settings) -> None:
    path = building.write(
        project.root / "work" / "a.ipynb", "print('seen')", parameters="alpha: float = 1.0  # strength", title="Why?"
    )
    git(project.root, "init", "-q")
    git(project.root, "add", "work")
    git(project.root, "commit", "-qm", "first")
    (project.root / "work" / "new.txt").write_text("not added")
    path.write_text(path.read_text().replace("seen", "changed"))
    result = run_notebook(plan.make_plan(path, project, {"alpha": 2}))
    connected = store.connect(project)
    info = query.get_run(connected, result.run_id or "")

    assert info.params == {"alpha": "2.0"}
    assert info.name == "a alpha=2.0"
    assert info.tags["mlflow.note.content"].startswith("Why?")
    assert info.tags["mlflow.source.name"] == info.tags[Tag.NOTEBOOK] == "work/a.ipynb"
    assert info.tags["mlflow.source.type"] == "NOTEBOOK"
    assert info.tags["mlflow.source.git.commit"] == git(project.root, "rev-parse", "HEAD").strip()
    assert info.tags[Tag.GIT_DIRTY] == "true"
    for tag in ("mlflow.user", Tag.HOST, Tag.VERSION, Tag.CODE_SHA256, Tag.SOURCE_FINGERPRINT, Tag.RUN_FINGERPRINT):
        assert info.tags[tag], tag
    artifacts = {
        item.path for folder in ("notebook", "nbops") for item in connected.client.list_artifacts(info.run_id, folder)
    }
    assert artifacts == {
        f"notebook/{result.output.name}",
        "notebook/a.html",
        "nbops/cells.json",
        "nbops/parameters.json",
        "nbops/uncommitted.diff",
    }
    diff = connected.client.download_artifacts(info.run_id, "nbops/uncommitted.diff")
    assert "changed" in Path(diff).read_text()
    assert "work/new.txt" in Path(diff).read_text()
    cells = json.loads(Path(connected.client.download_artifacts(info.run_id, "nbops/cells.json")).read_text())
    assert [cell["status"] for cell in cells] == ["completed"] * 3
    assert all(cell["seconds"] >= 0 for cell in cells)
    page = Path(connected.client.download_artifacts(info.run_id, "notebook/a.html")).read_text()
    assert "changed" in page


def test_a_kernel_runs_in_its_notebooks_folder_from_any_other(project: Settings, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    result = building.run(project, "import os\nprint(os.getcwd())")
    assert building.outputs(result).strip() == str(project.root / "work")
    assert result.output.is_relative_to(project.root)


@pytest.mark.proof  # makes a store from nothing
def test_a_notebook_outside_a_project_keeps_its_runs_in_the_current_folder(tmp_path: Path) -> None:
    path = building.write(tmp_path / "else" / "n.ipynb", "print(1)")
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "notebooks_lib", "run", str(path), "--json", "--no-html"],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["output"]).is_relative_to(here)
    assert not (tmp_path / "else" / ".nbops").exists()


def test_a_secret_reaches_the_kernel_and_nothing_that_is_written(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    value = 'Ge<h>e&im"n1s\\'
    monkeypatch.setenv("SAMPLE_TOKEN", value)
    parameters = 'from notebooks_lib import SecretStr\ntoken: SecretStr = "SAMPLE_TOKEN"  # for the shop\nn: int = 1'
    result = building.run(
        project,
        "import os\nassert token == os.environ['SAMPLE_TOKEN'] and token.get_secret_value() == token\ntoken",
        "print(token, [token], f'Bearer {token}', 'Bearer ' + token, repr(os.environ['SAMPLE_TOKEN']))\n{'t': os.environ['SAMPLE_TOKEN']}",
        "import pandas\npandas.DataFrame({'t': [os.environ['SAMPLE_TOKEN']]})",
        "import mlflow\nmlflow.log_param('t', token)\nmlflow.set_tag('u', f'Bearer {token}')\nraise ValueError(os.environ['SAMPLE_TOKEN'])",
        parameters=parameters,
        values={"n": 2},
        page=True,
    )
    assert (result.status, result.failure and result.failure.error) == ("FAILED", "ValueError")
    info = query.get_run(store.connect(project), result.run_id or "")
    written = [str(info), str(result), *capfd.readouterr()]
    kept = [
        path for path in project.layout.state.rglob("*") if path.is_file() and path.suffix not in (".db-wal", ".db-shm")
    ]
    assert result.output in kept
    written += [path.read_bytes().decode("utf-8", "replace") for path in kept]
    for text in written:
        spellings = [value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(json.dumps(value)[1:-1])[1:-1]]
        for spelling in (*spellings, *map(html.escape, spellings)):
            assert spelling not in text


def test_a_kernel_of_another_machine_is_replaced_by_python3(project: Settings) -> None:
    path = building.write(project.root / "n.ipynb", "print('ran')")
    path.write_text(path.read_text().replace('"python3"', '"conda-env-theirs-py"'))
    planned = plan.make_plan(path, project)
    assert "ran" in building.outputs(run_notebook(planned, html=False))
    with pytest.raises(errors.NotebookError, match=r"unknown kernel 'pyton3', did you mean 'python3'\?"):
        run_notebook(planned, kernel="pyton3")


def test_a_notebook_can_be_run_from_a_notebook(project: Settings) -> None:
    """There an event loop is running already."""

    async def cell() -> str:
        return building.run(project, "x = 1").status

    assert asyncio.run(cell()) == "FINISHED"


def test_a_missing_secret_is_refused_before_the_start(project: Settings) -> None:
    with pytest.raises(errors.ParameterError, match="SAMPLE_TOKEN"):
        building.run(project, "1", parameters='token: "SecretStr" = "SAMPLE_TOKEN"')


def test_parameters_keep_their_values_and_types(project: Settings) -> None:
    """papermill's own injection makes strings of tuples, sets and keys."""
    parameters = (
        "a: tuple = (1, 2)\nb: set = {1}\nc: dict = {}\nd: float = 0.0\ne: 'int | None' = 3\nf: str = ''\n"
        "g: bool = False\nh: list = []"
    )
    given = {"a": (3, "x"), "b": {2, 3}, "c": {1: (True, None)}, "d": float("inf"), "e": None}
    given |= {"f": "quote ' \" # = \\ ☃", "g": True, "h": [1.0, -2]}
    result = building.run(project, "print(repr((a, b, c, d, e, f, g, h)))", parameters=parameters, values=given)
    assert result.status == "FINISHED", result.failure
    inf = float("inf")
    assert eval(building.outputs(result), {"inf": inf}) == tuple(given.values())


def test_what_cells_print_is_bounded_and_progress_bars_are_collapsed(project: Settings) -> None:
    result = building.run(
        project,
        "for i in range(60_000):\n    print('line', i)",
        "from tqdm import tqdm\nfor i in tqdm(range(50)):\n    print('step', i)",
        "from IPython.display import display\nfor i in range(1200):\n    display(i)",
    )
    cells = json.loads(result.output.read_text())["cells"]
    (stream,) = cells[0]["outputs"]
    text = "".join(stream["text"])
    assert text.startswith("line 0\n")
    assert text.endswith("line 59999\n")
    assert "characters left out" in text
    assert len(text) < 100_000
    bar = next("".join(out["text"]) for out in cells[1]["outputs"] if out["name"] == "stderr")
    assert bar.count("\n") == 1
    assert "50/50" in bar
    assert len(cells[2]["outputs"]) == 1001
    assert result.output.stat().st_size < 1_000_000


@pytest.mark.proof
def test_two_at_once_on_a_database_that_does_not_exist_yet(empty_project: Settings) -> None:
    """Eight at once, and 24 in all, are among the slow proofs."""
    path = building.write(
        empty_project.root / "n.ipynb",
        "import mlflow\nwith mlflow.start_run():\n    for step in range(20):\n        mlflow.log_metric('a', step, step=step)",
        parameters="k: int = 0",
    )

    def once(k: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "notebooks_lib", "run", str(path), "-p", f"k={k}", "--json", "--no-html"],
            cwd=empty_project.root,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(once, range(2)))
    assert [process.returncode for process in done] == [0] * 2, [process.stderr for process in done]
    connected = store.connect(empty_project)
    runs = query.find_runs(connected, "sample")
    assert sorted(run.params["k"] for run in runs) == ["0", "1"]
    for run in runs:
        assert len(connected.client.get_metric_history(run.run_id, "a")) == 20
    with closing(sqlite3.connect(empty_project.layout.database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_executed_notebook_stays_when_the_store_goes_away(project: Settings) -> None:
    breaks = "import pathlib\nfor path in pathlib.Path('../.nbops').glob('mlflow.db*'):\n    path.write_bytes(b'broken' * 100_000)"
    with pytest.raises(errors.TrackingError, match=r"the notebook ended FINISHED and stands in .*could not be written"):
        building.run(project, breaks)
    (kept,) = project.layout.executed.glob("*.ipynb")
    assert json.loads(kept.read_text())["metadata"]["nbops"]["status"] == "FINISHED"


def test_a_page_that_cannot_be_rendered_does_not_fail_the_run(project: Settings) -> None:
    path = building.write(project.root / "n.ipynb", "x = 1")
    notebook = json.loads(path.read_text())
    image = {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "![x](attachment:gone.png)"}
    notebook["cells"].append(image)
    path.write_text(json.dumps(notebook))
    result = run_notebook(plan.make_plan(path, project))
    info = query.get_run(store.connect(project), result.run_id or "")
    assert (result.status, info.tags[Tag.END]) == ("FINISHED", "FINISHED")


def test_the_error_is_kept_after_many_outputs_and_clearing_a_cell_resets_the_limit(project: Settings) -> None:
    many = "from IPython.display import display, clear_output\nfor i in range(1100):\n    display(i)\n"
    result = building.run(project, f"{many}clear_output(wait=True)\ndisplay('LAST')", f"{many}1 / 0")
    cells = json.loads(result.output.read_text())["cells"]
    kept = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert [out["data"]["text/plain"] for out in kept[0]] == [["'LAST'"]]
    assert kept[1][-1]["ename"] == "ZeroDivisionError"


def test_no_single_output_fills_the_notebook(project: Settings) -> None:
    result = building.run(
        project,
        "from IPython.display import HTML\nHTML('x' * 20_000_000)",
        "raise ValueError('y' * 5_000_000)",
    )
    assert result.failure is not None
    assert len(result.failure.message) < 50_000
    assert result.output.stat().st_size < 1_000_000


@pytest.mark.parametrize("metadata", [{}, {"kernelspec": {"name": "python3", "display_name": "x"}}])
def test_a_notebook_that_names_no_language_takes_parameters(metadata: dict[str, object], project: Settings) -> None:
    path = building.write(project.root / "n.ipynb", "print('a is', a)", parameters="a = 1")
    path.write_text(json.dumps({**json.loads(path.read_text()), "metadata": metadata}))
    result = run_notebook(plan.make_plan(path, project, {"a": 2}), html=False)
    assert "a is 2" in building.outputs(result)


def test_a_notebook_that_sets_what_an_import_reads_gets_an_ordinary_kernel(
    project: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """In a warm one the library is imported already, and would never look."""
    cell = "import os\nos.environ['MPLBACKEND'] = 'svg'\nimport matplotlib\nprint(matplotlib.rcParams['backend'])"
    results = [building.run(project, cell) for _ in range(2)]
    assert [building.outputs(result).strip() for result in results] == ["svg", "svg"]
    tags = [query.get_run(store.connect(project), result.run_id).tags[Tag.KERNEL] for result in results]
    assert tags == ["cold", "cold"]
    assert len([line for line in caplog.messages if "sets MPLBACKEND before an import" in line]) == 2, "once a notebook"
