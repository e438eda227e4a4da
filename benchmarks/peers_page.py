"""The page of the peers' benchmark: what each contender cost, and how far it is to the floor."""

from __future__ import annotations

import datetime as dt
import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

#: Ansible takes a second of CPU a router: more of them would take a quarter of an hour alone.
ANSIBLE_MOST = 50
#: Beyond, only plain nornir takes its turn beside us: the others would take half an hour.
OTHERS_MOST = 1000
#: What the targets are for: devices and round trip.
PROMISED = (1000, 50)
#: Workers that nornir's best is looked for among, and devices to look with.
TRIED, TRIED_WITH = (20, 50, 100), 200
WORKERS = 100
FLOOR = "floor: paramiko, all typed at once, no parsing"
DEFAULT = "default policy: ramp, 20 at once"
EAGER, PIPELINED = "ramp, {} at once", "{} at once, pipelined"


@dataclass(slots=True)
class Cost:
    """What one contender needed for all devices, start-up included."""

    title: str
    devices: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    turns: float | None = None
    wrong: int = 0

    @property
    def cpu_ms(self) -> float:
        """Client CPU per device."""
        return self.cpu_s / self.devices * 1000


def table(costs: Sequence[Cost], parse: float) -> list[str]:
    """Return one network's table."""
    floor_ms = costs[0].cpu_ms + parse
    nornir = costs[min(1, len(costs) - 1)]
    rows = [
        f"| {c.title} | {c.wall_s:.1f} | {c.cpu_ms:.1f} | {c.peak_mb:.0f} |"
        f" {'-' if c.turns is None else f'{c.turns:.1f}'} | {c.wrong} |"
        f" {nornir.wall_s / c.wall_s:.1f}x | {nornir.cpu_s / c.cpu_s:.1f}x |"
        f" {c.wall_s / costs[0].wall_s:.1f} | {c.cpu_ms / floor_ms:.1f} |"
        for c in costs
    ]
    head = (
        "| contender | wall s | CPU ms each | peak MB | round trips each | wrong answers |"
        " wall, nornir / this | CPU, nornir / this | wall / floor | CPU / floor |"
    )
    return [head, "|---|---|---|---|---|---|---|---|---|---|", *rows, "", words(costs, parse)]


def words(costs: Sequence[Cost], parse: float) -> str:
    """Say how far it is to the floor."""
    return (
        f"The CPU floor is {costs[0].cpu_ms:.1f} ms for SSH, start-up of the process included, and "
        f"{parse:.1f} ms to parse; the wall floor is that of the first line, which parses nothing."
    )


Part = tuple[int, int, list[Cost]]


def document(
    parts: Sequence[Part],
    parse: float,
    busy: tuple[float, float],
    no_ansible: str,
    bad_ends: Sequence[str],
) -> list[str]:
    """Return the whole document."""
    names = ("paramiko", "netmiko", "nornir", "nornir-netmiko")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    without = (
        f"{no_ansible}." if no_ansible else f"Ansible takes its turn with {ANSIBLE_MOST} routers."
    )
    if any(devices > OTHERS_MOST for devices, _rtt, _costs in parts):
        without += f" Beyond {OTHERS_MOST} only plain nornir does."
    without = " ".join((without, *bad_ends))
    head = f"""\
# Beside its peers, measured

`python benchmarks/peers.py` (`make bench-peers`) wrote this ({dt.datetime.now(dt.UTC):%Y-%m-%d}).
{os.cpu_count()} cores ({platform.machine()}), Linux {platform.release()}, Python
{platform.python_version()}, {versions}; the peers are those of `benchmarks/peers.txt`. The routers
and the relay run on the same cores. Load average when it began {busy[0]:.1f}, now {busy[1]:.1f},
this benchmark's own part included.

Seven commands, 43 kB a router, all answers parsed: by the peers with ntc-templates as netmiko's
`use_textfsm` does (three of the seven have a template there), by mtughost with its own parsers, all
seven; mtughost also diagnoses and keeps every answer on disk. Whole processes with their start-up;
one run each, in turns. nornir and netmiko have the number of workers that was the fastest of
{", ".join(map(str, TRIED))} for {TRIED_WITH} routers. "Pipelined" types all commands at once, which
the task book allows for no platform that was not seen to take it: what a proven one would cost.
{without}"""
    lines = [line for part in head.split("\n\n") for line in (*wrapped(part), "")]
    lines += [
        line for part in parts if part[:2] == PROMISED for line in reached(part, parts, parse)
    ]
    for devices, rtt_ms, costs in parts:
        network = f"a round trip of {rtt_ms} ms" if rtt_ms else "loopback"
        lines += ["", f"## {devices} routers, {network}", "", *table(costs, parse)]
    return lines


