"""A project whose notebooks import modules in every way that Python has."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def importing_project(tmp_path: Path) -> Path:
    files = {
        "pkg/__init__.py": "",
        "pkg/a.py": "from . import b\nfrom .sub.c import (\n    x,  # y\n    z,\n)\n",
        "pkg/b.py": "def f():\n    import top, json\n",
        "pkg/sub/__init__.py": "if True: from ..late import thing\n",
        "pkg/sub/c.py": "",
        "pkg/late.py": '"""\nimport quoted\n"""\n',
        "pkg/unused.py": "",
        "top.py": "import pkg.a\n",  # a circle
        "work/beside.py": "from pkg import \\\n    plain\n",
        "pkg/plain.py": "",
        "spaces/inner.py": "",  # no __init__: a namespace package
        "src/laid.py": "",
        ".venv/lib/site-packages/foreign.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "outside.py").write_text("")
    return tmp_path / "root"
