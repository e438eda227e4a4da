"""The nine states of a device in a run, and which journal records may lead from one to another.

::

    planned ──arm-intent──> planned ──armed──> armed ──apply-intent──> applying ──applied(last)──>
    applied ──verify(ok)──> verified ──confirm-intent──> confirming ──persisted──> CONFIRMED

    any state from planned on ──reverted──> REVERTED          (read back: state before)
    any state from planned on ──needs-human──> NEEDS-HUMAN    (neither could be proven)

A confirmed commit arms and applies in one step: ``planned ──commit-intent──> applying``, and the
record ``armed`` follows there, once the pending rollback was read back. Where a device has no timer
and that was accepted, ``unguarded`` stands for ``armed``.

The last three are terminal. ``confirming`` lasts until the saved state was read back: a device
that runs the new configuration but would boot the old one is neither before nor after, so the
record ``confirmed`` (the guard's token was taken and read back) is not yet the state
``confirmed``.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

DeviceState = Literal[
    "planned",
    "armed",
    "applying",
    "applied",
    "verified",
    "confirming",
    "confirmed",
    "reverted",
    "needs-human",
]
STATES: Final[tuple[DeviceState, ...]] = get_args(DeviceState)
TERMINAL: Final[frozenset[DeviceState]] = frozenset({"confirmed", "reverted", "needs-human"})
#: From here on the running configuration may differ from the planned state before.
TOUCHED: Final[frozenset[DeviceState]] = frozenset(
    {"applying", "applied", "verified", "confirming"}
)

#: Journal records about one device. ``unknown`` says that a question got no answer.
DeviceEvent = Literal[
    "connect",
    "hostkey-ok",
    "pre-digest",
    "backup-saved",
    "arm-intent",
    "armed",
    "unguarded",
    "commit-intent",
    "apply-intent",
    "applied",
    "all-applied",
    "verify",
    "verify-failed",
    "verified",
    "confirm-intent",
    "confirmed",
    "persist-intent",
    "persisted",
    "cancel-intent",
    "cancelled",
    "restore-intent",
    "reverted",
    "unknown",
    "needs-human",
    "refused",
    "resumed",
]
EVENTS: Final[tuple[DeviceEvent, ...]] = get_args(DeviceEvent)

_STAY: Final[DeviceState | None] = None

_MOVES: Final[dict[DeviceState, dict[DeviceEvent, DeviceState | None]]] = {
    "planned": {
        "connect": _STAY,
        "hostkey-ok": _STAY,
        "pre-digest": _STAY,
        "backup-saved": _STAY,
        "arm-intent": _STAY,
        "armed": "armed",
        "unguarded": "armed",
        "commit-intent": "applying",
        "cancelled": "reverted",
        "refused": "reverted",
    },
    "armed": {
        "connect": _STAY,
        "pre-digest": _STAY,
        "apply-intent": "applying",
        "cancelled": "reverted",
    },
    "applying": {
        "apply-intent": _STAY,
        "applied": _STAY,
        "armed": _STAY,
        "all-applied": "applied",
    },
    "applied": {
        "connect": _STAY,
        "verify": _STAY,
        "verify-failed": _STAY,
        "verified": "verified",
    },
    "verified": {"confirm-intent": "confirming"},
    "confirming": {
        "connect": _STAY,
        "confirmed": _STAY,
        "persist-intent": _STAY,
        "persisted": "confirmed",
    },
    "confirmed": {},
    "reverted": {},
    "needs-human": {},
}

#: Possible in every state that is not terminal.
_ALWAYS: Final[dict[DeviceEvent, DeviceState | None]] = {
    "restore-intent": _STAY,
    # Of a guard that is not needed: nothing was changed, or the way back is proven.
    "cancel-intent": _STAY,
    "reverted": "reverted",
    "unknown": _STAY,
    "needs-human": "needs-human",
    "resumed": _STAY,
}


class IllegalTransitionError(ValueError):
    """A record that must not follow. Raised for our own bugs and for forged journals."""

    def __init__(self, state: DeviceState, event: str) -> None:
        super().__init__(f"{event!r} must not follow in the state {state!r}")
        self.state = state
        self.event = event


def step(state: DeviceState, event: DeviceEvent) -> DeviceState:
    """Return the state after one record.

    Raises:
        IllegalTransitionError: the record must not follow.
    """
    moves = _MOVES[state]
    if event in moves:
        following = moves[event]
    elif event in _ALWAYS and state not in TERMINAL:
        following = _ALWAYS[event]
    else:
        raise IllegalTransitionError(state, event)
    return state if following is None else following


def legal_events(state: DeviceState) -> frozenset[DeviceEvent]:
    """Return the records that may follow."""
    if state in TERMINAL:
        return frozenset()
    return frozenset(_MOVES[state]) | frozenset(_ALWAYS)
