"""Cisco ASA: interfaces by their names, routes, what an account sees, and one clamp for the box.

``sysopt connection tcpmss`` overwrites whichever endpoint asks for more, in every connection
through the box; its default of 1380 stands only in ``show running-config all`` (Cisco, About the
TCP MSS). So there is no scope that could be wrong; it can be off, raised, or overruled by a map.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mtughost.dialects.rows import DialectRows, Row, RowTable, incomplete
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, Rule, Ruleset
from mtughost.model.session import Answer

#: Who sees everything.
_ACCOUNT = "log in with an account that arrives at privilege level 15"

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("sysopt", "tcp-maps", "version", "privilege")
TCPMSS = "sysopt connection tcpmss"
MINIMUM = "sysopt connection tcpmss minimum"
MAP = "tcp-map tcp-options mss"
_LEVEL = re.compile(r"^Current privilege level\s*:\s*(\d{1,2})\s*$", re.MULTILINE)
_FULL_LEVEL = "15"

_HEAD = re.compile(
    r'Interface (?P<port>[\w./-]+) "(?P<name>[\w.-]*)", is (?P<state>[a-z ]+)'
    r"(?:, line protocol is (?P<line>\w+).*)?"
)
_MTU = re.compile(r"\s+(?:MAC address (?P<mac>[0-9a-f.]+|N/A), )?MTU (?P<mtu>\d{1,5}|not set)\b.*")
_IP = re.compile(r"\s+IP address (?P<ip>[0-9.]+), subnet mask (?P<mask>[0-9.]+)")
_IP6_HEAD = re.compile(r"(?P<name>[\w.-]+) \[[\w/ -]+\]")
_IP6 = re.compile(r"\s+(?P<ip>[0-9a-f:]+)(?:/(?P<len>\d{1,3}))?(?: \[.*)?")

_ENTRY = re.compile(
    r"(?P<code>[A-Z][A-Za-z]?[*+]?(?: (?:IA|E1|E2|N1|N2|EX|L1|L2|ia|su))?[*+]?) +"
    r"(?P<dest>[\w.-]+) +(?P<mask>\d+\.\d+\.\d+\.\d+)(?P<rest>(?: .*)?)"
)
_VIA = re.compile(r"\s*\[\d+/\d+\] via (?P<via>[\w.-]+)(?P<tail>(?:, .*)?)")
_DIRECT = re.compile(
    r"\s*(?:is directly connected|connected by VPN \(\w+\)|is a summary.*), (?P<out>[\w.-]+)"
)
_AGE = re.compile(r"\d[\dwdhmsy:.]*|never")
_FRAME = re.compile(
    r"Codes: .*| {6,}\S{1,3} - .*|Gateway of last resort is .*|Routing Table: .*|[A-Za-z]{1,2} - .*"
)
_NAME = re.compile(r"name (?P<ip>[0-9.]+) (?P<name>[\w.-]+)(?: description .*)?")
_SYSOPT = re.compile(r"(?:no )?sysopt .*")
_VALUE = re.compile(r"sysopt connection tcpmss (?P<minimum>minimum )?(?P<mss>\d{1,5})\s*")
_MAP_HEAD = re.compile(r"tcp-map (?P<name>\S+)")
_MAP_MSS = re.compile(r"\s+tcp-options mss (?:maximum )?(?P<mss>\d{1,5})\b.*")
_OPTION = re.compile(
    r"dhcpd option 26 (?:hex (?P<hex>[0-9A-Fa-f]{4})|\S+ \S+)(?: interface (?P<name>\S+))?\s*"
)
_CLOCK = re.compile(
    r"[*.]?(\d\d):(\d\d):(\d\d)(?:\.\d+)? (UTC|GMT) \w{3} (\w{3}) +(\d{1,2}) (\d{4})"
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


# -- who ---------------------------------------------------------------------------------------


def read_identity(text: str) -> DialectRows:
    """``show version``."""
    patterns = {
        "OS_VERSION": r"^Cisco Adaptive Security Appliance Software Version (\S+)",
        "HOSTNAME": r"^(\S+) up \d+ (?:year|day|hour|min|sec)",
        "MODEL": r"^Hardware:\s+([\w.-]+)",
        "SERIAL": r"^Serial Number: (\w+)",
    }
    found = {name: re.search(p, text, re.MULTILINE) for name, p in patterns.items()}
    row: Row = {name: match[1] for name, match in found.items() if match is not None}
    return DialectRows(rows=({**row, "OS_NAME": "ASA"},), lines=(1,))


def read_privilege(text: str) -> DialectRows:
    """``show curpriv``: only level 15 sees the whole configuration, whatever is authorised."""
    found = _LEVEL.search(text)
    row: Row = {
        "SEES_FIREWALL": "yes" if found is not None and found[1] == _FULL_LEVEL else "no",
        "SEES_INTERFACES": "yes" if found is not None else "no",
        "DETAIL": found[0].strip() if found is not None else "no privilege level was shown",
    }
    return DialectRows(rows=(row,), lines=(1,))


# -- interfaces --------------------------------------------------------------------------------


def read_links(text: str) -> DialectRows:
    """``show interface``: NAME is the name that routes and rules use, else the port's."""
    made = RowTable()
    for number, line in enumerate(text.split("\n"), start=1):
        head, mtu = _HEAD.fullmatch(line.strip()), _MTU.fullmatch(line)
        if head is not None:
            made.add(number, _link(head))
        elif mtu is not None and made.rows:
            if mtu["mtu"].isdecimal():
                made.rows[-1]["MTU"] = mtu["mtu"]
            made.rows[-1]["MAC"] = _plain_mac(mtu["mac"] or "")
        elif line.strip() and (not made.rows or not line[0].isspace()):
            made.leave(number, line)
    return made.done()


