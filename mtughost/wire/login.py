"""One login: dial, key exchange, host key, authentication. Every wait ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import paramiko

from mtughost.model.errors import (
    DeviceError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    ManagementStallError,
    PolicyUnreachableError,
)
from mtughost.model.inventory import Device, Secret
from mtughost.wire.auth import authenticate
from mtughost.wire.deadline import WATCHDOG
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts
from mtughost.wire.profile import WirePolicy
from mtughost.wire.secrets import SecretResolver
from mtughost.wire.sockets import ByteStream, GuardedStream
from mtughost.wire.text import excerpt
from mtughost.wire.tuning import LeanTransport, describe_offer, new_transport

_JOIN_S = 2.0
#: How long a person may take to type a one-time code; OpenSSH waits 120 s for a whole login.
CODE_TIMEOUT_S = 90.0


class Dialler(Protocol):
    """Opens the byte stream to a device, directly or through a jump host."""

    @property
    def can_limit_mss(self) -> bool:
        """Whether the TCP connection is ours, so that its MSS can be chosen."""

    def __call__(self, *, mss_bytes: int | None) -> ByteStream:
        """Open a new stream. Raises only ``DeviceError`` subclasses."""


@dataclass(frozen=True, slots=True)
class Login:
    """An authenticated transport.

    Attributes:
        host: Inventory name.
        transport: Ready for channels.
        small_mss: Whether it only worked with a small MSS on our own socket.
        release: Called once on close, after the transport is gone.
    """

    host: str
    transport: LeanTransport
    small_mss: bool
    release: Callable[[], None]

    def close(self) -> None:
        """Close and wait for the transport's thread, so that neither it nor its socket is left."""
        hang_up(self.transport)
        self.release()


def hang_up(transport: LeanTransport) -> None:
    """Close a transport in whatever state it is, and see its thread off."""
    stream = transport.sock
    transport.close()
    with contextlib.suppress(Exception):
        stream.close()
    if transport.ident is not None and transport is not threading.current_thread():
        transport.join(_JOIN_S)
    if isinstance(stream, GuardedStream):
        stream.release()


