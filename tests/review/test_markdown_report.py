"""The Markdown of a review: what a reviewer reads first, its limit, and nothing in it that a pull request could write."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.figure_files import file_name, write_figures
from notebooks_lib.review.markdown_report import LIMIT, MARKER, MOST_FIGURES, to_markdown
from notebooks_lib.review.markdown_text import code, prose
from notebooks_lib.review.notebook_review import (
    Gain,
    MetricChange,
    NotebookReview,
    ParameterChange,
    RunProblem,
    SourceProof,
)
from notebooks_lib.review.review_page import to_page
from tests.notebooks import building
from tests.review.reviews import (
    BASE,
    BOOSTING,
    EXAMPLE,
    FAILED,
    HOSTILE,
    PIXEL,
    RIDGE,
    hostile_review,
    many,
    read,
    review,
)

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OUR_HTML = re.compile(r"<!-- nbops review -->|<details><summary>\d+ (lines|changes)</summary>|</details>")
NOT_TEXT = re.compile(
    r"[@#~!\[\]<>*_`$\\|]|://|www\.\S|\bGH-\d|\b[0-9a-f]{7,40}\b|:\w+:|\b[A-Z]+-\d|[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""What a host of repositories makes a mention, a link or an emoji of, outside of code."""
OUR_TOKENS = {
    *("inline", "paragraph_open", "paragraph_close", "heading_open", "heading_close", "fence", "html_block"),
    *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "text", "code_inline"),
    *("strong_open", "strong_close", "hardbreak", "softbreak"),
    *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
}


def tokens(text: str) -> list[Token]:
    blocks = GITHUB.parse(text)
    return [inner for block in blocks for inner in (block, *(block.children or ()))]


def assert_harmless(text: str) -> None:
    for token in tokens(text):
        assert token.type in OUR_TOKENS, token
        if token.type == "html_block":
            assert OUR_HTML.fullmatch(token.content.strip()), token.content
        if token.type == "text":
            assert not NOT_TEXT.search(token.content), token.content
    for table in re.findall("<table>.*?</table>", GITHUB.render(text), re.DOTALL):
        assert len({len(re.findall("<t[hd][ >]", row)) for row in table.split("</tr>")[:-1]}) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_stays_text(name: str) -> None:
    text = to_markdown(hostile_review(HOSTILE[name]))
    assert_harmless(text)
    assert len(text) <= LIMIT
    assert text.startswith(MARKER + "\n")
    assert len(re.findall(r"<!--\s*nbops", text, re.IGNORECASE)) == 1
    assert Counter(token.tag for token in tokens(text) if token.type == "heading_open") == {"h2": 1, "h3": 3}
    assert text.encode("utf-8")


def test_a_reviewer_sees_what_was_tried() -> None:
    shown = [token.content for token in tokens(to_markdown(hostile_review(HOSTILE["script"])))]
    assert sum(HOSTILE["script"] in content for content in shown) > 10


def test_all_hostile_texts_in_one_review() -> None:
    notebooks = [one for text in HOSTILE.values() for one in hostile_review(text).notebooks]
    text = to_markdown(review(*notebooks))
    assert len(text) <= LIMIT
    assert_harmless(text)


@pytest.mark.parametrize("ticks", ["```", "````", "`" * 70])
def test_no_line_ends_the_block_that_shows_it(ticks: str) -> None:
    sides = (read("q.ipynb", building.code(f"{ticks}\nx = {number}", id="a")) for number in (1, 2))
    printed = RunProblem("base", None, "it failed", (ticks, "@user", ticks))
    notebook = NotebookReview("q.ipynb", diff=compare_notebooks(*sides), run_problems=(printed,))
    blocks = [token.content for token in tokens(to_markdown(review(notebook))) if token.type == "fence"]
    assert blocks == [f"{ticks}\n@user\n{ticks}\n", f" {ticks}\n-x = 1\n+x = 2\n"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4 cells edited, 2 moved", "4 cells edited, 2 moved"),
        ("parameter `alpha` is now `strength`", "parameter `alpha` is now `strength`"),
        ("through a/b.py; done", "through `a/b.py`; done"),
        ("+0.05 (−0.46 … +0.57)", "+0.05 (−0.46 … +0.57)"),
        ("see @user, #12", "see `@user`, `#12`"),
        ("1) one", "`1`) one"),
        ("template: 'Say what is worth varying'", "template: 'Say what is worth varying'"),
        ("'deadbeef'", "`'deadbeef'`"),
        ("deadbeef feed", "`deadbeef` feed"),
        ("`a``b`", "`a` `b`"),
        ("[x](`y`)", "`[x](` `y`)"),
        ("", ""),
    ],
)
def test_plain_words_stay_and_all_else_is_code(text: str, shown: str) -> None:
    assert prose(text) == shown


