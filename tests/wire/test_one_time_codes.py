"""A jump host that wants a key and a code: a person is asked once, and the login is kept."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace

import paramiko
import pytest

from mtughost.model.errors import AuthenticationRefusedError, DeviceUnreachableError
from mtughost.wire.clock import SystemClock
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import HostKeyInfo
from mtughost.wire.profile import SHELL
from mtughost.wire.secrets import SecretResolver
from tests.wire.conftest import QUICK

CODE = "492 039"


class TwoFactors(paramiko.ServerInterface):
    """Takes any key, then asks ``prompt``; forwards to loopback."""

    prompt = "Verification code: "

    def __init__(self) -> None:
        self.answers: list[str] = []

    def get_allowed_auths(self, username):
        return "publickey,keyboard-interactive"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL

    def check_auth_interactive(self, username, submethods):
        return paramiko.InteractiveQuery("", "", (self.prompt, False))

    def check_auth_interactive_response(self, responses):
        self.answers += responses
        return paramiko.AUTH_SUCCESSFUL if responses == [CODE] else paramiko.AUTH_FAILED

    def check_channel_direct_tcpip_request(self, number, origin, destination):
        self.destination = destination
        return paramiko.OPEN_SUCCEEDED


def relay(channel, target):
    """Carry bytes both ways until either side ends."""

    def copy(read, write, end):
        with contextlib.suppress(OSError):  # the other side has gone
            while data := read(65536):
                write(data)
        end()

    back = threading.Thread(
        target=copy, args=(target.recv, channel.sendall, channel.close), daemon=True
    )
    back.start()
    copy(channel.recv, target.sendall, target.close)


def serve(listener, key, interface):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        transport.start_server(server=interface)
        threading.Thread(target=forward, args=(transport, interface), daemon=True).start()


def forward(transport, interface):
    while transport.is_active():
        channel = transport.accept(1)
        if channel is not None:
            target = socket.create_connection(interface.destination)
            threading.Thread(target=relay, args=(channel, target), daemon=True).start()


@pytest.fixture(scope="module")
def host_key():
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def gate(host_key):
    interface = TwoFactors()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, host_key, interface), daemon=True).start()
        yield interface, listener.getsockname()[1]


@pytest.fixture
def behind(net, gate, host_key, sshd):
    """Two devices behind the gate, and a connector whose person answers with ``code``."""
    key = HostKeyInfo(host_key.get_name(), host_key.get_base64())
    own = net.add_sshd("ap1", sshd)
    net.add("gate", gate[1], key=key, credential=own.credential, role="jump")
    devices = [net.add_sshd(name, sshd, jump="gate") for name in ("ap2", "ap3")]
    asked = []

    @contextmanager
    def opened(code, policy=QUICK, after_s=0.0):
        def person(host, question):
            asked.append((host, question))
            time.sleep(after_s)
            return code

        with Connector(
            devices=net.devices,
            known_hosts=net.known_hosts,
            secrets=SecretResolver(env={}, ask=person if code is not None else None),
            clock=SystemClock(),
            policy=policy,
        ) as connector:
            yield connector, devices, asked

    return opened


def test_the_person_is_asked_once_for_all_devices_behind_the_host(behind, gate, command):
    with behind(CODE) as (connector, devices, asked):
        for device in devices:
            with closing(connector.open(device, SHELL)) as session:
                assert session.ask([command("echo hi")])[0].text == "hi\n"

    assert asked == [("gate", "Verification code:")]
    assert gate[0].answers == [CODE]


def test_a_wrong_code_is_typed_once_and_the_host_is_not_tried_again(behind, gate):
    with behind("000000") as (connector, devices, asked):
        for device in devices:
            with pytest.raises(DeviceUnreachableError, match="refused a one-time code"):
                connector.open(device, SHELL)

    assert len(asked) == len(gate[0].answers) == 1


def test_with_nobody_at_the_terminal_nothing_is_answered(behind, gate):
    with (
        behind(None) as (connector, devices, _),
        pytest.raises(DeviceUnreachableError, match="Verification code") as caught,
    ):
        connector.open(devices[0], SHELL)

    assert "person at the terminal" in caught.value.todo
    assert gate[0].answers == []


@pytest.mark.parametrize("question", ["Enter a new PIN: ", "Wait for the next token code: "])
def test_what_is_not_a_plain_question_for_a_code_is_put_to_nobody(behind, gate, question):
    gate[0].prompt = question
    with behind(CODE) as (connector, devices, asked), pytest.raises(DeviceUnreachableError):
        connector.open(devices[0], SHELL)

    assert asked == []
    assert gate[0].answers == []


def test_a_person_has_longer_than_a_device_has(behind, command):
    hurried = replace(QUICK, auth_timeout_s=0.5)
    with (
        behind(CODE, hurried, after_s=1.0) as (connector, devices, _),
        closing(connector.open(devices[0], SHELL)) as session,
    ):
        assert session.ask([command("echo hi")])[0].text == "hi\n"


def test_a_device_that_is_no_jump_host_is_not_asked_for(behind, net):
    with (
        behind(CODE) as (connector, _, asked),
        pytest.raises(AuthenticationRefusedError, match="also wants publickey, keyboard"),
    ):
        connector.open(net.devices["gate"], SHELL)

    assert asked == []
