"""A warm kernel is an ordinary kernel in all that a client and its cells can see: every test asks both the same."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernels.building import Kernel, own_templates, wait

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]
PRELOAD = "numpy,pandas,matplotlib.pyplot,sklearn.ensemble,joblib,optuna,ipywidgets,tqdm.auto,yaml,pyarrow"
IMPORTS = f"import {PRELOAD}"
FONTS = str(Path("~/.cache/matplotlib").expanduser())
"""Collected once a machine, not in every test's home."""
JOBS = """
import os
def double(number):
    return 2 * number
def home(_):
    return os.getcwd()
"""
FACTS = {
    "folder": "os.getcwd()",
    "arguments": "[os.path.basename(sys.argv[0]), sys.argv[1], *(os.path.basename(a) for a in sys.argv[2:])]",
    "first arguments": "[*sys.orig_argv[:-1], os.path.basename(sys.orig_argv[-1])]",
    "command line": "open('/proc/self/cmdline').read().rstrip(chr(0)).split(chr(0))[:-1]",
    "interpreter": "[sys.executable, sys.prefix, sys.flags[:], sys.hash_info[:]]",
    "search path": "sys.path",
    "import hooks": "[type(hook).__name__ for hook in sys.meta_path], len(sys.path_hooks)",
    "umask": "(os.umask(0o22), os.umask(0o77))[0]",
    "signal handlers": "{int(n): repr(signal.getsignal(n)).split(' at ')[0] for n in signal.valid_signals()}",
    "blocked signals": "list(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    "limits": "{n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith('RLIMIT_')}",
    "priority": "[os.nice(0), sorted(os.sched_getaffinity(0))]",
    "own session": "[os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()]",
    "input has ended": "os.read(0, 1)",
    "streams": "[(type(s).__module__, type(s).__name__, s.encoding, s.isatty()) for s in (sys.stdout, sys.stderr)]",
    "first streams": "[(s.fileno(), s.encoding, s.errors, s.mode) for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__)]",
    "main module": "['__file__' in vars(sys.modules['__main__']), __name__, __spec__ is None]",
    "names": "sorted(n for n in globals() if not n.startswith('_i') and n not in IMPORTED)",
    "threads": "sorted(re.sub('[0-9]', 'N', t.name) for t in threading.enumerate())",
    "main thread": "[threading.main_thread().native_id == os.getpid(), threading.current_thread().name]",
    "collector": "[gc.isenabled(), gc.get_threshold(), gc.get_debug()]",
    "recursion": "sys.getrecursionlimit()",
    "sockets": "OPEN.count('socket')",
    "root logger": "[logging.root.level, [type(h).__name__ for h in logging.root.handlers]]",
    "loggers' streams": "{n: type(h.stream).__name__ for n, l in logging.root.manager.loggerDict.items() "
    "for h in getattr(l, 'handlers', ()) if n in ('tornado', 'mlflow')}",
    "open files": "OPEN",
    "hooks": "[sys.excepthook.__qualname__, type(sys.displayhook).__name__, sys.breakpointhook.__qualname__]",
    "fault handler": "faulthandler.is_enabled()",
    "locale": "[locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding()]",
    "trace": "[sys.gettrace(), sys.getprofile()]",
    "policy of asyncio": "type(asyncio.get_event_loop_policy()).__name__, type(asyncio.get_running_loop()).__name__",
    "folder of the first import": "multiprocessing.process.ORIGINAL_DIR",
    "start of the log": "logging._startTime > __import__('psutil').Process().create_time() - 1",
    "start method": "multiprocessing.get_start_method()",
    "temporary folder": "tempfile.gettempdir()",
    "pandas columns": "pandas.get_option('display.max_columns'), pandas.get_option('display.notebook_repr_html')",
    "progress bar": "tqdm.auto.tqdm.__mro__[1].__module__",
    "matplotlib": "[matplotlib.get_backend(), matplotlib.rcParams['figure.figsize'], matplotlib.is_interactive()]",
    "pools": "sorted((p['prefix'], p['num_threads']) for p in threadpoolctl.threadpool_info())",
    "arrow": "pyarrow.cpu_count(), pyarrow.io_thread_count()",
    "floats": "[numpy.geterr(), numpy.get_printoptions()['precision']]",
    "warnings": "sorted((w[0], w[2].__name__) for w in warnings.filters)",
    "magics": "sorted(get_ipython().magics_manager.magics['line'])",
    "extensions": "sorted(get_ipython().extension_manager.loaded)",
}
NEEDS = (
    "asyncio faulthandler gc json locale logging multiprocessing os re resource signal sys tempfile threading time warnings "
    "threadpoolctl matplotlib"
)
ASK = f"""
import {", ".join(NEEDS.split())}
def opened():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(re.sub(".*/|[0-9]+|:.*", "", os.readlink("/proc/self/fd/" + name)))
        except OSError:
            pass
    return sorted(found)
OPEN = []
for _ in range(20):  # connections of the client come and go at first
    now, before = opened(), OPEN
    OPEN = now
    if now == before:
        break
    time.sleep(0.1)
IMPORTED = {{*"IMPORTED OPEN FACTS opened now before".split(), *{(PRELOAD.replace(".", ",") + "," + NEEDS.replace(" ", ",")).split(",")}}}
FACTS = {FACTS!r}
print("<<" + json.dumps({{name: repr(eval(code)) for name, code in FACTS.items()}}) + ">>")
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with own_templates() as home:
        (home / "work").mkdir()
        (home / "work" / "jobs.py").write_text(JOBS)
        yield home


KINDS = pytest.mark.parametrize("kind", [pytest.param("cold", marks=pytest.mark.proof), "warm"])
"""For tests that start kernels of their own: that an ordinary kernel answers so, too, is for `make proof` to say."""
SHOWN = "[gc.get_freeze_count() > 10_000, psutil.Process().ppid() == os.getppid(), memory.uss < 0.6 * memory.rss]"


SET_OUTSIDE = {"SOME": "thing", "KMP_DUPLICATE_LIB_OK": "FALSE"}
"""The second one threadpoolctl sets where nobody else has."""


def start(home: Path, kind: str, folder: str = "work", **env: str) -> Kernel:
    (home / folder).mkdir(exist_ok=True)
    given = {"NBOPS_KERNELS_PRELOAD": PRELOAD, **SET_OUTSIDE, "HOME": str(home), "MPLCONFIGDIR": FONTS, **env}
    return Kernel(home / folder, warm=kind == "warm", env=given)


@pytest.fixture(scope="module")
def kernels(home: Path) -> Iterator[dict[str, Kernel]]:
    """One of each kind, by a client with limits of its own; each knows the FACTS as they were when it had started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    umask = os.umask(0o027)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 10, hard))
    with contextlib.ExitStack() as started:
        try:
            found = {kind: started.enter_context(start(home, kind)) for kind in ("cold", "warm")}
        finally:
            os.umask(umask)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for kernel in found.values():
            kernel.run(IMPORTS)
            shown = kernel.value(SHOWN, "import gc, os, psutil\nmemory = psutil.Process().memory_full_info()")
            kernel.run("del gc, os, psutil, memory")
            kernel.facts = json.loads(kernel.run(ASK).stdout.partition("<<")[2].rpartition(">>")[0])
            kernel.facts["shown"] = repr(shown)
        yield found


