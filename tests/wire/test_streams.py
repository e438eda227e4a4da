"""Streams of binary output, and TCP connections that the device makes."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace

import pytest

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceError,
    DeviceUnreachableError,
    OutputLimitError,
)
from mtughost.model.session import ForwardingRefusedError, TcpRefusedError
from mtughost.wire.profile import SHELL

SHELLS = ("/bin/dash -c", "/bin/bash -c", "/bin/busybox ash -c")


def running(marker: str) -> list[int]:
    """Process numbers whose command line contains ``marker``, except ours and shells' own."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry.name}/cmdline", "rb") as source:  # noqa: PTH123
                line = source.read()
        except OSError:
            continue
        if marker.encode() in line:
            found.append(int(entry.name))
    return found


def gone(marker: str, seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(marker)


@pytest.fixture
def marker():
    return f"86400.{os.getpid()}{time.monotonic_ns() % 10**6}"


def test_a_shell_that_reads_its_script_from_its_input_streams_what_ends_by_itself(
    net, sshd_farm, command, marker
):
    """As behind csh: the login shell starts nothing but ``/bin/sh``."""
    server = sshd_farm.start('ForceCommand test "$SSH_ORIGINAL_COMMAND" = /bin/sh && exec /bin/sh')
    session = net.open(net.add_sshd("gw1", server), replace(SHELL, script_on_stdin=True))
    writer = f"timeout -s INT 0.5 sh -c 'printf \"\\0\\377\\r\\n\"; exec sleep {marker}'"

    data = session.stream(
        command(writer, risk="active", ok_exit_codes=(0, 124)), seconds=5, stdin_close_ends=False
    )

    assert data == b"\0\377\r\n"
    assert gone(marker)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stream_is_ended_after_its_time_and_keeps_every_byte(
    net, sshd_farm, command, marker, shell
):
    server = sshd_farm.start(f'ForceCommand exec {shell} "$SSH_ORIGINAL_COMMAND"')
    session = net.open(net.add_sshd("ap1", server))
    writer = f"sh -c 'printf \"\\0\\377\\r\\n\"; echo noise >&2; exec sleep {marker}'"
    began = time.monotonic()

    data = session.stream(command(writer, risk="active"), seconds=0.5)

    assert data == b"\0\xff\r\n"
    assert 0.4 < time.monotonic() - began < 2
    assert gone(marker)
    session.close()


def test_a_stream_that_ends_by_itself_is_returned_at_once(session, command):
    began = time.monotonic()
    data = session.stream(command("printf 'done'", risk="active"), seconds=20)

    assert data == b"done"
    assert time.monotonic() - began < 2


def test_a_stream_that_sees_to_its_end_itself_is_run_as_it_is(session, command):
    line = command("timeout 0.4 sh -c 'echo a; sleep 9'", risk="active", ok_exit_codes=(0, 124))

    assert session.stream(line, seconds=5, stdin_close_ends=False) == b"a\n"


def test_a_command_that_fails_to_start_says_why(session, command):
    failing = command("sh -c 'echo no such device >&2; exit 1'", risk="active")

    with pytest.raises(CommandRejectedError, match="exit code 1: no such device"):
        session.stream(failing, seconds=5)


def test_a_stream_beyond_its_cap_is_an_error_and_leaves_nothing_running(session, command):
    with pytest.raises(OutputLimitError):
        session.stream(command("yes flood", risk="active", max_bytes=100_000), seconds=5)

    assert gone("yes\0flood")


def test_nothing_is_left_running_when_the_connection_dies(net, sshd_farm, command, marker):
    server = sshd_farm.start()
    session = net.open(net.add_sshd("ap1", server))
    failures = []

    def capture():
        try:
            session.stream(command(f"sleep {marker}", risk="active"), seconds=30)
        except DeviceError as error:
            failures.append(error)

    thread = threading.Thread(target=capture)
    thread.start()
    deadline = time.monotonic() + 3
    while not running(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running(marker)
    session._login.transport.sock.close()  # as when the tool is killed: no orderly goodbye
    thread.join(3)

    assert isinstance(failures[0], DeviceUnreachableError)
    assert gone(marker)
    session.close()


@pytest.fixture
def echo_server():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while data := client.recv(4096):
                    client.sendall(data.upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(2)


def test_the_device_connects_for_us(session, echo_server):
    stream = session.open_tcp("127.0.0.1", echo_server, timeout_s=3)
    stream.sendall(b"hello")

    assert stream.recv(100, timeout_s=3) == b"HELLO"
    with pytest.raises(TimeoutError):
        stream.recv(100, timeout_s=0.1)
    stream.close()


def test_the_end_of_a_tcp_stream_is_seen(session, raw_server):
    server = raw_server(lambda client, _stop: client.sendall(b"bye"))
    stream = session.open_tcp("127.0.0.1", server.port, timeout_s=3)

    assert stream.recv(100, timeout_s=3) == b"bye"
    assert stream.recv(100, timeout_s=3) == b""
    stream.close()


def test_a_refused_port_is_told_in_the_devices_words(session):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(TcpRefusedError, match="Connection refused"):
        session.open_tcp("127.0.0.1", port, timeout_s=3)


def test_forwarding_that_is_switched_off_is_told_apart(net, sshd_farm, echo_server):
    session = net.open(net.add_sshd("ap1", sshd_farm.start("AllowTcpForwarding no")))

    with pytest.raises(ForwardingRefusedError, match="ap1"):
        session.open_tcp("127.0.0.1", echo_server, timeout_s=3)
    session.close()


def test_a_server_that_forwards_to_one_family_only_is_no_word_about_the_service(net, sshd_farm):
    session = net.open(net.add_sshd("ap1", sshd_farm.start("AddressFamily inet")))

    with pytest.raises(ForwardingRefusedError, match="ap1"):
        session.open_tcp("2001:db8::1", 443, timeout_s=3)
    session.close()


# -- jump hosts --------------------------------------------------------------------------


@pytest.fixture
def behind(net, sshd_farm, sshd):
    """Two devices with the same address behind one jump host."""
    jump = sshd_farm.start()
    net.add_sshd("jump1", jump, role="jump", site="")
    devices = [net.add_sshd(name, sshd, jump="jump1") for name in ("s001-ap1", "s002-ap1")]
    return jump, devices


def test_devices_behind_a_jump_host_share_one_login_to_it(net, behind, command):
    jump, devices = behind
    connector = net.connector()
    from mtughost.wire.profile import SHELL  # noqa: PLC0415

    sessions = [connector.open(device, SHELL) for device in devices]
    answers = [s.ask([command("echo $SSH_CONNECTION")])[0] for s in sessions]
    logins = jump.log.read_text().count("Accepted publickey")
    for session in sessions:
        session.close()

    assert all(answer.status == "complete" for answer in answers)
    assert logins == 1


def test_a_chain_of_two_jump_hosts_works(net, sshd_farm, sshd, command):
    net.add_sshd("outer", sshd_farm.start())
    net.add_sshd("inner", sshd_farm.start(), jump="outer")
    session = net.open(net.add_sshd("ap1", sshd, jump="inner"))

    assert session.ask([command("echo through")])[0].text == "through\n"
    session.close()


def test_the_key_of_the_jump_host_is_checked_too(net, sshd_farm, sshd):
    net.add_sshd("jump1", sshd_farm.start(), key=None)
    device = net.add_sshd("ap1", sshd, jump="jump1")

    with pytest.raises(DeviceUnreachableError, match=r"jump host jump1 .* unknown host key"):
        net.open(device)


def test_the_key_of_the_device_behind_is_checked_by_its_own_name(net, behind):
    _jump, devices = behind
    stranger = replace(devices[0], name="s003-ap1")

    with pytest.raises(DeviceError, match="s003-ap1: unknown host key"):
        net.open(stranger)


def test_a_refused_login_to_the_jump_host_is_never_tried_again(net, async_server, sshd):
    server = async_server()
    net.env["TEST_PASSWORD"] = "wrong"
    net.add("jump1", server.port, key=server.host_key)
    connector = net.connector()
    from mtughost.wire.profile import SHELL  # noqa: PLC0415

    for name in ("ap1", "ap2", "ap3"):
        with pytest.raises(DeviceUnreachableError, match="refused user admin"):
            connector.open(net.add_sshd(name, sshd, jump="jump1"), SHELL)

    assert len(server.offered) == 1


def test_a_lost_jump_host_is_logged_in_to_again(net, behind, command):
    _jump, devices = behind
    connector = net.connector()
    from mtughost.wire.profile import SHELL  # noqa: PLC0415

    connector.open(devices[0], SHELL).close()
    slot = connector._jumps._slots["jump1"]
    slot.login.transport.sock.close()
    deadline = time.monotonic() + 2
    while slot.login.transport.is_active() and time.monotonic() < deadline:
        time.sleep(0.02)
    session = connector.open(devices[1], SHELL)

    assert session.ask([command("echo again")])[0].text == "again\n"
    session.close()


@pytest.mark.parametrize(
    ("option", "words"),
    [("AllowTcpForwarding no", "does not forward"), ("LogLevel INFO", "Connection refused")],
)
def test_a_device_that_the_jump_host_cannot_reach_is_unreachable(net, sshd_farm, option, words):
    net.add_sshd("jump1", sshd_farm.start(option))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(DeviceUnreachableError, match=words):
        net.open(net.add("ap1", port, jump="jump1"))


def test_jump_hosts_in_a_circle_or_missing_are_named(net):
    one = net.add("one", 22, jump="two")
    net.add("two", 22, jump="one")
    lost = net.add("lost", 22, jump="nobody")

    with pytest.raises(DeviceUnreachableError, match="one -> two -> one"):
        net.open(one)
    with pytest.raises(DeviceUnreachableError, match="nobody is not in the inventory"):
        net.open(lost)


def test_enrolling_works_through_a_jump_host(net, behind, sshd):
    _jump, devices = behind
    unknown = replace(devices[0], name="s009-ap1")

    assert net.connector().scan_host_key(unknown) == sshd.host_key
