"""The card says what was decided and why to somebody who was not there, and gives away no more than it may."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from notebooks_lib.promotion import decision_page
from notebooks_lib.promotion.decision import decide_use
from notebooks_lib.promotion.evidence import Slice, Uses
from notebooks_lib.promotion.holdout_power import holdout_power
from notebooks_lib.promotion.model_facts import ModelCard
from notebooks_lib.promotion.policy import Policy
from tests.promotion.test_decision import NEW, OLD, challenger, evidence, paired, together

ABOUT = ModelCard(
    "Is <it> good?",
    "Why **we** ask.\n\nAnd `what` for, see [docs](http://x).\n\n- one\n  thing\n- <two>",
    (("Data", (("dataset", "cats@1"),)), ("Parameters", (("alpha", "<0.5>"),))),
)
SLICES = (Slice("sex", "f", 60, 1.0, 2.0, 1.0), Slice("sex", "<m>", 40, 1.5, 1.4321, -0.0679))


class Balanced(HTMLParser):
    """Every element that is opened is closed, in its place."""

    EMPTY = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        assert not {name for name, _ in attrs} & {"src", "onload"}
        self.open += [tag] if tag not in self.EMPTY else []

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += "" if self.open[-1:] == ["style"] else data + " "


def read(found, policy: Policy | None = None, **asked) -> str:
    links = [("run", "http://x/r?a=1&b=2")]
    page = decision_page.decision_page(
        decide_use(found, policy or Policy()), ABOUT, origin="today", links=links, **asked
    )
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    for each in re.findall(r"<svg.*?</svg>", page):
        ElementTree.fromstring(each)
    assert "nan" not in re.findall(r"<svg.*?</svg>", page)
    return " ".join(parser.text.split())


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (1.0, "Promote The new model is to replace the one in service, if"),
        (-3.0, "Keep"),
        (0.1, "Undecided The model in service"),
    ],
)
def test_the_page_shows_the_answer_and_draws_the_interval(gain, said):
    text = read(evidence(paired=paired(gain)))
    assert said in text
    assert f"The dot, {gain:.4g} , is what was measured" in text.replace(f"{gain:.4g},", f"{gain:.4g} ,")
    assert "9 of 10 left" in text
    assert "Is <it> good? Why we ask. And what for, see docs. one thing <two> Data" in text.replace(" ,", ",")
    assert "alpha <0.5>" in text
    assert all(rule in text for rule in ("gain", "requirements", "holdout_unseen"))


@pytest.mark.parametrize(
    ("gain", "dry_run", "said"),
    [
        (1.0, False, "Promote The new model is to be the first in service, if it passes the tests of its stages."),
        (1.0, True, "Promote The new model would be the first in service. This was a dry run: nothing was changed."),
        (-3.0, False, "Keep There is no model in service, and none comes: the new one may not serve."),
        (0.1, True, "Undecided There is no model in service, and none comes: what is known does not settle"),
    ],
)
def test_a_first_model_and_a_dry_run_are_described_as_such(gain, dry_run, said):
    none_yet = {"old": replace(OLD, label="the mean", run_id=""), "first": True}
    assert said in read(evidence(paired=paired(gain), **none_yet), dry_run=dry_run)


def test_stages_before_prod_replace_nothing():
    text = read(evidence(paired=paired(1.0)), stages=("dev", "test"), dry_run=True)
    assert "The new model would enter dev, test, and nothing changes in prod. This was a dry run" in text


def test_slices_are_drawn_and_names_are_not_code():
    hostile = replace(NEW, label="run <script>alert(1)</script>")
    text = read(evidence(new=hostile, slices=SLICES), Policy(slices=("sex",), slice_margin=0.1))
    assert "sex <m> (40 rows)" in text
    assert "No slice may lose more than 0.1" in text
    assert "<script>" in text


def test_a_large_budget_shows_no_estimate():
    secret = paired(0.7654321, 0.05)
    text = read(evidence(paired=secret, uses=Uses(20, 3), slices=SLICES), Policy(uses=20, worthwhile_gain=0.2))
    assert "Promote" in text
    assert "17 of 20 left" in text
    assert not any(figure in text for figure in ("0.765", "0.0679", "1.432"))
    ahead = holdout_power(secret, Policy(), 0.0025)
    assert f"{ahead.detectable:.4g}" in text
    assert str(ahead.rows_for(0.2)) in text


def test_other_challengers_are_shown_with_their_level():
    out = replace(challenger("out", 0, paired=None), unread=True, data_faults=("a column is empty",))
    asked = together(out, challenger("<b>", 1.0), challenger("c", 0.1))
    text = read(asked)
    assert "3 were evaluated in one use of the holdout." in text
    assert "tested at 0.25 %. challenger answer tested at why run out undecided version 3 stays: the holdout" in text
    assert "run c undecided 0.5 % version 3 stays: rmse 1 against 2" in text
    assert "each tested at 0.5 %" in text
    left = together(out, challenger("c", 0.1))
    assert "This challenger did not meet the holdout: a rule below already settles the answer." in read(left)
    assert "nothing was spent" not in read(left)
    many = [replace(each, uses=Uses(20, 3)) for each in asked.by_challenger]
    hidden = read(together(*many), Policy(uses=20))
    assert "run c undecided 0.25 % version 3 stays: the gain in rmse is not distinguishable from 0." in hidden
    assert "rmse 1 against" not in hidden


def test_an_unread_holdout_draws_nothing():
    text = read(evidence(new=replace(NEW, score=None), paired=None, unread=True), Policy(max_size_mb=1.0))
    assert "The holdout was not read: a rule below already settles the answer." in text
    assert "size_mb" in text
    own = read(evidence(new=replace(NEW, run_id="r0"), paired=None))
    assert "there is nothing to compare" in own
    first = read(evidence(old=replace(OLD, label="the mean", run_id=""), first=True))
    assert "the mean , for no model serves yet" in first


@pytest.mark.parametrize("gain", [1e-9, 3e6, 0.0])
def test_axes_fit_any_figure(gain):
    chart = decision_page.IntervalChart(lower=gain - 1e-10, gain=gain, upper=gain + 1e-10, least=gain, unit="x")
    assert 1 <= len(chart.ticks) <= 9
    assert all(0 <= chart.x(value) <= decision_page.WIDTH for value in (*chart.ticks, gain, 0.0))


def test_text_of_a_notebook_cannot_look_like_the_page_or_load_anything():
    about = replace(ABOUT, intended="# Promote\n\n![](http://x/y.png) [a](javascript:b) <h1>Keep</h1>\n\nKeep\n===")
    page = decision_page.decision_page(decide_use(evidence(), Policy()), about, origin="today")
    assert (page.count("<h1>"), page.count("<img"), page.count("href")) == (1, 0, 0)
