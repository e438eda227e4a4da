"""What hosts.yaml, groups.yaml and defaults.yaml may hold: Nornir's SimpleInventory, strictly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mtughost.fleet import text
from mtughost.model.inventory import Role, TlsMode

Name = Annotated[str, AfterValidator(text.check_name)]
Address = Annotated[str, AfterValidator(text.check_address)]
Port = Annotated[int, AfterValidator(text.check_port)]
Line = Annotated[str, AfterValidator(text.check_line)]
Interface = Annotated[str, AfterValidator(text.check_interface)]
#: Either the name of another host, or an empty text that ends what a group gives.
OtherHost = Annotated[str, AfterValidator(text.check_other_host)]


class Entry(BaseModel):
    """Base: an unknown key is an error, and nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ServiceEntry(Entry):
    """One item of ``data.services``."""

    name: Name
    host: Address
    port: Port
    tls: TlsMode = "mutual"


class DataEntry(Entry):
    """``data`` of a host, a group or the defaults. A key given as nothing (null) ends inheritance.

    Attributes:
        site: Store that the device stands in.
        role: What the device is; ``jump`` for a host that only carries logins.
        wan: Gateway interfaces that lead out, in order of preference.
        ap_vlan: Gateway interface towards the AP.
        ha_peer: The other member of an HA pair.
        vdom: Virtual domain or context.
        managed_by: Controller that owns the configuration.
        region: Whose workers log in to it, where an audit goes through a Dask cluster.
        jump: Host to log in through.
        services: What must work end to end.
        password_ref: Like ``password``, but never a literal.
        key_file: Private key; a relative path starts at the inventory's folder.
        use_agent: Whether keys of the running ssh-agent may be offered.
        enable_ref: Password of the privileged mode (``enable``), by reference, where a login does
            not begin there.
        lab: Which of our labs is behind the device.
    """

    site: Name | None = None
    role: Role | None = None
    wan: list[Interface] | None = None
    ap_vlan: Interface | None = None
    ha_peer: OtherHost | None = None
    vdom: Name | None = None
    managed_by: Line | None = None
    region: Name | None = None
    services: list[ServiceEntry] | None = None
    isp: Line | None = None
    circuit: Line | None = None
    modem: Line | None = None
    timezone: Line | None = None
    ticket: Line | None = None
    contacts: list[Line] | None = None
    jump: OtherHost | None = None
    lab: Literal["", "foundry", "virtual"] | None = None
    password_ref: Annotated[str, AfterValidator(text.check_reference)] | None = Field(
        default=None, repr=False
    )
    key_file: Annotated[str, AfterValidator(text.check_path)] | None = None
    use_agent: bool | None = None
    enable_ref: Annotated[str, AfterValidator(text.check_reference)] | None = Field(
        default=None, repr=False
    )


class ConnectionEntry(Entry):
    """One of Nornir's ``connection_options``: for other tools, mtughost does not use them."""

    hostname: Address | None = None
    port: Port | None = None
    username: Annotated[str, AfterValidator(text.check_user)] | None = None
    password: str | None = Field(default=None, repr=False)
    platform: Line | None = None
    extras: dict[str, object] | None = Field(default=None, repr=False)


class DefaultsEntry(Entry):
    """The whole of defaults.yaml."""

    hostname: Address | None = None
    port: Port | None = None
    username: Annotated[str, AfterValidator(text.check_user)] | None = None
    password: Annotated[str, AfterValidator(text.check_password)] | None = Field(
        default=None, repr=False
    )
    platform: Name | None = None
    data: DataEntry | None = None
    connection_options: dict[str, ConnectionEntry] | None = Field(default=None, repr=False)


class HostEntry(DefaultsEntry):
    """One host of hosts.yaml, or one group of groups.yaml."""

    groups: list[Name] | None = None
