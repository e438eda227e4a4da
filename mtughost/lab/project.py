"""The operator's project directory of a lab: inventory, known hosts, keys, signers.

It is what ``mtughost init`` and ``mtughost enroll`` would leave behind for a real chain of
stores. Content (task books, parsers, templates, runbooks) is not copied: the packaged one is used.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import yaml

from mtughost.lab.compose import Composition, Host
from mtughost.lab.pki import SshKey

AUTHOR, APPROVER = "author", "approver"
NAMESPACES = "mtughost-plan-v1,mtughost-approval-v1,mtughost-bundle-v1"
#: How long the lab's signers are valid.
SIGNER_DAYS = 30

_SETTINGS = """\
[project]
name = "lab"

[change]
author = "author"
author_key = "ssh/operator"
"""


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """One file of the project, relative to its directory."""

    path: str
    content: bytes
    mode: int = 0o600


def project_files(work: Composition, now: dt.datetime) -> tuple[ProjectFile, ...]:
    """Return all files of the project."""
    operator, approver = work.operator_key, work.approver_key
    signers = allowed_signers(operator, approver, now)
    known = "".join(f"{host.name} {host.host_key}\n" for host in work.hosts)
    texts = {"mtughost.toml": _SETTINGS, "known_hosts": known, "allowed_signers": signers}
    texts |= {f"inventory/{name}": text for name, text in inventory_files(work).items()}
    files = [ProjectFile(path, text.encode()) for path, text in texts.items()]
    for name, key in (("operator", operator), ("approver", approver)):
        files.append(ProjectFile(f"ssh/{name}", key.private))
        files.append(ProjectFile(f"ssh/{name}.pub", f"{key.public} {name}\n".encode()))
    return tuple(files)


def allowed_signers(author: SshKey, approver: SshKey, now: dt.datetime) -> str:
    """Return ``allowed_signers`` of ssh-keygen for a plan's author and its approver."""
    until = (now + dt.timedelta(days=SIGNER_DAYS)).strftime("%Y%m%d")
    return "".join(
        f'{name} namespaces="{NAMESPACES}",valid-before="{until}" {key.public}\n'
        for name, key in ((AUTHOR, author), (APPROVER, approver))
    )


def inventory_files(work: Composition) -> dict[str, str]:
    """Return hosts.yaml, groups.yaml and defaults.yaml of the lab."""
    hosts = {host.name: _host(work, host) for host in work.hosts}
    groups = {
        "retail": {"platform": "linux", "data": {"lab": "foundry"}},
    }
    defaults = {"username": "root", "data": {"key_file": "../ssh/operator"}}
    head = "# The lab's own stores, as `mtughost lab up` builds them.\n---\n"
    documents = {"hosts.yaml": hosts, "groups.yaml": groups, "defaults.yaml": defaults}
    return {
        name: head + yaml.safe_dump(value, sort_keys=False, width=100)
        for name, value in documents.items()
    }


def _host(work: Composition, host: Host) -> dict[str, object]:
    data: dict[str, object] = {"site": host.site, "role": host.role}
    if host.jump:
        data["jump"] = host.jump
    if host.services:
        data["services"] = [
            {"name": s.name, "host": s.host, "port": s.port, "tls": s.tls} for s in host.services
        ]
    number = next(i for i, site in enumerate(work.sites, 1) if site.label == host.site)
    topology = work.spec.sites[number - 1].plan.topology
    data |= {
        "isp": "Lab Cable" if topology == "retail" else "Lab Carrier",
        "circuit": f"LAB-{number:05d}",
        "timezone": "America/New_York" if number % 2 else "America/Chicago",
    }
    entry: dict[str, object] = {"hostname": host.address, "groups": ["retail"], "data": data}
    if host.platform:
        data |= {"lab": "virtual"} | ({"wan": [host.wan]} if host.wan else {})
        entry |= {"platform": host.platform, "username": host.username}
    return entry


def write(directory: Path, files: tuple[ProjectFile, ...]) -> None:
    """Write the project: directories 0700, files 0600."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in files:
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=file.mode)
        path.write_bytes(file.content)
        path.chmod(file.mode)
