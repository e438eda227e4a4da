"""What one login reads: whole answers or an error of its own kind, and times as the device's."""

from __future__ import annotations

import pytest

from mtughost.change.asking import ask, must, read_state
from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.model.plans import PlannedLine
from mtughost.model.session import Answer
from tests.change.conftest import choice_of, load_beside, plan_header

virtual = load_beside("virtual")
LINE = PlannedLine(
    id="state-links", line="ip link", risk="passive", basis="device", timeout_s=5, mode=""
)


class Says:
    """A login that gives one answer."""

    host = "gw1"

    def __init__(self, **answer) -> None:
        self._answer = answer

    def ask(self, commands):
        (command,) = commands
        return (Answer(command_id=command.command_id, line=command.line, **self._answer),)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"status": "timeout"}, DeviceTimeoutError, "gw1: state-links: timeout"),
        ({"status": "eof"}, DeviceUnreachableError, "gw1: state-links: eof"),
        ({"status": "output-limit"}, OutputLimitError, "gw1: state-links: output-limit"),
        (
            {"status": "desync", "error": "the prompt is gw2#"},
            SessionDesyncError,
            "gw1: state-links: desync: the prompt is gw2#",
        ),
        (
            {"status": "rejected", "error": "% Invalid input"},
            CommandRejectedError,
            "gw1: state-links: rejected: % Invalid input",
        ),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error_of_its_own_kind(answer, kind, words):
    with pytest.raises(kind) as caught:
        ask(Says(text="half", **answer), LINE)

    assert type(caught.value) is kind
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"exit_code": 2, "stderr": " no such link\n", "text": "x"}, "exit code 2: no such link"),
        ({"exit_code": 1, "stderr": "", "text": "said so\n"}, "exit code 1: said so"),
        ({"exit_code": 127, "stderr": " \n", "text": "y"}, "exit code 127: no message"),
        ({"exit_code": 1, "stderr": "e" * 500}, "exit code 1: " + "e" * 400),
    ],
)
def test_a_line_that_must_succeed_says_in_the_devices_words_why_it_did_not(answer, words):
    with pytest.raises(CommandRejectedError) as caught:
        must(Says(**{"text": "", **answer}), LINE)

    assert str(caught.value) == f"gw1: state-links ended with {words}"
    said = words.partition(": ")[2].removeprefix("no message")
    assert (caught.value.command, caught.value.answer) == ("ip link", said)


@pytest.mark.parametrize("code", [0, None])
def test_a_line_that_succeeded_or_has_no_exit_code_gives_its_answer(code):
    assert must(Says(text="fine", exit_code=code), LINE).text == "fine"


@pytest.mark.parametrize("case", ["cisco_xe-interface", "mikrotik_routeros-interface"])
def test_the_time_since_boot_is_the_devices_own(people, tmp_path, case):
    rig = virtual.VirtualRig(case, people, tmp_path, choice_of, plan_header)
    planned = rig.plan().devices[0]

    def read(after_s):
        rig.device.clock.advance(after_s)
        session = rig.open_session("")
        state = read_state(
            session, planned.state, backend=planned.backend, target=planned.target, taken_utc="now"
        )
        return state, rig.device.clock.now_s()

    (first, first_s), (later, later_s) = read(0), read(5 * 86400 + 3 * 3600)

    assert first.uptime_s >= 7200 - 61
    assert abs(later.uptime_s - first.uptime_s - (later_s - first_s)) < 61
    for state in (first, later):
        assert (state.identity, state.boot_id) == (first.identity, "")
        assert state.digest.taken_utc == "now"
        assert set(state.texts) == {
            line.id for line in (*planned.state.whole, *planned.state.saved)
        }
    assert first.identity == (planned.hostname, planned.version, planned.serial)
    assert rig.device.identity.serial == planned.serial