@pytest.mark.parametrize("text", ["a", "`", "a`b", "``a`", " a", "a ", "\\`", "a``b```c"])
def test_a_code_span_shows_what_it_was_given(text: str) -> None:
    (inline,) = (token for token in GITHUB.parse(code(text)) if token.type == "inline")
    (span,) = inline.children or ()
    assert (span.type, span.content) == ("code_inline", text)


def test_a_reviewer_reads_failures_first_then_what_is_worse() -> None:
    text = to_markdown(EXAMPLE)
    assert_harmless(text)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## 3 notebooks changed since `origin/main`",
        *(f"### `{one.path}`" for one in (FAILED, BOOSTING, RIDGE)),
    ]
    assert "**1 failed · 1 worse · 1 no difference found · 1 not shown to be from this source · 1 new finding**" in text
    assert "only outputs, counts, metadata or ids: `experimentation/compare_runs.ipynb`" in text
    assert "**The notebook failed in cell 9 (`model = LogisticRegression(`):**" in text


def test_numbers_proof_and_diff_of_one_notebook() -> None:
    text = to_markdown(review(RIDGE))
    for line in (
        "| metric | base | head | gain on the same 79 validation rows, 95 % |  |",
        "| `rmse` | 59.43 | 59.16 | +0.28 (−0.54 … +1.16) | no difference found |",
        "from exactly this source (fingerprint `089d0383`, commit `311bb2f3`, clean) · figures: 1 new, 1 changed (in the page)",
        "- text in cell 3 (`about-model`) still mentions `alpha`",
        "**cell 4 (`model`)** edited",
        "-model = make_pipeline(StandardScaler(), Ridge(alpha=alpha))",
        "+model = make_pipeline(StandardScaler(), Lasso(alpha=strength))",
        "**cell 6 (`baseline`)** moved from 4",
    ):
        assert line in text.splitlines()
    assert len(text) < 3_000


def test_the_documentation_shows_this_report() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "review.md").read_text("utf-8")
    (shown,) = re.findall(r"^````markdown\n(.*?)^````$", page, re.MULTILINE | re.DOTALL)
    report = iter(to_markdown(review(RIDGE)).splitlines())
    assert [line for line in shown.splitlines() if line not in report] == [], "in this order"
    (shown,) = re.findall(r"^ {4}### .*\n(?: {4}.*\n)+", (root / "README.md").read_text("utf-8"), re.MULTILINE)
    words = " ".join(to_markdown(review(RIDGE)).replace("`", "").replace("|", " ").split())
    assert [line for line in shown.splitlines() if " ".join(line.split()) not in words] == []


def test_numbers_without_interval_say_why_and_another_source_is_a_warning() -> None:
    text = to_markdown(review(BOOSTING))
    for line in (
        "| `rmse` | 57.90 | 60.20 | −2.30 (−3.40 … −1.20) | **worse** |",
        "| `profit` | 12400 | 12100 |  | a metric of this notebook's own |",
        "- `rmse` was logged as 58.90 by the head's run: the notebook does something to predictions that the model file does not",
        "⚠ not shown to be from this source: `requirements.lock` is another one; the tree was not clean",
        r'| `max_iter` | annotation | `Annotated[int, ">=1"]` | `int \| None` |',
        "**1 new finding, 2 mended**",
        "- cell 1 (`model`): 0.8 s → 12.4 s, 210 MB → 1320 MB",
    ):
        assert line in text.splitlines()


def test_what_differs_stands_first_and_what_is_the_same_in_one_line() -> None:
    same = MetricChange("baseline", 83.47, 83.47, no_gain_because="a metric of the notebook's own")
    alone = MetricChange("mae", 46.23, 51.37, Gain(-5.14, -9.38, -0.55, "no difference found", "79 validation rows"))
    worse = MetricChange("rmse", 57.9, 60.2, Gain(-2.3, -3.4, -1.2, "worse", "79 validation rows"))
    for text in (to_markdown, to_page):
        shown = text(review(replace(RIDGE, metrics=(same, alone, worse))))
        assert 0 < shown.index("rmse") < shown.index("mae") < shown.index("the same on both sides, as logged: ")
        assert "would differ if it were the only metric; of 2, one may by chance" in shown
        assert "notebook's own" not in shown
    only_same = to_markdown(review(replace(RIDGE, metrics=(same,))))
    assert "| metric |" not in only_same
    assert "- the same on both sides, as logged: `baseline` 83.47" in only_same


