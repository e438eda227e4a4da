"""What becomes of bytes that a device has not acknowledged when our side of a login ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

import pytest

from mtughost.wire.sockets import GuardedStream, dial

BLOCK = b"ip tcp adjust-mss 1452\n" * 3000


@pytest.fixture
def stalled():
    """A device that reads nothing for now: what we send beyond its window stays with us."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener


def dialled(listener, *, is_for_change):
    address, port = listener.getsockname()
    sock = dial("gw1", address, port, timeout_s=3, is_for_change=is_for_change)
    peer, _ = listener.accept()
    peer.settimeout(3)
    return GuardedStream(sock, max_banner_bytes=100), peer


def fill(stream):
    """Send until nothing more is taken; return how much was."""
    stream.settimeout(0.05)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += stream.send(BLOCK)
    return sent


def read_all(peer):
    """Return how many bytes came, and how it ended."""
    count = 0
    with peer:
        try:
            while data := peer.recv(1 << 20):
                count += len(data)
        except ConnectionResetError:
            return count, "reset"
    return count, "end"


def test_a_login_for_a_change_takes_back_what_was_not_acknowledged(stalled):
    stream, peer = dialled(stalled, is_for_change=True)
    sent = fill(stream)

    stream.release()
    came, how = read_all(peer)

    assert how == "reset"
    assert came < sent


def test_any_other_login_lets_the_kernel_send_the_rest(stalled):
    stream, peer = dialled(stalled, is_for_change=False)
    sent = fill(stream)

    stream.release()

    assert read_all(peer) == (sent, "end")


def test_with_everything_acknowledged_a_login_for_a_change_ends_orderly(stalled):
    stream, peer = dialled(stalled, is_for_change=True)
    stream.send(b"end\n")
    assert peer.recv(100) == b"end\n"

    stream.release()

    assert read_all(peer) == (0, "end")


def test_kill_9_of_the_tool_takes_back_what_was_not_acknowledged(stalled):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        address, port = stalled.getsockname()
        sock = dial("gw1", address, port, timeout_s=3, is_for_change=True)
        sent = fill(GuardedStream(sock, max_banner_bytes=100))
        os.write(writer, b"%d" % sent)
        signal.pause()
    peer, _ = stalled.accept()
    peer.settimeout(3)
    sent = int(os.read(reader, 20))

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    came, how = read_all(peer)

    os.close(reader)
    os.close(writer)
    assert how == "reset"
    assert came < sent
