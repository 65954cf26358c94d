"""A grid that nothing prunes proposes each of its combinations once, and after a resume only what is left."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.sweeps.grid import GridProposals
from notebooks_lib.sweeps.records import Proposals
from notebooks_lib.sweeps.search_space import Grid
from tests.sweeps.building import grid


def test_every_combination_comes_once_with_its_number():
    made = grid("alpha=0.1,1", "seed=1..3")
    proposals: Proposals = GridProposals(made)
    found = []
    while (proposal := proposals.ask()) is not None:
        found.append(proposal)
        assert proposals.report(proposal.number, 1, 0.5) is False
        proposals.tell(proposal.number, "failed", None)
    assert [one.number for one in found] == list(range(6))
    assert [one.values for one in found] == list(made.combinations())
    assert proposals.total == 6
    assert proposals.ask() is None


@given(st.sets(st.integers(0, 30)))
def test_what_is_done_is_left_out(done):
    proposals = GridProposals(Grid({"a": tuple(range(4)), "b": tuple(range(5))}), done)
    found = [one.number for one in iter(proposals.ask, None)]
    assert found == [number for number in range(20) if number not in done]
    assert proposals.total == 20


def test_a_million_combinations_are_no_burden():
    proposals = GridProposals(Grid({"a": tuple(range(1000)), "b": tuple(range(1000))}), range(999_998))
    assert [one.values for one in itertools.islice(iter(proposals.ask, None), 5)] == [
        {"a": 999, "b": 998},
        {"a": 999, "b": 999},
    ]
