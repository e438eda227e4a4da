"""The operator's project directory of a virtual fleet, as ``lab up`` writes one for a lab."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import yaml

from mtughost.lab.fleet.device import VirtualDevice
from mtughost.lab.fleet.linux import LinuxPoint
from mtughost.lab.fleet.server import Fleet
from mtughost.lab.fleet.sites import SERVICE, VirtualSite
from mtughost.lab.pki import SshKey
from mtughost.lab.project import ProjectFile, allowed_signers, write

#: The account with which the operator logs in, and one that sees a part only.
OPERATOR, PARTIAL = "audit", "partial"

#: Everything that :func:`write_project` writes, relative to the directory.
PROJECT_FILES = (
    "mtughost.toml",
    "known_hosts",
    "allowed_signers",
    "ssh/operator",
    "ssh/operator.pub",
    "ssh/approver",
    "ssh/approver.pub",
    "ssh/password",
    "inventory/hosts.yaml",
    "inventory/groups.yaml",
    "inventory/defaults.yaml",
)

_SETTINGS = """\
[project]
name = "fleet"

[change]
author = "author"
author_key = "ssh/operator"

[policy]
overall = {overall}
per_realm = {overall}
"""


def write_project(
    directory: Path,
    fleet: Fleet,
    sites: Iterable[VirtualSite],
    keys: tuple[SshKey, SshKey],
    *,
    password: str = "",
    overall: int = 50,
) -> None:
    """Write inventory, known hosts, settings, and the operator's and the approver's keys.

    ``password`` is what devices ask for that know no keys.
    """
    hosts = {name: entry for site in sites for name, entry in _hosts(fleet, site).items()}
    groups = {"fleet": {"data": {"lab": "virtual"}}}
    defaults = {"username": OPERATOR, "data": {"key_file": "../ssh/operator"}}
    documents = {"hosts.yaml": hosts, "groups.yaml": groups, "defaults.yaml": defaults}
    known = "".join(f"{name} {end.host_key}\n" for name, end in fleet.endpoints.items())
    files = [
        ProjectFile("mtughost.toml", _SETTINGS.format(overall=overall).encode()),
        ProjectFile("known_hosts", known.encode()),
        ProjectFile("allowed_signers", allowed_signers(*keys, dt.datetime.now(dt.UTC)).encode()),
    ]
    files.append(ProjectFile("ssh/password", f"{password}\n".encode()))
    for name, key in zip(("operator", "approver"), keys, strict=True):
        files.append(ProjectFile(f"ssh/{name}", key.private))
        files.append(ProjectFile(f"ssh/{name}.pub", f"{key.public} {name}\n".encode()))
    files += [
        ProjectFile(
            f"inventory/{name}",
            ("# A virtual fleet.\n---\n" + yaml.safe_dump(value, sort_keys=False)).encode(),
        )
        for name, value in documents.items()
    ]
    write(directory, tuple(files))


def _hosts(fleet: Fleet, site: VirtualSite) -> dict[str, dict[str, object]]:
    entries: dict[str, dict[str, object]] = {}
    devices: list[tuple[VirtualDevice | LinuxPoint, str]] = [
        (site.gateway, "gateway"),
        *([(site.point, "ap")] if site.point else []),
    ]
    for device, role in devices:
        end = fleet.endpoints[device.identity.name]
        data: dict[str, object] = {"site": site.label, "role": role}
        if role == "ap":
            host, port = SERVICE
            data["services"] = [{"name": "radsec", "host": host, "port": port, "tls": "mutual"}]
        entries[device.identity.name] = {
            "hostname": end.address,
            "port": end.port,
            "platform": device.platform,
            "groups": ["fleet"],
            "data": data,
        }
        if isinstance(device, VirtualDevice) and device.asks_itself:
            entries[device.identity.name]["password"] = "file:../ssh/password"  # noqa: S105
    return entries
