"""Hostile, dead and odd servers: every failure is typed, named and soon."""

from __future__ import annotations

import contextlib
import gc
import resource
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from mtughost.model.errors import (
    DeviceTimeoutError,
    DeviceUnreachableError,
    HostKeyError,
    ManagementStallError,
    PolicyUnreachableError,
)
from mtughost.wire.profile import SHELL

VERSION = b"SSH-2.0-test\r\n"


# -- algorithms --------------------------------------------------------------------------


def test_a_server_with_only_sha1_algorithms_is_unreachable_by_policy(net, raw_server):
    server = raw_server(lambda client, stop: _offer(client, stop, _OLD))
    device = net.add("old1", server.port)

    with pytest.raises(PolicyUnreachableError) as caught:
        net.open(device)

    assert "diffie-hellman-group1-sha1" in caught.value.offered
    assert "ssh-rsa" in caught.value.offered
    assert "3des-cbc" in str(caught.value)


_OLD = ("diffie-hellman-group1-sha1", "ssh-rsa", "3des-cbc", "3des-cbc", "hmac-sha1", "hmac-sha1")


def _offer(client, stop, algorithms) -> None:
    """Send a KEXINIT (RFC 4253 section 7.1) with these algorithms, and then wait."""
    names = [*algorithms, "none", "none", "", ""]
    payload = bytes([20]) + bytes(16)
    for name in names:
        payload += struct.pack(">I", len(name)) + name.encode()
    payload += b"\0" + bytes(4)
    padding = 8 - (len(payload) + 5) % 8 + 8
    client.sendall(VERSION + struct.pack(">IB", len(payload) + padding + 1, padding))
    client.sendall(payload + bytes(padding))
    stop.wait(10)


# -- hostile and dead servers ------------------------------------------------------------


def test_a_closed_port_is_unreachable(net):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(DeviceUnreachableError, match="Connection refused"):
        net.open(net.add("ap1", port))


def test_a_server_that_says_nothing_ends_at_the_deadline(net, raw_server):
    server = raw_server(lambda _client, stop: stop.wait(20))
    began = time.monotonic()

    with pytest.raises(DeviceTimeoutError, match="no SSH version line"):
        net.open(net.add("ap1", server.port))

    assert time.monotonic() - began < 2


def test_a_server_that_closes_at_once_is_noticed_at_once(net, raw_server):
    server = raw_server(lambda _client, _stop: None)
    began = time.monotonic()

    with pytest.raises(DeviceUnreachableError, match="closed before an SSH version line"):
        net.open(net.add("ap1", server.port))

    assert time.monotonic() - began < 0.9


def test_junk_without_end_before_the_version_line_costs_no_memory(net, raw_server):
    def junk(client, stop):
        while not stop.is_set():
            client.sendall(b"junk" * 4096)

    server = raw_server(junk)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(DeviceUnreachableError, match="came before an SSH version line"):
        net.open(net.add("ap1", server.port))

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 32 * 1024


def test_a_drip_before_the_version_line_does_not_extend_the_deadline(net, raw_server):
    def drip(client, stop):
        while not stop.wait(0.1):
            client.sendall(b"x")

    began = time.monotonic()

    with pytest.raises(DeviceTimeoutError):
        net.open(net.add("ap1", raw_server(drip).port))

    assert time.monotonic() - began < 2


def test_a_few_lines_before_the_version_line_are_allowed(net, async_server, raw_server):
    server = async_server()

    def greeting_proxy(client, stop):
        with socket.create_connection(("127.0.0.1", server.port)) as upstream:
            client.sendall(b"Authorised staff only\r\nSSH is not a toy\r\n")
            _pipe_both_ways(client, upstream)

    device = net.add("ap1", raw_server(greeting_proxy).port, key=server.host_key)
    net.open(device).close()

    assert server.offered


def _pipe_both_ways(client, upstream) -> None:
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=copy, args=(upstream, client), daemon=True)
    back.start()
    copy(client, upstream)
    back.join(3)


def test_a_stall_after_the_version_line_is_a_management_stall_after_one_retry(net, raw_server):
    def stall(client, stop):
        client.sendall(VERSION)
        stop.wait(20)

    server = raw_server(stall)
    began = time.monotonic()

    with pytest.raises(ManagementStallError, match="again with an MSS of 900"):
        net.open(net.add("ap1", server.port))

    assert server.connections == 2
    assert time.monotonic() - began < 4


def test_a_login_that_only_works_with_a_small_mss_says_so(net, sshd, raw_server, command):
    seen: list[int] = []

    def path_with_a_hole(client, stop):
        """Forward only what fits: a connection with a normal MSS stalls after the version line."""
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        seen.append(mss)
        with socket.create_connection(("127.0.0.1", sshd.port)) as upstream:
            if mss <= 1200:
                _pipe_both_ways(client, upstream)
            else:
                client.sendall(upstream.recv(4096))
                stop.wait(20)

    device = net.add_sshd("ap1", sshd, port=raw_server(path_with_a_hole).port)
    session = net.open(device)

    assert session.small_mss_login is True
    assert session.ask([command("echo through")])[0].text == "through\n"
    session.close()
    assert seen[0] > 1200
    assert seen[1] <= 900


def test_an_ordinary_login_needs_no_small_mss(session):
    assert session.small_mss_login is False


def test_a_name_that_does_not_exist_is_unreachable(net):
    device = net.add("ap1", 22, address="no-such-host.invalid")

    with pytest.raises(
        (DeviceUnreachableError, DeviceTimeoutError), match=r"no-such-host\.invalid"
    ):
        net.open(device)


def test_a_step_of_the_wall_clock_changes_no_deadline(net, session, command, monkeypatch):
    real = time.time
    jump = [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + jump[0])
    timer = threading.Timer(0.3, lambda: jump.__setitem__(0, 3600.0))
    timer.start()

    (answer,) = session.ask([command("sleep 1; echo woke", timeout_s=4)])

    timer.join()
    assert answer.text == "woke\n"


# -- leaks -------------------------------------------------------------------------------


def test_closed_and_failed_logins_leave_no_descriptor_and_no_thread(net, sshd, raw_server):
    def stall(client, stop):
        client.sendall(VERSION)
        stop.wait(20)

    good = net.add_sshd("ap1", sshd)
    stalled = net.add("ap2", raw_server(stall).port)
    unknown = net.add_sshd("ap3", sshd, key=None)
    connector = net.connector()
    connector.open(good, SHELL).close()
    _settle()
    threads = {t.name for t in _own_threads()}
    descriptors = _descriptors()

    for _ in range(5):
        connector.open(good, SHELL).close()
        with pytest.raises(HostKeyError):
            connector.open(unknown, SHELL)
    with pytest.raises(ManagementStallError):
        connector.open(stalled, SHELL)
    _settle()

    assert {t.name for t in _own_threads()} <= threads
    assert len(_own_threads()) == 0
    # the raw server of this test keeps its two accepted sockets
    assert _descriptors() <= descriptors + 2


def _own_threads():
    return [t for t in threading.enumerate() if "raw-server" not in t.name and _is_ours(t)]


def _is_ours(thread) -> bool:
    return type(thread).__name__ == "LeanTransport" or thread.name.startswith("mtughost")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _settle() -> None:
    gc.collect()
    deadline = time.monotonic() + 3
    while _own_threads() and time.monotonic() < deadline:
        time.sleep(0.05)