@pytest.fixture(params=["cold", "warm"])
def kernel(kernels: dict[str, Kernel], request: pytest.FixtureRequest) -> Kernel:
    return kernels[request.param]


def test_the_warm_kernel_has_its_libraries_imported_and_the_cold_one_has_not(
    kernels: dict[str, Kernel], home: Path
) -> None:
    assert kernels["warm"].warm
    assert not kernels["cold"].warm
    parents = {kind: kernel.value("os.getppid()", "import os") for kind, kernel in kernels.items()}
    assert parents["warm"] != os.getpid() == parents["cold"]
    with start(home, "warm") as kernel:
        found = kernel.value(
            "[name in sys.modules for name in 'pandas sklearn.ensemble optuna yaml'.split()]", "import sys"
        )
        assert found == [True] * 4


@pytest.mark.parametrize("fact", sorted(FACTS.keys() - {"open files"}))
def test_a_fact_is_the_same_in_warm_and_cold_kernels(kernels: dict[str, Kernel], fact: str) -> None:
    assert kernels["warm"].facts[fact] == kernels["cold"].facts[fact]


def test_what_gc_and_psutil_show_is_as_documented(kernels: dict[str, Kernel]) -> None:
    """docs/kernels.md: what the template had imported is frozen, and most of the memory is shared with it."""
    assert ast.literal_eval(kernels["warm"].facts["shown"]) == [True, True, True]
    assert ast.literal_eval(kernels["cold"].facts["shown"])[:2] == [False, True]


