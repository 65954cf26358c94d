"""A notebook in JupyterLab, as a person uses it: a real server, a real browser, Run All, run again, shut down.

It needs Chromium on the PATH and is skipped where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.cli import git_setup
from notebooks_lib.kernels import kernelspec_managers
from notebooks_lib.notebooks import document
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building, chromium
from tests.conftest import copy_store

ROOT = Path(__file__).parent.parent
NAME = "template.ipynb"
CELLS_OF_WARM = (
    "import os\nprint(open(f'/proc/{os.getppid()}/cmdline').read())\nprint('before' in globals())\nbefore = os.getpid()",
    "import time\nprint(before, flush=True)",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    "time.sleep(300)",
)
OPEN = "window.jupyterapp.shell.currentWidget"
CELLS = f"{OPEN}.content.model.sharedModel.cells.map(cell => cell.toJSON())"

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(
        chromium.CHROMIUM is None, reason="no chromium on the PATH: JupyterLab is not tried in a browser"
    ),
]


def wait(what: str, answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until there is an answer; bounded, and it says what it waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = answer()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@pytest.fixture
def name() -> str:
    """The notebook that is opened."""
    return NAME


@pytest.fixture
def here(tmp_path: Path, migrated: Path, name: str) -> Settings:
    """A project with one notebook and an empty store."""
    root = tmp_path / "project"
    for folder in ("experimentation", "production"):
        (root / folder).mkdir(parents=True)
    if name == NAME:
        shutil.copy(ROOT / "experimentation" / NAME, root / "experimentation")
    else:
        building.write(root / "experimentation" / name, *CELLS_OF_WARM)
    shutil.copy(ROOT / "production" / "settings.toml", root / "production")
    shutil.copy(ROOT / "requirements.lock", root)
    copy_store(migrated, root)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "First"]):
        git(root, *arguments)
        if arguments[0] == "init":
            assert list(git_setup.set_up(root))
            shutil.copy(ROOT / ".gitattributes", root)
            (root / ".gitignore").write_text(".nbops/\n.ipynb_checkpoints/\n")
    assert list(git_setup.set_up_jupyter(tmp_path / "jupyter" / "config"))
    return load(root, {})


def git(root: Path, *arguments: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(root), *name, *arguments], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def address(here: Settings, tmp_path: Path, name: str) -> Iterator[str]:
    """JupyterLab on a free port of this machine, with nothing of the user's own configuration."""
    folders = {
        f"JUPYTER_{name}_DIR": str(tmp_path / "jupyter" / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    folders |= {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "HOME": str(tmp_path)}
    folders |= {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        "--IdentityProvider.token=letmein",
        f"--ServerApp.root_dir={here.root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")} | folders
    log = tmp_path / "jupyterlab.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=output, stderr=output)
    try:
        runtime = Path(folders["JUPYTER_RUNTIME_DIR"])

        def started() -> Any:
            assert server.poll() is None, log.read_text()[-2000:]
            return [text for path in runtime.glob("jpserver-*.json") if (text := path.read_text())]

        told = json.loads(wait("the server's address", started)[0])
        yield f"http://127.0.0.1:{told['port']}/lab/tree/experimentation/{name}?token=letmein"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The notebook, opened in JupyterLab, with its kernel ready."""
    with chromium.launch() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 1600})
        page.goto(address, wait_until="domcontentloaded")
        ready = f"window.jupyterapp && {OPEN}?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(ready, timeout=90_000)
        yield page


def runs_in(here: Settings) -> list[query.RunInfo]:
    """Newest first."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    opened = store.connect(here)
    found = [run for name in query.experiments(opened) for run in query.find_runs(opened, name, ended_only=False)]
    return sorted(found, key=lambda run: run.started_ms, reverse=True)


@pytest.fixture
def pages_of_runs(here: Settings) -> Iterator[int]:
    """`nbops ui` for the project, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "notebooks_lib", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=here.root, stdout=subprocess.DEVNULL) as server:
        yield port
        server.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tags_shown(page: Any, cell: int) -> list[str]:
    """Return the tags that the property inspector shows as those of a cell."""
    page.evaluate(f"() => {{ {OPEN}.content.activeCellIndex = {cell}; }}")
    page.evaluate("() => window.jupyterapp.commands.execute('property-inspector:show-panel')")
    page.get_by_text("Common Tools").click()  # which is folded at first
    applied = page.locator(".jp-CellTags-Applied")
    wait("the tags", lambda: applied.count() and applied.first.is_visible())
    return [text.strip() for text in applied.all_inner_texts()]


def parent_of_the_kernel(page: Any) -> str:
    """Return the command line of the process that started the notebook's kernel."""
    expression = "open(f'/proc/{__import__(\"os\").getppid()}/cmdline').read()"
    reply = page.evaluate(
        f"""async expression => (await {OPEN}.sessionContext.session.kernel.requestExecute(
            {{code: "", silent: true, user_expressions: {{parent: expression}}}}).done).content.user_expressions""",
        expression,
    )
    return str(reply["parent"]["data"]["text/plain"])


@pytest.mark.proof  # lighter: tests/tracking/test_interactive_run.py, tests/test_jupyter_git_index.py, nbval
def test_the_template_run_all_then_run_again_then_shut_down(
    page: Any, here: Settings, pages_of_runs: int, tmp_path: Path
) -> None:
    notebook = document.read(here.root / "experimentation" / NAME)
    page.get_by_role("heading", name="Which question does this notebook answer?").first.wait_for()
    parameters = next(cell.index for cell in notebook.cells if cell.id == "parameters")
    assert tags_shown(page, parameters) == ["parameters"]
    if sys.platform == "linux":
        assert "template_process.py" in parent_of_the_kernel(page), "a warm kernel"
    last = notebook.code_cells[-1].index

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    done = f"{CELLS}[{last}].execution_count !== null && {OPEN}.sessionContext.session.kernel.status === 'idle'"
    page.wait_for_function(done, timeout=120_000)
    page.screenshot(path=str(tmp_path / "after-run-all.png"))  # for people; pytest keeps the last three
    cells = page.evaluate(CELLS)
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(notebook.code_cells) + 1))

    (first,) = runs_in(here)
    assert first.experiment == "template"
    assert first.status == "RUNNING"  # its notebook is still open
    assert Path(first.tags["mlflow.source.name"]).name == NAME
    assert first.params["C"] == "1.0"
    assert first.metrics["brier"] < first.metrics["baseline_brier"]
    assert Tag.MODEL in first.tags
    assert list(first.datasets) == ["digits"]
    link = page.locator(f"a[href*='{first.run_id}']").first
    wait("the pages of the runs", lambda: answers(pages_of_runs))
    other_port = f"127.0.0.1:{pages_of_runs}"  # the link leads to port 5000, which here may be somebody else's
    page.context.route(
        f"{store.UI_ADDRESS}/**",
        lambda route: route.continue_(url=route.request.url.replace("127.0.0.1:5000", other_port)),
    )
    with page.expect_popup() as opened:
        link.click()
    opened.value.get_by_text(first.name).first.wait_for(timeout=60_000)
    opened.value.screenshot(path=str(tmp_path / "run.png"))
    opened.value.close()

    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(f"!{OPEN}.context.model.dirty", timeout=30_000)
    saved = document.read(here.root / "experimentation" / NAME)
    assert all(
        cell["outputs"]
        for cell in saved.raw["cells"]
        if cell["cell_type"] == "code" and "fit" in "".join(cell["source"])
    )
    wait("git's refresh", lambda: git(here.root, "status", "--porcelain") == "", 20)
    assert git(here.root, "diff") == ""

    setup = next(cell.index for cell in notebook.cells if cell.id == "setup")
    page.evaluate(f"() => {{ {OPEN}.content.activeCellIndex = {setup}; }}")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    again = f"{CELLS}[{setup}].execution_count > {counts[-1]}"
    page.wait_for_function(again, timeout=60_000)
    second, earlier = wait("the second run", lambda: found if len(found := runs_in(here)) == 2 else None)
    assert earlier.run_id == first.run_id
    assert earlier.ended
    assert earlier.tags[Tag.SUPERSEDED_BY] == second.run_id
    assert second.status == "RUNNING"
    assert not second.metrics

    page.evaluate(f"() => {OPEN}.sessionContext.shutdown()")
    wait("the end of the run", lambda: [run for run in runs_in(here) if run.run_id == second.run_id and run.ended], 30)
    # The first had recorded its model, so it is whole and counts though the second took its place.
    assert {run.run_id for run in runs_in(here) if run.ended and not run.superseded} == {first.run_id, second.run_id}


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="there are warm kernels on Linux only")
@pytest.mark.parametrize("name", ["warm.ipynb"])
def test_a_warm_kernel_is_chosen_run_interrupted_and_restarted_by_hand(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    assert program.run(["kernels", "install", "--prefix", str(tmp_path)]) == 0
    page = request.getfixturevalue("page")

    page.locator(".jp-KernelName, .jp-Toolbar-kernelName").first.click()
    dialog = page.locator(".jp-Dialog")
    dialog.locator("select").select_option(label=kernelspec_managers.DISPLAY)
    dialog.locator(".jp-mod-accept").click()
    kernel = f"{OPEN}.sessionContext.session?.kernel"
    page.wait_for_function(
        f"{kernel}?.name === '{kernelspec_managers.NAME}' && {kernel}.status === 'idle'", timeout=60_000
    )

    def text(cell: int) -> str:
        outputs = page.evaluate(CELLS)[cell].get("outputs", ())
        return "".join("".join(output.get("text", output.get("ename", ""))) for output in outputs)

    def choose(menu: str, command: str) -> None:
        page.get_by_role("menuitem", name=menu, exact=True).click()
        page.locator(f".lm-Menu-item[data-command='{command}']").click()

    def runs_to_the_last_cell() -> str:
        number = wait("the kernel's number", lambda: found if (found := text(1).strip()) != first else None)
        assert "template_process.py" in text(0)
        assert "False" in text(0), "nothing is left of a kernel before"
        wait("the figure", lambda: page.locator(".jp-RenderedImage img").count() == 1)
        page.wait_for_function(f"{kernel}.status === 'busy'", timeout=60_000)
        return str(number)

    def interrupt() -> None:
        page.get_by_role("button", name="Interrupt the kernel").first.click()
        assert wait("the interrupt", lambda: text(3)) == "KeyboardInterrupt"
        page.wait_for_function(f"{kernel}.status === 'idle'", timeout=60_000)

    first = ""
    choose("Run", "runmenu:run-all")
    first = runs_to_the_last_cell()
    interrupt()
    page.screenshot(path=str(tmp_path / "warm.png"))

    choose("Kernel", "runmenu:restart-and-run-all")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    second = runs_to_the_last_cell()
    assert not Path(f"/proc/{first}").exists()
    interrupt()
    page.evaluate(f"() => {OPEN}.sessionContext.shutdown()")
    wait("the kernel's end", lambda: not Path(f"/proc/{second}").exists())
