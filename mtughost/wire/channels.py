"""Channels of a login: opened within a deadline, and TCP connections that the device makes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import paramiko

from mtughost.model.errors import DeviceTimeoutError, DeviceUnreachableError
from mtughost.model.session import ForwardingRefusedError, TcpRefusedError
from mtughost.wire.deadline import WATCHDOG
from mtughost.wire.login import Login
from mtughost.wire.text import excerpt

_PROHIBITED = 1  # RFC 4254 section 5.1
#: What getaddrinfo says in OpenSSH with ``AddressFamily inet`` (or ``inet6``) to the other one.
_NO_FAMILY = re.compile(r"Address family for hostname not supported|ai_family not supported")
_UNKNOWN_TYPE = 3


class ChannelRefusedError(Exception):
    """The device refused to open a channel, or to start something in it."""


def open_session_channel(login: Login, timeout_s: float) -> paramiko.Channel:
    """Open a session channel.

    Raises:
        ChannelRefusedError: the device opens no (further) channel.
        DeviceTimeoutError: no answer in time.
        DeviceUnreachableError: the login is gone.
    """
    try:
        return login.transport.open_session(timeout=timeout_s)
    except paramiko.ChannelException as error:
        raise ChannelRefusedError(excerpt(login.transport.open_failure) or error.text) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _lost_or_late(login, timeout_s, error) from error


def start(
    login: Login, channel: paramiko.Channel, action: Callable[[], object], timeout_s: float
) -> None:
    """Start something in a fresh channel (``exec``, ``shell``, ``pty``), within a deadline.

    Raises:
        ChannelRefusedError: the device refuses it.
        DeviceTimeoutError: no answer in time.
        DeviceUnreachableError: the login is gone.
    """
    with WATCHDOG.limit(timeout_s, channel.close) as alarm:
        try:
            action()
        except (paramiko.SSHException, EOFError, OSError) as error:
            channel.close()
            if alarm.fired or not login.transport.is_active():
                raise _lost_or_late(login, timeout_s, error) from error
            raise ChannelRefusedError(excerpt(str(error)) or "refused") from error


def _lost_or_late(
    login: Login, timeout_s: float, error: BaseException
) -> DeviceTimeoutError | DeviceUnreachableError:
    if login.transport.is_active():
        return DeviceTimeoutError(
            login.host, f"the device did not open a channel within {timeout_s:g} s"
        )
    return DeviceUnreachableError(
        login.host, f"the connection broke: {excerpt(str(error)) or 'closed by the device'}"
    )


class ForwardedTcp:
    """A TCP connection opened by the device (``direct-tcpip``); its TCP is the device's own."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def sendall(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            OSError: the connection is closed.
        """
        self._channel.sendall(data)

    def recv(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return up to ``max_bytes``; ``b""`` at end of stream; ``TimeoutError`` on time-out."""
        self._channel.settimeout(max(timeout_s, 0.001))
        return self._channel.recv(max_bytes)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


def open_direct_tcp(login: Login, host: str, port: int, timeout_s: float) -> paramiko.Channel:
    """Let the device connect to ``host:port``.

    Raises:
        ForwardingRefusedError: forwarding is switched off, or not for this address family.
        TcpRefusedError: refused, unreachable, or silent for ``timeout_s``.
        DeviceUnreachableError: the login is gone.
    """
    transport = login.transport
    try:
        return transport.open_channel(
            "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout_s
        )
    except paramiko.ChannelException as error:
        words = excerpt(transport.open_failure) or error.text
        if error.code in (_PROHIBITED, _UNKNOWN_TYPE) or _NO_FAMILY.search(words):
            raise ForwardingRefusedError(
                f"{login.host} opens no TCP connections for us: {words}"
            ) from error
        raise TcpRefusedError(f"{login.host} to {host} port {port}: {words}") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        if transport.is_active():
            raise TcpRefusedError(
                f"{login.host} to {host} port {port}: no connection within {timeout_s:g} s"
            ) from error
        raise DeviceUnreachableError(
            login.host, f"the connection broke: {excerpt(str(error)) or 'closed by the device'}"
        ) from error


def close_channel(channel: Any) -> None:
    """Close a channel in whatever state it is."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        if channel is not None:
            channel.close()
