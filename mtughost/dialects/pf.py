"""FreeBSD with pf (pfSense, OPNsense): interfaces, routes, and scrub rules that limit the MSS.

After FreeBSD's manual pages and pf's source: what enters an interface and what leaves one is looked
up separately, the first ``scrub`` rule that matches decides, and a smaller MSS is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mtughost.dialects.pf_scrub import Names, read_scrubs
from mtughost.dialects.rows import DialectRows, Row, RowTable
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset
from mtughost.model.session import Answer

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("rules", "state", "links", "ppp-fix")
PPP_FIX = "mpd5 tcpmssfix"
_HEAD = re.compile(
    r"(?P<name>[\w.]+): flags=[0-9a-f]+<(?P<flags>[A-Z0-9_,]*)> metric \d+ mtu (?P<mtu>\d+)"
)
_INET = re.compile(r"\s+inet (?P<ip>[0-9.]+) (?:--> \S+ )?netmask (?P<mask>0x[0-9a-f]{8})(?: .*)?")
_INET6 = re.compile(
    r"\s+inet6 (?P<ip>[0-9a-f:.]+)(?:%\S+)? (?:--> \S+ )?prefixlen (?P<len>\d{1,3})(?: .*)?"
)
_ETHER = re.compile(r"\s+ether (?P<mac>[0-9a-f:]{17})\s*")
_VLAN = re.compile(r"\s+vlan: \d+ .*parent interface: (?P<parent>\S+)\s*")
_GROUPS = re.compile(r"\s+groups: (?P<groups>.+)")
_STATUS = re.compile(r"\s+status: (?P<status>.+)")
_KINDS = (
    (re.compile(r"pppoe\d+|ng\d+|ppp\d+"), "ppp"),
    (re.compile(r"(?:gif|gre|ovpn[sc]|tun_?wg|wg|ipsec|enc|tun|tap)\d+"), "tunnel"),
    (re.compile(r"lo\d+"), "loopback"),
    (re.compile(r"bridge\d+"), "bridge"),
    (re.compile(r"lagg\d+"), "bond"),
)
_ROUTE = re.compile(
    r"(?P<dest>\S+) +(?P<gate>\S+) +(?P<flags>[A-Za-z0-9]+) +(?:\d+ +)?(?P<mtu>\d+) +"
    r"(?P<out>\S+)(?: +\S+)?"
)
_FRAME = re.compile(r"Routing tables.*|Internet6?:|Destination +Gateway.*")
_MSS_FIX = re.compile(r"(?P<file>[^:]+):\s*set iface (?P<word>enable|disable) tcpmssfix\s*")


# -- who ---------------------------------------------------------------------------------------


def read_privilege(text: str) -> DialectRows:
    """``id -u``: only root may read the packet filter."""
    bare = text.strip()
    row: Row = {
        "SEES_FIREWALL": "yes" if bare == "0" else "no",
        "SEES_INTERFACES": "yes" if bare.isdecimal() else "no",
        "DETAIL": f"uid {bare}" if bare.isdecimal() else "no user number was shown",
    }
    return DialectRows(rows=(row,), lines=(1,))


# -- interfaces --------------------------------------------------------------------------------


def read_links(text: str) -> DialectRows:
    """``ifconfig -a``."""
    made = RowTable()
    for number, line in enumerate(text.split("\n"), start=1):
        head = _HEAD.fullmatch(line.rstrip())
        if head is not None:
            up = "UP" if {"UP", "RUNNING"} <= set(head["flags"].split(",")) else "DOWN"
            row: Row = {"NAME": head["name"], "MTU": head["mtu"], "STATE": up}
            made.add(number, {**row, "KIND": _kind(head["name"])})
        elif made.rows and line[:1].isspace():
            _detail(made.rows[-1], line)
        elif line.strip():
            made.leave(number, line)
    return made.done()


def _kind(name: str) -> str:
    return next((kind for pattern, kind in _KINDS if pattern.fullmatch(name)), "ethernet")


def _detail(row: Row, line: str) -> None:
    ether, vlan, status = _ETHER.fullmatch(line), _VLAN.fullmatch(line), _STATUS.fullmatch(line)
    if ether is not None:
        row["MAC"] = ether["mac"]
    elif vlan is not None:
        row["KIND"], row["PARENT"] = "vlan", vlan["parent"]
    elif status is not None and status["status"] == "no carrier":
        row["STATE"] = "DOWN"


def read_addresses(text: str) -> DialectRows:
    """``ifconfig -a``: addresses of both families."""
    made = RowTable()
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        head, v4, v6 = _HEAD.fullmatch(line.rstrip()), _INET.fullmatch(line), _INET6.fullmatch(line)
        found = v4 or v6
        if head is not None:
            name = head["name"]
        elif found is not None and name:
            length = str(int(v4["mask"], 16).bit_count()) if v4 is not None else found["len"]
            made.add(
                number,
                {
                    "INTERFACE": name,
                    "ADDRESS": found["ip"],
                    "PREFIX_LEN": length,
                    "FAMILY": "ipv4" if v4 is not None else "ipv6",
                },
            )
        elif line.strip() and not line[0].isspace():
            made.leave(number, line)
    return made.done()


def read_routes(text: str) -> DialectRows:
    """``netstat -rnW``: DESTINATION, VIA, INTERFACE, MTU."""
    made = RowTable()
    family = "ipv4"
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        found = _ROUTE.fullmatch(bare)
        if bare in {"Internet:", "Internet6:"}:
            family = "ipv6" if bare == "Internet6:" else "ipv4"
        elif not bare or _FRAME.fullmatch(bare):
            continue
        elif found is None:
            made.leave(number, line)
        else:
            made.add(number, _route(found, family))
    return made.done()


def _route(found: re.Match[str], family: str) -> Row:
    gate, flags = found["gate"], found["flags"]
    row: Row = {
        "DESTINATION": re.sub(r"%[\w.]+", "", found["dest"]),
        "FAMILY": family,
        "INTERFACE": found["out"],
        "VIA": "" if gate.startswith("link#") or "G" not in flags else gate.partition("%")[0],
    }
    if "R" in flags or "B" in flags:
        row["TYPE"] = "blackhole" if "B" in flags else "unreachable"
    return row


def read_icmp(text: str) -> DialectRows:
    """``sysctl``: whether the firewall's own TCP sets DF."""
    found = re.search(r"^net\.inet\.tcp\.path_mtu_discovery: (\d)\s*$", text, re.MULTILINE)
    # The fact counts the other way round: Linux calls it ip_no_pmtu_disc.
    rows: tuple[Row, ...] = ({"NO_PMTU_DISC": "0" if found[1] != "0" else "1"},) if found else ()
    return DialectRows(rows=rows, lines=(1,) * len(rows))


