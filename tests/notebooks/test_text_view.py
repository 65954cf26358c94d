"""The text of a notebook, as `git diff` shows it, holds its source and nothing that a run changes."""

from notebooks_lib.notebooks.text_view import to_text
from tests.notebooks.building import code, md, notebook


def test_cells_stand_below_each_other_with_kind_and_tags():
    shown = notebook(md("# T\n\ntext"), code("x = 1", "parameters", "b", outputs=[{"text": "no"}], execution_count=7))
    assert to_text(shown) == '# %% [markdown]\n# T\n\ntext\n\n# %% tags=["parameters", "b"]\nx = 1\n\n'
