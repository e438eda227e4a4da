"""Nine states: what may follow what, tried exhaustively and at random."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mtughost.remedy.transitions import (
    EVENTS,
    STATES,
    TERMINAL,
    IllegalTransitionError,
    legal_events,
    step,
)


def test_there_are_nine_states_and_three_of_them_are_ends():
    assert len(STATES) == 9
    assert {"confirmed", "reverted", "needs-human"} == TERMINAL


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_pair_is_either_a_step_to_a_state_or_refused(state, event):
    if event in legal_events(state):
        assert step(state, event) in STATES
    else:
        with pytest.raises(IllegalTransitionError):
            step(state, event)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_an_end(state):
    assert legal_events(state) == frozenset()


@pytest.mark.parametrize("state", [s for s in STATES if s not in TERMINAL])
def test_a_way_back_and_a_call_for_a_person_are_always_open(state):
    assert step(state, "reverted") == "reverted"
    assert step(state, "needs-human") == "needs-human"


def test_every_state_can_be_reached_and_every_state_can_end():
    reached = {"planned"}
    for _ in STATES:
        reached |= {step(state, event) for state in reached for event in legal_events(state)}

    assert reached == set(STATES)


class Run(RuleBasedStateMachine):
    """A run in which anything legal happens; the promises hold at every step."""

    def __init__(self):
        super().__init__()
        self.state = "planned"
        self.seen = []

    @precondition(lambda self: self.state not in TERMINAL)
    @rule(data=st.data())
    def anything_legal(self, data):
        event = data.draw(st.sampled_from(sorted(legal_events(self.state))))
        self.state = step(self.state, event)
        self.seen.append(event)

    @precondition(lambda self: self.state in TERMINAL)
    @rule()
    def an_end_stays_an_end(self):
        with pytest.raises(IllegalTransitionError):
            step(self.state, "resumed")

    @invariant()
    def nothing_is_touched_before_it_was_armed(self):
        if "apply-intent" in self.seen:
            armed = {"armed", "unguarded", "commit-intent"}
            assert armed & set(self.seen[: self.seen.index("apply-intent")])

    @invariant()
    def nothing_is_confirmed_that_was_not_verified_and_saved(self):
        if self.state == "confirmed":
            armed = ("armed", "unguarded", "commit-intent")
            order = ["all-applied", "verified", "confirm-intent", "persisted"]
            places = [min(self.seen.index(event) for event in armed if event in self.seen)]
            places += [self.seen.index(event) for event in order]
            assert places == sorted(places)


TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=settings.default.max_examples * 2, stateful_step_count=30, deadline=None
)
