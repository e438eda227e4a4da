"""Virtual gateways, plans for them, and logins without SSH: the engine against vendors' timers.

Time is virtual and one for both sides: every line takes a fifth of a second of it, and when the
tool waits, the device's timers run.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from mtughost.app.sessions import profile_of
from mtughost.change.apply import ApplyInput, apply_plan, keep_plan
from mtughost.change.approval import make_approval, sign_approval, sign_plan
from mtughost.change.course import Course
from mtughost.change.device_run import DeviceRun
from mtughost.change.journal import Journal, Writer
from mtughost.change.prepare import Place, prepare_device
from mtughost.change.resume import resume
from mtughost.change.tools import ServiceCheck, Tools
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.lab.fleet import Account, VirtualClock
from mtughost.lab.fleet.device import Identity, Manners
from mtughost.lab.fleet.plans import Clamp, GatewayPlan
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.approvals import Accepted
from mtughost.model.config import ConfigEdit, Setting
from mtughost.model.errors import CommandRejectedError, DeviceUnreachableError
from mtughost.model.inventory import Credential, Device
from mtughost.model.plans import content_digest, plan_bytes
from mtughost.model.session import Answer
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.plan import build_plan
from tests.change.told import journal_text, result_text

ROOT = ContentRoot(Path(__file__).resolve().parents[2])
NAME = "s0001-gw1"
FINGERPRINT = "SHA256:" + "A" * 43
PLAN = GatewayPlan(
    ap_address="10.20.1.1/24",
    pos_address="10.120.1.1/24",
    wan_address="198.18.0.2/30",
    wan_next_hop="198.18.0.1",
    wan_mtu_bytes=1492,
    clamps=(Clamp(where="pos", mss=1452),),
)
_EPOCH = datetime(2026, 11, 21, tzinfo=UTC)


class ToolClock:
    """The tool's clocks, on the same virtual time as the devices'."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock

    def utc_now(self) -> str:
        return (_EPOCH + timedelta(seconds=self.clock.now_s())).strftime("%Y-%m-%dT%H:%M:%SZ")

    def monotonic_s(self) -> float:
        return self.clock.now_s()

    boottime_s = monotonic_s

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TypedSession:
    """A login that types into a virtual device and looks at its prompts as a person would."""

    small_mss_login = False

    def __init__(self, device, book, before, *, may_change=True) -> None:
        self._device, self._book, self._before = device, book, before
        self._may_change = may_change
        self._cli = device.login("operator")
        self._stem = re.fullmatch(book.modes["exec"].prompt, self._cli.prompt)["stem"]
        self._errors = [re.compile(pattern) for pattern in book.error_patterns]
        self._dead = False

    @property
    def host(self) -> str:
        return self._device.identity.name

    def ask(self, commands):
        return tuple(self._one(command) for command in commands)

    def _one(self, command) -> Answer:
        if not self._may_change and (command.risk == "change" or command.mode):
            raise CommandRejectedError(self.host, "this login was not opened for a change")
        self._device.clock.advance(0.2)
        verdict = "eof" if self._dead or self._cli.ended else self._before(command)
        if verdict == "eof":
            self._dead = True
            return self._answer(command, "eof")
        if verdict.startswith("late "):
            # Somewhere on the way: it arrives on a terminal that nobody looks at any more.
            self._dead = True
            line, cli = command.line, self._cli
            self._device.clock.call_later(float(verdict[5:]), lambda: cli.type(line))
            return self._answer(command, "eof")
        text = self._cli.type(command.line)
        if verdict == "lost-answer" or self._cli.ended:
            self._dead = True
            return self._answer(command, "eof")
        refused = [row for row in text.split("\n") if any(e.search(row) for e in self._errors)]
        if refused:
            return self._answer(command, "rejected", text, refused[0])
        mode = self._book.modes[command.mode or "exec"]
        if not re.fullmatch(mode.prompt.replace("{stem}", re.escape(self._stem)), self._cli.prompt):
            return self._answer(command, "desync", text, f"the prompt is {self._cli.prompt}")
        return self._answer(command, "complete", text)

    def _answer(self, command, status, text="", error=""):
        return Answer(
            command_id=command.command_id, line=command.line, text=text, status=status, error=error
        )

    def close(self) -> None:
        self._dead = True
        self._device.logout(self._cli)


GOOD = ServiceCheck(
    full_handshake=True, round_trip_after_change=True, full_size_reply=True, summary="good"
)


def build(platform, *, version="", plan=PLAN):
    """Return a gateway as the factory and its owner left it, on a clock of its own."""
    vendor = VENDORS[platform]
    identity = Identity(
        name=NAME,
        hostname=NAME,
        version=version or vendor.versions[-1],
        model=vendor.model,
        serial=f"{vendor.serial_head}00000001",
    )
    accounts = (Account(username="operator"),)
    device = vendor.build(identity, plan, VirtualClock(), accounts, Manners(page_rows=0))
    device.clock.advance(7200)
    device.is_watched = True
    return device


