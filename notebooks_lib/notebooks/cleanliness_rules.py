"""Rules about the file: outputs, counts, ids, kernel and metadata, which `nbops clean` mends."""

from __future__ import annotations

from notebooks_lib.notebooks import cleaning
from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule


def outputs(notebook: Notebook) -> Findings:
    """Yield the cells that have outputs and no tag `keep_output`."""
    for cell in notebook.code_cells:
        outputs = notebook.raw["cells"][cell.index].get("outputs")
        if isinstance(outputs, list) and outputs and KEEP_OUTPUT_TAG not in cell.tags:
            yield Finding(cell.index, "outputs", cause="outputs")


def counts(notebook: Notebook) -> Findings:
    """Yield the cells whose execution count is to be removed.

    A cell with outputs to remove is not among them, because its count goes with the outputs. A cell that keeps its
    output keeps its count, which nbval needs to compare them.
    """
    with_outputs = {finding.cell for finding in outputs(notebook)}
    for cell in notebook.code_cells:
        count = notebook.raw["cells"][cell.index].get("execution_count")
        if count is not None and KEEP_OUTPUT_TAG not in cell.tags and cell.index not in with_outputs:
            yield Finding(cell.index, "execution count", cause="counts")


def missing_ids(notebook: Notebook) -> Findings:
    """Yield cells without an id, with one that Jupyter does not take, or with that of another cell."""
    minor = notebook.raw.get("nbformat_minor")
    if not isinstance(minor, int) or minor < 5:
        yield Finding(0, f"notebook format 4.{minor} has no cell ids, 4.5 is needed")
        return
    owners: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.id is None:
            yield Finding(cell.index, "no cell id", cause="none")
        elif cell.id in owners:
            yield Finding(cell.index, f"cell id {cell.id!r} is also that of cell {owners[cell.id]}", cause=cell.id)
        elif not cleaning.CELL_ID.fullmatch(cell.id):
            yield Finding(cell.index, "a cell id holds 1 to 64 of a-z, A-Z, 0-9, - and _", cause="form")
        else:
            owners[cell.id] = cell.index


def odd_kernel(notebook: Notebook) -> Findings:
    """Yield the kernel name of a Python notebook that is not `python3`: other machines may not have that kernel."""
    name = cleaning.kernel_name(notebook)
    if notebook.is_python and name != "python3":
        yield Finding(
            0, f"kernel name {name!r}, 'python3' is needed" if name else "no kernel name, 'python3' is needed"
        )


def noisy_metadata(notebook: Notebook) -> Findings:
    """Yield metadata that tools write by themselves, such as when a cell was run or folded."""
    noisy = {cell.index: cleaning.noisy_keys(notebook.raw["cells"][cell.index]) for cell in notebook.cells}
    keys = sorted({key for names in noisy.values() for key in names})
    for index, names in noisy.items():
        if names:
            yield Finding(index, f"metadata that tools write by themselves: {', '.join(keys)}", cause="cells")
    if of_file := cleaning.noisy_notebook_keys(notebook):
        yield Finding(0, f"metadata of the file that tools write by themselves: {', '.join(of_file)}")


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB001",
        "outputs in the file",
        "Outputs make diffs unreadable, and carry data into git.",
        "Run `nbops clean` before you commit; tag a cell `keep_output` if its output is part of the text.",
        outputs,
        bad="""\
# %% {"outputs": [{"output_type": "stream", "name": "stdout", "text": "3"}]}
print(3)
""",
        good="print(3)",
        convention=True,
    ),
    NotebookRule(
        "NB002",
        "an execution count",
        "Counts change with every run, so every diff shows them.",
        "Run `nbops clean` before you commit.",
        counts,
        bad="""\
# %% {"execution_count": 7}
x = 3
""",
        good="x = 3",
        convention=True,
    ),
    NotebookRule(
        "NB003",
        "no cell ids, one id twice, or one that is none",
        "A diff, a merge and nbval follow a cell by its id.",
        "Run `nbops clean`, or save the notebook in a current JupyterLab or VS Code; either gives every cell an id.",
        missing_ids,
        bad="""\
# %% {"id": null}
x = 3
""",
        good="""\
# %% {"id": "model"}
x = 3
""",
        convention=True,
    ),
    NotebookRule(
        "NB004",
        "another kernel name than python3",
        "A kernel that only one machine has cannot run anywhere else.",
        "Run `nbops clean`, or choose the kernel `python3` and save.",
        odd_kernel,
        bad="""\
# %%% {"kernelspec": {"name": "conda-env-mine-py"}}
# %%
x = 3
""",
        good="""\
# %%% {"kernelspec": {"name": "python3"}}
# %%
x = 3
""",
        convention=True,
    ),
    NotebookRule(
        "NB021",
        "metadata that changes by itself",
        "It shows in every diff, and may name who ran the notebook and when.",
        "Run `nbops clean`, or set it up as git's filter: docs/notebooks.md.",
        noisy_metadata,
        bad="""\
# %% {"metadata": {"ExecuteTime": {"end_time": "2026-01-01T00:00:00Z"}}}
x = 3
""",
        good="""\
# %% {"metadata": {"tags": ["keep_output"]}}
x = 3
""",
        convention=True,
    ),
)