def test_parameters_of_reviews_are_named_beside_the_proof() -> None:
    proof = replace(RIDGE.proof, given={"max_iter": 20, "loss": "`@user`"})
    text = to_markdown(review(replace(RIDGE, proof=proof)))
    assert_harmless(text)
    assert "clean); run with `max_iter = 20`, set for reviews" in text


def test_numbers_of_a_new_notebook_have_no_base() -> None:
    metrics = (MetricChange("rmse", None, 59.2, no_gain_because="the notebook is new"),)
    new = review(replace(RIDGE, state="added", metrics=metrics))
    text = to_markdown(new)
    assert_harmless(text)
    assert "| metric | head |  |\n| --- | --- | --- |\n| `rmse` | 59.20 | the notebook is new |" in text
    assert "unknown" not in text + to_page(new)
    assert "`rmse` 59.20" in to_markdown(review(*[new.notebooks[0]] * 400))


def test_a_renamed_notebook_is_named_with_both_places() -> None:
    text = to_markdown(review(renamed={"a/q.ipynb": "b/@user.ipynb"}))
    assert_harmless(text)
    assert "renamed, no source change: `a/q.ipynb` → `b/@user.ipynb`" in text


def test_empty_parts_are_left_out() -> None:
    assert to_markdown(review(NotebookReview("q.ipynb"))).splitlines()[4:] == [
        "base `4f4f4f4f`, head commit `d7d7d7d7`",
        "",
        "### `q.ipynb`",
        "",
        "no source change",
    ]
    assert "0 notebooks changed" in to_markdown(review())


def test_new_renamed_deleted_and_unreadable_notebooks_say_so() -> None:
    cells = read("q.ipynb", building.code("x = 1", id="a"))
    empty = read("q.ipynb")
    text = to_markdown(
        review(
            NotebookReview("a.ipynb", state="added", diff=compare_notebooks(empty, cells)),
            NotebookReview("d.ipynb", state="deleted", diff=compare_notebooks(cells, empty)),
            NotebookReview("b.ipynb", old_path="a folder/b.ipynb", diff=compare_notebooks(cells, cells)),
            NotebookReview("c.ipynb", problem="c.ipynb: not a notebook: not JSON"),
        )
    )
    for line in (
        "**1 not comparable**",
        "not compared: not a notebook: not JSON",
        "new notebook · 1 cell added",
        "deleted · 1 cell removed",
        "no source change · before: `a folder/b.ipynb`",
        "+x = 1",
    ):
        assert line in text.splitlines()
    assert "-x = 1" not in text


@pytest.mark.parametrize("number", [1, 40, 300])
def test_many_notebooks_stay_under_the_limit_with_their_numbers(number: int) -> None:
    text = to_markdown(many(number))
    assert len(text) <= LIMIT
    assert_harmless(text)
    named = len(re.findall(r"`experimentation/a_folder/with_a_question_\d+.ipynb`", text))
    assert named == number
    assert text.count("59.43") == named
    if number == 40:
        assert "more lines (in the page)" in text


def test_the_longest_diff_shrinks_and_short_ones_stay() -> None:
    short = compare_notebooks(read("q.ipynb"), read("q.ipynb", building.code("\n".join("abcdefgh"), id="short")))
    long = many(1).notebooks[0]
    wide = compare_notebooks(
        read("q.ipynb"), read("q.ipynb", building.code("x = 1  # as long as this\n" * 8_999, id="long"))
    )
    text = to_markdown(review(replace(long, diff=short), replace(long, diff=wide)))
    assert 50_000 < len(text) <= LIMIT
    assert "\n".join("+" + line for line in "abcdefgh") in text
    shown = text.count("+x = 1  # as long as this\n")
    assert f"{9_000 - shown} more lines (in the page)" in text
    assert f"<details><summary>{shown} lines</summary>" in text


def test_a_large_notebook_keeps_its_findings_and_leaves_the_others_their_diffs() -> None:
    cells = [building.code(f"x{number} = 1  # {'a long line ' * 4}", id=f"x{number}") for number in range(1_400)]
    large = replace(BOOSTING, path="large.ipynb", diff=compare_notebooks(read("q.ipynb"), read("q.ipynb", *cells)))
    small = NotebookReview("q.ipynb", diff=compare_notebooks(read("q.ipynb"), read("q.ipynb", building.code("y = 1"))))
    text = to_markdown(review(large, small))
    assert_harmless(text)
    assert "Undefined name `plto`" in text
    assert "+y = 1" in text
    assert re.search(r"^\d+ more changes with \d+ lines \(in the page\)$", text, re.MULTILINE)


