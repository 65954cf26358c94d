"""All benchmarks, one after the other: python -m benchmarks. Markdown on standard output, progress beside it."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import machine

MODULES = ("trials", "kernels", "start", "check", "store", "serving")


def main() -> int:
    """Each in a process of its own, for some of them arrange theirs to measure in; 1 when one of them fails."""
    machine.compiled()
    print(f"{machine.described()}\n", flush=True)
    failed = [name for name in MODULES if _run(name) != 0]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> int:
    code = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], env=machine.environment(), check=False
    ).returncode
    print(flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
