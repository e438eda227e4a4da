"""What an EdgeOS account without a shell may ask: ``show interfaces`` and ``show ip route``.

Recorded output is in fixed columns; an address that does not fit the line of its interface stands
on a line of its own. Neither shows an MTU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtughost.dialects.rows import DialectRows, Row, RowTable

_INTERFACE = re.compile(
    r"(?P<name>[A-Za-z][\w.:-]*) +(?P<address>-|[0-9a-fA-F.:]+/\d+) +"
    r"(?P<state>[uDA])/(?P<link>[uD])(?: .*)?"
)
_MORE = re.compile(r" +(?P<address>[0-9a-fA-F.:]+/\d+) *")
_HEAD = re.compile(r"(?:Codes: |Interface +IP Address|-{3,}).*")
_ROUTE = re.compile(
    r"(?P<code>[A-Z][A-Z0-9 ]{0,4}?) +(?P<fib>[*>p ]{0,3}) *(?P<dest>\d[\d.]*/\d+) +(?P<rest>.+)"
)
_NEXT = re.compile(r" +(?P<fib>[*>p]{1,3}) +(?P<rest>(?:\[|via |is directly).+)")
_HOP = re.compile(r"(?:\[\d+/\d+\] )?via (?P<via>[0-9.]+)(?: \([^)]*\))?, (?P<out>[\w.:@-]+).*")
_DIRECT = re.compile(r"(?:\[\d+/\d+\] )?is directly connected, (?P<out>[\w.:@-]+).*")
_NOWHERE = re.compile(r"(?:\[\d+/\d+\] )?(?:is a summary|via \S+ inactive).*")
_LEGEND = re.compile(r'(?:Codes: | {4,}\S.* - |IP Route Table for VRF "|Gateway of last resort).*')


def read_interfaces(text: str) -> DialectRows:
    """``show interfaces``: NAME, STATE, PARENT; no MTU."""
    made = RowTable()
    for number, _, found in _listed(text, made):
        if found is None:
            continue
        name, is_up = found["name"], found["state"] == found["link"] == "u"
        row: Row = {"NAME": name, "STATE": "UP" if is_up else "DOWN"}
        if "." in name:
            row["PARENT"] = name.rpartition(".")[0]
        made.add(number, row)
    return made.done()


def read_addresses(text: str) -> DialectRows:
    """``show interfaces``: INTERFACE, ADDRESS, PREFIX_LEN, FAMILY."""
    made = RowTable()
    name = ""
    for number, line, found in _listed(text, made):
        name = found["name"] if found is not None else name
        shown = found["address"] if found is not None else line.strip()
        if shown == "-":
            continue
        address, _, length = shown.partition("/")
        family = "ipv6" if ":" in address else "ipv4"
        row: Row = {"INTERFACE": name, "ADDRESS": address, "PREFIX_LEN": length, "FAMILY": family}
        made.add(number, row)
    return made.done()


def _listed(text: str, made: RowTable) -> Iterator[tuple[int, str, re.Match[str] | None]]:
    """Yield lines of interfaces with their match, and further addresses without one."""
    for number, line in enumerate(text.split("\n"), start=1):
        found = _INTERFACE.fullmatch(line.rstrip())
        if found is not None:
            yield number, line, found
        elif _MORE.fullmatch(line):
            yield number, line, None
        elif line.strip() and not _HEAD.fullmatch(line):
            made.leave(number, line)


def read_routes(text: str) -> DialectRows:
    """``show ip route``: DESTINATION, VIA, INTERFACE of the routes that are in use (``>``)."""
    made = RowTable()
    dest = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or _LEGEND.fullmatch(line):
            continue
        found = _ROUTE.fullmatch(line.rstrip()) or _NEXT.fullmatch(line.rstrip())
        if found is not None and found.re is _ROUTE:
            dest = found["dest"]
        hop = _hop(found["rest"]) if found is not None else None
        if found is None or hop is None:
            made.leave(number, line)
        elif hop and "*" in found["fib"]:
            made.add(number, {"DESTINATION": dest, **hop})
    return made.done()


def _hop(rest: str) -> Row | None:
    """Return the way out, nothing for a route that leads nowhere, ``None`` for other words."""
    via, direct = _HOP.fullmatch(rest), _DIRECT.fullmatch(rest)
    if via is not None:
        return {"VIA": via["via"], "INTERFACE": via["out"]}
    if direct is not None:
        return {"INTERFACE": direct["out"]}
    return {} if _NOWHERE.fullmatch(rest) else None