def edit(entry, settings, **values):
    return ConfigEdit(entry=entry, values=values, settings=tuple(settings))


def _fortinet_policy():
    section = "firewall policy > 1"
    keys = ("tcp-mss-sender", "tcp-mss-receiver")
    return edit(
        "clamp-policy",
        [Setting(section=section, key=key, before=None, after="1452") for key in keys],
        policy=1,
        mss=1452,
        had_sender=0,
        sender_before=0,
        had_receiver=0,
        receiver_before=0,
    )


def _mss(section, key, before=None, after="1452"):
    return Setting(section=section, key=key, before=before, after=after)


def _on_interface(entry, section, key, interface, before=None, after="1452"):
    return edit(
        entry,
        [_mss(section, key, before, after)],
        interface=interface,
        mss=int(after),
        had=int(before is not None),
        mss_before=int(before or 0),
    )


_IRB = "interfaces irb unit 20 family inet"
_POLICY = "security policies from-zone trust to-zone untrust policy out then permit tcp-options"
_SUBIF = "GigabitEthernet0/0/1.20"


def _mangle(menu, interface, mss=1452):
    """Return the two rules of RouterOS, as an export writes them."""
    sides = (("", f"out-interface={interface} "), (f"in-interface={interface} ", ""))
    return [
        Setting(
            section=menu,
            key=(
                f"add action=change-mss chain=forward comment=mtughost-{interface} {enters}"
                f"new-mss={mss} {leaves}passthrough=yes protocol=tcp tcp-flags=syn "
                f"tcp-mss={mss + 1}-65535"
            ),
            before=None,
            after="",
        )
        for enters, leaves in sides
    ]


def _vlan_mtu():
    head = "add interface=ether2"
    return [
        Setting(
            section="/interface vlan", key=f"{head} name=vlan20 vlan-id=20", before="", after=None
        ),
        Setting(
            section="/interface vlan",
            key=f"{head} mtu=1492 name=vlan20 vlan-id=20",
            before=None,
            after="",
        ),
    ]


#: Every change entry of the books: platform, guard asked for, edits.
CASES = {
    "fortinet-policy": ("fortinet", "", lambda: [_fortinet_policy()]),
    "fortinet-policy-cfg-save": ("fortinet", "cfg-save-revert", lambda: [_fortinet_policy()]),
    "fortinet-interfaces": (
        "fortinet",
        "",
        lambda: [
            _on_interface("clamp-interface", f"system interface > {name}", "tcp-mss", name)
            for name in ("vlan20", "wan1")
        ],
    ),
    "fortinet-interface-had-one": (
        "fortinet",
        "",
        lambda: [
            _on_interface(
                "clamp-interface", "system interface > vlan30", "tcp-mss", "vlan30", "1452", "1400"
            )
        ],
    ),
    "fortinet-mtu": (
        "fortinet",
        "cfg-save-revert",
        lambda: [
            edit(
                "vlan-mtu",
                [
                    _mss("system interface > vlan20", "mtu-override", None, "enable"),
                    _mss("system interface > vlan20", "mtu", None, "1492"),
                ],
                interface="vlan20",
                mtu=1492,
                had=0,
                mtu_before=0,
            )
        ],
    ),
    "cisco_xe-interface": (
        "cisco_xe",
        "",
        lambda: [
            _on_interface("clamp-interface", f"interface {_SUBIF}", "ip tcp adjust-mss", _SUBIF)
        ],
    ),
    "cisco_xe-both-families": (
        "cisco_xe",
        "",
        lambda: [
            _on_interface("clamp-interface", f"interface {_SUBIF}", "ip tcp adjust-mss", _SUBIF),
            _on_interface("clamp-interface6", f"interface {_SUBIF}", "ipv6 tcp adjust-mss", _SUBIF),
        ],
    ),
    "cisco_xe-mtu": (
        "cisco_xe",
        "",
        lambda: [
            edit(
                "vlan-mtu",
                [_mss(f"interface {_SUBIF}", "ip mtu", None, "1492")],
                interface=_SUBIF,
                mtu=1492,
                had=0,
                mtu_before=0,
            )
        ],
    ),
    "mikrotik_routeros-interface": (
        "mikrotik_routeros",
        "",
        lambda: [
            edit(
                "clamp-interface",
                _mangle("/ip firewall mangle", "vlan20"),
                interface="vlan20",
                mss=1452,
            )
        ],
    ),
    "mikrotik_routeros-both-families": (
        "mikrotik_routeros",
        "",
        lambda: [
            edit(
                entry, _mangle(f"/{family} firewall mangle", "vlan20"), interface="vlan20", mss=1452
            )
            for entry, family in (("clamp-interface", "ip"), ("clamp-interface6", "ipv6"))
        ],
    ),
    "mikrotik_routeros-mtu": (
        "mikrotik_routeros",
        "",
        lambda: [edit("vlan-mtu", _vlan_mtu(), interface="vlan20", mtu=1492, mtu_before=1500)],
    ),
    "juniper_junos-policy": (
        "juniper_junos",
        "",
        lambda: [
            edit(
                "clamp-policy",
                [_mss(_POLICY, "initial-tcp-mss"), _mss(_POLICY, "reverse-tcp-mss")],
                from_zone="trust",
                to_zone="untrust",
                policy="out",
                mss=1452,
                had_initial=0,
                initial_before=0,
                had_reverse=0,
                reverse_before=0,
            )
        ],
    ),
    "juniper_junos-device": (
        "juniper_junos",
        "",
        lambda: [
            edit(
                "clamp-device",
                [_mss("security flow tcp-mss all-tcp", "mss")],
                mss=1452,
                had=0,
                mss_before=0,
            )
        ],
    ),
    "juniper_junos-mtu": (
        "juniper_junos",
        "",
        lambda: [
            edit(
                "vlan-mtu",
                [_mss(_IRB, "mtu", None, "1492")],
                port="irb",
                unit=20,
                mtu=1492,
                had=0,
                mtu_before=0,
            )
        ],
    ),
}


