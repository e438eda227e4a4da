"""What must hold for the libraries below and for the code of this room as a whole."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import netmiko
import paramiko
import pytest
from netmiko.base_connection import BaseConnection
from nornir.core import Nornir
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister

import mtughost.wire
from mtughost.model.errors import UsageError
from mtughost.wire import netmiko_lean, tuning
from mtughost.wire.clock import SystemClock
from mtughost.wire.nornir_plugin import CONNECTION_NAME, MtughostConnection

SOURCES = sorted(Path(mtughost.wire.__file__).parent.glob("*.py"))


def test_netmiko_is_the_version_whose_members_we_override():
    assert netmiko.__version__.startswith("4.8.")


@pytest.mark.parametrize("name", netmiko_lean.OVERRIDDEN)
def test_an_overridden_member_exists_in_netmiko_and_takes_the_same_arguments(name):
    stock = inspect.signature(getattr(BaseConnection, name)).parameters
    ours = inspect.signature(getattr(netmiko_lean.LeanConnection, name)).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in ours.values())

    assert takes_all or list(stock) == list(ours)


def test_the_list_of_overridden_members_is_complete():
    ours = vars(netmiko_lean.LeanConnection)
    overridden = {n for n in ours if hasattr(BaseConnection, n) and not n.startswith("__")}

    assert overridden == set(netmiko_lean.OVERRIDDEN)


def test_netmiko_is_strict_and_writes_nothing_by_itself():
    connection = netmiko_lean.LeanConnection(
        host="ap1", netmiko_type="cisco_ios", return_key="\n", ansi=False
    )

    assert isinstance(connection.key_policy, paramiko.RejectPolicy)
    assert connection.session_log is None
    assert connection.allow_agent is False
    assert connection.remote_conn is None
    connection.disconnect()


def test_paramiko_still_has_what_the_tuning_replaces():
    assert hasattr(paramiko.Transport, "_active_check_timeout")
    assert hasattr(paramiko.Transport, "_really_parse_kex_init")
    assert hasattr(paramiko.Transport, "_parse_channel_open_failure")
    assert hasattr(paramiko.auth_handler.AuthHandler, "_request_auth")
    assert hasattr(tuning.Packetizer, "start_handshake")


def test_no_forbidden_algorithm_is_offered_and_the_fast_ones_come_first():
    class NoSocket:
        def settimeout(self, _timeout): ...

    transport = tuning.new_transport(NoSocket(), ["ssh-rsa"])
    offered = [
        *transport.preferred_kex,
        *transport.preferred_ciphers,
        *transport.preferred_macs,
        *transport.preferred_keys,
    ]

    assert transport.preferred_kex[0].startswith("curve25519")
    assert transport.preferred_ciphers[0] == "aes128-gcm@openssh.com"
    assert transport.preferred_keys[0] == "rsa-sha2-512"
    assert not [n for n in offered if "sha1" in n or "md5" in n or "3des" in n or n == "ssh-rsa"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_accepts_unknown_keys_or_sleeps(path):
    names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}

    assert not names & {"AutoAddPolicy", "WarningPolicy", "load_system_host_keys"}
    assert "sleep" not in names or path.name in ("clock.py", "tuning.py")


def test_importing_the_package_does_not_load_the_ssh_libraries():
    code = "import mtughost.wire, sys; print('paramiko' in sys.modules, 'netmiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_the_system_clock_moves_forward():
    clock = SystemClock()
    before = clock.monotonic_s(), clock.boottime_s()
    clock.sleep(0.01)
    clock.sleep(-1)

    assert clock.monotonic_s() >= before[0] + 0.01
    assert clock.boottime_s() >= before[1] + 0.01
    assert len(clock.utc_now()) == len("2026-01-01T00:00:00Z")


# -- nornir ------------------------------------------------------------------------------


@pytest.fixture
def nornir_host(net, sshd):
    device = net.add_sshd("s001-ap1", sshd)
    ConnectionPluginRegister.register(CONNECTION_NAME, MtughostConnection)

    def make(**extras):
        options = ConnectionOptions(extras=extras)
        host = Host(
            name="s001-ap1",
            hostname=device.address,
            port=device.port,
            username=device.credential.username,
            platform="linux",
            connection_options={CONNECTION_NAME: options},
        )
        inventory = Inventory(Hosts({"s001-ap1": host}), Groups(), Defaults())
        return device, host, Nornir(inventory=inventory)

    yield make
    ConnectionPluginRegister.deregister(CONNECTION_NAME)


def test_a_plain_nornir_user_gets_a_session(net, nornir_host, command):
    _device, host, nr = nornir_host(
        name="s001-ap1",
        known_hosts=str(net.known_hosts.path),
        key_file=net.devices["s001-ap1"].credential.key_file,
    )
    session = host.get_connection(CONNECTION_NAME, nr.config)

    assert session.ask([command("echo hi")])[0].text == "hi\n"
    host.close_connections()


def test_a_program_with_a_connector_uses_it_through_nornir(net, sshd, nornir_host, command):
    from mtughost.wire.profile import SHELL  # noqa: PLC0415

    device = net.add_sshd("s001-ap1", sshd)
    _device, host, nr = nornir_host(connector=net.connector(), device=device, profile=SHELL)
    session = host.get_connection(CONNECTION_NAME, nr.config)

    assert session.host == "s001-ap1"
    host.close_connections()


def test_nornir_without_known_hosts_is_told_what_is_missing(nornir_host):
    _device, host, nr = nornir_host(name="s001-ap1")

    with pytest.raises(UsageError, match="known_hosts"):
        host.get_connection(CONNECTION_NAME, nr.config)


def test_a_misspelt_profile_field_is_named(net, nornir_host):
    _device, host, nr = nornir_host(
        name="s001-ap1", known_hosts=str(net.known_hosts.path), profile={"promt": "x"}
    )

    with pytest.raises(UsageError, match="promt"):
        host.get_connection(CONNECTION_NAME, nr.config)


def test_a_fleet_of_shells_pays_neither_for_netmiko_nor_for_the_keyring():
    script = (
        "import sys, mtughost.wire.connector\n"
        "print([name for name in ('netmiko', 'keyring') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
