"""FortiOS answers whose rows need more than a template: links, addresses, DHCP, privilege."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from mtughost.dialects.fortinet_tree import Block, Tree, read_tree
from mtughost.dialects.rows import DialectRows, Row, RowTable

#: ``type=`` of ``diagnose netlink interface list`` is Linux's ARPHRD number (uapi/linux/if_arp.h).
_KINDS = {
    "1": "ethernet",
    "512": "ppp",
    "768": "tunnel",
    "769": "tunnel",
    "772": "loopback",
    "776": "tunnel",
    "778": "tunnel",
    "823": "tunnel",
}
_LINK = re.compile(r"if=(?P<name>.+?) family=\S+ type=(?P<type>\d+) index=\d+ mtu=(?P<mtu>\d+)\b")
_FLAGS = re.compile(r"(?:^|\s)flags=(?P<flags>[a-z0-9_ ]*)$")
_MAC = re.compile(r"\bhw_addr=(?P<mac>[0-9a-f:]{17})\b")
_REST = re.compile(
    r"(ref|Qdisc|stat|re|te|misc|input_type|state|reg_dev|dev|link|vlan|total|npu|nturbo)\b.*"
)
_ADDRESS = re.compile(
    r"name: (?P<name>.+?) {3}.*?\sip: (?P<ip>[0-9.]{7,15}) (?P<mask>[0-9.]{7,15})\b"
)
_PLAIN = re.compile(r"name: .+? {3}.*\btype: \S+")
_HEAD = re.compile(r"== ?\[ ?.+? ?\]")
_OPTION_MTU = "26"


def read_links(text: str) -> DialectRows:
    """``diagnose netlink interface list``: NAME, MTU, STATE, KIND, MAC."""
    made = RowTable()
    for number, line in enumerate(text.split("\n"), start=1):
        head, flags = _LINK.match(line), _FLAGS.search(line.rstrip())
        if head is not None:
            made.add(
                number,
                {"NAME": head["name"], "MTU": head["mtu"], "KIND": _KINDS.get(head["type"], "")},
            )
        elif flags is not None and made.rows:
            runs = {"up", "run"} <= set(flags["flags"].split())
            made.rows[-1]["STATE"] = "UP" if runs else "DOWN"
        elif made.rows and (mac := _MAC.search(line)) is not None:
            made.rows[-1]["MAC"] = mac["mac"]
        elif line.strip() and not _REST.fullmatch(line.strip()):
            made.leave(number, line)
    return made.done()


def read_addresses(text: str) -> DialectRows:
    """``get system interface``: INTERFACE, ADDRESS, PREFIX_LEN, FAMILY (IPv4 only)."""
    made = RowTable()
    for number, line in enumerate(text.split("\n"), start=1):
        found = _ADDRESS.match(line)
        length = prefix_length(found["mask"]) if found is not None else None
        if found is not None and length is not None:
            if found["ip"] != "0.0.0.0":  # noqa: S104 - FortiOS's "no address"
                made.add(
                    number,
                    {
                        "INTERFACE": found["name"],
                        "ADDRESS": found["ip"],
                        "PREFIX_LEN": str(length),
                        "FAMILY": "ipv4",
                    },
                )
        elif line.strip() and not _HEAD.fullmatch(line.strip()) and not _PLAIN.match(line):
            made.leave(number, line)
    return made.done()


def prefix_length(mask: str) -> int | None:
    """Return how many leading one bits a dotted mask has, ``None`` where it is no mask."""
    try:
        return ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return None


def read_configured_links(text: str) -> DialectRows:
    """``show system interface``: what is configured, where the account may not ask the kernel.

    An interface without ``mtu-override`` has no MTU here: a VLAN follows its parent, PPPoE its
    peer, so nothing is assumed.
    """
    tree = read_tree(text)
    section = tree.section("system interface")
    blocks = section.blocks if section is not None else []
    return _rows(tree, ((block.line, _configured(block)) for block in blocks))


def _configured(block: Block) -> Row:
    kind = "vlan" if block.word("vlanid") else block.word("type")
    row: Row = {"NAME": block.name, "KIND": kind, "PARENT": block.word("interface")}
    if block.word("mtu-override") == "enable":
        row["MTU"] = block.word("mtu")
    if block.word("status") == "down":
        row["STATE"] = "DOWN"
    return row


def read_dhcp(text: str) -> DialectRows:
    """``show system dhcp server``: MTU (option 26) and SCOPE, the interface it is given out on."""
    tree = read_tree(text)
    section = tree.section("system dhcp server")
    servers = section.blocks if section is not None else []
    return _rows(tree, (item for server in servers for item in _options(server)))


def _options(server: Block) -> Iterable[tuple[int, Row]]:
    for inner in server.blocks:
        for option in inner.blocks if inner.name == "options" else []:
            value = option.word("value")
            if option.word("code") != _OPTION_MTU:
                continue
            # Type hex is the default; the value is then the option's bytes.
            is_hex = option.word("type") in {"", "hex"} and re.fullmatch(r"[0-9A-Fa-f]{4}", value)
            mtu = str(int(value, 16)) if is_hex else value
            yield option.line, {"MTU": mtu, "SCOPE": server.word("interface")}


def read_privilege(text: str) -> DialectRows:
    """``show firewall policy``: an account without the right to it does not get the section.

    Access profiles grant a section whole or not at all, so a section that begins and ends is all
    of it (Fortinet CLI reference, system accprofile).
    """
    tree = read_tree(text)
    section = tree.section("firewall policy")
    is_whole = section is not None and tree.is_whole
    row: Row = {
        "SEES_FIREWALL": "yes" if is_whole else "no",
        "SEES_INTERFACES": "yes" if is_whole else "no",
        "DETAIL": "the section 'firewall policy' was shown from 'config' to 'end'"
        if is_whole
        else "the section 'firewall policy' was not shown whole",
    }
    return DialectRows(rows=(row,), lines=(1,))


def _rows(tree: Tree, found: Iterable[tuple[int, Row]]) -> DialectRows:
    pairs = list(found)
    unplaced = list(tree.unplaced)
    if not tree.is_whole or not tree.sections:
        unplaced.append((0, "the section does not end"))
    return DialectRows(
        rows=tuple(row for _, row in pairs),
        lines=tuple(line for line, _ in pairs),
        unplaced=tuple(unplaced),
    )
