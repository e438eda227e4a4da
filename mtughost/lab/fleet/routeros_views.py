"""What RouterOS prints, in the formats of recorded output of versions 6 and 7."""

from __future__ import annotations

import ipaddress
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtughost.lab.fleet.routeros import Item, RouterOs
    from mtughost.lab.fleet.routeros_cli import RouterOsCli

#: Values that are strings and stand in quotes.
_QUOTED = {"name", "default-name", "type", "log-prefix", "on-event", "comment"}
_LEGENDS = {
    "interface": ("D - dynamic", "X - disabled", "R - running", "S - slave"),
    "ip route": ("X - disabled", "A - active", "D - dynamic", "C - connect", "S - static"),
    "ipv6 route": ("X - disabled", "A - active", "D - dynamic", "C - connect", "S - static"),
}
_USUAL = ("X - disabled", "I - invalid", "D - dynamic")
#: Which values of an item are shown first, and those that are always there.
_ORDER = (
    "name", "default-name", "type", "chain", "action", "new-mss", "passthrough", "jump-target",
    "dst-address", "pref-src", "gateway", "address", "network", "interface", "mtu", "max-mtu",
)  # fmt: skip


def printed(cli: RouterOsCli, menu: str, rest: str) -> str:
    """Obey ``print`` in a menu."""
    device = cli.device
    if menu in SETTINGS:
        lines = [(name, value) for name, value in SETTINGS[menu](device) if value]
        wide = max(len(name) for name, _ in lines) + 2
        return "".join(f"{name:>{wide}}: {value}\n" for name, value in lines)
    if menu == "log":
        return ""
    items = cli.where(device.items(menu), rest)
    if "count-only" in rest:
        return f"{len(items)}\n"
    if "stats" in rest:
        return "".join(_stats(device, menu, items))
    return "".join(_detail(cli, menu, items))


def export(device: RouterOs) -> str:
    """``/export terse``: a line per item with what was set, in the order of the letters."""
    lines = [f"# 2026-11-21 13:00:00 by RouterOS {device.identity.version.split()[0]}"]
    lines.append(f"# model = {device.identity.model}")
    for menu, items in sorted(device.menus.items()):
        if menu == "file":
            continue
        for item in items:
            said = " ".join(f"{key}={_typed(item[key])}" for key in sorted(item))
            lines.append(f"/{menu} {'set' if menu == 'interface' else 'add'} {said}")
    return "".join(f"{line}\n" for line in [*lines, f"/system identity set name={device.name}"])


