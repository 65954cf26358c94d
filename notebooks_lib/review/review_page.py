"""Write a review as one self-contained HTML page, with figures side by side and all lines of the diffs. Pure.

`review_page.html` is its template, for Jinja2 with every value escaped. The page forbids the browser to load or run
anything but its own style and the images in it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib import safe_text
from notebooks_lib.promotion import decision_page
from notebooks_lib.review import report_text
from notebooks_lib.review.notebook_review import Review

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

FOLDED = 40
"""Lines of a diff above which it is folded."""
_MARKS = {"+": "add", "-": "del", "@": "jump"}


def to_page(review: Review) -> str:
    """Return the review as an HTML page."""
    from markupsafe import Markup

    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    notebooks = report_text.by_importance(review.notebooks)
    return _template().render(
        folded=FOLDED,
        headline=report_text.headline(review),
        marks=_MARKS,
        notebooks=notebooks,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        review=review,
        style=Markup(style),  # our own file
        text=report_text,
        tone="bad" if any(notebook.failed or notebook.worse or notebook.problem for notebook in notebooks) else "good",
    )


@cache
def _style() -> str:
    files = Path(decision_page.__file__).with_suffix(".css"), Path(__file__).with_suffix(".css")
    return "".join(file.read_text("utf-8") for file in files)


@cache
def _template() -> Template:
    environment = decision_page.template_environment(Path(__file__).parent)
    environment.filters["cost"] = report_text.cost
    environment.filters["finding"] = report_text.finding
    environment.filters["base64"] = lambda image: base64.b64encode(image).decode()
    environment.filters["names"] = _with_names
    environment.filters["printable"] = safe_text.printable
    return environment.get_template("review_page.html")


def _with_names(text: str) -> Markup:
    """Return a text with the names in backticks as code."""
    from markupsafe import Markup

    parts = enumerate(report_text.NAME.split(safe_text.printable(text)))
    return Markup().join(Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in parts)
