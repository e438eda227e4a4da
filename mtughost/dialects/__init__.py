"""The few algorithms that data cannot express, chosen by name from explicit dicts.

A task book names one of these under ``read:``. ``ROWS`` turn one answer into rows with fixed
columns, as a parser does; ``RULESETS`` read several answers together into a packet filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mtughost.dialects import (
    cisco_ios,
    edgeos,
    fortinet,
    fortinet_clamps,
    iproute,
    junos,
    netfilter,
    vyatta,
)
from mtughost.dialects.rows import DialectRows
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.session import Answer

RowsDialect = Callable[[str], DialectRows]
RulesetDialect = Callable[[Mapping[str, Answer]], "Ruleset | Unknown"]

ROWS: Mapping[str, RowsDialect] = {
    "cisco-privilege": cisco_ios.read_privilege,
    "cisco-routes": cisco_ios.read_routes,
    "edgeos-addresses": edgeos.read_addresses,
    "edgeos-interfaces": edgeos.read_interfaces,
    "edgeos-routes": edgeos.read_routes,
    "fortinet-addresses": fortinet.read_addresses,
    "fortinet-configured-links": fortinet.read_configured_links,
    "fortinet-dhcp": fortinet.read_dhcp,
    "fortinet-links": fortinet.read_links,
    "fortinet-privilege": fortinet.read_privilege,
    "iproute-links": iproute.read_links,
    "iproute-addresses": iproute.read_addresses,
    "iproute-routes": iproute.read_routes,
    "junos-privilege": junos.read_privilege,
    "junos-routes": junos.read_routes,
}
RULESETS: Mapping[str, RulesetDialect] = {
    "cisco-clamps": cisco_ios.read_clamps,
    "edgeos-config-clamps": vyatta.read_edgeos,
    "fortinet-clamps": fortinet_clamps.read,
    "junos-clamps": junos.read_clamps,
    "netfilter": netfilter.read,
    "netfilter-firmware": netfilter.read_firmware,
    "netfilter-saved": netfilter.read_saved,
    "vyos-config-clamps": vyatta.read_vyos,
}
#: Every dialect that a task book may name.
REGISTRY: Mapping[str, RowsDialect | RulesetDialect] = {**ROWS, **RULESETS}

__all__ = ["REGISTRY", "ROWS", "RULESETS", "DialectRows", "RowsDialect", "RulesetDialect"]
