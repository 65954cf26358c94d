"""How often each rule of `nbops check` speaks: `python -m benchmarks.rules FOLDER [--sample 20]`.

The folder holds one folder of notebooks for each author. With `--sample` it prints that many findings of each rule,
drawn by a seed, with their lines, to be read by eye.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.notebooks import document, notebook_rules
from notebooks_lib.notebooks.notebook_rules import RuleViolation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=0)
    options = parser.parse_args()
    notebooks = []
    for path in sorted(options.folder.rglob("*.ipynb")):
        try:
            notebooks.append(document.read(path))
        except errors.NotebookError as error:
            print(error)
    start = time.process_time()
    violations = notebook_rules.check_with_ruff(notebooks)
    seconds = time.process_time() - start
    authors = {notebook.path.relative_to(options.folder).parts[0] for notebook in notebooks}
    print(f"{len(notebooks)} notebooks of {len(authors)} authors, {seconds:.1f} s of CPU beside ruff's\n")
    by_code: dict[str, list[RuleViolation]] = defaultdict(list)
    for violation in violations:
        by_code[violation.code].append(violation)
    sources = {notebook.path: notebook for notebook in notebooks}
    print("| rule | findings | notebooks | authors |\n|---|---:|---:|---:|")
    for code, found in sorted(by_code.items()):
        paths = {violation.path.relative_to(options.folder) for violation in found}
        print(f"| {code} | {len(found)} | {len(paths)} | {len({path.parts[0] for path in paths})} |")
    for code, found in sorted(by_code.items()):
        for violation in random.Random(5).sample(found, min(options.sample, len(found))):
            cells = sources[violation.path].cells
            lines = cells[violation.cell].source.split("\n") if violation.line else [""]
            place = violation.path.relative_to(options.folder)
            print(f"{code} {place}:{violation.cell}: {violation.text[:120]} | {lines[violation.line - 1][:120]}")


if __name__ == "__main__":
    main()