def test_the_environment_is_the_same_in_warm_and_cold_kernels(kernels: dict[str, Kernel]) -> None:
    cold, warm = (kernels[kind].value("dict(os.environ)", "import os") for kind in ("cold", "warm"))
    differing = {name for name in cold.keys() | warm.keys() if cold.get(name) != warm.get(name)}
    assert differing <= {"IPYTHONDIR"}  # the tests' own
    assert warm["JPY_PARENT_PID"] == str(os.getpid())
    assert warm.items() >= SET_OUTSIDE.items()


def test_of_the_templates_descriptors_only_the_pipe_to_it_is_open(kernels: dict[str, Kernel]) -> None:
    cold, warm = (Counter(ast.literal_eval(kernels[kind].facts["open files"])) for kind in ("cold", "warm"))
    assert warm - cold <= Counter({"pipe": 1, "anon_inode": 1})  # on which it says what it imported; who its client is
    assert cold - warm == Counter()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("kernel_info_request", {}),
        ("complete_request", {"code": "pandas.DataF", "cursor_pos": 12}),
        ("inspect_request", {"code": "pandas.DataFrame", "cursor_pos": 12, "detail_level": 0}),
        ("is_complete_request", {"code": "for i in range(3):"}),
        ("comm_info_request", {"target_name": "none"}),
    ],
)
def test_requests_are_answered_alike(kernels: dict[str, Kernel], kind: str, content: dict[str, Any]) -> None:
    cold, warm = (kernel.ask("shell", kind, content) for kernel in kernels.values())
    for answer in (cold, warm):
        answer.pop("banner", None)  # has a tip of the day
    assert warm == cold
    assert warm["status"] in ("ok", "incomplete")


def test_results_streams_and_errors(kernel: Kernel) -> None:
    done = kernel.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert (done.status, done.stdout, done.stderr, done.text) == ("ok", "out\n", "err\n", "42")
    done = kernel.run("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))")
    assert done.data[0]["text/html"] == "<b>x</b>"
    done = kernel.run("def f():\n    return 1 / 0\nf()")
    assert done.error == "ZeroDivisionError"
    trace = "".join(next(m for m in done.messages if m["msg_type"] == "error")["content"]["traceback"])
    assert "return" in trace
    assert "kernels" not in trace  # nothing of the template is on the stack
    depth = kernel.value("len(inspect.stack(0))", "import inspect")
    assert 15 < depth < 40


def test_the_stack_below_a_cell_is_the_kernels_own(kernels: dict[str, Kernel]) -> None:
    code = "[(os.path.basename(f.filename), f.function) for f in inspect.stack(0)]"
    cold, warm = (kernels[kind].value(code, "import inspect, os") for kind in ("cold", "warm"))
    shared = [frame for frame in cold if frame[0] not in ("<frozen runpy>", "ipykernel_launcher.py")]
    assert warm[: len(shared)] == shared
    assert [name for name, _ in warm[len(shared) :]] == ["kernel_app.py", "template_process.py", "template_process.py"]


def test_what_other_programs_and_c_code_print_is_shown(kernel: Kernel) -> None:
    assert "to one" in kernel.run("import os\nos.write(1, b'to one\\n')\nimport time; time.sleep(0.3)").stdout
    done = kernel.run("import ctypes\nc = ctypes.CDLL(None)\nc.printf(b'from C\\n')\nc.fflush(None)\ntime.sleep(0.3)")
    assert "from C" in done.stdout
    assert "echoed" in kernel.run("!echo echoed").stdout
    done = kernel.run("import subprocess\nsubprocess.run(['sh', '-c', 'echo child; echo wrong >&2'])\ntime.sleep(0.3)")
    assert "child" in done.stdout
    assert "wrong" in done.stderr


