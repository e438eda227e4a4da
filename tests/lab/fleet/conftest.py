"""Virtual devices without and with SSH, and what the tool makes of their answers."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace

import pytest

from mtughost.app.sessions import profile_of
from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.content.render import render_command
from mtughost.content.root import packaged_content
from mtughost.diagnose.coverage import prove_coverage
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.lab.fleet import Account, Fleet, VirtualClock, make_sites
from mtughost.lab.fleet.device import Identity, Manners
from mtughost.lab.fleet.shell import ShellRouter
from mtughost.lab.fleet.sites import SERVICE, STORIES, FleetSpec
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.lab.pki import ssh_key
from mtughost.model.basis import Known, Source
from mtughost.model.device import Address, DeviceFacts, Interface, Route
from mtughost.model.inventory import Credential, Device, Service, Site
from mtughost.model.session import Answer
from mtughost.wire.clock import SystemClock
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts
from mtughost.wire.profile import WirePolicy
from mtughost.wire.secrets import SecretResolver

ROOT = packaged_content()
NOBODY = Credential(realm="r", username="audit")
LEVELS = ("full", "read", "partial")


def account(level: str, public_key: str = "") -> Account:
    return Account(username=level, public_key=public_key, level=level)


def typed(device, *lines, level="full"):
    """Type lines on a new command line; return the last answer."""
    cli = device.command_line(account(level))
    text = ""
    for line in lines:
        text = cli.type(line)
    return text


def read_by(book):
    """Return the commands that an audit asks."""
    return dict.fromkeys(
        command
        for entries in book.read.values()
        for entry in entries
        for command in entry.command_ids
    )


def script_answers(device, book, level):
    """Ask a shell everything in one script, each answer ended by a mark with its exit code."""
    lines = {command: render_command(book, command).line for command in read_by(book)}
    script = "".join(f"( {line}\n)\nprintf '\\n@@%s@@' $?\n" for line in lines.values())
    _, text, _ = device.run_script(account(level), script)
    parts = re.split(r"\n@@(\d+)@@", text)
    for (command_id, line), shown, code in zip(
        lines.items(), parts[0:-1:2], parts[1::2], strict=True
    ):
        is_ok = int(code) in book.commands[command_id].ok_exit_codes
        yield Answer(
            command_id=command_id,
            line=line,
            text=shown,
            exit_code=int(code),
            status="complete" if is_ok else "rejected",
        )


def answers_of(device, level="full"):
    """Ask everything that the book reads, without a pager and without SSH."""
    book = load_book(ROOT, device.platform)
    if isinstance(device, ShellRouter):
        return list(script_answers(device, book, level))
    refusals = [re.compile(pattern) for pattern in book.error_patterns]
    cli = device.command_line(account(level))
    if book.login_suffix:
        cli.options = book.login_suffix
    for line in filter(None, (book.paging_off, *book.preparation)):
        cli.run(line)
    found = []
    for command_id in read_by(book):
        line = render_command(book, command_id).line
        text = cli.run(line)
        bad = any(p.search(row) for p in refusals for row in text.split("\n"))
        status = "rejected" if bad else "complete"
        found.append(Answer(command_id=command_id, line=line, text=text, status=status))
    return found


def inventory_device(site, role="gateway", end=None, credential=NOBODY):
    device = site.gateway if role == "gateway" else site.point
    host, port = SERVICE
    service = Service(name="radsec", host=host, port=port, tls="mutual")
    return Device(
        name=device.identity.name,
        address=end.address if end else "127.0.0.1",
        port=end.port if end else 22,
        platform=device.platform,
        site=site.label,
        role=role,
        credential=credential,
        services=(service,) if role == "ap" else (),
        lab="virtual",
    )


def gateway_facts(site, level="full"):
    device = inventory_device(site)
    return facts_from_answers(
        answers_of(site.gateway, level), load_book(ROOT, device.platform), ROOT, device
    )


def coverage(site, level="full"):
    """Return the tool's coverage rows by direction."""
    return {row.key.direction: row for row in prove_coverage(evidence_with(site, level))}