def _link(head: re.Match[str]) -> Row:
    port = head["port"]
    is_up = head["state"].strip() == "up" and head["line"] in {"up", None}
    is_vlan = "." in port or port.startswith("Vlan")
    kind = "tunnel" if port.startswith("Tunnel") else "vlan" if is_vlan else "ethernet"
    return {
        "NAME": head["name"] or port,
        "STATE": "UP" if is_up else "DOWN",
        "KIND": kind,
        "PARENT": port.partition(".")[0] if "." in port else "",
    }


def _plain_mac(dotted: str) -> str:
    """Return ``0c29.a40a.f201`` as everybody else writes it; "N/A" is none."""
    digits = dotted.replace(".", "")
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        return ""
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def read_addresses(text: str) -> DialectRows:
    """``show interface``: addresses of IPv4 with their masks."""
    made = RowTable()
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        head, found = _HEAD.fullmatch(line.strip()), _IP.match(line)
        if head is not None:
            name = head["name"] or head["port"]
        elif found is not None and name:
            length = _length(found["mask"])
            made.add(
                number,
                {
                    "INTERFACE": name,
                    "ADDRESS": found["ip"],
                    "PREFIX_LEN": "" if length is None else str(length),
                    "FAMILY": "ipv4",
                },
            )
        elif line.strip() and not line[0].isspace():
            made.leave(number, line)
    return made.done()


def read_addresses6(text: str) -> DialectRows:
    """``show ipv6 interface brief``; a length that is not told is taken for a link's, 64."""
    made = RowTable()
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        head, found = _IP6_HEAD.fullmatch(line.strip()), _IP6.fullmatch(line)
        if head is not None:
            name = head["name"]
        elif found is not None and name and ":" in found["ip"]:
            length = found["len"] or "64"
            made.add(
                number,
                {"INTERFACE": name, "ADDRESS": found["ip"], "PREFIX_LEN": length, "FAMILY": "ipv6"},
            )
        elif line.strip() and line.strip() != "unassigned":
            made.leave(number, line)
    return made.done()


def _length(mask: str) -> int | None:
    try:
        return ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return None


# -- routes ------------------------------------------------------------------------------------


def read_routes(answers: Mapping[str, Answer]) -> DialectRows | Unknown:
    """``show route``: names stand in place of addresses where the configuration has them.

    A ``tunneled`` route is for what comes out of a VPN only: it is kept in a table of its own.
    """
    answer = answers.get("routes")
    if answer is None or answer.status != "complete":
        return incomplete(answer, "routes", _ACCOUNT)
    names = _names(answers.get("names"))
    made = RowTable()
    dest = ""
    for number, line in enumerate(answer.text.split("\n"), start=1):
        text = line.rstrip()
        entry = _ENTRY.fullmatch(text)
        if not text or _FRAME.fullmatch(text):
            continue
        if entry is not None:
            dest, text = (
                _network(names.get(entry["dest"], entry["dest"]), entry["mask"]),
                (entry["rest"]),
            )
            if not text.strip() and dest:
                continue
        row = _hop(dest, text, names) if dest else None
        if row is None:
            made.leave(number, line)
        else:
            made.add(number, row)
    for row in made.rows:
        row.setdefault("INTERFACE", _resolved(made.rows, str(row.get("VIA", ""))))
    return made.done()


def _names(answer: Answer | None) -> dict[str, str]:
    if answer is None or answer.status != "complete":
        return {}
    found = (_NAME.fullmatch(line.strip()) for line in answer.text.split("\n"))
    return {match["name"]: match["ip"] for match in found if match is not None}


def _network(address: str, mask: str) -> str:
    try:
        return str(ipaddress.IPv4Network(f"{address}/{mask}", strict=False))
    except ValueError:
        return ""


def _hop(dest: str, text: str, names: Mapping[str, str]) -> Row | None:
    row: Row = {"DESTINATION": dest, "FAMILY": "ipv4"}
    if text.endswith(" tunneled"):
        row["TABLE"], text = "tunneled", text.removesuffix(" tunneled")
    via, direct = _VIA.fullmatch(text), _DIRECT.fullmatch(text)
    if via is not None:
        row["VIA"] = names.get(via["via"], via["via"])
        said = [word for word in via["tail"].split(", ") if word and not _AGE.fullmatch(word)]
        if said:
            row["INTERFACE"] = said[-1]
    elif direct is not None:
        row["INTERFACE"] = direct["out"]
    else:
        return None
    return row


