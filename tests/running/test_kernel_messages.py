"""What a kernel sends stands in the executed notebook, at the cell that caused it, or the run says what is missing."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from notebooks_lib.notebooks import document
from notebooks_lib.run_result import RunResult
from notebooks_lib.running import engine, kernel_messages
from notebooks_lib.running.engine import Execution
from notebooks_lib.running.executed_notebook_writer import ExecutedNotebook
from notebooks_lib.running.kernel_process import find_kernel
from notebooks_lib.running.outcome import decide_outcome
from notebooks_lib.running.prepared_notebook import prepare
from notebooks_lib.settings import Settings
from tests import building

pytestmark = pytest.mark.notebooks

BOX = "import ipywidgets as w\nfrom IPython.display import clear_output, display\nbox = w.Output()\n"


def cells(result: RunResult) -> list[str]:
    """What each code cell put out, as text."""
    notebook = json.loads(result.output.read_text())
    return [
        "".join("".join(out.get("text", out.get("data", {}).get("text/plain", ""))) for out in cell["outputs"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def executed(project: Settings, *sources: str, look_again: float, silence: float) -> Execution:
    """The execution of a notebook whose kernel is waited for in another way."""
    source = document.read(building.write(project.root / "work" / "n.ipynb", *sources))
    prepared = prepare(source, {}, {})
    output = ExecutedNotebook(project.root / "work" / "executed.ipynb", ())
    execution = Execution(
        output, os.environ, source.opened, origins=prepared.origins, look_again=look_again, silence=silence
    )
    engine.execute(prepared.notebook, {}, execution, find_kernel(source))
    return execution


def boxes(result: RunResult) -> list[str]:
    """What each output widget holds, as text."""
    kept = json.loads(result.output.read_text())["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]
    states = [one["state"] for one in kept["state"].values() if one["model_name"] == "OutputModel"]
    return ["".join("".join(out.get("text", "")) for out in state["outputs"]) for state in states]


def test_a_burst_is_whole_to_its_last_line(project: Settings) -> None:
    """ZeroMQ drops what a reader does not take fast enough; no cell may end before its last message is there."""
    result = building.run(
        project,
        "for i in range(1500):\n    print(f'record {i:05}', flush=True)\nprint('the last one')",
        "from IPython.display import display\nshown = display('0', display_id=True)\n"
        "for i in range(1100):\n    shown.update(str(i))\nprint('drawn')",
        "import ipywidgets as w\nbar = w.IntProgress(max=1100)\n"
        "for i in range(1100):\n    bar.value = i + 1\nprint('counted')",
        tracked=False,
    )
    assert result.status == "FINISHED"
    logged, drawn, counted = cells(result)
    assert logged.splitlines() == [f"record {i:05}" for i in range(1500)] + ["the last one"]
    assert drawn == "'1099'drawn\n"
    assert counted == "counted\n"


def test_output_is_shown_at_the_cell_that_caused_it(project: Settings) -> None:
    result = building.run(
        project,
        "import asyncio\nasync def work():\n    await asyncio.sleep(0.1)\n    print('of the task')\n"
        "task = asyncio.create_task(work())",
        "import threading, time\ngo = threading.Event()\n"
        "thread = threading.Thread(target=lambda: go.wait() and print('of the thread'))\nthread.start()",
        "await task\ngo.set()\nthread.join()\nprint('of the last')",
        tracked=False,
    )
    task, *rest = cells(result)
    assert task == "of the task\n"
    assert sorted("".join(rest).splitlines()) == ["of the last", "of the thread"]  # threads: ipykernel decides


def test_a_late_clear_output_takes_its_own_cells_output(project: Settings) -> None:
    result = building.run(
        project,
        "import asyncio\nfrom IPython.display import clear_output\nprint('early')\nasync def work():\n"
        "    await asyncio.sleep(0.1)\n    clear_output(wait=True)\n    await asyncio.sleep(0.1)\n    print('late')\n"
        "task = asyncio.create_task(work())",
        "print('kept')\nawait task\nprint('kept, too')",
        tracked=False,
    )
    assert cells(result) == ["late\n", "kept\nkept, too\n"]


def test_output_widgets_take_the_outputs_that_they_capture(project: Settings) -> None:
    result = building.run(
        project,
        BOX + "with box:\n    print('first')\nprint('beside')\nwith box:\n    print('second')",
        "with box:\n    clear_output(wait=True)\n    print('third')",
        "print(box.outputs[0]['text'])",
        "@box.capture(clear_output=True)\ndef f(n):\n    print('called', n)\nf(1)\nf(2)",
        "inner = w.Output()\nwith box:\n    print('outer')\n    with inner:\n        print('inner')\n    print('outer again')",
        "inner.append_stdout('put there')\nwith box:\n    1 / 0",
        "w.interact(lambda n: print('shown', n), n=(0, 10, 1))\nprint('after')",
        *["with box:\n    print('again')"] * 10,
        tracked=False,
        timeout=60,
    )
    assert result.status == "FINISHED", result.failure
    shown = cells(result)
    assert shown[:6] == ["beside\n", "", "third\n\n", "", "", ""]
    assert shown[6].endswith("after\n")
    found = boxes(result)
    assert len(found) == 3
    assert {"inner\nput there", "shown 5\n"} < set(found)
    (outer,) = set(found) - {"inner\nput there", "shown 5\n"}
    assert outer.startswith("called 2\nouter\nouter again\n")
    assert outer.endswith("again\n" * 10)


@pytest.mark.parametrize(
    ("cell", "status", "message"),
    [
        ("exit()", "FINISHED", None),
        ("quit()", "FINISHED", None),
        ("exit", "FINISHED", None),
        ("quit", "FINISHED", None),
        ("exit(0)", "FINISHED", None),
        ("exit(keep_kernel=True)", "FINISHED", None),
        ("get_ipython().ask_exit()", "FINISHED", None),
        ("def stop():\n    if True:\n        quit()\nstop()", "FINISHED", None),
        ("exit(3)", "FAILED", "3"),
        ("quit('no rows')", "FAILED", "no rows"),
    ],
)
def test_exit_ends_the_notebook(cell: str, status: str, message: str | None, project: Settings) -> None:
    last = "" if cell in ("exit", "quit", "get_ipython().ask_exit()") else "\nprint('still in the cell')"
    result = building.run(project, "print('before')", cell + last, "print('never')", tracked=False)
    assert (result.status, result.stopped_early) == (status, status == "FINISHED")
    assert (result.failure.message if result.failure else None) == message
    shown = "".join(cells(result))
    assert "before" in shown
    assert "still" not in shown
    assert "never" not in shown


def test_lost_output_is_reported_and_fails_the_run(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under papermill, which waits four seconds for a cell's last message."""
    real = kernel_messages.receive

    def leaky(channel: Any) -> Any:
        msg = real(channel)
        last = msg is not None and msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle"
        if last and (msg["parent_header"].get("msg_type") == "execute_request"):
            return None
        return msg

    monkeypatch.setattr(kernel_messages, "receive", leaky)
    execution = executed(project, "print('one')", "print('two')", look_again=0.1, silence=0.2)
    status, failure = decide_outcome(execution)
    assert (status, failure.error, failure.cell) == ("FAILED", "OutputLost", 0)
    assert "outputs of this cell are missing" in str(execution.notebook.cells[0].outputs)


def test_a_slow_last_message_is_no_loss(project: Settings) -> None:
    printing = ["for i in range(200):\n    print(i, flush=True)"] * 5
    execution = executed(project, *printing, look_again=0.01, silence=0.0)
    assert decide_outcome(execution) == ("FINISHED", None)


def test_no_name_of_nbops_is_left_in_a_notebook(project: Settings) -> None:
    result = building.run(
        project, "print([n for n in dir() if not n.startswith('_')])", "print(In[1][:5], _ih[0] == '')", tracked=False
    )
    assert cells(result) == ["['In', 'Out', 'exit', 'get_ipython', 'open', 'quit']\n", "print True\n"]
