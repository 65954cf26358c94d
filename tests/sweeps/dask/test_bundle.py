"""The bundle of a project holds all that its notebook may need, and nothing made at run time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks import document, project_modules, source_fingerprint
from notebooks_lib.settings import Settings, load
from notebooks_lib.sweeps.dask import bundle
from tests import building


def put(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def unpacked(settings: Settings, notebook: Path, folder: Path, **options: int) -> list[str]:
    """Return the unpacked files."""
    bundle.unpack(bundle.pack_project(document.read(notebook), settings, **options), folder)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def test_the_bundle_holds_what_git_tracks_and_what_the_notebook_needs(empty_project: Settings, tmp_path: Path) -> None:
    root = empty_project.root
    notebook = building.write(root / "work" / "secret" / "n.ipynb", "import near\nimport src_module")
    put(
        root,
        {
            ".gitignore": "data/\nsecret/\n*.log\n",
            "tracked.txt": "before",
            "new.txt": "untracked",
            "noise.log": "ignored",
            "gone.txt": "deleted",
            "data/sales/1/table.parquet": "rows",
            "work/secret/near.py": "",
            "src_module.py": "",
            "requirements.lock": "",
            ".nbops/mlflow.db": "runs",
            "with space/ümläut.txt": "text",
        },
    )
    git(root, "init", "-q")
    git(root, "add", "tracked.txt", "gone.txt")
    (root / "gone.txt").unlink()
    (root / "tracked.txt").write_text("after")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    copy = tmp_path / "copy"
    assert unpacked(empty_project, notebook, copy) == [
        ".gitignore",
        "data/sales/1/table.parquet",
        "new.txt",
        "production/settings.toml",
        "requirements.lock",
        "run.sh",
        "src_module.py",
        "tracked.txt",
        "with space/ümläut.txt",
        "work/secret/n.ipynb",
        "work/secret/near.py",
    ]
    assert (copy / "tracked.txt").read_text() == "after"
    assert os.access(copy / "run.sh", os.X_OK)
    assert not os.access(copy / "new.txt", os.X_OK)
    there = document.read(copy / "work" / "secret" / "n.ipynb")
    assert project_modules.find_modules(there, copy) == project_modules.find_modules(document.read(notebook), root)
    assert bundle.pack_project(document.read(notebook), empty_project) == bundle.pack_project(
        document.read(notebook), empty_project
    )


def test_without_git_the_bundle_excludes_environments_caches_and_runs(empty_project: Settings, tmp_path: Path) -> None:
    root = empty_project.root
    notebook = building.write(root / "n.ipynb", "1")
    left_out = [".nbops/x", ".venv/lib/x.py", "mlruns/0/x", "a/__pycache__/x.pyc", ".git/HEAD"]
    put(root, dict.fromkeys([*left_out, "a/b/c.csv", ".config"], ""))
    assert unpacked(empty_project, notebook, tmp_path / "copy") == [
        ".config",
        "a/b/c.csv",
        "n.ipynb",
        "production/settings.toml",
    ]


def test_a_link_is_sent_as_its_file_and_a_broken_link_is_not(empty_project: Settings, tmp_path: Path) -> None:
    root = empty_project.root
    notebook = building.write(root / "n.ipynb", "1")
    (tmp_path / "far.csv").write_text("rows")
    (root / "near.csv").symlink_to(tmp_path / "far.csv")
    (root / "lost.csv").symlink_to(tmp_path / "nothing")
    assert "lost.csv" not in unpacked(empty_project, notebook, tmp_path / "copy")
    assert (tmp_path / "copy" / "near.csv").read_text() == "rows"


def test_a_bundle_that_is_too_large_names_the_largest_files_and_a_remedy(empty_project: Settings) -> None:
    root = empty_project.root
    notebook = building.write(root / "n.ipynb", "1")
    put(root, {"big.csv": "x" * 40_000, "bigger.csv": "x" * 50_000})
    with pytest.raises(errors.UsageError) as refused:
        bundle.pack_project(document.read(notebook), empty_project, limit=64 * 2**10)
    message = str(refused.value)
    assert f"the files of {root} are 88.2 kB, and a cluster is sent 64.0 kB at most" in message
    assert "the largest: bigger.csv (48.8 kB), big.csv (39.1 kB)" in message
    assert message.endswith("let git ignore what no trial reads, or keep it where every worker can read it")


def test_a_notebook_outside_the_project_is_rejected(empty_project: Settings, tmp_path: Path) -> None:
    notebook = building.write(tmp_path / "elsewhere" / "n.ipynb", "1")
    with pytest.raises(errors.UsageError, match=r"lies outside the project .* move it there"):
        bundle.pack_project(document.read(notebook), empty_project)


def test_an_unreadable_file_is_named(empty_project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = building.write(empty_project.root / "n.ipynb", "1")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    read, settings = document.read(notebook), load(empty_project.root, {})
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(source_fingerprint, "find_modules", lambda notebook, root: [])
    with pytest.raises(errors.UsageError, match=r"cannot be sent to the cluster: .*Permission denied.*n\.ipynb"):
        bundle.pack_project(read, settings)
