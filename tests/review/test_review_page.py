"""The page of a review: complete, and neither running nor loading anything, whatever the notebooks hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.review.review_page import to_page
from tests import chromium
from tests.review.reviews import EXAMPLE, HOSTILE, RIDGE, hostile_notebook, hostile_review, many, review

ATTRIBUTES = {"class", "id", "href", "src", "alt", "lang", "charset", "name", "content", "http-equiv"}
EMPTY = {"meta", "img"}
ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
    ),
    *("a", "b", "code", "pre", "span", "div", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"),
    *("details", "summary", "figure", "figcaption", "img"),
}


class PageReader(HTMLParser):
    """Reads a page and refuses what a notebook could have brought."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self._texts: list[str] = []
        self.feed(page)
        assert self.open == []
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        for name, content in attrs:
            assert name in ATTRIBUTES
            assert name != "href" or str(content).startswith("#notebook-")
            assert name != "src" or str(content).startswith("data:image/png;base64,")
        self.open += [] if tag in EMPTY else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_data(self, data: str) -> None:
        self._texts += [data] if self.open[-1:] != ["style"] else []


def test_the_page_has_everything_of_the_example() -> None:
    text = PageReader(to_page(EXAMPLE)).text
    for words in (
        "3 notebooks changed since origin/main",
        "1 failed · 1 worse · 1 no difference found · 1 not shown to be from this source · 1 new finding",
        "The notebook failed in cell 9 (model = LogisticRegression():",
        "InvalidParameterError: The 'penalty' parameter must be",
        "+0.28 (−0.54 … +1.16)",
        "from exactly this source (fingerprint 089d0383, commit 311bb2f3, clean)",
        "not shown to be from this source: requirements.lock is another one",
        "cell 3 (about-model) still mentions alpha",
        "+model = make_pipeline(StandardScaler(), Lasso(alpha=strength))",
        "return float(np.sqrt(np.mean((truth - predicted) ** 2)))",
        "Figures: 1 new, 1 changed",
        "cell 1 (model): 0.8 s → 12.4 s, 210 MB → 1320 MB",
        "cell 6 (baseline) moved from 4",
        "experimentation/compare_runs.ipynb",
    ):
        assert words in text


def test_no_line_is_missing_in_a_large_review() -> None:
    text = PageReader(to_page(many(3))).text
    assert text.count("+row_399 = 399") == 3
    assert "401 lines" in text or "400 lines" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_text(name: str) -> None:
    page = to_page(hostile_review(HOSTILE[name]))
    PageReader(page)
    assert page.encode("utf-8")


def test_figures_stand_side_by_side_and_in_the_page() -> None:
    page = to_page(review(RIDGE))
    assert page.count('<img src="data:image/png;base64,iVBOR') == 3
    assert "none</p>" in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if chromium.CHROMIUM is None:
        pytest.skip("no chromium on the PATH: the page is not opened in a browser")
    with chromium.launch() as browser:
        yield browser


@pytest.fixture
def requests_of(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page, and returns what it asked for beside itself, what it ran, and its title."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    tab = context.new_page()
    requests: list[str] = []
    dialogs: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def open_page(page: str) -> tuple[list[str], list[str], str]:
        file = tmp_path / "page.html"
        file.write_text(page, "utf-8")
        requests.clear()
        tab.goto(file.as_uri(), wait_until="load")
        for element in tab.locator("h2, pre, summary").all()[:8]:
            element.dispatch_event("mouseover")
        others = [url for url in requests if url != file.as_uri() and not url.startswith("data:")]
        return others, list(dialogs), tab.title()

    open_page.tab = tab  # type: ignore[attr-defined]
    yield open_page
    context.close()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server that keeps the paths that it was asked for."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None: ...

    paths: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.paths = paths  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CUT = "[...document.querySelectorAll('.wide, pre')].filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)"
SHOWN = "element => element.checkVisibility({contentVisibilityAuto: true})"
INJECTED = (
    "<script>document.title='owned'</script><img src='SERVER/x.png' onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\"></svg><iframe src='SERVER/frame'></iframe>"
    "<style>body{background:url(SERVER/y.png)}</style><link rel=stylesheet href='SERVER/z.css'>"
)


@pytest.mark.notebooks
def test_a_browser_runs_nothing_and_asks_for_nothing(requests_of: Any) -> None:
    notebooks = [hostile_notebook(text) for text in HOSTILE.values() if len(text) < 2_000]
    page = to_page(review(*notebooks, only_outputs=tuple(HOSTILE.values())))
    asked, dialogs, title = requests_of(page)
    assert (asked, dialogs) == ([], [])
    assert title == f"{len(notebooks)} notebooks changed since `origin/main`"


@pytest.mark.notebooks
def test_the_policy_holds_where_escaping_would_have_failed(requests_of: Any, server: Any) -> None:
    injected = INJECTED.replace("SERVER", f"http://127.0.0.1:{server.server_port}")
    page = to_page(EXAMPLE).replace("<body>", f"<body>{injected}")
    _, _, title = requests_of(page)
    assert (title, server.paths) == ("3 notebooks changed since `origin/main`", [])
    _, _, title = requests_of(page.replace("Content-Security-Policy", "no-policy"))
    assert title == "owned", "this test can fail"
    assert {"/x.png", "/frame", "/y.png", "/z.css"} <= {*server.paths}


@pytest.mark.notebooks
def test_on_a_phone_nothing_stands_beside_the_screen(requests_of: Any) -> None:
    tab, page = requests_of.tab, to_page(EXAMPLE)
    requests_of(page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate(CUT) == []
    assert tab.evaluate("getComputedStyle(document.querySelector('pre .add')).backgroundColor") != "rgba(0, 0, 0, 0)"
    assert tab.get_by_text("gain on the same 79 validation rows, 95 %").first.is_visible()


@pytest.mark.notebooks
def test_print_is_light_and_shows_what_is_folded(requests_of: Any) -> None:
    tab = requests_of.tab
    tab.emulate_media(color_scheme="dark")
    requests_of(to_page(many(1)))
    background, line = "getComputedStyle(document.body).backgroundColor", tab.get_by_text("+row_399 = 399")
    assert tab.evaluate(background) == "rgb(18, 22, 28)"
    assert not tab.evaluate(SHOWN, line.element_handle())
    tab.emulate_media(color_scheme="dark", media="print")
    assert tab.evaluate(background) == "rgb(255, 255, 255)"
    assert tab.evaluate(SHOWN, line.element_handle())
