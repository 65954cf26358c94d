"""Takes out of a notebook what should not be in git, and leaves the rest as it is. Pure: values in, values out."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cleaned(notebook: Notebook) -> dict[str, Any]:
    """The notebook as JSON without outputs and counts, with an id for each cell and the kernel that every machine has.

    Ids that are there stay, or every diff would be noise; a missing one is made from the cell's place and text. Cells
    tagged `keep_output` keep theirs. A notebook of another language keeps its kernel.
    """
    raw: dict[str, Any] = copy.deepcopy(dict(notebook.raw))
    seen: set[str] = set()
    for cell, parsed in zip(raw["cells"], notebook.cells, strict=True):
        if parsed.kind == "code" and KEEP_OUTPUT_TAG not in parsed.tags:
            cell["outputs"] = []
            cell["execution_count"] = None
        if parsed.id is None or parsed.id in seen:
            text = f"{parsed.index}\n{parsed.source}"
            cell["id"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        seen.add(cell["id"])
    raw["nbformat_minor"] = max(5, raw.get("nbformat_minor") or 0)
    if notebook.is_python and notebook.raw.get("metadata", {}).get("kernelspec", {}).get("name") != KERNEL["name"]:
        raw.setdefault("metadata", {})["kernelspec"] = dict(KERNEL)
    return raw
