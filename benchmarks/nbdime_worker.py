"""Diffs notebooks with nbdime, sources only: two file names a line on standard input, CPU seconds on standard output.

Started by `benchmarks.review`. Reading the files is not counted.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

LIMIT = 120
"""CPU seconds after which a diff is given up; it then counts as so many."""


def main() -> None:
    """Answer until the input ends."""
    import nbformat
    from nbdime.diffing.notebooks import diff_notebooks, set_notebook_diff_targets

    set_notebook_diff_targets(
        sources=True, outputs=False, attachments=False, metadata=False, identifier=False, details=False
    )
    signal.signal(signal.SIGVTALRM, _give_up)
    for line in sys.stdin:
        base, head = (nbformat.reads(Path(name).read_text("utf-8"), as_version=4) for name in line.split())
        began = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        try:
            diff_notebooks(base, head)
            seconds = time.process_time() - began
        except TimeoutError:
            seconds = float(LIMIT)
        except Exception as error:  # noqa: BLE001 - counted as failed, and the others go on
            print(type(error).__name__, flush=True)
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(seconds, flush=True)


def _give_up(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
