"""What IPython lines do to the names of a notebook: which they use, and whether they may define unseen ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from notebooks_lib.notebooks import cell_code, expressions
from notebooks_lib.notebooks.cell_code import CellCode
from notebooks_lib.notebooks.document import Notebook

_GIVEN = "display get_ipython In Out exit quit _ __ ___ _i _ii _iii _ih _oh _dh _sh _exit_code"
NAMES_OF_IPYTHON = frozenset(_GIVEN.split())
_ON_SPARK = "spark sc sqlContext dbutils displayHTML mssparkutils notebookutils sql table udf"
_SPARK = frozenset(_ON_SPARK.split())
_NUMBERED = re.compile(r"_i?\d+")
_CELL_MAGIC = re.compile(r"%%(\w*)")
_WORD = re.compile(r"[^\W\d]\w*")
_MAGIC = re.compile(r"[ \t]*(?:[^\W\d][\w.,\s]*=\s*)?(?P<sign>%{1,2}|!{1,2})?[ \t]*(?P<name>\w*)(?P<rest>.*)", re.S)

_DEFINE_NOTHING = """
    aimport alias autoawait autoreload autosave bash bigquery bookmark capture cat cd clear cmd colors conda config
    cp css debug dirs doctest_mode env file fs gui hist history html javascript js latex less ll load_ext logstart
    lprun ls lsmagic magic mamba man markdown matplotlib md memit micromamba mkdir more mprun mv notebook pastebin
    pdb pdef pdoc perl pfile pinfo pinfo2 pip popd powershell precision prun psearch psource pushd pwd pycat python
    r R reload_ext rget rm rmdir rpush ruby save scala script set_env sh show sql svg sx system tb tensorboard time
    timeit unalias unload_ext uv watermark who who_ls whos writefile writetemp xdel xmode
"""
_HARMLESS = frozenset(_DEFINE_NOTHING.split())
"""Magics that define no names beside those written in their line, such as `%%capture output`."""
_DEFINE_MAGICS = """
    autoreload autotime bigquery_magics blackcellmagic cudf.pandas cython Cython dotenv google.cloud.bigquery
    google.colab.data_table ipycache jupyter_black lab_black line_profiler memory_profiler nb_black nb_mypy nbtutor
    pycodestyle_magic rpy2.ipython sql tensorboard version_information watermark
"""
_EXTENSIONS = frozenset(_DEFINE_MAGICS.split())
"""Extensions that define magics only. Others may define names, as Kedro's does."""
_SHELL_METHODS = {"run_line_magic", "run_cell_magic", "run_cell", "magic", "push", "ex"}
"""Methods of the IPython shell that may define names."""


def is_given_by_ipython(name: str) -> bool:
    """Return whether IPython defines a name in every notebook, such as `display`, `_` and `_12`."""
    return name in NAMES_OF_IPYTHON or _NUMBERED.fullmatch(name) is not None


def names_of_host(notebook: Notebook) -> frozenset[str]:
    """Return names such as `spark` that the notebook's host defines, if its metadata shows Spark or Databricks."""
    metadata = notebook.raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    specs = [metadata.get(key) for key in ("kernelspec", "kernel_info")]
    kernels = [str(spec.get("name")) for spec in specs if isinstance(spec, dict)]
    databricks = any(key.startswith("application/vnd.databricks") for key in metadata)
    return _SPARK if databricks or any("spark" in name for name in kernels) else frozenset()


def unread_words(notebook: Notebook) -> frozenset[str]:
    """Return the words in code that is not read as Python: IPython lines except `%time`, cells with syntax errors."""
    texts = [text for cell in notebook.python_cells for _, text in cell.code.magics if not text.startswith("%time ")]
    texts += [cell.source for cell in notebook.python_cells if cell.code.tree is None]
    return frozenset(word for text in texts for word in _WORD.findall(text))


def asked_names(notebook: Notebook) -> frozenset[str]:
    """Return the names whose existence a notebook checks, as by `"frame" in globals()`."""
    return frozenset(
        node.left.value
        for cell in notebook.python_cells
        for node in cell.nodes
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Constant)
        and isinstance(node.left.value, str)
        and any(isinstance(part, ast.Call) and _is_lookup(part) for part in node.comparators)
    )


def _is_lookup(call: ast.Call) -> bool:
    return expressions.dotted(call.func) in ("globals", "locals", "vars", "dir")


def may_define_unseen_names(notebook: Notebook) -> bool:
    """Return whether a notebook may define names that its code does not show.

    This is possible with `%run` and similar magics, a star import, `exec`, or a cell that cannot be parsed.
    """
    return not all(_is_harmless_cell(cell.code) for cell in notebook.python_cells)


def _is_harmless_cell(code: CellCode) -> bool:
    if code.tree is None or not all(map(_is_harmless, _magic_lines(code))):
        return False
    ours = {line for line, _ in code.magics}  # where the reader has put calls in place of magics
    return not any(_defines_unseen(node, ours) for node in ast.walk(code.tree))


def _defines_unseen(node: ast.AST, ours: set[int]) -> bool:
    match node:
        case ast.ImportFrom(names=aliases):
            return any(alias.name == "*" for alias in aliases)
        case ast.Call(func=ast.Name(id="exec")) | ast.Attribute(attr="user_ns"):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Call() | ast.Name(), attr=method), lineno=line):
            return method in _SHELL_METHODS and line not in ours
        case ast.Subscript(value=owner, ctx=ast.Store()) | ast.Attribute(value=owner, attr="update" | "setdefault"):
            return isinstance(owner, ast.Call) and expressions.dotted(owner.func) in ("globals", "locals", "vars")
    return False


def _magic_lines(code: CellCode) -> Iterator[str]:
    """Yield the magics and commands of a cell, without the body of a cell magic of another language."""
    for _, text in code.magics:
        yield text
        cell_magic = _CELL_MAGIC.match(text)
        if cell_magic and cell_magic[1] not in cell_code.PYTHON_BODIES:
            return
        if not code.text.strip() and cell_code.OTHER_LANGUAGE.match(text):
            return


def _is_harmless(line: str) -> bool:
    match = _MAGIC.match(line)
    if match is None or (match["sign"] or "").startswith("!") or line.rstrip(" \t;").endswith("?") or line[:1] == "?":
        return True
    if match["name"] in ("load_ext", "reload_ext"):
        return all(word in _EXTENSIONS for word in match["rest"].split())
    return match["name"] in _HARMLESS
