"""Host keys and credentials: what is sent to whom, and how often."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import time
import traceback
from dataclasses import replace

import asyncssh
import pytest

from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceError,
    DeviceTimeoutError,
    HostKeyError,
)
from mtughost.model.inventory import Credential
from mtughost.wire.known_hosts import HostKeyInfo


class PromptServer(asyncssh.SSHServer):
    """Keyboard-interactive with ``prompts``; the right password to the first one lets in."""

    prompts: tuple[tuple[str, bool], ...] = (("Password: ", False),)
    title = ""

    def __init__(self, offered) -> None:
        self.offered = offered

    def begin_auth(self, username):
        return True

    def kbdint_auth_supported(self):
        return True

    def get_kbdint_challenge(self, username, lang, submethods):
        return self.title, "", "", list(self.prompts)

    def validate_kbdint_response(self, username, responses):
        self.offered += [(username, response) for response in responses]
        return list(responses) == ["not-a-real-password"]


# -- host keys ---------------------------------------------------------------------------


def test_an_unknown_host_key_ends_before_any_password_is_sent(net, async_server):
    server = async_server()
    device = net.add("ap1", server.port)

    with pytest.raises(HostKeyError, match=r"unknown host key SHA256:.*enroll ap1") as caught:
        net.open(device)

    assert server.host_key.fingerprint in str(caught.value)
    assert server.offered == []


@pytest.mark.parametrize("recorded", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_a_changed_host_key_of_any_type_ends_before_any_password_is_sent(
    net, async_server, recorded
):
    server = async_server()
    old = asyncssh.generate_private_key(recorded).export_public_key().decode().split()
    device = net.add("ap1", server.port, key=HostKeyInfo(old[0], old[1]))

    with pytest.raises(HostKeyError, match="changed"):
        net.open(device)

    assert server.offered == []


def test_a_virtual_address_may_answer_with_any_of_its_recorded_keys(net, async_server):
    members = [async_server(), async_server()]
    vip = net.add("gw-vip", members[0].port, key=members[0].host_key)
    net.known_hosts.add("gw-vip", members[1].host_key)

    for member in members:
        net.open(replace(vip, port=member.port)).close()

    assert [len(member.offered) for member in members] == [1, 1]


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_server_with_other_key_types_is_accepted_when_recorded(net, sshd_farm, kind, command):
    session = net.open(net.add_sshd("ap1", sshd_farm.start(host_key=kind)))

    assert session.ask([command("echo hi")])[0].text == "hi\n"
    session.close()


def test_enrolling_shows_the_key_without_logging_in(net, async_server):
    server = async_server()
    key = net.connector().scan_host_key(net.add("ap1", server.port))

    assert key == server.host_key
    assert key.fingerprint.startswith("SHA256:")
    assert server.offered == []


# -- credentials -------------------------------------------------------------------------


def test_a_right_password_logs_in_and_is_offered_once(net, async_server):
    server = async_server()
    net.open(net.add("ap1", server.port, key=server.host_key)).close()

    assert server.offered == [("admin", "not-a-real-password")]


def test_a_wrong_password_is_refused_and_not_tried_again(net, async_server):
    server = async_server()
    net.env["TEST_PASSWORD"] = "wrong"
    device = net.add("ap1", server.port, key=server.host_key)

    with pytest.raises(AuthenticationRefusedError, match="user admin with its password") as caught:
        net.open(device)

    assert server.offered == [("admin", "wrong")]
    assert "wrong" not in str(caught.value)


def test_a_key_that_is_not_authorised_is_refused(net, sshd, tmp_path):
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    credential = Credential(realm="lab", username="root", key_file=str(stranger))
    device = net.add_sshd("ap1", sshd, credential=credential)

    with pytest.raises(AuthenticationRefusedError, match="its key"):
        net.open(device)


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """A real ssh-agent of our own, ended by its process number."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))

    def add(key) -> None:
        subprocess.run(["ssh-add", "-q", key], check=True)

    yield add
    process.terminate()
    process.wait(5)


def test_a_key_of_the_agent_logs_in_only_where_the_inventory_allows_it(net, sshd, agent, command):
    agent(sshd.user_key)
    user = net.add_sshd("other", sshd).credential.username
    allowed = Credential(realm="lab", username=user, use_agent=True)
    session = net.open(net.add_sshd("ap1", sshd, credential=allowed))

    assert session.ask([command("echo hi")])[0].text == "hi\n"
    session.close()
    with pytest.raises(AuthenticationRefusedError, match="names no key, agent or password"):
        net.open(net.add_sshd("ap2", sshd, credential=replace(allowed, use_agent=False)))


