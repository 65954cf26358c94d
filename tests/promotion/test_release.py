"""From decision to a serving champion, through a real endpoint: a crash anywhere is mended by the next promote."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest
from notebooks_lib.promotion.rollback import rollback

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import PromotionError, UsageError
from notebooks_lib.promotion.release import Release
from notebooks_lib.records import Tag
from notebooks_lib.serving import endpoint
from notebooks_lib.tracking import models, registry
from tests.promotion.conftest import better, middling, worse

pytestmark = pytest.mark.tracking


class Journey:
    """Promotes as the notebook does, as far as one says."""

    def __init__(self, trials, gate) -> None:
        self.settings, self.store, self.gate = trials.settings, trials.store, gate

    def release(self, **options) -> Release:
        asked = self.gate(**options)
        return asked.release(asked.decide(asked.holdout(asked.candidates())), dry_run=False, reason="a test")

    def promote(self, steps: int = 4, **options) -> Release:
        release = self.release(**options)
        for step in (release.register, release.deploy, release.verify, release.mark)[:steps]:
            step()
        return release

    @property
    def champion(self) -> str | None:
        found = registry.champion(self.store, "houses")
        return found.version if found else None

    @property
    def served(self) -> tuple[str, str]:
        status = endpoint.status(self.settings, "houses")
        return status.state, status.version


@pytest.fixture
def journey(trials, gate, endpoints, houses) -> Journey:
    trials.fitted(worse(), houses)
    return Journey(trials, gate)


def test_a_promotion_cut_short_anywhere_is_finished_or_taken_back_by_the_next(journey, trials, houses, capsys):
    first = journey.promote(2)  # cut short before the first mark: nobody is champion, and the next promote finishes
    assert first.version is not None
    assert journey.champion is None
    first = journey.promote()
    assert (journey.champion, journey.served, first.undo) == ("1", ("running", "1"), "")

    good = trials.fitted(better(), houses)
    for steps in (1, 2, 3):
        release = journey.promote(steps)
        assert journey.champion == "1"  # the mark moves last
        assert not release.promoted
    assert journey.served == ("running", "2")
    kept = journey.promote(min_gain=1000.0)  # the next one may as well keep: then mark and endpoint agree again
    assert not kept.promoted
    assert (journey.champion, journey.served) == ("1", ("running", "1"))

    done = journey.promote()
    assert done.promoted
    assert (journey.champion, journey.served) == ("2", ("running", "2"))
    assert [version.version for version in registry.versions(journey.store, "houses")] == ["2", "1"]
    version = registry.get(journey.store, "houses", "2")
    assert version.run_id == good
    assert version.tags[Tag.REASON].startswith("a test. run ")
    assert done.undo == "nbops rollback houses"

    endpoint.stop(journey.settings, "houses")
    kept = journey.promote()
    assert kept.decision.answer == "keep"
    assert journey.served == ("running", "2")  # a champion that stays is started when it does not run

    assert nbops(done.undo.split()[1:]) == 0
    assert "version 1 is champion of prod again" in capsys.readouterr().out
    assert (journey.champion, journey.served) == ("1", ("running", "1"))
    again = journey.gate().candidates()
    assert [each.run.run_id for each in again.ranked] == [first.version.run_id]
    assert any(
        "was withdrawn; to bring it back: nbops rollback houses --to 2" in one.refused for one in again.others
    )
    with pytest.raises(UsageError, match="nothing to go back to"):
        rollback(journey.settings, "houses")


def test_an_endpoint_that_answers_otherwise_is_taken_back(journey, trials, houses):
    journey.promote()
    other = models.model_of_run(journey.store, trials.fitted(middling(), houses, experiment="elsewhere"))
    trials.fitted(better(), houses)
    release = journey.promote(1)
    # What was registered as version 2 and what is deployed part ways, as after a mix-up of files.
    registered = Path(urlparse(release.version.source).path)
    shutil.rmtree(registered)
    shutil.copytree(urlparse(other.source).path, registered)
    release.deploy()
    with pytest.raises(PromotionError, match=r"answers known rows otherwise .* version 1 serves again"):
        release.verify()
    assert (journey.champion, journey.served) == ("1", ("running", "1"))
    with pytest.raises(PromotionError, match="after register, deploy and verify"):
        release.mark()
    assert journey.champion == "1"


def test_there_must_be_something_to_go_back_to(trials, houses):
    with pytest.raises(UsageError, match="unknown model 'houses'"):
        rollback(trials.settings, "houses")
    registry.register(trials.store, "houses", trials.fitted(worse(), houses))
    with pytest.raises(UsageError, match="has no champion"):
        rollback(trials.settings, "houses")


@pytest.mark.parametrize(
    "arguments",
    [["promote", "--undo", "m"], ["promote", "--notebook", "none.ipynb"], ["rollback"], ["history"]],
)
def test_what_does_not_go_together_is_asked_for_wrongly(arguments):
    assert nbops(arguments) == 2
