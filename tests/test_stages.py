"""The stages are listed once."""

from __future__ import annotations

import ast
from pathlib import Path

import notebooks_lib
from notebooks_lib.stages import STAGES

LIBRARY = Path(notebooks_lib.__file__).parent


def test_no_other_module_lists_the_stages() -> None:
    texts = {path.relative_to(LIBRARY).as_posix(): path.read_text("utf-8") for path in LIBRARY.rglob("*.py")}
    lists = {
        name
        for name, text in texts.items()
        if "prod" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.List | ast.Tuple | ast.Set)
        and {item.value for item in node.elts if isinstance(item, ast.Constant)} >= set(STAGES)
    }
    assert lists == {"stages.py"}