def _typed(value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if " " in value or '"' in value or ";" in value else value


def _detail(cli: RouterOsCli, menu: str, items: list[Item]) -> Iterator[str]:
    legend = _LEGENDS.get(menu, _USUAL)
    parts = "; " if cli.device.major > 6 else ", "  # noqa: PLR2004 - the version
    yield "Flags: " + parts.join((legend[0], ", ".join(legend[1:]))) + " \n"
    for number, item in enumerate(items):
        shown = _shown(cli.device, menu, item)
        words = " ".join(f"{key}={_value(key, value)}" for key, value in shown.items())
        flags = _flags(cli.device, menu, item)
        head = f"{number:>2} {flags:<3} "
        if comment := item.get("comment"):
            yield f"{head};;; {comment}\n"
            head = " " * len(head)
        wrapped = textwrap.wrap(
            words,
            cli.width,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield "".join(f"{line} \n" for line in wrapped) + "\n"


def _value(key: str, value: str) -> str:
    return f'"{value}"' if key in _QUOTED else value


def _shown(device: RouterOs, menu: str, item: Item) -> Item:
    """Add what the router works out itself."""
    hidden = {"disabled", "dynamic", "comment"}
    found = {k: v for k, v in item.items() if k not in hidden}
    if menu == "interface":
        found |= {"actual-mtu": item["mtu"], "mac-address": device.mac_of(item["name"]).upper()}
    elif menu == "interface vlan":
        found.setdefault("mtu", "1500")
    elif menu.endswith("mangle"):
        found |= {"log": "no", "log-prefix": ""}
    elif menu == "ip address":
        address = ipaddress.IPv4Interface(item["address"])
        found["network"] = str(address.network.network_address)
        if device.major > 6:  # noqa: PLR2004 - the version
            found["actual-interface"] = item["interface"]
    elif menu in {"ip route", "ipv6 route"}:
        found |= _way_out(device, item)
    first = {key: found[key] for key in _ORDER if key in found}
    return {**first, **found}


def _way_out(device: RouterOs, item: Item) -> Item:
    gateway = item["gateway"]
    out = gateway if item.get("dynamic") else _interface_to(device, gateway)
    via = "" if item.get("dynamic") else gateway
    if device.major > 6:  # noqa: PLR2004 - the version
        now = f"{via}%{out}" if via else out
        return {"routing-table": "main", "immediate-gw": now, "distance": item.get("distance", "1")}
    status = f"{via} reachable via  {out}" if via else f"{out} reachable"
    return {"gateway-status": status, "distance": item.get("distance", "1")}


def _interface_to(device: RouterOs, gateway: str) -> str:
    for item in (*device.menus["ip address"], *device.menus["ipv6 address"]):
        if ipaddress.ip_address(gateway) in ipaddress.ip_interface(item["address"]).network:
            return item["interface"]
    return ""


def _flags(device: RouterOs, menu: str, item: Item) -> str:
    dynamic = "D" if item.get("dynamic") else ""
    if item.get("disabled") == "yes":
        return dynamic + "X"
    if menu == "interface":
        return dynamic + "R"
    if menu == "interface pppoe-client":
        return "R"
    if menu in {"ip route", "ipv6 route"}:
        kind = "C" if item.get("dynamic") else "S"
        return f"A{dynamic}{kind}" if device.major == 6 else f"{dynamic}A{kind.lower()}"  # noqa: PLR2004
    return dynamic


def _stats(device: RouterOs, menu: str, items: list[Item]) -> Iterator[str]:
    if device.major > 6:  # noqa: PLR2004 - the version
        yield "Columns: CHAIN, ACTION, BYTES, PACKETS\n #  CHAIN    ACTION       BYTES  PACKETS\n"
    else:
        yield "Flags: X - disabled, I - invalid, D - dynamic \n"
        yield " #    CHAIN          ACTION                  BYTES         PACKETS\n"
    for number, item in enumerate(items):
        packets = device.hits.get(f"{menu} {number}", 0)
        size, count = (f"{n:,}".replace(",", " ") for n in (packets * 60, packets))
        head, chain = f"{number:>2} {_flags(device, menu, item):<2}", item["chain"]
        if comment := item.get("comment"):
            yield f"{head} ;;; {comment}\n"
            head = " " * len(head)
        yield f"{head} {chain:<13}  {item['action']:<16}{size:>14}  {count:>14}\n"


def _resource(device: RouterOs) -> list[tuple[str, str]]:
    return [
        # Moves with the hours only, so that two looks at a calm router are the same.
        ("uptime", f"{device.uptime_s // 3600}h3m10s"),
        ("version", device.identity.version),
        ("build-time", "Dec/20/2023 08:41:00"),
        ("cpu-load", "3%"),
        ("architecture-name", "arm64"),
        ("board-name", device.identity.model),
        ("platform", "MikroTik"),
    ]


def _routerboard(device: RouterOs) -> list[tuple[str, str]]:
    who = device.identity
    firmware = who.version.split(" ")[0]
    return [
        ("routerboard", "yes"),
        ("board-name", who.model),
        ("model", who.model),
        ("serial-number", who.serial),
        ("current-firmware", firmware),
    ]


def _clock(device: RouterOs) -> list[tuple[str, str]]:
    date = "2026-11-21" if device.major > 6 else "nov/21/2026"  # noqa: PLR2004 - the version
    return [("time", "13:00:00"), ("date", date), ("gmt-offset", "+01:00"), ("dst-active", "no")]


#: Menus with one set of settings.
SETTINGS: dict[str, Callable[[RouterOs], list[tuple[str, str]]]] = {
    "system identity": lambda device: [("name", device.name)],
    "system resource": _resource,
    "system routerboard": _routerboard,
    "system clock": _clock,
    "ip settings": lambda _device: [("ip-forward", "yes"), ("icmp-rate-limit", "10")],
}
