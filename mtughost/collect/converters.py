"""Which function turns the rows of each kind of fact into its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mtughost.collect import cloud_rows, path_rows, rows
from mtughost.collect.rows import SourcedRow
from mtughost.model.inventory import Device

#: Kind of fact to its function and its field of ``DeviceFacts``. ``clamps`` and ``saved-clamps``
#: come whole from a dialect; ``log`` stays raw.
CONVERTERS: Mapping[str, tuple[str, Callable[[Sequence[SourcedRow], Device], object]]] = {
    "identity": ("identity", rows.identity),
    "privilege": ("privilege", rows.privilege),
    "interfaces": ("interfaces", rows.interfaces),
    "addresses": ("addresses", rows.addresses),
    "routes": ("routes", rows.routes),
    "sessions": ("sessions", rows.sessions),
    "icmp": ("icmp", rows.icmp),
    "cloud": ("cloud", cloud_rows.cloud),
    "push-log": ("push_log", cloud_rows.push_log),
    "dhcp": ("dhcp_mtu_bytes", rows.dhcp_mtu),
    "clock": ("clock_utc", cloud_rows.clock),
    "policy": ("policy", path_rows.policy),
    "neighbours": ("neighbours", path_rows.neighbours),
}
