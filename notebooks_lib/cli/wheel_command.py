"""How the nbops that is installed here becomes a wheel, where it came from a folder, a file or a repository.

What came from an index needs none. Nothing is built here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
import shutil
import sys
import urllib.parse
import urllib.request
from pathlib import Path

WHEELS = "wheels"
"""The folder of a project in which its Makefile looks for wheels."""


def wheel_command(distribution: importlib.metadata.Distribution | None) -> str:
    """Return the command that puts a wheel of an installed package into `wheels`; empty if it came from an index.

    None is a package that is on Python's path without being installed. Installers note in direct_url.json where a
    package came from (PEP 610). Environments of uv have no pip: the command uses uv there, or installs pip first.
    """
    noted = distribution.read_text("direct_url.json") if distribution else None
    if not noted:
        return ""
    origin = json.loads(noted)
    url = urllib.parse.urlsplit(origin["url"])
    source = urllib.request.url2pathname(url.path) if url.scheme == "file" else origin["url"]
    if control := origin.get("vcs_info"):
        source = f"{control['vcs']}+{origin['url']}@{control['commit_id']}"
    if part := origin.get("subdirectory"):
        source += f"#subdirectory={part}"
    wheel = ["wheel", "--quiet", "--no-deps", "--wheel-dir", WHEELS, source]
    command = shlex.join([sys.executable, "-m", "pip", *wheel])
    if importlib.util.find_spec("pip"):
        return command
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        return f"{shlex.join([sys.executable, '-m', 'ensurepip'])} && {command}"
    if "dir_info" in origin:
        build = shlex.join([uv, "build", "--quiet", "--wheel", "--out-dir", WHEELS, source])
        return f"{build} && rm -f {WHEELS}/.gitignore"  # with which uv keeps the folder out of git
    return shlex.join([uv, "tool", "run", "--python", sys.executable, "pip", *wheel])  # uv itself builds folders only
