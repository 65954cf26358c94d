"""Reviews for the tests of Markdown and page: one as measured, others made up, hostile ones, and large ones."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from notebooks_lib.notebooks.document import Notebook, parse
from notebooks_lib.notebooks.notebook_diff import compare_notebooks
from notebooks_lib.notebooks.notebook_rules import RuleViolation
from notebooks_lib.review.notebook_review import (
    CostRise,
    FigureChange,
    Gain,
    HelperChange,
    MetricChange,
    NotebookReview,
    ParameterChange,
    Review,
    RunProblem,
    SourceProof,
)
from notebooks_lib.run_result import Failure
from tests.notebooks.building import code, md, raw
from tests.review import ridge_to_lasso

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def read(path: str, *cells: dict[str, Any]) -> Notebook:
    return parse(Path(path), json.dumps(raw(*cells)).encode())


def review(*notebooks: NotebookReview, **more: Any) -> Review:
    return Review("origin/main", "4f" * 20, "d7" * 20, **{"dirty": False, "notebooks": notebooks, **more})


HELPER = """@@ -4,2 +4,2 @@
 def rmse(truth, predicted):
-    return float(((truth - predicted) ** 2).mean() ** 0.5)
+    return float(np.sqrt(np.mean((truth - predicted) ** 2)))"""
BASE, HEAD = (read(ridge_to_lasso.NOTEBOOK, *side) for side in (ridge_to_lasso.BASE, ridge_to_lasso.HEAD))
RIDGE = NotebookReview(
    ridge_to_lasso.NOTEBOOK,
    diff=compare_notebooks(BASE, HEAD),
    helpers=(HelperChange(ridge_to_lasso.HELPERS, "edited", HELPER),),
    parameters=(ParameterChange("renamed", "strength", "alpha", "strength"),),
    metrics=(
        MetricChange(
            "mae", 46.26198, 46.5854, Gain(-0.32342, -1.16902, 0.54209, "no difference found", "79 validation rows")
        ),
        MetricChange(
            "rmse", 59.4342, 59.15559, Gain(0.27861, -0.54347, 1.15731, "no difference found", "79 validation rows")
        ),
    ),
    proof=SourceProof("34f0d751", "089d0383" * 8, "311bb2f3" * 5),
    base_run="10d66ba7",
    stale_text=("text in cell 3 (`about-model`) still mentions `alpha`",),
    figures=(FigureChange(4, "model", PIXEL, PIXEL), FigureChange(8, "figure", None, PIXEL)),
)
"""What `test_whole_review.py` found for `ridge_to_lasso.py`; its figures are a pixel here, and the digests of one day."""
BOOSTING = NotebookReview(
    "experimentation/diabetes_boosting.ipynb",
    diff=compare_notebooks(
        read(
            "b.ipynb",
            code("learning_rate: float = 0.1\nmax_iter: int = 60", "parameters", id="parameters"),
            code("fit()", id="model"),
        ),
        read(
            "b.ipynb",
            code("learning_rate: float = 0.03\nmax_iter: int = 600", "parameters", id="parameters"),
            code("fit()\nplto(model)", id="model"),
        ),
    ),
    parameters=(
        ParameterChange("default", "learning_rate", "0.1", "0.03"),
        ParameterChange("annotation", "max_iter", 'Annotated[int, ">=1"]', "int | None"),
    ),
    metrics=(
        MetricChange("rmse", 57.9, 60.2, Gain(-2.3, -3.4, -1.2, "worse", "79 validation rows"), logged_head=58.9),
        MetricChange("profit", 12_400.0, 12_100.0, no_gain_because="a metric of this notebook's own"),
    ),
    proof=SourceProof(
        "77aa01c2", "1b" * 32, "d79546b7" * 5, ("`requirements.lock` is another one", "the tree was not clean")
    ),
    new_findings=(RuleViolation(Path("b.ipynb"), 1, "F821", "Undefined name `plto`", 2, "model"),),
    mended_findings=2,
    costs=(CostRise(1, "model", 0.8, 12.4, 210.0, 1_320.0),),
)
FAILED = NotebookReview(
    "experimentation/breast_cancer_logistic.ipynb",
    diff=compare_notebooks(
        read("c.ipynb", code("model = LogisticRegression(C=c)", id="model")),
        read("c.ipynb", code('model = LogisticRegression(C=c, penalty="l3")', id="model")),
    ),
    no_metrics_because="the notebook failed, so there are no numbers",
    run_problems=(
        RunProblem(
            "head",
            Failure(
                "error",
                "InvalidParameterError",
                "The 'penalty' parameter must be 'l1', 'l2' or 'elasticnet'.",
                9,
                "model = LogisticRegression(",
            ),
            "the notebook failed",
            (
                "     15 model.fit(train.X, train.y)",
                "InvalidParameterError: The 'penalty' parameter of LogisticRegression …",
            ),
        ),
    ),
)
EXAMPLE = review(RIDGE, BOOSTING, FAILED, unchanged=12, only_outputs=("experimentation/compare_runs.ipynb",))


HOSTILE = {
    "script": "<script>document.title='owned';fetch('http://evil.example/')</script>",
    "event handler": "<img src=x onerror=\"document.title='owned'\">",
    "SVG": "<svg onload=\"document.title='owned'\"><image href='http://evil.example/a.png'/></svg>",
    "frame": "<iframe src='http://evil.example/'></iframe>",
    "style": "</style><style>body{background:url(http://evil.example/a.png)}</style>",
    "meta": "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "link": "[run this](javascript:alert(1)) and [that](http://evil.example)",
    "image": "![x](http://evil.example/pixel.png)",
    "image reference": "![x][y]\n\n[y]: http://evil.example/pixel.png",
    "autolink": "<http://evil.example> http://evil.example www.evil.example me@evil.example mailto:me@evil.example",
    "mention": "@user @org/team cc:@all me@team (@user) @`user` \u200b@user",
    "issue": "fixes #123, org/repo#1, GH-12, JIRA-12, user@4f4f4f4f4f, 4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f deadbeef 1234567 !12 ~bug",
    "fence": "```\n## owned\n```\n~~~\n@user\n~~~",
    "unclosed HTML": "</span></pre></section></main><table><tr><div>",
    "a fence that is not closed": "```x\n````\n```x",
    "a scoped package": "`@typescript-eslint` @typescript-eslint/parser",
    "long fence": "`" * 70 + "\n@user\n" + "`" * 70,
    "backticks": "``a` ` ```b`` `@user` `` ` @user",
    "half a code span": "`@user",
    "backslashes": "\\`@user\\` \\\\` a\\|b | c\\\\| d |",
    "table": "a | b\n|---|---|\n| @user |",
    "heading": "# owned\n===\n---",
    "list": "1) owned\n- owned\n1. owned",
    "emphasis": "**@user** __x__ ~~y~~ *z*",
    "details": "</summary></details><h1>owned</h1>",
    "HTML comment": "<!-- hidden --> --> <!-- nbops review -->",
    "our marker": "<!-- nbops review -->",
    "our marker, spelt otherwise": "\n<!--nbops review -->\n<!--  NBOPS review-->",
    "entities": "&lt;script&gt; &#64;user &commat;user &#x3c;b&#x3e;",
    "control characters": "a\x1b[31mred\x00\x07\r@user\x0b\x0c\x85\u2028@user\u2029",
    "bidi": "\u202e\u2066evil\u2069 \u200f@user",
    "surrogate": "\ud800@user",
    "emoji, math, colour": ":tada: $`@user`$ $x$ `#ff0000` [^1] [x] [!WARNING]",
    "blank": " ",
    "empty": "",
    "Jinja": "{{ 7 * 7 }}{% raw %}{{ config }}",
    "quotes": "\"' onmouseover='document.title=1' x=\"",
    "template of an action": "${{ github.token }} ::set-output name=x::y",
    "long": "x" * 20_000,
    "many words": "word " * 2_000,
    "many lines": "x\n" * 2_000,
}


def hostile_notebook(text: str) -> NotebookReview:
    """A notebook in which everything that a pull request can write is this text."""
    base = read("q.ipynb", code("x = 1", id="a"), md("a", id="b"), code("gone", id=text))
    head = read(
        "q.ipynb",
        code(f"x = 1\n{text}", text, id=text),
        md(f"{text}\n", id=f"b{text}", attachments={"x.png": {"image/png": "AAAA"}}),
        code(text, id="c", outputs=[{"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}]),
    )
    return NotebookReview(
        text,
        old_path=text,
        diff=compare_notebooks(base, head),
        helpers=(
            HelperChange(text, "edited", f"-a\n+{text}\n"),
            HelperChange("lock", "edited", "", {text: (text, text)}),
        ),
        parameters=(ParameterChange("renamed", text, text, text), ParameterChange("default", text, "", text)),
        metrics=(
            MetricChange(text, 1.0, 2.0, Gain(1.0, 0.5, 1.5, "better", text), logged_base=1.0),
            MetricChange(text, 1.0, float("nan"), no_gain_because=text),
        ),
        no_metrics_because=text,
        proof=SourceProof(text, text, text, (text,)),
        new_findings=(RuleViolation(Path("q.ipynb"), 0, "NB001", text, 1, text),),
        mended_findings=1,
        stale_text=(text,),
        figures=(FigureChange(0, text, PIXEL, PIXEL), FigureChange(0, text, None, text.encode("utf-8", "replace"))),
        costs=(CostRise(0, text, 1.0, None, 1.0, 100.0),),
        run_problems=(
            RunProblem("head", Failure("error", text, text, 0, text), text, (text, text)),
            RunProblem("base", None, text, (text,)),
        ),
    )


def hostile_review(text: str) -> Review:
    notebook = hostile_notebook(text)
    odd = NotebookReview(text, problem=text)
    exact = replace(notebook, proof=SourceProof(text, text, text), run_problems=())
    return Review(text, text, text, True, (notebook, odd, exact), 3, (text, text), (text,), {text: text})


def many(number: int) -> Review:
    """A pull request that changes so many notebooks, each with long diffs and numbers."""
    long = "\n".join(f"row_{line} = {line}" for line in range(400))
    diff = compare_notebooks(read("q.ipynb", code("x", id="a")), read("q.ipynb", code("x", id="a"), code(long, id="b")))
    names = [f"experimentation/a_folder/with_a_question_{place}.ipynb" for place in range(number)]
    return review(*(replace(RIDGE, path=name, diff=diff) for name in names))
