"""Takes out of a notebook what should not be in git, and leaves the rest as it is. Pure: values in, values out."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from notebooks_lib.notebooks import hygiene
from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cleaned(notebook: Notebook) -> dict[str, Any]:
    """The notebook as JSON without outputs and counts, with an id for each cell and the kernel that every machine has.

    Ids that are there stay, or every diff would be noise; a missing one is made from the cell's place and text. Cells
    tagged `keep_output` keep theirs. A notebook of another language keeps its kernel.
    """
    raw: dict[str, Any] = copy.deepcopy(dict(notebook.raw))
    metadata = raw.get("metadata")
    metadata = raw["metadata"] = metadata if isinstance(metadata, dict) else {}
    if any(True for _ in hygiene.widgets(notebook)):
        del metadata["widgets"]
    seen: set[str] = set()
    for cell, parsed in zip(raw["cells"], notebook.cells, strict=True):
        if parsed.kind == "code" and KEEP_OUTPUT_TAG not in parsed.tags:
            cell["outputs"] = []
            cell["execution_count"] = None
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        for key in hygiene.TRACES:
            cell["metadata"].pop(key, None)
        if parsed.id is None or parsed.id in seen:
            text = f"{parsed.index}\n{parsed.source}"
            cell["id"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        seen.add(cell["id"])
    minor = raw.get("nbformat_minor")
    raw["nbformat_minor"] = max(5, minor if isinstance(minor, int) else 0)
    if notebook.is_python and any(True for _ in hygiene.kernel(notebook)):
        metadata["kernelspec"] = dict(KERNEL)
    return raw


def like(before: str, notebook: Mapping[str, Any]) -> str:
    """The notebook as text in the form that its file had: indent, line ends and the last newline."""
    first = re.match(r"\s*\{(\r?\n)?([ \t]*)", before)
    indent = first[2] if first and first[1] else None
    text = json.dumps(notebook, indent=indent, ensure_ascii=False)
    # Half of a surrogate pair is none of UTF-8's characters: only as an escape can it stand in a file.
    text = re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
    text += "\n" if before.endswith("\n") else ""
    return text.replace("\n", "\r\n") if first and first[1] == "\r\n" else text
