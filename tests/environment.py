"""Holds pyproject.toml, environment.yml and requirements.lock together; `make check` runs it, and a test calls it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def problems(root: Path = ROOT) -> list[str]:
    """A line for each place where the three differ, or where the lock names an index."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    lock_text = (root / "requirements.lock").read_text()
    lock = dict(re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", lock_text, re.M))
    direct = project["dependencies"]
    pip = next(item["pip"] for item in conda if isinstance(item, dict))
    found = [f"environment.yml lacks {pin}" for pin in direct if pin not in pip]
    found += [f"environment.yml has {pin}, pyproject.toml does not" for pin in pip if pin not in direct]
    for pin in direct:
        name, _, version = pin.partition("==")
        if lock.get(name) != version:
            found.append(f"{pin} is pinned, the lock has {lock.get(name)}: run `make lock`")
    if re.search(r"https?://|--(extra-)?index-url|--find-links", lock_text):
        found.append("requirements.lock names an address")
    without_hash = [
        block.split()[0]
        for block in re.split(r"\n(?=[a-z])", lock_text)
        if "==" in block.split("\n")[0] and "--hash=sha256:" not in block
    ]
    return found + [f"{name} has no hash in the lock" for name in without_hash]


if __name__ == "__main__":
    lines = problems()
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "environment: pyproject, conda and lock agree\n")
    sys.exit(bool(lines))