def _resolved(rows: list[Row], hop: str) -> str:
    """Return the interface of the longest connected network that holds a next hop."""
    best = (-1, "")
    for row in rows:
        network = ipaddress.IPv4Network(str(row["DESTINATION"]))
        if hop and "VIA" not in row and ipaddress.ip_address(hop) in network:
            best = max(best, (network.prefixlen, str(row["INTERFACE"])))
    return best[1]


# -- clamps ------------------------------------------------------------------------------------


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn ``show running-config all sysopt`` and the TCP maps into one ruleset."""
    for name in ("sysopt", "privilege"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            return incomplete(answer, name, _ACCOUNT)
    sysopt = answers["sysopt"]
    notes: list[str] = []
    values: dict[str, tuple[int, int, str]] = {}
    for number, line in enumerate(sysopt.text.split("\n"), start=1):
        found = _VALUE.fullmatch(line.strip())
        if found is not None:
            key = MINIMUM if found["minimum"] else TCPMSS
            values[key] = (int(found["mss"]), number, line.strip())
        elif line.strip() and not _SYSOPT.fullmatch(line.strip()):
            notes.append(f"'{sysopt.line}', line {number}: {line.strip()}")
    if TCPMSS not in values:
        return Unknown(
            f"'{sysopt.line}' shows no value for {TCPMSS}, not even its default",
            "log in with an account that arrives at privilege level 15",
        )
    notes += _software_notes(answers.get("version"))
    rules = [*_maps(answers.get("tcp-maps")), *_global(values, sysopt.line)]
    chain = Chain(table="sysopt", name="tcpmss", hook="forward", rules=tuple(rules))
    return Ruleset(chains=(chain,), command=sysopt.line, notes=tuple(notes))


def _global(values: Mapping[str, tuple[int, int, str]], command: str) -> Iterator[Rule]:
    tcp = frozenset({"tcp"})
    mss, number, text = values[TCPMSS]
    if mss:  # 0 switches it off
        action = ClampTo(value_bytes=mss, kind=TCPMSS)
        match = Match(protocols=tcp)
        yield Rule(name=TCPMSS, text=text, match=match, action=action, line=number, command=command)
    floor, number, text = values.get(MINIMUM, (0, 0, ""))
    if floor:
        raised = ClampTo(value_bytes=floor, can_raise=True, kind=MINIMUM)
        match = Match(protocols=tcp, mss_at_most_bytes=floor - 1)
        yield Rule(
            name=MINIMUM, text=text, match=match, action=raised, line=number, command=command
        )


def _maps(answer: Answer | None) -> Iterator[Rule]:
    """A map may set an MSS for classes of traffic: neither relied on nor ruled out."""
    if answer is None or answer.status != "complete":
        doubt = ("the TCP maps were not shown",)
        action = ClampTo(value_bytes=None, kind=MAP)
        yield Rule(name="tcp-map", text="tcp-map", match=Match(opaque=doubt), action=action)
        return
    name = ""
    for number, line in enumerate(answer.text.split("\n"), start=1):
        head, found = _MAP_HEAD.fullmatch(line.strip()), _MAP_MSS.fullmatch(line)
        if head is not None:
            name = head["name"]
        elif found is not None:
            doubt = (f"the classes of traffic that use tcp-map {name} are not read",)
            yield Rule(
                name=f"tcp-map {name}",
                text=line.strip(),
                match=Match(opaque=doubt),
                action=ClampTo(value_bytes=int(found["mss"]), kind=MAP),
                line=number,
                command=answer.line,
            )


def _software_notes(version: Answer | None) -> list[str]:
    if version is None or version.status != "complete":
        return ["whether this is Firepower Threat Defense, which clamps by itself, is not known"]
    if "Threat Defense" in version.text:
        return ["Firepower Threat Defense sets an MSS of its own where it inspects TLS"]
    return []


# -- DHCP option 26, clock -----------------------------------------------------------------------


def read_dhcp(text: str) -> DialectRows:
    """``show running-config dhcpd``: option 26 for one interface, or for all."""
    rows: list[Row] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        found = _OPTION.fullmatch(line.strip())
        if found is not None:
            mtu = str(int(found["hex"], 16)) if found["hex"] else "not told"
            rows.append({"MTU": mtu, "SCOPE": found["name"] or ""})
            lines.append(number)
    return DialectRows(rows=tuple(rows), lines=tuple(lines))


def read_clock(text: str) -> DialectRows:
    """``show clock``, where the box runs on UTC: the name of a zone says not how far it is."""
    found = _CLOCK.search(text)
    if found is None or found[5] not in _MONTHS:
        return DialectRows(rows=(), lines=())
    hour, minute, second, _zone, month, day, year = found.groups()
    try:
        when = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return DialectRows(rows=(), lines=())
    return DialectRows(rows=({"CLOCK_UTC": when.strftime("%Y-%m-%dT%H:%M:%SZ")},), lines=(1,))