def test_what_loggers_of_libraries_say_is_shown(kernel: Kernel) -> None:
    """Optuna keeps sys.stderr when it is imported, which in a template is not the kernel's."""
    done = kernel.run("study = optuna.create_study()\nstudy.optimize(lambda trial: trial.suggest_float('x', 0, 1), 1)")
    assert "Trial 0 finished" in done.stderr
    assert done.status == "ok"


def test_input_is_asked_of_the_client(kernel: Kernel) -> None:
    assert kernel.run("name = input('who? ')\nname * 2", answer="ab").text == "'abab'"


@pytest.mark.parametrize("code", ["import time\ntime.sleep(600)", "while True:\n    pass"])
def test_an_interrupt_ends_the_cell_and_nothing_else(kernel: Kernel, code: str) -> None:
    done = kernel.run(f"kept = 5\n{code}", during=kernel.manager.interrupt_kernel)
    assert done.error == "KeyboardInterrupt"
    assert kernel.run("kept").text == "5"


def test_comms_go_both_ways(kernel: Kernel) -> None:
    code = "from comm import create_comm\nheard = []\nc = create_comm(target_name='t', data={'a': 1})\nc.on_msg(heard.append)"
    done = kernel.run(code)
    opened = next(m["content"] for m in done.messages if m["msg_type"] == "comm_open")
    assert (opened["target_name"], opened["data"]) == ("t", {"a": 1})
    session = kernel.channels.session
    kernel.channels.shell_channel.send(session.msg("comm_msg", {"comm_id": opened["comm_id"], "data": {"b": 2}}))
    assert kernel.value("heard[0]['content']['data']") == {"b": 2}
    closed = kernel.run("c.close()")
    assert [m["content"]["comm_id"] for m in closed.messages if m["msg_type"] == "comm_close"] == [opened["comm_id"]]


