"""Ways to reach a device: directly, or by ``direct-tcpip`` through a shared jump host login."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceError,
    DeviceUnreachableError,
    HostKeyError,
)
from mtughost.model.inventory import Device
from mtughost.model.session import ForwardingRefusedError, TcpRefusedError
from mtughost.wire.channels import open_direct_tcp
from mtughost.wire.login import Dialler, Login, LoginDesk
from mtughost.wire.profile import WirePolicy
from mtughost.wire.sockets import ByteStream, dial


@dataclass(frozen=True, slots=True)
class DirectDialler:
    """Dials from this machine."""

    device: Device
    policy: WirePolicy

    @property
    def can_limit_mss(self) -> bool:
        """The socket is ours."""
        return True

    def __call__(self, *, mss_bytes: int | None) -> ByteStream:
        """Open a TCP connection; see :func:`mtughost.wire.sockets.dial`."""
        return dial(
            self.device.name,
            self.device.address,
            self.device.port,
            timeout_s=self.policy.connect_timeout_s,
            mss_bytes=mss_bytes,
            is_for_change=self.policy.is_for_change,
        )


@dataclass(frozen=True, slots=True)
class JumpDialler:
    """Lets the jump host dial."""

    device: Device
    policy: WirePolicy
    pool: JumpPool

    @property
    def can_limit_mss(self) -> bool:
        """The socket is the jump host's."""
        return False

    def __call__(self, *, mss_bytes: int | None) -> ByteStream:  # noqa: ARG002  # not our socket
        """Open a channel of the jump host to the device.

        Raises:
            DeviceUnreachableError: the jump host, or the device from it, cannot be reached.
        """
        device = self.device
        jump = self.pool.login_for(device)
        try:
            return open_direct_tcp(jump, device.address, device.port, self.policy.connect_timeout_s)
        except ForwardingRefusedError as error:
            raise DeviceUnreachableError(
                device.name,
                f"the jump host does not forward: {error}",
                todo=f"Allow TCP forwarding for our account on {device.jump}",
            ) from error
        except TcpRefusedError as error:
            raise DeviceUnreachableError(
                device.name,
                f"through the jump host: {error}",
                todo="Check the address as the jump host sees it",
            ) from error
        except DeviceError as error:
            raise DeviceUnreachableError(
                device.name, f"the jump host {error.host} was lost: {error.reason}"
            ) from error


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.login: Login | None = None
        self.refusal: DeviceError | None = None


class JumpPool:
    """One login per jump host, made when first needed and shared by all devices behind it."""

    def __init__(
        self, *, devices: Mapping[str, Device], desk: LoginDesk, policy: WirePolicy
    ) -> None:
        self._devices = devices
        self._desk = desk
        self._policy = policy
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}

    def dialler(self, device: Device, behind: tuple[str, ...] = ()) -> Dialler:
        """Return the way to ``device``.

        Args:
            device: What to reach.
            behind: Names whose way leads through ``device``, to find circles.

        Raises:
            DeviceUnreachableError: the jump host is not in the inventory, or the way is a circle.
        """
        if not device.jump:
            return DirectDialler(device, self._policy)
        if device.jump not in self._devices:
            raise DeviceUnreachableError(
                device.name, f"its jump host {device.jump} is not in the inventory"
            )
        chain = (*behind, device.name)
        if device.jump in chain:
            circle = " -> ".join((*chain, device.jump))
            raise DeviceUnreachableError(device.name, f"its jump hosts form a circle: {circle}")
        self.dialler(self._devices[device.jump], chain)  # circles further on
        return JumpDialler(device, self._policy, self)

    def login_for(self, device: Device) -> Login:
        """Return the live login to the jump host of ``device``.

        Raises:
            DeviceUnreachableError: it cannot be had; ``__cause__`` is the jump host's own error.
        """
        jump = self._devices[device.jump]
        with self._lock:
            slot = self._slots.setdefault(jump.name, _Slot())
        with slot.lock:
            if slot.login is not None and slot.login.transport.is_active():
                return slot.login
            try:
                slot.login = self._log_in(jump, slot)
            except DeviceError as error:
                raise DeviceUnreachableError(
                    device.name,
                    f"its jump host {jump.name} cannot be used: {error.reason}",
                    todo=error.todo,
                ) from error
            return slot.login

    def _log_in(self, jump: Device, slot: _Slot) -> Login:
        if slot.refusal is not None:
            raise slot.refusal  # a refused credential is never tried again
        if slot.login is not None:
            slot.login.close()
            slot.login = None
        try:
            return self._desk.log_in(jump, self.dialler(jump), release=_nothing, may_ask=True)
        except (AuthenticationRefusedError, HostKeyError) as error:
            slot.refusal = error
            raise

    def close(self) -> None:
        """End the logins to all jump hosts, the nearest last."""
        with self._lock:
            slots, self._slots = list(self._slots.values()), {}
        for slot in reversed(slots):
            with slot.lock:
                if slot.login is not None:
                    slot.login.close()
                    slot.login = None


def _nothing() -> None:
    """Release nothing: the pool itself keeps the login."""
