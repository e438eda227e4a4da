"""From a specification to a plan: every node, cable, file and key of a lab. Touches nothing."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field

from mtughost.lab import access, gateway_rules, retail, tunnel
from mtughost.lab import bound as vendors
from mtughost.lab.addressing import OPERATOR_ADDRESS, Numbering, numbering
from mtughost.lab.cloud import (
    PUSH_PORT,
    RADSEC_PORT,
    Attachment,
    cloud_node,
    core_node,
    far_end_address,
)
from mtughost.lab.devices import Access, Stanza, base_files
from mtughost.lab.pki import Issued, Pki, SshKey, ssh_key
from mtughost.lab.plan import Bound, LabPlan, Link, Node
from mtughost.lab.scenarios import Scenario
from mtughost.lab.spec import LabSpec, SiteSpec
from mtughost.model.inventory import Role, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One line of the lab's inventory.

    Attributes:
        name: Inventory name, equal to the device's node in the lab.
        address: Where its SSH server is.
        jump: Inventory name of the jump host, or ``""``.
        host_key: Public SSH host key.
        services: What the device must reach (AP and appliance).
        port: Interface of the device on which ``services`` are reached.
        platform: Of a virtual vendor's command line; ``""`` for a real Linux device.
        username: Who logs in there.
        wan: Its WAN, where its task book reads no routes of the family in question.
    """

    name: str
    site: str
    role: Role
    address: str
    host_key: str
    jump: str = ""
    services: tuple[Service, ...] = ()
    port: str = ""
    platform: str = ""
    username: str = ""
    wan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSite:
    """What measurement and project need to know of one site.

    Attributes:
        label: Site name in the inventory.
        scenario: Label of the scenario.
        tls: TLS version of the site's client.
        control: Address of a far end that neither clamps nor shrinks, for the same port.
        wan: Gateway interface towards the service.
        family: Address family of the service.
        addresses: Of the service; none where its name has none.
        environment: NAME=VALUE that the device's own clients run with.
        standby: The gateway's second WAN, or ``""``.
        standby_hop: Next hop there.
        lan: Gateway interface towards the device.
        management: Address at which the operator reaches the device directly, or ``""``.
        unsaved: Whether the gateway runs something that is not saved.
    """

    label: str
    scenario: str
    tls: str
    device: str
    gateway: str
    device_port: str
    wan: str
    service: Service | None
    control: str
    family: str = "ipv4"
    addresses: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    standby: str = ""
    standby_hop: str = ""
    lan: str = ""
    management: str = ""
    unsaved: bool = False


@dataclass(slots=True)
class Composition:
    """A plan in the making, and what the operator gets to know about it.

    ``after_boot`` holds devices with the shell lines that change what runs there, unsaved.
    """

    spec: LabSpec
    numbers: Numbering
    operator_key: SshKey
    approver_key: SshKey
    pki: Pki | None
    nodes: list[Node] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    sites: list[BuiltSite] = field(default_factory=list)
    after_boot: list[tuple[str, str]] = field(default_factory=list)
    bound: list[Bound] = field(default_factory=list)

    def numbers_of(self, index: int) -> Numbering:
        """Return the names and addresses of the store with ``index`` from 1."""
        seed = self.spec.sites[index - 1].renumber
        return self.numbers if seed is None else self.numbers.redrawn(seed)

    @property
    def plan(self) -> LabPlan:
        """The plan for the holder."""
        return LabPlan(
            name=self.spec.name,
            nodes=tuple(self.nodes),
            links=tuple(self.links),
            operator=str(OPERATOR_ADDRESS),
            bound=tuple(self.bound),
        )


