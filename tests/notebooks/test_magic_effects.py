"""Which names a notebook may define without anybody reading it there, and which its IPython lines use."""

from __future__ import annotations

import pytest

from notebooks_lib.notebooks import magic_effects
from tests.notebooks.building import code, notebook


@pytest.mark.parametrize(
    "source",
    [
        "%run helpers.ipynb",
        "%load_ext kedro.ipython",
        "%pylab inline",
        "%sql select 1\n%run helpers.ipynb",
        "%%cython\ndef f(): pass",
        "%store -r",
        "from numpy import *",
        "exec(text)",
        "globals()['frame'] = 1",
        "globals().update(settings)",
        "get_ipython().run_line_magic('run', 'a.ipynb')",
        "get_ipython().user_ns['frame'] = 1",
        "x = (",
    ],
)
def test_names_may_be_defined_where_nobody_reads_them(source: str) -> None:
    assert magic_effects.may_define_unseen_names(notebook(code("1"), code(source)))


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline",
        "%load_ext autoreload\n%autoreload 2",
        "!ls {folder}",
        "files = !ls",
        "rows = %sql select 1",
        "%%time\nx = 1",
        "%%bash --out listing\nrun ls\nstore x",
        "%%capture shown\n%%sh\nrun it",
        "frame?",
        "%md\nrun it, it's text",
        "%sql\nselect run from store",
        "%python\nx = 1",
        "print(globals(), locals()['x'], vars(x))",
        "app.run_cell",
    ],
)
def test_ordinary_cells_define_only_what_they_show(source: str) -> None:
    assert not magic_effects.may_define_unseen_names(notebook(code("1"), code(source)))


def test_words_of_ipython_lines_and_of_unreadable_cells_are_collected() -> None:
    words = magic_effects.unread_words(notebook(code("%timeit np.sum(frame)\nx = 1"), code("y = (")))
    assert {"np", "frame", "y"} <= words
    assert "x" not in words


@pytest.mark.parametrize(
    ("name", "given"), [("display", True), ("_", True), ("_12", True), ("_i3", True), ("_x", False), ("np", False)]
)
def test_names_of_ipython_are_known(name: str, given: bool) -> None:
    assert magic_effects.is_given_by_ipython(name) is given
