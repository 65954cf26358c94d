"""Figures before and after are compared by their pixels."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.review.figure_changes import find_figure_changes
from tests.notebooks.building import code, md
from tests.review.reviews import read


def png(colour: str, comment: str = "", size: tuple[int, int] = (4, 3)) -> bytes:
    text = PngInfo()
    text.add_text("Software", comment)
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG", pnginfo=text)
    return file.getvalue()


def cell(source: str, *images: bytes, as_list: bool = False, kind: str = "image/png", **extra: Any) -> dict[str, Any]:
    texts = [base64.b64encode(image).decode() for image in images]
    data = [{kind: [text[:9], text[9:]] if as_list else text + "\n"} for text in texts]
    return code(source, outputs=[{"output_type": "display_data", "data": one, "metadata": {}} for one in data], **extra)


def changes(
    base: list[dict[str, Any]], head: list[dict[str, Any]]
) -> list[tuple[int, str, bytes | None, bytes | None]]:
    diff = compare_notebooks(read("q.ipynb", *base), read("q.ipynb", *head))
    return [(one.cell, one.name, one.base, one.head) for one in find_figure_changes(diff)]


RED, BLUE = png("red"), png("blue")


def test_other_bytes_with_equal_pixels_are_no_change() -> None:
    again = png("red", "another version of the library")
    assert again != RED
    assert changes([cell("plot()", RED)], [cell("plot()", again, as_list=True)]) == []
    assert changes([cell("plot()", RED)], [cell("plot()", png("red", size=(3, 4)))]) != []


def test_figures_of_moved_added_and_removed_cells() -> None:
    base = [cell("plot(a)", RED, id="a"), cell("plot(b)", BLUE, id="b"), cell("gone()", RED, id="gone")]
    head = [
        md("# T", id="t"),
        cell("plot(b)", RED, id="b"),
        cell("plot(a)", RED, BLUE, id="a"),
        cell("new", BLUE, id="new"),
    ]
    assert changes(base, head) == [
        (1, "b", BLUE, RED),
        (2, "a", None, BLUE),
        (3, "new", None, BLUE),
        (2, "gone", RED, None),
    ]


@pytest.mark.parametrize(
    "image",
    [b"<svg onload='x()'/>", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"", RED[:20]],
    ids=["svg", "gif", "head", "empty", "cut"],
)
def test_what_is_no_png_is_not_shown(image: bytes) -> None:
    assert changes([cell("plot()")], [cell("plot()", image)]) == []


def test_other_kinds_of_image_damaged_outputs_and_huge_ones_are_left_out() -> None:
    assert changes([cell("plot()")], [cell("plot()", RED, kind="image/svg+xml")]) == []
    for outputs in (7, [None], [{"data": 7}], [{"data": {"image/png": 7}}], [{"data": {"image/png": "né"}}], None):
        assert changes([cell("plot()")], [code("plot()", outputs=outputs)]) == []
    diff = compare_notebooks(read("q.ipynb", cell("plot()")), read("q.ipynb", cell("plot()", RED)))
    assert find_figure_changes(diff, most_pixels=11) == ()
    assert len(find_figure_changes(diff, most_pixels=12)) == 1