def test_a_refused_key_is_followed_by_the_password_once(net, async_server, sshd):
    class Both(async_server.PasswordServer):
        def public_key_auth_supported(self):
            return True

        def validate_public_key(self, username, key):
            return False

    server = async_server(server_factory=Both)
    both = Credential(
        realm="lab",
        username="admin",
        key_file=str(sshd.user_key),
        password_ref="env:TEST_PASSWORD",
    )
    net.open(net.add("ap1", server.port, key=server.host_key, credential=both)).close()

    assert len(server.offered) == 1


def test_a_second_factor_is_reported_and_not_guessed(net, sshd_farm):
    server = sshd_farm.start(
        "AuthenticationMethods publickey,keyboard-interactive", "KbdInteractiveAuthentication yes"
    )

    with pytest.raises(AuthenticationRefusedError, match="also wants keyboard-interactive"):
        net.open(net.add_sshd("ap1", server))


def test_a_missing_secret_is_a_device_error_that_names_the_reference(net, async_server):
    server = async_server()
    net.env.clear()
    device = net.add("ap1", server.port, key=server.host_key)

    with pytest.raises(DeviceError, match="TEST_PASSWORD"):
        net.open(device)

    assert server.offered == []


def test_one_hidden_password_prompt_is_answered_where_plain_passwords_are_off(net, async_server):
    server = async_server(server_factory=PromptServer, password_auth=False)
    net.open(net.add("ap1", server.port, key=server.host_key)).close()

    assert server.offered == [("admin", "not-a-real-password")]


@pytest.mark.parametrize(
    "prompts",
    [
        (("Token code: ", False),),
        (("New password: ", False),),
        (("Password: ", True),),
        (("Password: ", False), ("Domain: ", True)),
        tuple((f"Question {i}: ", False) for i in range(5)),
    ],
)
def test_strange_questions_stop_the_login_and_get_no_answer(net, async_server, prompts):
    factory = type("Strange", (PromptServer,), {"prompts": prompts})
    server = async_server(server_factory=factory, password_auth=False)

    with pytest.raises(AuthenticationRefusedError, match="nothing was answered"):
        net.open(net.add("ap1", server.port, key=server.host_key))

    assert server.offered == []


def test_a_forced_password_change_stops_the_login(net, async_server):
    class Expired(async_server.PasswordServer):
        def validate_password(self, username, password):
            raise asyncssh.PasswordChangeRequired("Your password has expired")

        def change_password(self, username, old_password, new_password):
            self.offered.append((username, new_password))
            return True

    server = async_server(server_factory=Expired)

    with pytest.raises(AuthenticationRefusedError, match="new password"):
        net.open(net.add("ap1", server.port, key=server.host_key))

    assert server.offered == []


def test_a_greeting_that_demands_a_new_password_stops_the_login(net, async_server):
    class Demanding(async_server.PasswordServer):
        def connection_made(self, conn):
            self.conn = conn

        def begin_auth(self, username):
            self.conn.send_auth_banner("You are required to change your password immediately\n")
            return True

    server = async_server(server_factory=Demanding)

    with pytest.raises(AuthenticationRefusedError, match="required to change your password"):
        net.open(net.add("ap1", server.port, key=server.host_key))


def test_a_password_shows_in_no_log_and_no_error(net, async_server, caplog):
    caplog.set_level(logging.DEBUG)
    net.env["TEST_PASSWORD"] = "canary-5b1f-not-real"
    server = async_server()
    device = net.add("ap1", server.port, key=server.host_key)

    with pytest.raises(AuthenticationRefusedError) as caught:
        net.open(device)

    trace = "".join(traceback.format_exception(caught.value))
    assert server.offered == [("admin", "canary-5b1f-not-real")]
    assert "canary" not in caplog.text + trace + repr(device)


def test_a_login_that_is_never_answered_ends_at_its_deadline(net, async_server):
    class Silent(async_server.PasswordServer):
        async def validate_password(self, username, password):
            await asyncio.sleep(60)
            return True

    server = async_server(server_factory=Silent)
    began = time.monotonic()

    with pytest.raises(DeviceTimeoutError, match="login was not answered"):
        net.open(net.add("ap1", server.port, key=server.host_key))

    assert time.monotonic() - began < 4