def test_without_a_page_the_report_says_how_to_get_one() -> None:
    metrics = tuple(MetricChange(f"metric_{place}", 1.0, 2.0) for place in range(30))
    large = replace(many(1).notebooks[0], metrics=metrics)
    text = to_markdown(review(*(replace(large, path=f"{place}.ipynb") for place in range(30))), page=False)
    assert_harmless(text)
    assert "in the page" not in text
    for words in ("5 more (shown by `--html`)", "lines (shown by `--html`)", "1 changed (shown by `--html`)"):
        assert words in text


def test_hundreds_of_changed_cells_are_folded() -> None:
    cells = [building.code(f"x{number} = 1", id=f"x{number}") for number in range(200)]
    text = to_markdown(
        review(NotebookReview("q.ipynb", diff=compare_notebooks(read("q.ipynb"), read("q.ipynb", *cells))))
    )
    assert_harmless(text)
    before, after = text.split("<details><summary>200 changes</summary>")
    assert "200 cells added" in before
    assert after.rstrip().endswith("</details>")
    assert "+x199 = 1" in after


def test_a_thousand_metrics_do_not_hide_the_first() -> None:
    metrics = tuple(MetricChange(f"metric_{place}", 1.0, 2.0) for place in range(1_000))
    text = to_markdown(review(replace(RIDGE, metrics=metrics)))
    assert "975 more (in the page)" in text


def test_one_line_of_a_notebook_keeps_what_is_worse_and_the_warning() -> None:
    """Names in the order of the alphabet put the worst last."""
    same = [MetricChange(f"a_{place:02}", 1.0, 2.0, no_gain_because="own") for place in range(40)]
    equal = MetricChange("a_equal", 3.0, 3.0)
    better = MetricChange("y", 1.0, 2.0, Gain(1.0, 0.5, 1.5, "better", "79 validation rows"))
    worse = MetricChange("z", 2.0, 1.0, Gain(-1.0, -1.5, -0.5, "worse", "79 validation rows"))
    proof = SourceProof("77aa01c2", differences=("the tree was not clean",))
    notebook = replace(RIDGE, metrics=(equal, *same, better, worse), proof=proof)
    text = to_markdown(review(*(replace(notebook, path=f"{place}.ipynb") for place in range(80))))
    (last,) = (line for line in text.splitlines() if line.startswith("- `79.ipynb`: "))
    assert "; ⚠ not shown to be from this source; worse: `z` 2.000 → 1.000; better: `y` 1.000 → 2.000; " in last
    shown = len(re.findall(r"`a_\d\d`", last))
    assert 5 < shown < 25
    assert last.endswith(f" and {41 - shown} more")


def test_one_line_of_a_notebook_says_through_what_it_changed() -> None:
    same = replace(RIDGE, diff=compare_notebooks(BASE, BASE), parameters=(), stale_text=())
    lines = to_markdown(review(*(replace(same, path=f"{number}.ipynb") for number in range(300)))).splitlines()
    assert "- `299.ipynb`: changed through `experimentation/helpers.py`; " in lines[-1]
    assert not [line for line in lines if "no source change" in line]


def test_what_is_cut_of_a_summary_and_of_a_proof_is_counted() -> None:
    parameters = tuple(ParameterChange("added", f"name_{place}", "", "1") for place in range(99))
    proof = SourceProof("77aa01c2", differences=("d" * 1_000,))
    text = to_markdown(review(replace(RIDGE, parameters=parameters, proof=proof)))
    assert len(re.findall(r"…`? \d+ more characters \(in the page\)", text)) == 2


def test_figures_are_shown_where_their_files_were_written(tmp_path: Path) -> None:
    write_figures(EXAMPLE, tmp_path / "figures")
    text = to_markdown(EXAMPLE, figures="figures")
    images = [str(token.attrs["src"]) for token in tokens(text) if token.type == "image"]
    assert images == [f"figures/{file_name(PIXEL)}"] * 3
    assert "| 8 (`figure`) |  | ![after](" in text
    assert [file.read_bytes() for file in (tmp_path / "figures").iterdir()] == [PIXEL]
    assert "![" not in to_markdown(EXAMPLE)
    assert "figures: 1 new, 1 changed (below)" in text


def test_images_are_few_and_only_those_of_the_folder() -> None:
    text = to_markdown(hostile_review("![x](http://evil.example/x.png) | `@user`"), figures="figures")
    images = [str(token.attrs["src"]) for token in tokens(text) if token.type == "image"]
    assert images
    assert all(re.fullmatch(r"figures/[0-9a-f]{16}\.png", image) for image in images)
    assert to_markdown(many(300), figures="figures").count("![") <= 2 * MOST_FIGURES