# -- clamps ------------------------------------------------------------------------------------


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn scrub rules, and what mpd5 does by itself, into one ruleset."""
    for name in ("rules", "state", "links"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            why = answer.error or answer.status if answer is not None else "it was not asked"
            return Unknown(
                f"'{answer.line if answer else name}' gave no complete answer: {why}",
                "log in as root",
            )
    links = read_links(answers["links"].text).rows
    state = re.search(r"^Status: (Enabled|Disabled)", answers["state"].text, re.MULTILINE)
    rules = answers["rules"]
    if state is None:
        return Unknown(f"'{answers['state'].line}' does not say whether pf is on", "log in as root")
    names = Names([str(row["NAME"]) for row in links], dict(_groups(answers["links"].text)))
    scrubs = read_scrubs(rules.text, names, rules.line)
    chains = scrubs.chains if state[1] == "Enabled" else ()
    own = tuple(_mpd(answers.get("ppp-fix"), links))
    if own:
        chain = Chain(table="mpd5", name="tcpmssfix", hook="forward", rules=own)
        chains = (*chains, chain)
    return Ruleset(chains=chains, command=rules.line, notes=scrubs.notes)


def _groups(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield interface groups with their members."""
    members: dict[str, list[str]] = {}
    name = ""
    for line in text.split("\n"):
        head, groups = _HEAD.fullmatch(line.rstrip()), _GROUPS.fullmatch(line)
        if head is not None:
            name = head["name"]
        elif groups is not None and name:
            for group in groups["groups"].split():
                members.setdefault(group, []).append(name)
    yield from ((group, tuple(found)) for group, found in members.items())


def _mpd(answer: Answer | None, links: tuple[Row, ...]) -> Iterator[Rule]:
    """One file and one PPP interface belong together; of several nobody knows which."""
    ppp = [row for row in links if row.get("KIND") == "ppp"]
    if not ppp:
        return
    if answer is None or answer.status != "complete":
        yield from _fix(ppp, "", 0, ("whether mpd5 clamps its links was not shown",))
        return
    found = []
    for number, line in enumerate(answer.text.split("\n"), start=1):
        match = _MSS_FIX.fullmatch(line.rstrip())
        if match is not None and match["word"] == "enable":
            found.append(number)
    if found:
        doubts = (
            () if len(found) == len(ppp) == 1 else ("which link belongs to which file is not read",)
        )
        yield from _fix(ppp, answer.line, found[0], doubts)


def _fix(ppp: list[Row], command: str, line: int, doubts: tuple[str, ...]) -> Iterator[Rule]:
    for row in ppp:
        where = NameSet(names=(str(row["NAME"]),))
        for side in ("in", "out"):
            match = Match(
                families=frozenset({"ipv4"}),
                in_interfaces=where if side == "in" else None,
                out_interfaces=where if side == "out" else None,
                opaque=doubts,
            )
            yield Rule(
                name=f"{row['NAME']} tcpmssfix ({side})",
                text="set iface enable tcpmssfix",
                match=match,
                action=ClampTo(value_bytes=int(str(row["MTU"])) - 40, kind=PPP_FIX),
                line=line or None,
                command=command,
            )
