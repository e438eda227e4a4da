"""What a gateway does to the MSS of handshake packets: the emulation's own truth.

It is computed from a device's running state by its vendor module, after the vendor's documents.
Tests hold the tool's coverage proof against it; a foundry gateway can be given the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["ipv4", "ipv6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One handshake packet on its way through a gateway.

    Attributes:
        is_syn: A SYN, sent by the client; otherwise the SYN-ACK of the answer.
        enters: Interface that it comes in by.
        leaves: Interface that it goes out by.
        mss: The MSS that it carries when it arrives.
    """

    is_syn: bool
    enters: str
    leaves: str
    family: Family
    mss: int