def _vyos(name, family, mss, *, had_node=0):
    port, _, vif = name.partition(".")
    section = f"interfaces ethernet {port}" + (f" vif {vif}" if vif else "") + f" {family}"
    return edit(
        "clamp-interface" if family == "ip" else "clamp-interface6",
        [_mss(section, "adjust-mss", None, f"'{mss}'")],
        kind="ethernet",
        port=port,
        has_vif=int(bool(vif)),
        vif=int(vif or 0),
        had_node=had_node,
        mss=mss,
        had=0,
        mss_before="0",
    )


def _vyos_option(name, key, mss, levels):
    return edit(
        "clamp-option" if key == "adjust-mss" else "clamp-option6",
        [_mss(f"firewall options interface {name}", key, None, f"'{mss}'")],
        interface=name,
        had_levels=levels,
        mss=mss,
        had=0,
        mss_before="0",
    )


CASES |= {
    "vyos-interfaces": (
        "vyos",
        "",
        lambda: [_vyos("eth1.20", "ip", 1452), _vyos("eth0", "ip", 1452)],
    ),
    "vyos-both-families": (
        "vyos",
        "",
        lambda: [_vyos("eth1.20", "ip", 1452), _vyos("eth1.20", "ipv6", 1432)],
    ),
    "vyos-had-one": (
        "vyos",
        "",
        lambda: [
            edit(
                "clamp-interface",
                [_mss("interfaces ethernet eth1 vif 30 ip", "adjust-mss", "'1452'", "'1400'")],
                kind="ethernet",
                port="eth1",
                has_vif=1,
                vif=30,
                had_node=1,
                mss=1400,
                had=1,
                mss_before="1452",
            )
        ],
    ),
    "vyos-options-of-1.3": (
        "vyos",
        "",
        lambda: [
            _vyos_option("eth1.20", "adjust-mss", 1452, 2),
            _vyos_option("eth1.20", "adjust-mss6", 1432, 3),
        ],
    ),
    "vyos-mtu": (
        "vyos",
        "",
        lambda: [
            edit(
                "vlan-mtu",
                [_mss("interfaces ethernet eth1 vif 20", "mtu", None, "'1492'")],
                kind="ethernet",
                port="eth1",
                has_vif=1,
                vif=20,
                mtu=1492,
                had=0,
                mtu_before=0,
            )
        ],
    ),
}


def _edgeos(key, mss, levels, *, had=None, had_all=0):
    section = f"firewall options {key}"
    settings = [_mss(section, "mss", had, str(mss))]
    if not had_all:
        settings.insert(
            0, Setting(section=section, key="interface-type all", before=None, after="")
        )
    return edit(
        "clamp-device" if key == "mss-clamp" else "clamp-device6",
        settings,
        mss=mss,
        had_mss=int(had is not None),
        mss_before=int(had or 0),
        had_all=had_all,
        had_levels=levels,
    )


CASES |= {
    # The till's clamp is already there: for tunnels, which is not what the access points use.
    "edgeos-had-another-type": (
        "ubiquiti_edgerouter",
        "",
        lambda: [_edgeos("mss-clamp", 1400, 3, had="1452")],
    ),
    "edgeos-ipv6": ("ubiquiti_edgerouter", "", lambda: [_edgeos("mss-clamp6", 1432, 2)]),
}
#: Cases of an older version than the newest.
VERSIONS = {"vyos-options-of-1.3": "1.3.8"}


