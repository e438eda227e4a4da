"""Switches segmentation and checksum offloads off, as ``ethtool -K`` does.

With offloads on, a namespace passes 64 kB "frames" that no MTU ever cuts. Done by ioctl because a
lab has hundreds of interfaces and one program start for each would take longer than all the rest.
ethtool goes on to print "tcp-segmentation-offload: on" for the sake of newer variants that need
scatter-gather, which is off: what counts is in the lab's test, no frame longer than the MTU.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
from pathlib import Path

from mtughost.lab import nsops

_SIOCETHTOOL = 0x8946
#: linux/ethtool.h: checksums (receive, transmit), scatter-gather, TSO, GSO, GRO.
_SETTERS = (0x1F, 0x24, 0x2C, 0x15, 0x17, 0x19)


def switch_off(namespace: Path, ports: tuple[str, ...]) -> None:
    """Switch all offloads of ``ports`` off inside a network namespace.

    Args:
        namespace: File of the namespace below ``/run/netns``.
        ports: Interface names in it.

    Raises:
        OSError: the kernel refused; naming the interface.
    """
    back = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        nsops.enter(namespace, nsops.CLONE_NEWNET)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            for port in ports:
                _switch_off(channel, port)
    finally:
        nsops.enter(f"/proc/self/fd/{back}", nsops.CLONE_NEWNET)
        os.close(back)


def _switch_off(channel: socket.socket, port: str) -> None:
    for setter in _SETTERS:
        value = array.array("I", [setter, 0])
        request = struct.pack("16sP16x", port.encode(), value.buffer_info()[0])
        try:
            fcntl.ioctl(channel, _SIOCETHTOOL, request)
        except OSError as error:
            # veth does not implement every setter; what matters is checked by the lab's tests.
            if error.errno not in {95, 22}:  # EOPNOTSUPP, EINVAL
                raise OSError(error.errno, f"offloads of {port}: {error.strerror}") from error
