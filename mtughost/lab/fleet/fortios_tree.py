"""FortiOS configuration: sections, entries, and how ``show`` prints them.

Sections and attributes after Fortinet's CLI references (system interface, system global, system
zone, system dhcp server, firewall policy, router static), printed as recorded ``show`` output is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["int", "choice", "words", "text", "mask", "prefix6", "hex"]


class RefusedError(Exception):
    """The device refuses a line; the text is what it prints."""


def parse_error(word: str) -> RefusedError:
    """Return the refusal of a word that is not known here (recorded wording)."""
    return RefusedError(f"\ncommand parse error before '{word}'\nCommand fail. Return code -61\n")


def value_error(word: str) -> RefusedError:
    """Return the refusal of a value (wording not confirmed by a recording)."""
    return RefusedError(f"\nvalue parse error before '{word}'\nCommand fail. Return code -651\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attr:
    """One attribute.

    Attributes:
        default: What it is while unset; ``None`` for nothing.
        quoted: Whether ``show`` prints it in quotes.
        needs: Attribute and value without which it does not exist.
    """

    kind: Kind
    default: str | None = None
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    quoted: bool = False
    needs: tuple[str, str] | None = None

    def parsed(self, words: list[str]) -> str:
        """Return the stored form of typed words."""
        if not words:
            raise RefusedError("\nincomplete command in the end\nCommand fail. Return code -160\n")
        if self.kind in {"mask", "prefix6"}:
            return self._network(words)
        if self.kind == "words":
            return " ".join(words)
        word = words[0]
        if self.kind == "int" and not (word.isdecimal() and self.low <= int(word) <= self.high):
            raise value_error(word)
        if self.kind == "choice" and word not in self.choices:
            raise value_error(word)
        return word

    def _network(self, words: list[str]) -> str:
        text = "/".join(words[:2])
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError:
            raise value_error(words[0]) from None
        if self.kind == "prefix6":
            return str(interface)
        return f"{interface.ip} {interface.netmask}"

    def printed(self, value: str) -> str:
        """Return a value as ``show`` prints it."""
        if not self.quoted:
            return value
        if self.kind == "words":
            return " ".join(f'"{word}"' for word in value.split(" "))
        return f'"{value}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One ``config`` section: settings, or a table of entries.

    Attributes:
        key: ``name`` or ``id`` for a table, ``""`` for settings.
        group: Access-profile group that an account needs to see it at all.
    """

    key: str = ""
    attrs: Mapping[str, Attr]
    children: Mapping[str, Section] = field(default_factory=dict)
    group: str = "sysgrp"


def _switch(default: str) -> Attr:
    return Attr(kind="choice", choices=("enable", "disable"), default=default)


_INTERFACE = Section(
    key="name",
    group="netgrp",
    attrs={
        "vdom": Attr(kind="text", quoted=True),
        "mode": Attr(kind="choice", choices=("static", "dhcp", "pppoe"), default="static"),
        "ip": Attr(kind="mask", default="0.0.0.0 0.0.0.0"),
        "allowaccess": Attr(kind="words"),
        "status": Attr(kind="choice", choices=("up", "down"), default="up"),
        "type": Attr(kind="text"),
        "mtu-override": _switch("disable"),
        # 68 to the limit of the hardware; a VLAN follows its parent.
        "mtu": Attr(
            kind="int", low=68, high=9216, default="1500", needs=("mtu-override", "enable")
        ),
        "tcp-mss": Attr(kind="int", low=48, high=10000, default="0"),
        "alias": Attr(kind="text", quoted=True),
        "role": Attr(kind="choice", choices=("lan", "wan", "dmz", "undefined")),
        "snmp-index": Attr(kind="int", low=0, high=2**31),
        "remote-ip": Attr(kind="mask"),
        "interface": Attr(kind="text", quoted=True),
        "vlanid": Attr(kind="int", low=1, high=4094),
    },
    children={
        "ipv6": Section(attrs={"ip6-address": Attr(kind="prefix6", default="::/0")}),
    },
)
_POLICY = Section(
    key="id",
    group="fwgrp",
    attrs={
        "status": _switch("enable"),
        "name": Attr(kind="text", quoted=True),
        "uuid": Attr(kind="text"),
        "srcintf": Attr(kind="words", quoted=True),
        "dstintf": Attr(kind="words", quoted=True),
        "action": Attr(kind="choice", choices=("accept", "deny", "ipsec"), default="deny"),
        "srcaddr": Attr(kind="words", quoted=True),
        "dstaddr": Attr(kind="words", quoted=True),
        "srcaddr6": Attr(kind="words", quoted=True),
        "dstaddr6": Attr(kind="words", quoted=True),
        "schedule": Attr(kind="text", quoted=True),
        "service": Attr(kind="words", quoted=True),
        "tcp-mss-sender": Attr(kind="int", low=0, high=65535, default="0"),
        "tcp-mss-receiver": Attr(kind="int", low=0, high=65535, default="0"),
        "logtraffic": Attr(kind="choice", choices=("all", "utm", "disable"), default="utm"),
        "nat": _switch("disable"),
    },
)
_DHCP = Section(
    key="id",
    attrs={
        "default-gateway": Attr(kind="text"),
        "netmask": Attr(kind="text"),
        "interface": Attr(kind="text", quoted=True),
    },
    children={
        "ip-range": Section(
            key="id", attrs={"start-ip": Attr(kind="text"), "end-ip": Attr(kind="text")}
        ),
        "options": Section(
            key="id",
            attrs={
                "code": Attr(kind="int", low=0, high=255, default="0"),
                "type": Attr(kind="choice", choices=("hex", "string", "ip", "fqdn"), default="hex"),
                "value": Attr(kind="hex", quoted=True),
            },
        ),
    },
)