def compose(spec: LabSpec, now: dt.datetime) -> Composition:
    """Turn a specification into nodes, cables and an inventory, with fresh keys.

    Args:
        spec: What the lab shall be.
        now: Certificates are valid around this time (UTC).
    """
    topologies = {site.plan.topology for site in spec.sites}
    work = Composition(
        spec=spec,
        numbers=numbering(len(spec.sites), spec.renumber),
        operator_key=ssh_key(),
        approver_key=ssh_key(),
        pki=Pki(now) if topologies - {"plain"} else None,
    )
    add = {"retail": _add_store, "tunnel": _add_tunnel, "plain": _add_plain}
    stores = tuple(
        Attachment(index=index, label=work.numbers.site_labels[index - 1], scenario=site.plan)
        for index, site in enumerate(spec.sites, 1)
        if site.plan.topology == "retail"
    )
    if stores and work.pki:
        work.nodes += [core_node(work.numbers, stores), cloud_node(work.numbers, work.pki, stores)]
        work.links.append(Link(node_a="core", port_a="cloud", node_b="cloud", port_b="eth0"))
    for index, site in enumerate(spec.sites, 1):
        add[site.plan.topology](work, index, site)
    return work


def _access(
    work: Composition,
    *,
    forwarding: bool = True,
    environment: tuple[str, ...] = (),
    listen: str = "",
) -> Access:
    return Access(
        authorized=(work.operator_key.public,),
        host_key=ssh_key(),
        forwarding=forwarding,
        environment=environment,
        listen=listen,
    )


def _issue(work: Composition, name: str) -> tuple[tuple[Issued, bytes], Pki]:
    if work.pki is None:
        raise ValueError("this lab has no certificate authority")
    return (work.pki.device(name), work.pki.root_pem), work.pki


def _add_store(work: Composition, index: int, spec: SiteSpec) -> None:
    numbers, label = work.numbers_of(index), work.numbers.site_labels[index - 1]
    ap, gateway = retail.ap_name(numbers, index), retail.gateway_name(numbers, index)
    scenario = spec.plan
    environment = retail.clock_environment(scenario)
    at_ap = _access(work, forwarding=spec.forwarding, environment=environment)
    # A vendor's command line takes the place of the gateway's own SSH server.
    at_gateway = _access(work, listen="127.0.0.1" if spec.gateway else "")
    client, _ = _issue(work, ap)
    work.nodes += [
        retail.ap_node(numbers, index, spec, at_ap, client),
        retail.gateway_node(numbers, index, spec, at_gateway),
        access.isp_node(numbers, index, spec),
        retail.till_node(numbers, index),
    ]
    if scenario.l2_ceiling_bytes:
        work.nodes.append(access.switch_node(index, spec))
    work.links += retail.store_links(numbers, index, spec)
    style = gateway_rules.RuleStyle(name=spec.style, noise=spec.noise)
    zone = gateway_rules.zone_of(numbers.names, scenario)
    script = "" if spec.gateway else gateway_rules.running_script(scenario, style, zone)
    if script:
        work.after_boot.append((gateway, script))
    if spec.gateway:
        work.bound.append(
            vendors.bound_gateway(
                numbers,
                index,
                spec,
                host_key=at_gateway.host_key.private,
                public_key=work.operator_key.public,
            )
        )
    site = numbers.site(index)
    service = Service(
        name="radsec",
        host=far_end_address(numbers.cloud, scenario.far_end, scenario.family),
        port=RADSEC_PORT,
    )
    work.hosts += [
        Host(
            name=ap,
            site=label,
            role="ap",
            address=str(site.ap if spec.behind_gateway else site.ap_management),
            jump=gateway if spec.behind_gateway else "",
            host_key=at_ap.host_key.public,
            services=(service,),
            port=numbers.names.ap_port,
        ),
        Host(
            name=gateway,
            site=label,
            role="gateway",
            address=str(site.gateway_management),
            host_key=at_gateway.host_key.public,
            platform=vendors.wanted(spec.gateway)[0] if spec.gateway else "",
            username=vendors.OPERATOR if spec.gateway else "",
            wan=vendors.wan_hint(spec),
        ),
    ]
    work.sites.append(
        BuiltSite(
            label=label,
            scenario=spec.scenario,
            tls=spec.tls,
            device=ap,
            gateway=gateway,
            device_port=numbers.names.ap_port,
            wan=numbers.names.wan,
            service=service,
            control=_control_address(numbers, scenario),
            family=scenario.family,
            addresses=retail.addresses_of(numbers, scenario),
            environment=environment,
            standby=numbers.names.standby if scenario.standby_mtu_bytes else "",
            standby_hop=str(site.standby_isp),
            lan=numbers.names.ap_vlan,
            management="" if spec.behind_gateway else str(site.ap_management),
            unsaved=bool(script),
        )
    )


