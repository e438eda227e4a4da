"""RouterOS 6 and 7: who it is, interfaces, addresses, routes, option 26, clock, what is counted.

After MikroTik's help pages and recorded output of both versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from mtughost.dialects.routeros_print import Item, read_items, read_settings
from mtughost.dialects.rows import DialectRows, Row, incomplete
from mtughost.model.basis import Unknown
from mtughost.model.session import Answer

#: RouterOS's words for types of interface, in the words of the interface facts.
_KINDS = {
    "ether": "ethernet",
    "pppoe-out": "pppoe-client",
    "bond": "bond",
    "gre-tunnel": "gre",
    "gre6-tunnel": "ip6gre",
    "ipip-tunnel": "ipip",
    "ipipv6-tunnel": "ip6tnl",
    "6to4-tunnel": "sit",
    "eoip": "gretap",
    "eoipv6": "ip6gretap",
    "wg": "wireguard",
    "vxlan": "vxlan",
}
#: Interfaces that are PPP links, and so members of ``all-ppp``.
PPP_TYPE = re.compile(r"(?:pppoe|pptp|l2tp|sstp|ovpn|ppp|lte-ppp)-(?:out|in)")
_COUNT = re.compile(r"\s*\d{1,6}\s*")
_V6_STATUS = re.compile(
    r"(?:(?P<via>\S+) )?(?P<word>reachable|recursive)(?: via +(?:(?P<hop>\S+) )?(?P<out>\S+))?"
)
_V6_OWN = re.compile(r"(?P<out>\S+) reachable")
_DATE = re.compile(r"([a-z]{3})/(\d{2})/(\d{4})|(\d{4})-(\d{2})-(\d{2})")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})")
_MTU_OPTION = "26"


# -- who ---------------------------------------------------------------------------------------


def read_identity(text: str) -> DialectRows:
    """``/system identity print``, ``/system resource print``, ``/system routerboard print``."""
    said, unplaced = read_settings(text)
    row: Row = {}
    if "name" in said:
        row["HOSTNAME"] = said["name"]
    if "version" in said:
        row["OS_VERSION"], row["OS_NAME"] = said["version"].split(" ")[0], "RouterOS"
    if said.get("model") or said.get("board-name"):
        row["MODEL"] = said.get("model") or said["board-name"]
    if "serial-number" in said:
        row["SERIAL"] = said["serial-number"]
    if seconds := _seconds(said.get("uptime", "")):
        row["UPTIME_S"] = str(seconds)
    return DialectRows(rows=(row,), lines=(1,), unplaced=unplaced)


def _seconds(text: str) -> int:
    units = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d{1,6})([wdhms])", text))


def read_privilege(text: str) -> DialectRows:
    """``print count-only``: a number comes only for a group that has the policy ``read``.

    RouterOS hides no part of a menu: a group either reads all of it or none.
    """
    sees = "yes" if _COUNT.fullmatch(text) else "no"
    detail = f"the device counted {text.strip()} rules" if sees == "yes" else "no count came back"
    return DialectRows(
        rows=({"SEES_FIREWALL": sees, "SEES_INTERFACES": sees, "DETAIL": detail},), lines=(1,)
    )


# -- interfaces --------------------------------------------------------------------------------


def read_links(answers: Mapping[str, Answer]) -> DialectRows | Unknown:
    """``/interface print detail``, with what lies below from the menus of VLANs and PPPoE.

    Args:
        answers: ``links``; ``vlans`` and ``pppoe`` where they were answered.
    """
    answer = answers.get("links")
    if answer is None or answer.status != "complete":
        return incomplete(answer, "links")
    found = read_items(answer.text)
    below = _below(answers)
    rows = [_link(item, below.get(item.get("name"), "")) for item in found.items]
    return DialectRows(
        rows=tuple(rows), lines=tuple(i.line for i in found.items), unplaced=found.unplaced
    )


def _link(item: Item, parent: str) -> Row:
    kind, actual = item.get("type"), item.get("actual-mtu") or item.get("mtu")
    row: Row = {
        "NAME": item.get("name"),
        "STATE": "UP" if "R" in item.flags and "X" not in item.flags else "DOWN",
        "KIND": _KINDS.get(kind, "ppp" if PPP_TYPE.fullmatch(kind) else kind),
        "MAC": item.get("mac-address").lower(),
        "PARENT": parent,
    }
    if actual.isdecimal():
        row["MTU"] = actual
    return row


def _below(answers: Mapping[str, Answer]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("vlans", "pppoe"):
        answer = answers.get(name)
        if answer is not None and answer.status == "complete":
            items = read_items(answer.text).items
            found |= {item.get("name"): item.get("interface") for item in items}
    return found


def read_addresses(text: str) -> DialectRows:
    """``/ip address print detail`` and ``/ipv6 address print detail``."""
    found = read_items(text)
    rows: list[Row] = []
    lines: list[int] = []
    for item in found.items:
        address, _, length = item.get("address").partition("/")
        if not item.is_off:
            rows.append(
                {
                    "INTERFACE": item.get("actual-interface") or item.get("interface"),
                    "ADDRESS": address,
                    "PREFIX_LEN": length,
                    "FAMILY": "ipv6" if ":" in address else "ipv4",
                }
            )
            lines.append(item.line)
    return DialectRows(rows=tuple(rows), lines=tuple(lines), unplaced=found.unplaced)


# -- routes ------------------------------------------------------------------------------------


def read_routes(text: str) -> DialectRows:
    """``/ip route print detail``: active routes with their way out.

    Version 6 tells it in ``gateway-status``, version 7 in ``immediate-gw``.
    """
    found = read_items(text)
    rows: list[Row] = []
    lines: list[int] = []
    for item in found.items:
        if "A" not in item.flags or "X" in item.flags:
            continue
        dest = item.get("dst-address")
        table = item.get("routing-mark") or item.get("routing-table") or "main"
        row: Row = {
            "DESTINATION": dest,
            "FAMILY": "ipv6" if ":" in dest else "ipv4",
            "TABLE": table,
            "TYPE": item.get("type"),
            "METRIC": item.get("distance"),
        }
        hops = _hops(item)
        if len(hops) > 1:
            row["NEXTHOPS"] = [f"via {via} dev {out}" if via else f"dev {out}" for via, out in hops]
        elif hops:
            row["VIA"], row["INTERFACE"] = hops[0]
        rows.append(row)
        lines.append(item.line)
    return DialectRows(rows=tuple(rows), lines=tuple(lines), unplaced=found.unplaced)


def _hops(item: Item) -> list[tuple[str, str]]:
    status = item.get("gateway-status")
    if status:
        return [hop for part in status.split(",") if (hop := _status_hop(part.strip()))]
    now = item.get("immediate-gw") or item.get("gateway")
    return [_now_hop(part) for part in now.split(",") if part]


def _status_hop(text: str) -> tuple[str, str] | None:
    own, found = _V6_OWN.fullmatch(text), _V6_STATUS.fullmatch(text)
    if own is not None and not _is_address(own["out"]):
        return "", own["out"]
    if found is not None and found["out"]:
        return found["hop"] or found["via"] or "", found["out"]
    return None


def _now_hop(text: str) -> tuple[str, str]:
    via, _, out = text.partition("%")
    if out:
        return via, out
    return (via, "") if _is_address(via) else ("", via)


def _is_address(text: str) -> bool:
    return re.fullmatch(r"[0-9.]{7,15}|[0-9a-fA-F:]{2,39}", text) is not None and (
        "." in text or ":" in text
    )


# -- DHCP option 26 ----------------------------------------------------------------------------


def read_dhcp(answers: Mapping[str, Answer]) -> DialectRows | Unknown:
    """Option 26 of the DHCP server, with the interface whose network hands it out.

    Args:
        answers: ``options``, ``networks`` and ``addresses``.
    """
    for name in ("options", "networks", "addresses"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            return incomplete(answer, name)
    options = {
        item.get("name"): (item.line, _option_mtu(item))
        for item in read_items(answers["options"].text).items
        if item.get("code") == _MTU_OPTION
    }
    owners = {
        item.get("network"): item.get("actual-interface") or item.get("interface")
        for item in read_items(answers["addresses"].text).items
    }
    rows: list[Row] = []
    lines: list[int] = []
    for network in read_items(answers["networks"].text).items:
        for name in network.get("dhcp-option").split(","):
            if name in options:
                base = network.get("address").partition("/")[0]
                line, mtu = options[name]
                rows.append({"MTU": mtu, "SCOPE": owners.get(base, base)})
                lines.append(line)
    return DialectRows(rows=tuple(rows), lines=tuple(lines))


def _option_mtu(item: Item) -> str:
    """Return what goes over the wire: ``raw-value`` is its two bytes in hexadecimal."""
    raw = item.get("raw-value")
    return str(int(raw, 16)) if re.fullmatch(r"[0-9a-fA-F]{4}", raw) else "not told"


# -- clock -------------------------------------------------------------------------------------


def read_clock(text: str) -> DialectRows:
    """``/system clock print``: local time and its distance from UTC."""
    said, unplaced = read_settings(text)
    date, time = _DATE.fullmatch(said.get("date", "")), _TIME.fullmatch(said.get("time", ""))
    offset = _OFFSET.fullmatch(said.get("gmt-offset", ""))
    row: Row = {}
    if date is not None and time is not None and offset is not None:
        row["CLOCK_UTC"] = _utc(date, time, offset)
    return DialectRows(rows=(row,), lines=(1,), unplaced=unplaced)


def _utc(date: re.Match[str], time: re.Match[str], offset: re.Match[str]) -> str:
    if date[1]:
        month = _MONTHS.index(date[1]) + 1 if date[1] in _MONTHS else 0
        year, day = int(date[3]), int(date[2])
    else:
        year, month, day = int(date[4]), int(date[5]), int(date[6])
    distance = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    zone = timezone(distance if offset[1] == "+" else -distance)
    try:
        local = datetime(year, month, day, int(time[1]), int(time[2]), int(time[3]), tzinfo=zone)
    except ValueError:
        return ""
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