def reached(part: Part, parts: Sequence[Part], parse: float) -> list[str]:
    """Return what was promised beside what was measured, and what stands in the way."""
    devices, rtt_ms, costs = part
    rows = {title: cost for cost in costs for title in (cost.title.rpartition("`, ")[2],)}
    default, eager = rows.get(DEFAULT), rows.get(EAGER.format(WORKERS))
    if default is None or eager is None:
        return []
    floor, nornir = costs[0], costs[1]
    floor_ms = floor.cpu_ms + parse
    own = [cost for cost in costs if "mtughost" in cost.title]
    wrong = sum(cost.wrong for cost in own)
    targets = [
        ("wall, plain nornir / mtughost, 100 at once", 12, nornir.wall_s / eager.wall_s, ">="),
        ("client CPU, plain nornir / mtughost, 100 at once", 8, nornir.cpu_s / eager.cpu_s, ">="),
        ("CPU / floor", 1.3, eager.cpu_ms / floor_ms, "<="),
        ("wall / floor", 1.5, eager.wall_s / floor.wall_s, "<="),
        ("peak MB, default policy", 250, default.peak_mb, "<="),
        ("wrong answers, all rows of mtughost", 0, float(wrong), "<="),
    ]
    lines = [
        f"| {devices:,} routers, round trip {rtt_ms} ms | target | measured | reached |",
        "|---|---|---|---|",
    ]
    for what, goal, value, sense in targets:
        is_reached = value >= goal if sense == ">=" else value <= goal
        lines.append(
            f"| {what} | {sense} {goal:g} | {value:.1f} | {'yes' if is_reached else 'NO'} |"
        )
    alike = [other for other in parts if other[1] == rtt_ms]
    return [*lines, "", *wrapped(in_the_way(eager, floor, nornir, alike, parse))]


def wrapped(text: str) -> list[str]:
    """Return a paragraph as lines."""
    return textwrap.wrap(" ".join(text.split()), 100, break_on_hyphens=False)


def in_the_way(eager: Cost, floor: Cost, nornir: Cost, parts: Sequence[Part], parse: float) -> str:
    """Say where the CPU beyond the floor goes, as far as this run itself shows.

    Args:
        eager: mtughost.
        floor: Paramiko alone.
        nornir: Plain nornir.
        parts: All that was measured with this round trip.
        parse: Milliseconds to parse what one router said.
    """
    floors = f"the floor is {floor.cpu_ms:.1f} for SSH and {parse:.1f} to parse"
    words = [
        f"A router costs {eager.cpu_ms:.1f} ms of client CPU; {floors}.",
        (
            f"The floor itself is {nornir.wall_s / floor.wall_s:.1f} times as fast as plain nornir,"
            f" with {nornir.cpu_ms / (floor.cpu_ms + parse):.1f} times less CPU: so much at"
            " most was to be had on this machine."
        ),
    ]
    smaller = [
        cost
        for devices, _rtt, costs in parts
        for cost in costs
        if cost.title == eager.title and devices < eager.devices
    ]
    if smaller:
        least = smaller[0]
        each = (eager.cpu_s - least.cpu_s) / (eager.devices - least.devices)
        start_s = max(0.0, least.cpu_s - each * least.devices)
        words.append(
            f"Between {least.devices} and {eager.devices} routers each further one costs"
            f" {each * 1000:.1f} ms; {start_s:.1f} s are start-up, which the floor has not."
        )
    if eager.turns and floor.turns:
        words.append(
            f"Seven commands go one by one, {eager.turns:.0f} round trips instead of"
            f" {floor.turns:.0f}: each is two switches between threads, and one login takes that"
            " many round trips of wall time."
        )
    words.append(
        "The rest: facts travel from worker to parent, each site is judged, every answer is checked"
        " for refusals, prompts and its echo, compressed, hashed and on disk before its device"
        " counts as read. The client, the routers and the relay share the cores, so that walls are"
        " mostly CPU, and the routers' part of it is the same for everybody."
    )
    return " ".join(words)