def _control_address(numbers: Numbering, scenario: Scenario) -> str:
    """Return a far end that nothing shrinks, in the family that the site's own client prefers."""
    return far_end_address(numbers.cloud, "large", "ipv6" if scenario.speaks6 else "ipv4")


def _add_tunnel(work: Composition, index: int, spec: SiteSpec) -> None:
    numbers, label = work.numbers_of(index), work.numbers.site_labels[index - 1]
    host, gateway = tunnel.host_name(numbers, index), tunnel.vpn_gateway_name(numbers, index)
    at_host, at_gateway = _access(work, forwarding=spec.forwarding), _access(work)
    client, pki = _issue(work, host)
    key = _openvpn_key()
    work.nodes += [
        tunnel.host_node(numbers, index, spec, at_host, client),
        tunnel.vpn_gateway_node(numbers, index, spec, at_gateway, key),
        *tunnel.far_nodes(numbers, index, spec, pki, key),
    ]
    work.links += tunnel.tunnel_links(numbers, index, spec)
    site = numbers.site(index)
    service = Service(name="portal", host=str(numbers.tunnel.far), port=PUSH_PORT)
    work.hosts += [
        Host(
            name=host,
            site=label,
            role="appliance",
            address=str(site.ap_management),
            host_key=at_host.host_key.public,
            services=(service,),
            port=numbers.names.ap_port,
        ),
        Host(
            name=gateway,
            site=label,
            role="gateway",
            address=str(site.gateway_management),
            host_key=at_gateway.host_key.public,
        ),
    ]
    work.sites.append(
        BuiltSite(
            label=label,
            scenario=spec.scenario,
            tls=spec.tls,
            device=host,
            gateway=gateway,
            device_port=numbers.names.ap_port,
            wan=numbers.names.tunnel,
            service=service,
            control=service.host,
            addresses=(service.host,),
        )
    )


def _add_plain(work: Composition, index: int, spec: SiteSpec) -> None:
    numbers, label = work.numbers, work.numbers.site_labels[index - 1]
    names, site = numbers.names, numbers.site(index)
    ap, gateway = retail.ap_name(numbers, index), retail.gateway_name(numbers, index)
    wiring: tuple[tuple[str, Role, str, str, str], ...] = (
        (ap, "ap", names.ap_port, str(site.ap), str(site.ap_management)),
        (gateway, "gateway", names.ap_vlan, str(site.ap_gateway), str(site.gateway_management)),
    )
    for name, role, port, address, management in wiring:
        access = _access(work, forwarding=spec.forwarding)
        stanzas = (
            Stanza(name=port, address=f"{address}/24"),
            Stanza(name=names.management, address=f"{management}/16"),
        )
        work.nodes.append(
            Node(
                name=name,
                kind="device",
                ports=(port, names.management),
                files=base_files(name, access, stanzas),
                ssh=management,
            )
        )
        work.links.append(Link(node_a=name, port_a=names.management))
        work.hosts.append(
            Host(
                name=name,
                site=label,
                role=role,
                address=management,
                host_key=access.host_key.public,
                port=port,
            )
        )
    work.links.append(Link(node_a=ap, port_a=names.ap_port, node_b=gateway, port_b=names.ap_vlan))
    work.sites.append(
        BuiltSite(
            label=label,
            scenario=spec.scenario,
            tls=spec.tls,
            device=ap,
            gateway=gateway,
            device_port=names.ap_port,
            wan="",
            service=None,
            control="",
        )
    )


def _openvpn_key() -> bytes:
    """Return a static key file: 256 random bytes in OpenVPN's own format."""
    text = secrets.token_bytes(256).hex()
    lines = [text[start : start + 32] for start in range(0, len(text), 32)]
    head, tail = "-----BEGIN OpenVPN Static key V1-----", "-----END OpenVPN Static key V1-----"
    return "\n".join([head, *lines, tail, ""]).encode()
