"""A lab written down as values, before a single namespace exists.

The plan says everything that the holder builds: nodes, links, files, daemons. It travels to the
holder as JSON through a pipe, never through a file, because it carries private keys.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["device", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that exists before the node starts."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A long-running program of a plain node.

    Attributes:
        argv: ``{dir}`` stands for the node's own directory, ``{python}`` for this interpreter.
        ready_text: Text that must appear in ``log`` before the node counts as started.
        log: Name of the log inside the node's directory.
    """

    argv: tuple[str, ...]
    log: str
    ready_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One network namespace.

    Attributes:
        name: Unique in the lab.
        kind: ``device`` boots from its saved files, with its own mounts, host name and
            processes; ``plain`` is part of the world around the devices.
        ports: Physical interfaces; they survive a reboot, with the factory's MTU of 1500.
        files: Of a device by absolute path; of a plain node relative to its directory.
        batch: ``ip -batch`` lines of a plain node.
        sysctls: Of a plain node.
        ruleset: nftables text of a plain node.
        daemons: Of a plain node.
        waits_for: Plain nodes whose daemons must be ready before this device boots.
        ssh: Where the operator reaches a device's SSH server directly, else ``""``.
    """

    name: str
    kind: Kind
    ports: tuple[str, ...] = ()
    files: dict[str, File] = field(default_factory=dict)
    batch: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    ruleset: str = ""
    daemons: tuple[Daemon, ...] = ()
    waits_for: tuple[str, ...] = ()
    ssh: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable. ``node_b`` empty means the management bridge of the lab's root.

    Attributes:
        ceiling_bytes: Longer packets from ``node_a`` to the bridge vanish, ``0`` for none.
    """

    node_a: str
    port_a: str
    node_b: str = ""
    port_b: str = ""
    ceiling_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A vendor's command line in front of a device's network namespace.

    Attributes:
        name: The device.
        address: Where its SSH server listens.
        host_key: Private host key in OpenSSH's form.
        public_key: Accepted key of ``username``.
        ports: Kernel names of the interfaces ``ap``, ``pos`` and ``wan``.
        plan: What it is configured with, as :class:`mtughost.lab.fleet.plans.GatewayPlan` has it.
        clamps: Interface and MSS of each.
    """

    name: str
    platform: str
    version: str
    serial: str
    address: str
    host_key: bytes
    username: str
    public_key: str
    ports: dict[str, str]
    plan: dict[str, Any]
    clamps: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """A whole lab."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    operator: str
    bound: tuple[Bound, ...] = ()


def to_json(plan: LabPlan) -> str:
    """Return the plan as one line of JSON."""
    return json.dumps(asdict(plan), default=_plain)


def from_json(text: str) -> LabPlan:
    """Read what :func:`to_json` wrote."""
    data: dict[str, Any] = json.loads(text)
    return LabPlan(
        name=data["name"],
        operator=data["operator"],
        nodes=tuple(_node(item) for item in data["nodes"]),
        links=tuple(Link(**item) for item in data["links"]),
        bound=bound_from(data["bound"]),
    )


def bound_to_json(bound: tuple[Bound, ...]) -> str:
    """Return vendors' gateways as one line of JSON."""
    return json.dumps([asdict(each) for each in bound], default=_plain)


def bound_from(items: list[dict[str, Any]]) -> tuple[Bound, ...]:
    """Read what :func:`bound_to_json` wrote, or that part of a plan."""
    return tuple(
        Bound(
            **{
                **item,
                "host_key": base64.b64decode(item["host_key"]),
                "clamps": tuple((where, mss) for where, mss in item["clamps"]),
            }
        )
        for item in items
    )


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


def _node(item: dict[str, Any]) -> Node:
    files = {
        path: File(content=base64.b64decode(entry["content"]), mode=entry["mode"])
        for path, entry in item.pop("files").items()
    }
    daemons = tuple(
        Daemon(argv=tuple(d["argv"]), log=d["log"], ready_text=d["ready_text"])
        for d in item.pop("daemons")
    )
    for key in ("ports", "batch", "waits_for"):
        item[key] = tuple(item[key])
    return Node(files=files, daemons=daemons, **item)
