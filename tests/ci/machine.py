"""A runner of CI: an empty machine with a folder, the variables that the system sets, and programs. It can die."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.azure import emulator
from tests.azure.emulator import stand_in_az

MARK = "MACHINE_OF_TEST"
"""A variable of all processes of one machine."""
LONGEST = 900.0
"""Seconds that a script may take at most."""


class Died(Exception):
    """The machine has died with all of its processes."""


@dataclass
class Machine:
    """One machine, for one job."""

    folder: Path
    variables: Mapping[str, str]
    """What the system gives to each process."""
    job_token: str = emulator.JOB_TOKEN
    """What Azure DevOps' $(System.AccessToken) stands for."""
    dies_when: Callable[[], bool] | None = None
    """Looked at while a script runs: when it is true, the machine dies."""
    sources: Path = field(init=False)
    temporary: Path = field(init=False)

    def __post_init__(self) -> None:
        self.sources, self.temporary = self.folder / "sources", self.folder / "temporary"
        self.temporary.mkdir(parents=True)

    def clone(self, repository: Path, environment: Path, *, depth: int) -> None:
        """Check the repository out, and put `environment` in the place that `make setup` would fill.

        `depth`: how many of the newest commits; 0 for all.
        """
        for command in (
            ["clone", "--quiet", *(["--depth", str(depth)] if depth else []), repository.as_uri(), str(self.sources)],
            ["-C", str(self.sources), "config", "user.email", "runner@example.com"],
            ["-C", str(self.sources), "config", "user.name", "runner"],
        ):
            subprocess.run(["git", *command], check=True, timeout=60)
        with (self.sources / ".git" / "info" / "exclude").open("a") as exclude:
            exclude.write(".venv\n")
        (self.sources / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (self.sources / ".venv" / name).symlink_to(environment / name)
        (self.sources / ".venv" / ".ready").touch()

    def sign_in_cli(self, *, reader: bool = False) -> dict[str, str]:
        """Sign the Azure CLI in, as the login of CI does; return the variables by which it knows that.

        A `reader` may not deploy.
        """
        folder = self.folder / "azure-cli"
        application = {"name": emulator.CLIENT, "type": "servicePrincipal"}
        stand_in_az.sign_in(folder, emulator.SUBSCRIPTION, user=application, reader=reader)
        return {"AZURE_CONFIG_DIR": str(folder)}

    def service_connection(self, name: str) -> dict[str, str]:
        """Return what an AzureCLI task gives to its script, for a service connection by workload identity."""
        ids = {"CLIENT_ID": emulator.CLIENT, "TENANT_ID": emulator.TENANT, "SERVICE_CONNECTION_ID": name}
        return {f"AZURESUBSCRIPTION_{key}": value for key, value in ids.items()}

    def run(self, command: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
        """Run a script to its end; return its exit code and what it printed. Raises Died."""
        home = {"HOME": str(self.folder), "LANG": "C.UTF-8", MARK: str(self.folder), **self.variables, **variables}
        where = self.sources if self.sources.is_dir() else self.folder
        log = self.folder / "log"
        began = time.monotonic()
        with (
            log.open("w+") as output,
            subprocess.Popen(
                command, cwd=where, env=home, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            ) as process,
        ):
            while process.poll() is None:
                if (died := self.dies_when is not None and self.dies_when()) or time.monotonic() - began > LONGEST:
                    self.die()
                    process.wait(10)
                    if not died:
                        raise AssertionError(f"a script takes over {LONGEST:.0f} s: {command}\n{log.read_text()}")
                    raise Died(log.read_text())
                time.sleep(0.02)
        return process.returncode, log.read_text()

    def die(self) -> None:
        """End all processes of this machine, as the loss of it does, also those that went away from their parents."""
        for _ in range(3):  # one may have started another meanwhile
            for process in psutil.process_iter(["environ"]):
                if (process.info["environ"] or {}).get(MARK) == str(self.folder) and process.pid != os.getpid():
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
