"""Tags and variables are what users have on disk: their names are distinct and keep their form."""

from __future__ import annotations

import subprocess
import sys

from notebooks_lib.tags import Env, Tag


def values(names: type) -> list[str]:
    return [value for name, value in vars(names).items() if not name.startswith("_")]


def test_each_name_stands_for_one_thing() -> None:
    for names in (Tag, Env):
        assert len(set(values(names))) == len(values(names))


def test_tags_and_variables_are_known_as_ours() -> None:
    assert all(value.startswith("nbops.") for value in values(Tag))
    assert all(value.startswith("NBOPS_") for value in values(Env))


def test_no_tag_with_a_fixed_name_begins_with_the_prefix_of_others() -> None:
    """A search for `nbops.dataset.*` finds datasets only."""
    prefixes = [value for value in values(Tag) if value.endswith(".")]
    fixed = set(values(Tag)) - set(prefixes)
    assert prefixes
    assert not [value for value in fixed for prefix in prefixes if value.startswith(prefix)]


def test_importing_the_names_imports_no_other_module_of_ours() -> None:
    """Each kernel imports them at its start."""
    code = "import sys; before = set(sys.modules); import notebooks_lib.tags; print(sorted(n for n in set(sys.modules) - before if n.startswith('notebooks_lib')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['notebooks_lib', 'notebooks_lib.tags']"
