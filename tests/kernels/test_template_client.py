"""A client gets its kernel from the template that fits, and learns how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from notebooks_lib.kernels import preferences, template_client, template_manager, template_protocol
from tests.kernels.building import Kernel, wait
from tests.kernels.templates import Environment, early, parent, request_like, start, templates

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def test_a_program_from_before_an_upgrade_gets_no_warm_kernel(folder: Path) -> None:
    with start(folder) as kernel:
        request = request_like(kernel)
        wanted = preferences.read_preferences(str(folder), request.environment)
        with pytest.raises(template_manager.Unavailable, match="nbops was upgraded since this program began"):
            template_client.fork_kernel(request, wanted, protocol=template_protocol.PROTOCOL - 1)


def test_wait_and_poll_report_a_kernels_end(folder: Path) -> None:
    """A poll in between must not leave who waits for ever (LocalProvisioner's own `wait` polls)."""

    async def both(kernel: Kernel) -> object:
        waiting = asyncio.ensure_future(kernel.manager.provisioner.wait())
        await asyncio.sleep(0.1)
        os.kill(kernel.pid, signal.SIGKILL)
        wait("its end", lambda: kernel.process.poll() is not None)
        return await asyncio.wait_for(waiting, 10)

    with start(folder) as kernel:
        assert asyncio.run(both(kernel)) == -signal.SIGKILL


@pytest.mark.proof
def test_a_changed_package_or_lock_means_another_template(folder: Path, environment: Environment) -> None:
    path = environment.write("upgraded")
    lock = folder / "requirements.lock"
    lock.write_text("upgraded==1\n")
    with start(folder, environment) as kernel:
        assert kernel.value("upgraded.VERSION", "import upgraded") == "1"
        kernel.shut_down()
    with start(folder, environment) as kernel:
        assert early(kernel, "upgraded") == {"upgraded": True}
        first = parent(kernel)
    path.write_text(path.read_text().replace("'1'", "'two'"))
    wait("a second look at the files", lambda: time.sleep(0.6) is None)  # preload.LOOK_EVERY
    with start(folder, environment) as kernel:
        assert kernel.value("upgraded.VERSION", "import upgraded") == "two"
        assert early(kernel, "upgraded") == {"upgraded": True}  # and that is warm again
        second = parent(kernel)
    lock.write_text("upgraded==2\n")
    wait("a second look at the files", lambda: time.sleep(0.6) is None)
    with start(folder, environment) as kernel:
        third = parent(kernel)
    environment.write("brand_new")
    with start(folder, environment) as kernel:
        assert len({first, second, third, parent(kernel)}) == 4
    wait("that the old ones leave", lambda: len(templates(folder)) == 1)


def test_a_variable_that_is_read_at_import_means_another_template(folder: Path) -> None:
    with start(folder) as kernel, start(folder, SCIPY_ARRAY_API="1") as other:
        assert other.value("os.environ['SCIPY_ARRAY_API']", "import os") == "1"
        assert parent(kernel) != parent(other)


def test_variables_of_each_run_lead_to_one_template(folder: Path) -> None:
    names = "SLURM_JOB_ID AIRFLOW_CTX_DAG_RUN_ID PARALLEL_SEQ INVOCATION_ID BUILDKITE_JOB_ID PBS_JOBID MY_RUN DISPLAY MLFLOW_RUN_ID"
    with start(folder) as kernel:
        first = parent(kernel)
    with start(folder, **dict.fromkeys(names.split(), "7")) as kernel:
        assert parent(kernel) == first
        assert kernel.value(f"[os.environ[name] for name in {names.split()}]", "import os") == ["7"] * 9


def test_several_waiting_threads_get_the_same_exit_code(folder: Path) -> None:
    with start(folder) as kernel:
        codes: list[int] = []
        threads = [threading.Thread(target=lambda: codes.append(kernel.process.wait(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        kernel.channels.execute("import os; os._exit(3)")
        for thread in threads:
            thread.join(30)
        assert codes == [3] * 4
        assert kernel.process.poll() == 3