def evidence_with(site, level="full"):
    """Return what the gateway says; the access point is given by hand."""
    facts, unplaced = gateway_facts(site, level)
    assert [line for line in unplaced if line.strict] == []
    source = Source(host="ap", basis="emulation")
    gateway = site.plan.ap_address.partition("/")[0]
    address = gateway.removesuffix(".1") + ".10"
    ap = Device(
        name="ap",
        address="127.0.0.1",
        site=site.label,
        role="ap",
        credential=NOBODY,
        services=(Service(name="radsec", host=SERVICE[0], port=SERVICE[1], tls="mutual"),),
    )
    eth0 = Address(interface="eth0", address=address, prefix_len=24, family="ipv4")
    default = Route(destination="default", family="ipv4", interface="eth0", via=gateway)
    ap_facts = DeviceFacts(
        host="ap",
        site=site.label,
        role="ap",
        platform="linux",
        interfaces=Known((Interface(name="eth0", mtu_bytes=1500, up=True),), source),
        addresses=Known((eth0,), source),
        routes=Known((default,), source),
    )
    return SiteEvidence(
        site=Site(name=site.label, devices=(ap, inventory_device(site))), facts=(ap_facts, facts)
    )


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def make(clock):
    def sites(spec):
        return make_sites(spec, clock=clock, accounts=tuple(account(name) for name in LEVELS))

    return sites


@dataclass
class Running:
    """A fleet that listens, and a way to log in."""

    fleet: Fleet
    sites: tuple
    connector: Connector
    credentials: dict

    def device(self, site, role="gateway", level="full"):
        name = (site.gateway if role == "gateway" else site.point).identity.name
        end = self.fleet.endpoints[name]
        return inventory_device(site, role, end, self.credentials[level])


@contextlib.contextmanager
def running_fleet(spec, directory, policy=WirePolicy()):  # noqa: B008 - frozen
    """Start a fleet with keys of its own."""
    key = ssh_key()
    path = directory / "operator"
    path.write_bytes(key.private)
    path.chmod(0o600)
    with Fleet() as fleet:
        accounts = tuple(account(name, key.public) for name in LEVELS)
        sites = make_sites(spec, clock=fleet.clock, accounts=accounts)
        fleet.start([d for s in sites for d in (s.gateway, s.point) if d is not None])
        credentials = {n: Credential(realm=n, username=n, key_file=str(path)) for n in LEVELS}
        hosts = KnownHosts(directory / "known_hosts")
        for name, end in fleet.endpoints.items():
            hosts.add(name, HostKeyInfo(*end.host_key.split()))
        made = Running(fleet, sites, None, credentials)
        devices = {d.name: d for s in sites for d in _both(made, s)}
        made.connector = Connector(
            devices=devices,
            known_hosts=hosts,
            secrets=SecretResolver(env={}),
            clock=SystemClock(),
            policy=policy,
        )
        try:
            yield made
        finally:
            made.connector.close()


@contextlib.contextmanager
def logged_in(fleet, site, role, credential, known_hosts, *, may_change=False):
    """Log in as an audit does, or as a change does; yield the device and the session."""
    device = site.gateway if role == "gateway" else site.point
    end = fleet.endpoints[device.identity.name]
    hosts = KnownHosts(known_hosts)
    hosts.add(device.identity.name, HostKeyInfo(*end.host_key.split()))
    found = inventory_device(site, role, end, credential)
    with Connector(
        devices={found.name: found},
        known_hosts=hosts,
        secrets=SecretResolver(env={}),
        clock=SystemClock(),
    ) as connector:
        profile = profile_of(load_book(ROOT, device.platform), may_change=may_change)
        with contextlib.closing(connector.open(found, profile)) as session:
            yield found, session


def _both(made, site):
    yield made.device(site)
    if site.point is not None:
        yield made.device(site, "ap")


@pytest.fixture
def site(make, clock):
    def planted(platform, version, story):
        (found,) = make(FleetSpec(sites=1, vendors=(platform,), with_aps=False))
        plan = replace(found.plan, clamps=STORIES[story])
        who = Identity(name="gw", hostname="gw", version=version, model="m", serial="S1")
        built = VENDORS[platform].build(who, plan, clock, (account("full"),), Manners(page_rows=0))
        return replace(found, gateway=built, plan=plan, story=story)

    return planted
