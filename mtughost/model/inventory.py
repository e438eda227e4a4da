"""What the inventory says: devices, services, sites. Validated by ``fleet``, frozen here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: A ``jump`` host only carries logins of others: it belongs to no site and is never audited.
Role = Literal["ap", "gateway", "appliance", "jump"]
TlsMode = Literal["none", "server", "mutual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What must work end to end from the access point.

    Attributes:
        name: Short name, such as ``radsec``.
        host: Address or name of the far end, as the AP uses it.
        port: TCP port.
        tls: ``mutual`` where the AP must send a certificate of its own.
    """

    name: str
    host: str
    port: int
    tls: TlsMode = "mutual"


class Secret:
    """A secret that never shows itself.

    ``repr`` and ``str`` give ``***``; only :meth:`reveal` returns the value, at the one place
    that hands it to the SSH library.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How to log in, by reference.

    Attributes:
        realm: Name under which refusals and concurrency are counted.
        username: Login name.
        password_ref: ``env:NAME``, ``keyring:SERVICE/USER``, ``file:PATH``, a literal, or ``""``.
        key_file: Path of a private key, or ``""``.
        use_agent: Whether keys of the running ssh-agent may be offered.
        enable_ref: Reference to the password of the privileged mode, or ``""``: then a login
            stays in the mode in which it begins.
    """

    realm: str
    username: str
    password_ref: str = field(default="", repr=False)
    key_file: str = ""
    use_agent: bool = False
    enable_ref: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of the inventory. Its *name* identifies it; addresses of stores overlap.

    Attributes:
        name: Inventory name; also the key in ``known_hosts``.
        address: What to dial, IPv4, IPv6 or a name.
        port: SSH port.
        platform: Name of the task book.
        site: Site name.
        role: ``ap``, ``gateway``, ``appliance`` or ``jump``.
        credential: How to log in.
        jump: Inventory name of the jump host, or ``""``.
        services: Services that the device must reach (AP and appliance).
        wan: Gateway interfaces that lead out, in order of preference; empty means "by route".
        ap_vlan: Gateway interface towards the AP; empty means "by address".
        ha_peer: Inventory name of the other member of an HA pair, or ``""``.
        vdom: Virtual domain or context to work in, where the platform has them, or ``""``.
        managed_by: Controller that owns the configuration, or ``""``.
        region: Whose workers log in to it, where an audit goes through a Dask cluster, or ``""``.
        lab: Whether a lab of ours is behind it: results then rest on real programs or emulation,
            never on a real device.
    """

    name: str
    address: str
    port: int = 22
    platform: str = "linux"
    site: str
    role: Role
    credential: Credential
    jump: str = ""
    services: tuple[Service, ...] = ()
    wan: tuple[str, ...] = ()
    ap_vlan: str = ""
    ha_peer: str = ""
    vdom: str = ""
    managed_by: str = ""
    region: str = ""
    lab: Literal["", "foundry", "virtual"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteInfo:
    """What tickets need to know about a site. All text, all optional."""

    isp: str = ""
    circuit: str = ""
    modem: str = ""
    timezone: str = ""
    ticket: str = ""
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One store: its devices and what is known about its circuit."""

    name: str
    devices: tuple[Device, ...]
    info: SiteInfo = SiteInfo()

    def with_role(self, *roles: Role) -> tuple[Device, ...]:
        """Return the devices whose role is among ``roles``, in inventory order."""
        return tuple(device for device in self.devices if device.role in roles)
