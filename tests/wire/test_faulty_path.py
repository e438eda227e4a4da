"""SSH through a spoilt TCP path to a real sshd: whole answers, or a typed error in bounded time."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from mtughost.lab.fleet.faulty import Toxic, faulty
from mtughost.model.errors import DeviceError
from mtughost.wire.profile import WirePolicy

QUICK = WirePolicy(connect_timeout_s=2, banner_timeout_s=2, kex_timeout_s=2, auth_timeout_s=2)
#: All deadlines of one login and one command, and a second.
LONGEST_S = 2 * 4 + 2 + 3

TEXT = "0123456789" * 400 + "\n"


def ask_through(net, server, toxics, command, name="ap1"):
    """Return the answer, or the error that the login ended with, and how long it took."""
    device = net.add_sshd(name, server)
    started_s = time.monotonic()
    with faulty(device.port, *toxics) as proxy:
        session = None
        try:
            session = net.open(replace(device, port=proxy.port), policy=QUICK)
            line = f"printf %s '{TEXT[:-1]}'; echo"
            (answer,) = session.ask([command(line, timeout_s=2.0)])
        except DeviceError as error:
            answer = error
        finally:
            if session is not None:
                session.close()
        done = set(proxy.done)
    return answer, time.monotonic() - started_s, done


def whole_or_typed(answer):
    """Say whether an answer is the truth or says that it is none."""
    if isinstance(answer, DeviceError):
        return True
    if answer.status == "complete":
        return answer.text == TEXT and answer.exit_code == 0
    return bool(answer.error) or answer.status == "eof"


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(kind="latency", value=0.02),
        Toxic(kind="slice", value=7),
        Toxic(kind="slice", direction="up", value=40),
    ],
    ids=["latency", "slices down", "slices up"],
)
def test_a_slow_or_sliced_path_changes_no_answer(net, sshd, command, toxic):
    answer, _, done = ask_through(net, sshd, [toxic], command)

    assert answer.text == TEXT
    assert done == {toxic.kind}


@pytest.mark.parametrize(
    ("kind", "at"),
    [("reset", 20), ("limit", 3500), ("corrupt", 3500), ("stall", 20)],
)
def test_a_broken_path_gives_a_typed_error_in_time(net, sshd, command, kind, at):
    toxic = Toxic(kind=kind, at_bytes=at)

    answer, seconds, done = ask_through(net, sshd, [toxic], command)

    assert done == {kind}
    assert whole_or_typed(answer), answer
    assert seconds < LONGEST_S


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("at", [900, 1800, 2100, 2400, 2700])
def test_a_byte_damaged_anywhere_in_the_login_ends_in_a_typed_error(
    net, sshd, command, direction, at
):
    # With AES-GCM paramiko would hand the cipher library's own exception to whoever logs in.
    toxic = Toxic(kind="corrupt", direction=direction, at_bytes=at, value=1)

    answer, seconds, _ = ask_through(net, sshd, [toxic], command, name=f"ap-{direction}-{at}")

    assert whole_or_typed(answer), answer
    assert seconds < LONGEST_S


def test_a_flood_before_the_banner_is_bounded(net, sshd, command):
    toxic = Toxic(kind="flood", at_bytes=0, value=8)

    answer, seconds, done = ask_through(net, sshd, [toxic], command)

    assert isinstance(answer, DeviceError)
    assert done == {"flood"}
    assert seconds < LONGEST_S


def test_a_pattern_chooses_the_moment(net, sshd, command):
    toxic = Toxic(kind="reset", pattern=b"SSH-2.0-")

    answer, _, done = ask_through(net, sshd, [toxic], command)

    assert isinstance(answer, DeviceError)
    assert done == {"reset"}


@pytest.mark.nightly(basis="real program")
@pytest.mark.timeout(900)
def test_no_seeded_fault_on_the_path_makes_a_false_answer(net, sshd, command, record_property):
    import os  # noqa: PLC0415

    count = 200 if os.environ.get("MTUGHOST_NIGHTLY") == "full" else 20
    chance = random.Random(os.environ.get("MTUGHOST_SEED", "1"))  # noqa: S311 - variety
    record_property("sessions through a faulty path", str(count))
    for number in range(count):
        toxic = Toxic(
            kind=chance.choice(["reset", "limit", "half-close", "stall", "corrupt", "slice"]),
            direction=chance.choice(["up", "down"]),
            at_bytes=chance.randrange(9000),
            value=chance.randint(1, 900),
        )
        answer, seconds, _ = ask_through(net, sshd, [toxic], command, name=f"ap{number}")
        assert whole_or_typed(answer), (toxic, answer)
        assert seconds < LONGEST_S, (toxic, seconds)
