"""A notebook as text, for `git diff`: the source of its cells, without outputs, counts, ids and noisy metadata.

The form is that of scripts with cells, as Jupytext, VS Code and Spyder read them.
"""

from __future__ import annotations

import json

from notebooks_lib.notebooks.document import Notebook, NotebookCell


def to_text(notebook: Notebook) -> str:
    """Return the notebook as text; every cell begins with a line `# %%` that holds its kind and tags."""
    return "".join(f"{_heading(cell)}\n{cell.source}\n\n" for cell in notebook.cells)


def _heading(cell: NotebookCell) -> str:
    kind = "" if cell.kind == "code" else f" [{cell.kind}]"
    return f"# %%{kind}" + (f" tags={json.dumps(cell.tags, ensure_ascii=False)}" if cell.tags else "")