class VirtualRig:
    """One virtual gateway, a plan for it, its approval, and ways to apply and resume it."""

    def __init__(self, case, people, directory, choice_of, plan_header, *, version="") -> None:
        self.platform, self.guard, self.edits = CASES[case]
        self.people, self.directory = people, directory
        self._choice_of, self._header = choice_of, plan_header
        self.book = load_book(ROOT, self.platform)
        self.device = build(self.platform, version=version or VERSIONS.get(case, ""))
        self.clock = ToolClock(self.device.clock)
        self.before = lambda _: ""
        self.service = lambda _: GOOD
        self.logins = 0
        self.original, self.effective = self.device.state(), self.device.effective()

    def open_session(self, name, *, may_change=True):
        self.device.clock.advance(1)
        self.logins += 1
        if not self.device.is_up or self.before(SimpleNamespace(command_id="login")) == "eof":
            raise DeviceUnreachableError(name, "no route to host")
        assert profile_of(self.book, may_change=may_change).kind == "cli"
        return TypedSession(self.device, self.book, self._before_now, may_change=may_change)

    # Looked up at the moment of use, so that a test may exchange them during a run.
    def _before_now(self, command):
        return self.before(command)

    def _service_now(self, request):
        return self.service(request)

    @property
    def tools(self) -> Tools:
        return Tools(
            open_session=self.open_session,
            verify_service=self._service_now,
            host_keys=lambda _: (FINGERPRINT,),
            clock=self.clock,
            backups=self.directory / "backups",
        )

    def choice(self) -> FixChoice:
        edits = self.edits()
        return replace(
            self._choice_of(edits, "clamp-missing", "config", edits[0].settings[0].section),
            device=NAME,
        )

    def prepare(self, *, accept=True, window_s=180, choice=None):
        device = Device(
            name=NAME,
            address="192.0.2.1",
            site="s0001",
            role="gateway",
            platform=self.platform,
            credential=Credential(realm="lab", username="operator"),
        )
        session = self.open_session(NAME, may_change=False)
        try:
            return prepare_device(
                choice or self.choice(),
                session=session,
                place=Place(device=device, book=self.book, root=ROOT, host_key_fp=(FINGERPRINT,)),
                clock=self.clock,
                window_s=window_s,
                guard=self.guard,
                accept_no_autorevert=accept,
            )
        finally:
            session.close()

    def plan(self, **more):
        now = self.clock.utc_now()
        later = (datetime.fromisoformat(now) + timedelta(hours=24)).strftime("%Y-%m-%dT%H:%M:%SZ")
        header = self._header(self.people, created_utc=now, not_after_utc=later)
        return build_plan(header, [self.prepare(**more)])

    def given(self, plan) -> ApplyInput:
        data = plan_bytes(plan)
        approval = make_approval(
            plan,
            author=self.people.approver,
            decision="approve",
            now_utc=self.clock.utc_now(),
            hours=2,
            accept=Accepted(reboot=True, no_autorevert=True),
        )
        return ApplyInput(
            data=data,
            signature=sign_plan(data, key=self.people.author_key),
            approvals=[sign_approval(approval, key=self.people.approver_key)],
            signers=self.people.signers,
        )

    @property
    def writer(self) -> Writer:
        return Writer(actor="amy@example.net", host="laptop", boot_id="b" * 8)

    def journal(self) -> Journal:
        return Journal.open(self.directory / "journal.mtj", self.clock)

    def run(self, plan):
        """Carry the one device through: what ``apply`` does once the signatures were checked."""
        keep_plan(self.directory, plan_bytes(plan))
        with self.journal() as journal:
            pen = journal.run("run-1", content_digest(plan), self.writer)
            pen.write("run-open", lineage=plan.lineage)
            return DeviceRun(Course(plan, plan.devices[0], pen, self.tools)).run()

    def apply(self, plan):
        with self.journal() as journal:
            (result,) = apply_plan(
                self.given(plan),
                journal=journal,
                writer=self.writer,
                run_id="run-1",
                tools=self.tools,
            ).devices
        return result

    def resume(self):
        with self.journal() as journal:
            results = resume(journal=journal, writer=self.writer, tools=self.tools)
        return results[0].devices[0] if results else None

    def recorded(self) -> list[str]:
        with self.journal() as journal:
            return [record.ev for record in journal.records]

    def told(self, result, **more) -> str:
        """Return the journal's records, and how the device ended, word by word."""
        return journal_text(self.directory / "journal.mtj", **more) + result_text(result)