#: Every section that the emulation has, by its full path.
SECTIONS: Mapping[str, Section] = {
    "system global": Section(
        attrs={
            "alias": Attr(kind="text", quoted=True),
            "cfg-revert-timeout": Attr(
                kind="int", low=10, high=4294967295, default="600", needs=("cfg-save", "revert")
            ),
            "cfg-save": Attr(
                kind="choice", choices=("automatic", "manual", "revert"), default="automatic"
            ),
            "honor-df": _switch("enable"),
            "hostname": Attr(kind="text", quoted=True),
            "timezone": Attr(kind="text", quoted=True),
        },
    ),
    "system console": Section(
        attrs={
            "baudrate": Attr(kind="text", default="9600"),
            "output": Attr(kind="choice", choices=("standard", "more"), default="more"),
        },
    ),
    "system interface": _INTERFACE,
    "system zone": Section(
        key="name",
        group="netgrp",
        attrs={
            "intrazone": Attr(kind="choice", choices=("allow", "deny"), default="deny"),
            "interface": Attr(kind="words", quoted=True),
        },
    ),
    "system settings": Section(
        attrs={
            "opmode": Attr(kind="choice", choices=("nat", "transparent"), default="nat"),
            "ngfw-mode": Attr(
                kind="choice", choices=("profile-based", "policy-based"), default="profile-based"
            ),
        },
    ),
    "system dhcp server": _DHCP,
    "firewall policy": _POLICY,
    "router static": Section(
        key="id",
        group="netgrp",
        attrs={
            "dst": Attr(kind="mask", default="0.0.0.0 0.0.0.0"),
            "gateway": Attr(kind="text", default="0.0.0.0"),  # noqa: S104 - FortiOS's "any"
            "device": Attr(kind="text", quoted=True),
            "distance": Attr(kind="int", low=1, high=255, default="10"),
        },
    ),
}


@dataclass(slots=True)
class Entry:
    """Values of one entry, or of settings, and the sections inside."""

    values: dict[str, str] = field(default_factory=dict)
    inside: dict[str, Entry | Table] = field(default_factory=dict)

    def get(self, section: Section, name: str) -> str:
        """Return a value or its default, ``""`` where there is neither."""
        return self.values.get(name) or section.attrs[name].default or ""


@dataclass(slots=True)
class Table:
    """Entries in the order in which they were made."""

    entries: dict[str, Entry] = field(default_factory=dict)


def empty(section: Section) -> Entry | Table:
    """Return a section's content before anything was set."""
    return Table() if section.key else Entry()


def set_value(section: Section, entry: Entry, words: list[str]) -> None:
    """Obey ``set NAME VALUE...``.

    Raises:
        RefusedError: as the device says it.
    """
    name = words[0] if words else ""
    attr = section.attrs.get(name)
    if attr is None:
        raise parse_error(name)
    if attr.needs is not None and entry.get(section, attr.needs[0]) != attr.needs[1]:
        raise parse_error(name)
    value = attr.parsed(words[1:])
    if value == attr.default:
        entry.values.pop(name, None)
    else:
        entry.values[name] = value


def shown(path: str, section: Section, data: Entry | Table, *, full: bool) -> list[str]:
    """Return what ``show`` (or ``show full-configuration``) prints for one section."""
    return [f"config {path}", *_body(section, data, full), "end"]


def _body(section: Section, data: Entry | Table, full: bool) -> Iterator[str]:  # noqa: FBT001
    if isinstance(data, Entry):
        yield from _settings(section, data, full)
        return
    for key, entry in data.entries.items():
        yield f"    edit {key}" if section.key == "id" else f'    edit "{key}"'
        yield from (f"    {line}" for line in _settings(section, entry, full))
        yield "    next"


def _settings(section: Section, entry: Entry, full: bool) -> Iterator[str]:  # noqa: FBT001
    for name, attr in section.attrs.items():
        is_hidden = attr.needs is not None and entry.get(section, attr.needs[0]) != attr.needs[1]
        value = entry.values.get(name)
        if is_hidden:
            continue
        if value is not None:
            yield f"    set {name} {attr.printed(value)}"
        elif full and attr.default is not None:
            yield f"    set {name} {attr.printed(attr.default)}"
        elif full:
            yield f"    unset {name}"
    for name, inner in section.children.items():
        data = entry.inside.get(name)
        if data is not None and (data.entries if isinstance(data, Table) else data.values):
            yield from (f"    {line}" for line in shown(name, inner, data, full=full))
