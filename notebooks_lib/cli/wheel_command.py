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

WHEELS = "wheels"
"""The folder of a project in which its Makefile looks for wheels."""


def wheel_command(distribution: importlib.metadata.Distribution | None) -> str:
    """Return the command that puts a wheel of an installed package into `wheels`; empty if it came from an index.

    None is a package that is on Python's path without being installed. Installers note in direct_url.json where a
    package came from (PEP 610).
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
    if "dir_info" in origin and not importlib.util.find_spec("pip"):
        build = shlex.join([shutil.which("uv") or "uv", "build", "--quiet", "--wheel", "--out-dir", WHEELS, source])
        return f"{build} && rm -f {WHEELS}/.gitignore"  # with which uv keeps the folder out of git
    return shlex.join([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", WHEELS, source])
