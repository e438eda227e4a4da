"""What a result from a device rests on."""

from __future__ import annotations

from mtughost.model.basis import Basis
from mtughost.model.inventory import Device

_BY_LAB: dict[str, Basis] = {"": "real device", "foundry": "real program", "virtual": "emulation"}


def basis_of(device: Device) -> Basis:
    """Return the basis of everything read from ``device``; a lab's is never ``real device``."""
    return _BY_LAB[device.lab]
