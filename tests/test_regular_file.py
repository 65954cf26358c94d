"""Only regular files are read: nothing that waits, and nothing that never ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from notebooks_lib import regular_file
from notebooks_lib.__main__ import run
from tests.git_commands import commit, make_repository
from tests.notebooks.building import code, write


def make_endless(path: Path, kind: str) -> None:
    """Make something that cannot be read to its end; if `kind` says so, reached by a link."""
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(regular_file.MOST_BYTES + 1)
    else:
        pipe = path.with_name("pipe") if kind == "link" else path
        os.mkfifo(pipe)
        if kind == "link":
            path.symlink_to(pipe)


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "large"])
def test_the_reason_is_one_line(tmp_path: Path, kind: str) -> None:
    make_endless(tmp_path / "x", kind)
    with pytest.raises(OSError, match=r"500 MB is the most" if kind == "large" else "not a regular file") as caught:
        regular_file.read_bytes(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_a_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xc3\xa4\r\nb\n")
    (tmp_path / "b").symlink_to("a")
    assert regular_file.read_bytes(tmp_path / "b") == b"\xc3\xa4\r\nb\n"
    assert regular_file.read_text(tmp_path / "b") == (tmp_path / "b").read_text("utf-8")
    (tmp_path / "c").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        regular_file.read_text(tmp_path / "c")
    with pytest.raises(IsADirectoryError):
        regular_file.read_bytes(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_check_and_clean_name_it_and_end(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("a/good.ipynb"), code("print(1)"))
    make_endless(Path("a/x.ipynb"), kind)
    for arguments in (["a"], ["a/x.ipynb"]):
        assert run(["check", "--select", "FAULTS", *arguments]) == 1
        assert "a/x.ipynb:0: NB000 cannot be read: " in capsys.readouterr().out
        assert run(["clean", *arguments]) == 1
        assert "x.ipynb: cannot be read: " in capsys.readouterr().err


def test_a_review_passes_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_repository(tmp_path / "project")
    write(root / "a.ipynb", code("import own"))
    for name in ("z.ipynb", "own.py", "requirements.lock", "pyproject.toml", "config.json"):
        make_endless(root / name, "device")
    (root / "production").mkdir()
    (root / "production/settings.toml").write_text('[tracking]\nuri = "azureml"\n')
    commit(root)
    (root / "data.csv").write_text("1")
    write(root / "a.ipynb", code("import own\nown"))
    monkeypatch.chdir(root)
    assert run(["review", "HEAD"]) == 0
    printed = capsys.readouterr().out
    assert "`data.csv`" in printed
    assert "no workspace is named" in printed
