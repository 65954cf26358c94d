"""A figure shows names as they are, whatever they hold."""

from __future__ import annotations

import io
from dataclasses import replace

from notebooks_lib.promotion import scores_figure
from tests.promotion.test_decision import NEW, evidence


def test_a_name_with_dollars_is_drawn_and_not_read_as_a_formula() -> None:
    figure = scores_figure.scores_figure(evidence(new=replace(NEW, label=r"run 1 ($\cost{$)")))
    figure.savefig(io.BytesIO())
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert any(r"$\cost{$" in label for label in labels)
