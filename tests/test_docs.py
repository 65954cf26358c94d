"""The pages for people: links lead somewhere, every page is reached by one, prose is wrapped, the README is short."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests import prose

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
TREES = ("notebooks_lib", "production", "tests", "benchmarks")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`(?:[\w.-]+/)*[\w-]+\.py`")
_EXAMPLES = {"helpers.py", "experimentation/helpers.py", "ipykernel_launcher.py", "yaml.py"}
"""Python files of a user or of another package that pages speak of."""
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of every relative link of a page."""
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield ((page.parent / path).resolve() if path else page), anchor


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    anchors: list[str] = []
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        anchors.append(f"{slug}-{anchors.count(slug)}" if slug in anchors else slug)
    return set(anchors)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_anchors_of_a_page_resolve(page: Path) -> None:
    missing = [str(file) for file, _ in _links(page) if not file.exists()]
    missing += [
        f"{file.name}#{anchor}"
        for file, anchor in _links(page)
        if anchor and file.suffix == ".md" and file.exists() and anchor not in _anchors(file)
    ]
    assert not missing


def test_every_page_of_docs_is_linked() -> None:
    linked = {file for page in PAGES for file, _ in _links(page) if file != page}
    linked |= {file / "README.md" for file in linked if file.is_dir()}
    assert not [page for page in PAGES if page.parent != ROOT and page not in linked]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_files_that_a_page_names_exist(page: Path) -> None:
    """A page may leave out the first folders of a path."""
    files = [f"/{file.relative_to(ROOT).as_posix()}" for top in TREES for file in (ROOT / top).rglob("*.py")]
    named = {match.strip("`") for match in _FILE.findall(page.read_text(encoding="utf-8"))} - _EXAMPLES
    assert not [name for name in named if not any(file.endswith(f"/{name}") for file in files)]


@pytest.mark.parametrize("page", prose.PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_prose_is_wrapped(page: Path) -> None:
    text = page.read_text("utf-8")
    assert prose.wrapped(text) == text, "python -m tests.prose wraps it, make api a generated page"


def test_only_prose_is_wrapped() -> None:
    """Code keeps its spaces, and no word comes to begin a list."""
    words, code = " ".join(["word"] * 30), f"`{'a  b' * 30}`"
    page = f"# {words}\n\n| {words} |\n|---|\n\n    {words}\n\n"
    item = textwrap.fill(words, prose.WIDTH, initial_indent="1. ", subsequent_indent="   ")
    assert prose.wrapped(f"{page}1. {words}\n") == f"{page}{item}\n"
    assert prose.wrapped(f"{code} {'w' * 90} + {words}").split("\n")[:2] == [code, f"{'w' * 90} + word"]


def test_the_readme_is_short() -> None:
    """At most 750 words, without details and blocks of code."""
    text = re.sub(r"<details>.*?</details>", "", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    assert len(re.sub(r"^    .*", "", _FENCE.sub("", text), flags=re.MULTILINE).split()) <= 750


def _broken_tables(page: str) -> Iterator[str]:
    """Yield the lines that look like rows of a table and are none, and rows of another width than their table's."""
    lines = page.split("\n")
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.map is None:
            continue
        own = lines[slice(*token.map)]
        if token.type == "paragraph_open":
            yield from (line for line in own if line.lstrip().startswith("|"))
        if token.type == "table_open":
            yield from (line for line in own if line.strip() and _bars(line) != _bars(own[0]))


def _bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_table_is_broken(page: Path) -> None:
    assert list(_broken_tables(page.read_text("utf-8"))) == []


def test_a_broken_table_is_found() -> None:
    head = "| a | b |\n|---|---|\n"
    assert list(_broken_tables(f"{head}| 1 | 2 |\n\n| 3 | 4 |\n")) == ["| 3 | 4 |"]
    assert list(_broken_tables(f"{head}| 1 | 2 | 3 | 4 |\n")) == ["| 1 | 2 | 3 | 4 |"]
    assert list(_broken_tables(f"{head}| 1 | `a\\|b` |\n")) == []