class LoginDesk:
    """Makes logins with one set of host keys, secrets and limits."""

    def __init__(
        self, *, known_hosts: KnownHosts, secrets: SecretResolver, policy: WirePolicy
    ) -> None:
        self._known_hosts = known_hosts
        self._secrets = secrets
        self._policy = policy

    def log_in(
        self,
        device: Device,
        dial: Dialler,
        *,
        release: Callable[[], None],
        asks_itself: bool = False,
        may_ask: bool = False,
    ) -> Login:
        """Return a login to ``device`` or raise; nothing stays open after an error.

        Args:
            device: Whom to log in to.
            dial: The way there.
            release: Called when the login is closed.
            asks_itself: The device asks for the account on its own terminal.
            may_ask: Whether a person may be asked for a one-time code.

        Raises:
            DeviceError: one of its subclasses, see :mod:`mtughost.model.errors`.
        """
        transport, small_mss = self._shake_hands(device.name, dial)
        try:
            self._known_hosts.check(device.name, offered_key(transport))
            with WATCHDOG.limit(self._policy.auth_timeout_s, transport.close) as alarm:
                # The watchdog's backstop, on paramiko's own clock.
                transport.auth_timeout = self._policy.auth_timeout_s + CODE_TIMEOUT_S + 1

                def code(question: str) -> Secret | None:
                    WATCHDOG.extend(alarm, CODE_TIMEOUT_S)
                    return self._secrets.one_time_code(device.name, question)

                try:
                    authenticate(
                        transport,
                        device.name,
                        device.credential,
                        self._secrets,
                        asks_itself=asks_itself,
                        code=code if may_ask else None,
                    )
                except DeviceError as error:
                    if alarm.fired:
                        raise DeviceTimeoutError(
                            device.name,
                            f"the login was not answered within {self._policy.auth_timeout_s:g} s",
                            todo="The device or its RADIUS/TACACS server may be overloaded",
                        ) from error
                    raise
        except BaseException:
            hang_up(transport)
            raise
        return Login(device.name, transport, small_mss, release)

    def host_key(self, name: str, dial: Dialler) -> HostKeyInfo:
        """Return the host key that answers, without logging in."""
        transport, _small_mss = self._shake_hands(name, dial)
        try:
            return offered_key(transport)
        finally:
            hang_up(transport)

    def _shake_hands(self, name: str, dial: Dialler) -> tuple[LeanTransport, bool]:
        try:
            return self._key_exchange(name, dial(mss_bytes=None)), False
        except ManagementStallError as stall:
            if not dial.can_limit_mss:
                raise
            mss_bytes = self._policy.small_mss_bytes
            try:
                return self._key_exchange(name, dial(mss_bytes=mss_bytes)), True
            except ManagementStallError:
                raise ManagementStallError(
                    name,
                    f"{stall.reason}, and again with an MSS of {mss_bytes} on our socket",
                    todo="Not a matter of packet size, or the path is smaller still: "
                    "look for a filter or an overloaded device",
                ) from stall

    def _key_exchange(self, name: str, inner: ByteStream) -> LeanTransport:
        policy = self._policy
        stream = GuardedStream(inner, max_banner_bytes=policy.max_banner_bytes)
        types = [key.key_type for key in self._known_hosts.keys_for(name)]
        try:
            transport = new_transport(stream, types)
        except BaseException:
            stream.release()
            raise
        # The clock below is ours and monotonic; paramiko's own limits only have to be longer.
        transport.banner_timeout = policy.banner_timeout_s + policy.kex_timeout_s + 60
        done = threading.Event()
        started_s = time.monotonic()
        try:
            transport.start_client(event=done)
            if not done.wait(policy.banner_timeout_s) and stream.version_at_s is not None:
                left_s = stream.version_at_s + policy.kex_timeout_s - time.monotonic()
                done.wait(max(0.0, left_s))
        except BaseException:
            hang_up(transport)
            raise
        if transport.is_active() and done.is_set():
            return transport
        error = self._handshake_error(name, transport, stream, time.monotonic() - started_s)
        hang_up(transport)
        raise error

    def _handshake_error(
        self, name: str, transport: LeanTransport, stream: GuardedStream, waited_s: float
    ) -> DeviceError:
        cause = transport.get_exception()
        if isinstance(cause, paramiko.SSHException) and "Incompatible" in str(cause):
            return PolicyUnreachableError(
                name,
                "the device offers only algorithms that are forbidden here "
                f"({excerpt(str(cause))}); it offered {describe_offer(transport)}",
                offered=describe_offer(transport),
                todo="Update its firmware or its SSH settings; nothing is downgraded",
            )
        if stream.flooded:
            return DeviceUnreachableError(
                name,
                f"more than {self._policy.max_banner_bytes} bytes came before an SSH version line",
                todo="This is no SSH server",
            )
        if not transport.is_active():
            return _broken(name, transport, stream, cause)
        if stream.version_at_s is None:
            return DeviceTimeoutError(
                name,
                f"connected, but no SSH version line within {waited_s:.1f} s",
                todo="Check that the port is SSH; the device may be out of sessions",
            )
        return ManagementStallError(
            name,
            "the login stalled between the version line and the end of the key exchange "
            f"for {waited_s:.1f} s",
            todo="Large packets may be lost on the management path itself",
        )


def _broken(
    name: str, transport: LeanTransport, stream: GuardedStream, cause: BaseException | None
) -> DeviceError:
    if stream.version_at_s is None:
        return DeviceUnreachableError(
            name,
            "the connection was closed before an SSH version line came",
            todo="Check that the port is SSH; the device may be out of sessions",
        )
    words = excerpt(str(cause)) if cause is not None else ""
    return DeviceUnreachableError(
        name,
        f"the connection broke during the key exchange with {excerpt(transport.remote_version)!r}"
        + (f": {words}" if words else ""),
    )


def offered_key(transport: LeanTransport) -> HostKeyInfo:
    """Return the host key that the peer proved to hold in the key exchange."""
    key = transport.get_remote_server_key()
    return HostKeyInfo(key.get_name(), key.get_base64())
