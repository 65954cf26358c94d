"""A pull request that changes six things at once, reviewed with real runs: what a reviewer reads and sees."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.review.markdown_report import to_markdown
from tests import chromium
from tests.conftest import copy_store, made_once
from tests.review.reviews import RIDGE, review
from tests.review.ridge_to_lasso import NOTEBOOK, RERUN, make_pull_request

pytestmark = [pytest.mark.notebooks, pytest.mark.proof]
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
DIGEST = re.compile(r"`[0-9a-f]{8}`")


@pytest.fixture
def reviewed(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """The project after `nbops review --run`, with `report.md`, `report.html`, `report.json` and `figures` beside it."""

    def make(folder: Path) -> None:
        make_pull_request(root := folder / "project")
        copy_store(migrated, root)
        files = ("--markdown", "../report.md", "--html", "../report.html", "--figures", "../figures")
        with contextlib.chdir(root), (folder / "report.json").open("w") as report, contextlib.redirect_stdout(report):
            assert run(["review", "main", "--run", "--json", *files]) == 0

    return made_once(tmp_path_factory, "reviewed", make)


def test_a_reviewer_reads_all_that_changed(reviewed: Path) -> None:
    content: dict[str, Any] = json.loads((reviewed / "report.json").read_text())
    assert (content["other_files"], content["only_outputs"], content["failed"]) == ([], [RERUN], False)
    (notebook,) = content["notebooks"]
    assert notebook["exact_source"]
    assert notebook["new_findings"] == []
    assert [(metric["name"], metric["gain"]["verdict"]) for metric in notebook["metrics"]] == [
        ("mae", "no difference found"),
        ("rmse", "no difference found"),
    ]
    text = (reviewed / "report.md").read_text("utf-8")
    lines = [line.rstrip() for line in text.splitlines()]
    for line in (
        "## 1 notebook changed since `main`",
        "**1 no difference found**",
        f"no source change, only outputs, counts, metadata or ids: `{RERUN}`",
        f"### `{NOTEBOOK}`",
        "4 cells edited, 2 moved, 2 added; parameter `alpha` is now `strength`; changed through `experimentation/helpers.py`",
        "- text in cell 3 (`about-model`) still mentions `alpha`",
        "| `strength` | renamed | `alpha` | `strength` |",
        "-model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))",
        "+model = make_pipeline(StandardScaler(), Lasso(alpha=strength))",
        "**cell 6 (`baseline`)** moved from 4",
        "**cell 8 (`figure`)** added (code)",
    ):
        assert line in lines
    assert text.count(RERUN) == 1, "in one line"
    assert re.search(
        r"^from exactly this source \(.*, clean\) · figures: 1 new, 1 changed \(below\)$", text, re.MULTILINE
    )


def test_the_report_that_the_documentation_shows_is_this_one(reviewed: Path) -> None:
    """Line by line, but for digests, and for times, which this machine may add."""
    shown = to_markdown(review(RIDGE)).split("\n### ")[1].replace("(in the page)", "(below)")
    real = iter(DIGEST.sub("`…`", (reviewed / "report.md").read_text("utf-8").split("\n### ")[1]).splitlines())
    assert [line for line in DIGEST.sub("`…`", shown).splitlines() if line not in real] == []


@pytest.mark.skipif(chromium.CHROMIUM is None, reason="no chromium on the PATH: the page is not opened in a browser")
def test_a_reviewer_sees_the_figures_on_each_screen_and_on_paper(reviewed: Path, tmp_path: Path) -> None:
    assert len(list((reviewed / "figures").iterdir())) == 3
    backgrounds = {}
    with chromium.launch() as browser:
        for name, width, scheme in (("light", 1200, "light"), ("dark", 1200, "dark"), ("phone", 390, "light")):
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab.goto((reviewed / "report.html").as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            sizes = tab.evaluate("[...document.images].map(image => [image.naturalWidth, image.clientWidth])")
            assert len(sizes) == 3
            assert all(0 < shown <= own for own, shown in sizes), "whole, and not blown up"
            backgrounds[name] = tab.evaluate(BACKGROUND)
            tab.screenshot(path=tmp_path / f"{name}.png", full_page=True)  # for people; pytest keeps the last three
        tab.emulate_media(media="print", color_scheme="dark")
        backgrounds["print"] = tab.evaluate(BACKGROUND)
        tab.pdf(path=tmp_path / "print.pdf", prefer_css_page_size=True)
    assert backgrounds["dark"] != backgrounds["light"] == backgrounds["phone"] == backgrounds["print"]
