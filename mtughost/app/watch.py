"""What an audit may send to a device beyond reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What may be sent to a device, beyond reading.

    Attributes:
        probe: Open at most three connections per service (more with ``bisect``).
        bisect: Find the exact size that is lost.
        capture_s: How long to capture; 0 does not.
        path: Send sized pings with DF clear: they find the ceiling and leave no path-MTU entry.
    """

    probe: bool = False
    bisect: bool = False
    capture_s: float = 0.0
    path: bool = False

    def __bool__(self) -> bool:
        return self.probe or self.path or self.capture_s > 0