def test_widgets_are_shown_and_receive_messages_of_the_front_end(kernel: Kernel) -> None:
    done = kernel.run("slider = ipywidgets.IntSlider(3)\nslider")
    view = done.data[0]["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] in {m["content"]["comm_id"] for m in done.messages if m["msg_type"] == "comm_open"}
    data = {"method": "update", "state": {"value": 9}, "buffer_paths": []}
    session = kernel.channels.session
    kernel.channels.shell_channel.send(session.msg("comm_msg", {"comm_id": view["model_id"], "data": data}))
    assert kernel.run("slider.value").text == "9"
    bar = kernel.run("for _ in tqdm.auto.tqdm(range(2)):\n    pass")
    assert "application/vnd.jupyter.widget-view+json" in bar.data[0]


@KINDS
def test_the_debugger_stops_at_a_breakpoint(home: Path, kind: str) -> None:
    with start(home, kind) as kernel:
        stop_and_go_on(kernel)


def stop_and_go_on(kernel: Kernel) -> None:
    def debug(command: str, **arguments: object) -> dict[str, Any]:
        debug.seq += 1  # type: ignore[attr-defined]
        request = {"type": "request", "seq": debug.seq, "command": command, "arguments": arguments}  # type: ignore[attr-defined]
        return kernel.ask("control", "debug_request", request)

    debug.seq = 0  # type: ignore[attr-defined]
    client = {"clientID": "test", "adapterID": "", "pathFormat": "path", "linesStartAt1": True, "columnsStartAt1": True}
    assert debug("initialize", **client, supportsVariableType=True)["success"]
    assert debug("attach")["success"]
    cell = "def f(x):\n    y = x + 1\n    return y\nf(1)"
    path = debug("dumpCell", code=cell)["body"]["sourcePath"]
    points = debug("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}], sourceModified=False)
    assert points["body"]["breakpoints"][0]["verified"]
    assert debug("configurationDone")["success"]
    client_ = kernel.channels
    client_.execute(cell)

    def stopped() -> dict[str, Any] | None:
        with contextlib.suppress(Exception):
            message = client_.get_iopub_msg(timeout=0.2)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
                return dict(message["content"]["body"])
        return None

    body = wait("the breakpoint", stopped)
    frames = debug("stackTrace", threadId=body["threadId"])["body"]["stackFrames"]
    assert (frames[0]["name"], frames[0]["line"]) == ("f", 2)
    debug("continue", threadId=body["threadId"])
    assert debug("disconnect", restart=False, terminateDebuggee=False)["success"]
    assert kernel.run("f(4)").text == "5"


def test_subprocesses_and_multiprocessing_work(kernel: Kernel) -> None:
    kernel.run("import multiprocessing, jobs, os")
    for method in ("fork", "spawn"):
        code = f"with multiprocessing.get_context('{method}').Pool(2) as pool:\n    got = pool.map(jobs.double, range(4)), pool.map(jobs.home, [0])"
        assert kernel.value("got", code) == ([0, 2, 4, 6], [str(kernel.folder)])
    code = "from concurrent.futures import ProcessPoolExecutor\nwith ProcessPoolExecutor(1) as pool:\n    got = list(pool.map(jobs.double, [4]))"
    assert kernel.value("got", code) == [8]
    assert kernel.value("joblib.Parallel(n_jobs=2)(joblib.delayed(jobs.double)(n) for n in range(3))") == [0, 2, 4]


def test_asyncio_in_cells(kernel: Kernel) -> None:
    done = kernel.run("import asyncio\ntask = asyncio.create_task(asyncio.sleep(0.05, 'slept'))\nawait task")
    assert done.text == "'slept'"


def test_figures_are_drawn_into_the_notebook(kernel: Kernel) -> None:
    done = kernel.run("import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2]);")
    assert "image/png" in done.data[0]
    done = kernel.run("%matplotlib inline\nplt.plot([1, 2]);")
    assert "image/png" in done.data[0]
    assert "text/html" in kernel.run("pandas.DataFrame({'a': [1]})").data[0]


CHANCE = """[random.random(), numpy.random.rand(), numpy.random.default_rng().random(), secrets.token_hex(8),
 str(uuid.uuid4()), multiprocessing.current_process().authkey.hex(), next(tempfile._get_candidate_names())]"""
CHANCE_NEEDS = "import multiprocessing, random, secrets, uuid, numpy, tempfile"


@KINDS
def test_a_restart_gives_a_fresh_process_on_the_same_connection(home: Path, kind: str) -> None:
    with start(home, kind) as kernel:
        drawn = kernel.value(CHANCE, CHANCE_NEEDS)
        kernel.run("left = 1\nimport os; os.environ['LEFT'] = '1'; os.chdir('/')")
        pid, connection = kernel.pid, Path(kernel.manager.connection_file).read_text()
        kernel.manager.restart_kernel()
        kernel.process = kernel.manager.provisioner.process
        kernel.connect()
        assert kernel.pid != pid
        assert json.loads(Path(kernel.manager.connection_file).read_text()) == json.loads(connection)
        assert kernel.run("left").error == "NameError"
        assert kernel.value("os.environ.get('LEFT'), os.getcwd()", "import os") == (None, str(kernel.folder))
        again = kernel.value(CHANCE, CHANCE_NEEDS)
        assert not set(drawn) & set(again)  # nothing that is left to chance falls alike
        assert len(set(again)) == 7
        assert kernel.warm == (kind == "warm")


ENDING = """
import atexit, os, sys, threading, time
import own
class Told:
    def __init__(self, name): self.name = name
    def __del__(self, say=own.say): say(self.name)
kept = Told('__del__')
cycle = Told('cycle'); cycle.itself = cycle
text = open('open.txt', 'w'); text.write('written')
binary = open('open.bin', 'wb'); binary.write(b'bytes')
atexit.register(own.say, 'exit function')
threading.Thread(target=lambda: (time.sleep(0.3), own.say('thread'))).start()
class Late(threading.Thread):
    def __init__(self): super().__init__(daemon=True)
    def run(self): time.sleep(30); own.say('daemon')
Late().start()
"""
OWN = """
import os
told = os.open('told.txt', os.O_CREAT | os.O_APPEND | os.O_WRONLY)
def say(what, write=os.write, told=told):
    write(told, what.encode() + b'\\n')
class Held:
    def __del__(self, say=say): say('module')
held = Held()
"""


@KINDS
def test_the_end_of_a_kernel_is_that_of_an_interpreter(home: Path, kind: str) -> None:
    folder = home / f"ending-{kind}"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    with start(home, kind, folder.name) as kernel:
        assert kernel.run(ENDING).status == "ok"
        assert kernel.warm == (kind == "warm")
        assert kernel.shut_down() == 0
    told = (folder / "told.txt").read_text().split()
    assert told == ["thread", "exit", "function", "__del__", "cycle", "module"]
    assert (folder / "open.txt").read_text() == "written"
    assert (folder / "open.bin").read_bytes() == b"bytes"


@KINDS
def test_the_client_learns_how_a_kernel_ended(home: Path, kind: str) -> None:
    def dies(code: str, expected: int) -> None:
        with start(home, kind) as kernel:
            assert kernel.process.poll() is None
            kernel.channels.execute(code)
            assert kernel.process.wait(20) == expected
            assert kernel.process.poll() == expected

    dies("import os\nos._exit(3)", 3)
    dies("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)
    with start(home, kind) as kernel:
        kernel.run("import atexit, sys\natexit.register(sys.exit, 7)")
        assert kernel.shut_down() == 0  # an exit function's own wish is ignored
        assert kernel.manager.is_alive() is False


@KINDS
def test_a_module_beside_the_notebook_is_imported_before_an_installed_one(home: Path, kind: str) -> None:
    folder = home / "shadow"
    folder.mkdir(exist_ok=True)
    (folder / "yaml.py").write_text("WHERE = 'beside'")
    (folder / "matplotlibrc").write_text("lines.linewidth: 7")
    with start(home, kind, "shadow") as kernel:
        assert kernel.run("import yaml\nyaml.WHERE").text == "'beside'"
        assert kernel.value("matplotlib.rcParams['lines.linewidth']", "import matplotlib") == 7.0


NATIVE = """[name for task in os.listdir('/proc/self/task')
    if int(task) not in {thread.native_id for thread in threading.enumerate()}
    and not (name := open(f'/proc/self/task/{task}/comm').read().strip()).startswith(('ZMQbg', 'jemalloc'))]"""
"""Threads that are neither Python's nor those of ZeroMQ and of Arrow's memory."""


@KINDS
def test_variables_for_paths_and_threads_take_effect(home: Path, kind: str) -> None:
    """PYTHONPATH is read when an interpreter starts, OMP_NUM_THREADS when native libraries are loaded."""
    library = home / "library"
    library.mkdir(exist_ok=True)
    (library / "mine.py").write_text("WHERE = 'library'")
    before = [str(library), *filter(None, [os.environ.get("PYTHONPATH")])]
    with start(home, kind, PYTHONPATH=os.pathsep.join(before), NBOPS_KERNELS_PRELOAD="") as kernel:
        assert kernel.warm == (kind == "warm")
        assert kernel.run("import mine, sys\nmine.WHERE").text == "'library'"
        assert kernel.value("sys.path[0]") == str(library)
    with start(home, kind, OMP_NUM_THREADS="1") as kernel:
        kernel.run("import sklearn.ensemble, numpy, pyarrow, joblib, threadpoolctl")
        threads = "{pool['num_threads'] for pool in threadpoolctl.threadpool_info()}, pyarrow.cpu_count()"
        assert kernel.value(threads) == ({1}, 1)
        assert kernel.value(NATIVE, "import os, threading") == []  # OpenBLAS's would spin for 30 ms each
        inside = "with concurrent.futures.ThreadPoolExecutor(1) as pool:\n    got = pool.submit(lambda: (%s)).result()"
        assert kernel.value("got", "import concurrent.futures\n" + inside.replace("%s", threads)) == ({1}, 1)
        fit = "sklearn.ensemble.HistGradientBoostingRegressor(max_iter=5).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.1"
        assert kernel.value(fit, "X = numpy.random.rand(200, 3)") is True
        assert kernel.value(threads) == ({1}, 1)
