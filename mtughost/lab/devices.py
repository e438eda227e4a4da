"""The files of a lab device: what its "flash" holds before it boots for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from mtughost.lab.pki import SshKey
from mtughost.lab.plan import File


@cache
def data(name: str) -> bytes:
    """Return a file of ``mtughost/lab/data``."""
    return resources.files("mtughost.lab").joinpath("data", name).read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One stanza of ``/etc/network/interfaces``.

    Attributes:
        pre_up: ``ip`` commands before the interface is configured.
        up: ``ip`` commands afterwards.
    """

    name: str
    address: str = ""
    gateway: str = ""
    mtu_bytes: int = 0
    pre_up: tuple[str, ...] = ()
    up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may log in to the lab's devices.

    Attributes:
        authorized: Public keys of the operator.
        forwarding: Whether the SSH server forwards TCP.
        environment: NAME=VALUE that every login gets.
        listen: The only address to listen on, ``""`` for all.
    """

    authorized: tuple[str, ...]
    host_key: SshKey
    forwarding: bool = True
    environment: tuple[str, ...] = ()
    listen: str = ""


def interfaces(stanzas: tuple[Stanza, ...]) -> bytes:
    """Return ``/etc/network/interfaces``."""
    lines = ["auto lo", "iface lo inet loopback"]
    for stanza in stanzas:
        lines += ["", f"auto {stanza.name}"]
        lines.append(f"iface {stanza.name} inet {'static' if stanza.address else 'manual'}")
        lines += [f"    pre-up {line}" for line in stanza.pre_up]
        if stanza.address:
            lines.append(f"    address {stanza.address}")
        if stanza.gateway:
            lines.append(f"    gateway {stanza.gateway}")
        if stanza.mtu_bytes:
            lines.append(f"    mtu {stanza.mtu_bytes}")
        lines += [f"    up {line}" for line in stanza.up]
    return ("\n".join(lines) + "\n").encode()


def base_files(name: str, access: Access, stanzas: tuple[Stanza, ...]) -> dict[str, File]:
    """Return what every device has: boot script, network, accounts, SSH server."""
    keys = "".join(key + "\n" for key in access.authorized).encode()
    return {
        "/etc/rc.boot": File(content=data("rc.boot"), mode=0o755),
        "/etc/hostname": File(content=f"{name}\n".encode()),
        "/etc/hosts": File(content=f"127.0.0.1 localhost {name}\n".encode()),
        "/etc/network/ifup.awk": File(content=data("ifup.awk")),
        "/etc/network/interfaces": File(content=interfaces(stanzas)),
        "/etc/passwd": File(content=_PASSWD),
        "/etc/group": File(content=b"root:x:0:\ntcpdump:x:102:\nnogroup:x:65534:\n"),
        # "*" and not "!": an account that starts with "!" counts as locked.
        "/etc/shadow": File(content=b"root:*:19000::::::\nsshd:*:19000::::::\n", mode=0o600),
        "/etc/nsswitch.conf": File(
            content=b"passwd: files\ngroup: files\nshadow: files\nhosts: files\n"
            b"services: files\nprotocols: files\n"
        ),
        "/etc/ssh/sshd_config": File(content=_sshd_config(access)),
        "/etc/ssh/ssh_host_ed25519_key": File(content=access.host_key.private, mode=0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": File(content=access.host_key.public.encode() + b"\n"),
        "/root/.ssh/authorized_keys": File(content=keys, mode=0o600),
    }


_PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\n"
    b"sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
    # tcpdump gives its privileges away to this account.
    b"tcpdump:x:102:102::/nonexistent:/usr/sbin/nologin\n"
    b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)


def _sshd_config(access: Access) -> bytes:
    forwarding = "yes" if access.forwarding else "no"
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    lines = (
        "Port 22",
        "AddressFamily inet",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        "PrintMotd no",
        "UseDNS no",
        "PidFile /run/sshd.pid",
        "MaxStartups 100:30:200",
        "MaxSessions 50",
        f"AllowTcpForwarding {forwarding}",
        "Subsystem sftp internal-sftp",
        f"SetEnv {' '.join((path, *access.environment))}",
        *([f"ListenAddress {access.listen}"] if access.listen else []),
    )
    return ("\n".join(lines) + "\n").encode()
