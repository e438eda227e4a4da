"""What a run's end means for the exit code: the worst of all devices."""

from __future__ import annotations

import pytest

from mtughost.change.tools import DeviceResult, RunResult, ServiceCheck


def result(*outcomes):
    devices = tuple(
        DeviceResult(device=f"gw{n}", outcome=outcome, touched=True, reason="")
        for n, outcome in enumerate(outcomes)
    )
    return RunResult(run_id="r", plan=None, devices=devices, head="")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (("confirmed",), 0),
        (("confirmed", "skipped"), 4),
        (("confirmed", "not-started"), 4),
        (("skipped", "refused"), 5),
        (("refused", "reverted", "not-started"), 6),
        (("reverted", "needs-human", "confirmed"), 7),
    ],
)
def test_the_exit_code_is_that_of_the_worst_device(outcomes, code):
    assert result(*outcomes).exit_code == code


@pytest.mark.parametrize(
    "missing", ["full_handshake", "round_trip_after_change", "full_size_reply"]
)
@pytest.mark.parametrize("value", [None, False])
def test_a_service_is_proven_only_when_all_three_hold(missing, value):
    seen = {"full_handshake": True, "round_trip_after_change": True, "full_size_reply": True}

    assert ServiceCheck(**seen, summary="").proven
    assert not ServiceCheck(**(seen | {missing: value}), summary="").proven
