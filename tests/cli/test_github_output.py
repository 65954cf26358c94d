"""Outputs of a step reach the file that GitHub names, and a file that cannot be written stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.cli import github_output


def test_a_summary_takes_what_is_printed_as_text_that_is_no_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    with github_output.summary("https://ml.azure.com/runs/1"):
        print("promoted: houses version 2\n```\n![x](https://example.com)")
    assert file.read_text() == (
        "````text\npromoted: houses version 2\n```\n![x](https://example.com)\n````\n\n"
        "[The run with its card](https://ml.azure.com/runs/1)\n"
    )
    assert capsys.readouterr().out == ""


def test_values_are_added_and_a_failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    github_output.write({"worse": "true"})
    file = tmp_path / "outputs"
    monkeypatch.setenv("GITHUB_OUTPUT", str(file))
    github_output.write({"worse": "true"})
    github_output.write({"changed": "1", "failed": "false"})
    assert file.read_text() == "worse=true\nchanged=1\nfailed=false\n"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "none" / "outputs"))
    github_output.write({"worse": "true"})
    error = capsys.readouterr().err
    assert "cannot be written (No such file or directory); later steps" in error
    assert error.count("\n") == 1
