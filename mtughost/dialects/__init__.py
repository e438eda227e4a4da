"""The few algorithms that data cannot express, chosen by name from explicit dicts.

A task book names one of these under ``read:``. ``ROWS`` turn one answer into rows with fixed
columns, as a parser does; ``ROWS_OF_SEVERAL`` turn several answers together into such rows;
``RULESETS`` read several answers together into a packet filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mtughost.dialects import (
    cisco_asa,
    cisco_ios,
    edgeos,
    fortinet,
    fortinet_clamps,
    frr,
    hiveos,
    iproute,
    junos,
    netfilter,
    openwrt,
    panos,
    pf,
    radsecproxy,
    routeros,
    routeros_clamps,
    vyatta,
)
from mtughost.dialects.rows import DialectRows
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.session import Answer

RowsDialect = Callable[[str], DialectRows]
RowsOfSeveralDialect = Callable[[Mapping[str, Answer]], "DialectRows | Unknown"]
RulesetDialect = Callable[[Mapping[str, Answer]], "Ruleset | Unknown"]

ROWS: Mapping[str, RowsDialect] = {
    "asa-addresses": cisco_asa.read_addresses,
    "asa-addresses6": cisco_asa.read_addresses6,
    "asa-clock": cisco_asa.read_clock,
    "asa-dhcp": cisco_asa.read_dhcp,
    "asa-identity": cisco_asa.read_identity,
    "asa-links": cisco_asa.read_links,
    "asa-privilege": cisco_asa.read_privilege,
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
    "hiveos-log": hiveos.read_log,
    "hiveos-log-servers": hiveos.read_servers,
    "frr-routes": frr.read_routes,
    "iproute-links": iproute.read_links,
    "iproute-addresses": iproute.read_addresses,
    "iproute-routes": iproute.read_routes,
    "radsecproxy-log-servers": radsecproxy.read_servers,
    "junos-privilege": junos.read_privilege,
    "junos-routes": junos.read_routes,
    "panos-addresses": panos.read_addresses,
    "panos-clock": panos.read_clock,
    "panos-privilege": panos.read_privilege,
    "panos-routes": panos.read_routes,
    "pf-addresses": pf.read_addresses,
    "pf-icmp": pf.read_icmp,
    "pf-links": pf.read_links,
    "pf-privilege": pf.read_privilege,
    "pf-routes": pf.read_routes,
    "routeros-addresses": routeros.read_addresses,
    "routeros-clock": routeros.read_clock,
    "routeros-identity": routeros.read_identity,
    "routeros-privilege": routeros.read_privilege,
    "routeros-routes": routeros.read_routes,
}
ROWS_OF_SEVERAL: Mapping[str, RowsOfSeveralDialect] = {
    "asa-routes": cisco_asa.read_routes,
    "panos-links": panos.read_links,
    "routeros-dhcp": routeros.read_dhcp,
    "routeros-links": routeros.read_links,
}
RULESETS: Mapping[str, RulesetDialect] = {
    "asa-clamps": cisco_asa.read_clamps,
    "cisco-clamps": cisco_ios.read_clamps,
    "edgeos-clamps": vyatta.read_edgeos_rules,
    "edgeos-config-clamps": vyatta.read_edgeos,
    "fortinet-clamps": fortinet_clamps.read,
    "fw4-saved": openwrt.read_fw4,
    "junos-clamps": junos.read_clamps,
    "netfilter": netfilter.read,
    "netfilter-firmware": netfilter.read_firmware,
    "netfilter-saved": netfilter.read_saved,
    "openwrt-clamps": openwrt.read_openwrt,
    "vyos-clamps": vyatta.read_vyos_rules,
    "vyos-config-clamps": vyatta.read_vyos,
    "panos-clamps": panos.read_clamps,
    "pf-clamps": pf.read_clamps,
    "routeros-clamps": routeros_clamps.read_clamps,
}
#: Every dialect that a task book may name.
REGISTRY: Mapping[str, RowsDialect | RowsOfSeveralDialect | RulesetDialect] = {
    **ROWS,
    **ROWS_OF_SEVERAL,
    **RULESETS,
}

__all__ = [
    "REGISTRY",
    "ROWS",
    "ROWS_OF_SEVERAL",
    "RULESETS",
    "DialectRows",
    "RowsDialect",
    "RowsOfSeveralDialect",
    "RulesetDialect",
]
