"""Boxes, keys, plans: what the tests of guarded change share. Keys are made at run time."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtughost.change.apply import ApplyInput, apply_plan
from mtughost.change.approval import author_of, make_approval, sign_approval, sign_plan
from mtughost.change.journal import Journal, RunJournal, Writer
from mtughost.change.prepare import Place, prepare_device
from mtughost.change.resume import resume
from mtughost.change.signers import load_signers
from mtughost.change.tools import ServiceCheck, Tools
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.model.findings import FlowKey, FlowReport, MssView, MtuView
from mtughost.model.inventory import Credential, Device
from mtughost.model.plans import Author, ToolInfo, plan_bytes
from mtughost.model.session import Answer
from mtughost.remedy.edits import AddRule, NewTable, ReplaceRule, SetMtu
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.plan import PlanHeader, build_plan
from mtughost.remedy.rule_text import ClampText

CHECKOUT = Path(__file__).resolve().parents[2]
FINGERPRINT = "SHA256:" + "A" * 43


def load_beside(file):
    name = f"mtughost_test_{file}"
    if name not in sys.modules:
        place = Path(__file__).with_name(f"{file}.py")
        spec = importlib.util.spec_from_file_location(name, place)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


boxes = load_beside("box")
told = load_beside("told")
worlds = load_beside("world")


@pytest.fixture
def box():
    made = boxes.Box()
    made.write("/etc/nftables.conf", boxes.NFT_CONF)
    made.write("/etc/iptables/rules.v4", boxes.RULES_V4)
    made.write("/etc/iptables/rules.v6", boxes.RULES_V6)
    made.write("/etc/network/interfaces", boxes.INTERFACES)
    yield made
    made.close()


@pytest.fixture
def nft_box(box):
    box.run("nft -f /etc/nftables.conf")
    return box


@pytest.fixture
def iptables_box(box):
    box.run("iptables-restore /etc/iptables/rules.v4; ip6tables-restore /etc/iptables/rules.v6")
    box.write("/etc/nftables.conf", "flush ruleset\n")
    return box


@pytest.fixture(scope="session")
def content():
    root = ContentRoot(CHECKOUT)
    return SimpleNamespace(root=root, book=load_book(root, "linux"))


@dataclass(frozen=True)
class People:
    """Two people with a key each, and a file that says so."""

    directory: Path
    signers: object
    author: Author
    author_key: Path
    approver: Author
    approver_key: Path


def make_key(directory: Path, name: str, kind: str = "ed25519") -> Path:
    path = directory / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(path)], check=True
    )
    return path


def signer_line(principal: str, key: Path, options: str | None = None) -> str:
    usual = 'namespaces="mtughost-plan-v1,mtughost-approval-v1",valid-before="20991231"'
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    return f"{principal} {usual if options is None else options} {public}\n"


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> People:
    directory = tmp_path_factory.mktemp("people")
    one, two = make_key(directory, "amy"), make_key(directory, "ben")
    path = directory / "allowed_signers"
    path.write_text(signer_line("amy@example.net", one) + signer_line("ben@example.net", two))
    path.chmod(0o600)
    signers = load_signers(path)
    return People(directory, signers, author_of(signers, one), one, author_of(signers, two), two)


def flow_report(direction, *, covered):
    return FlowReport(
        key=FlowKey(
            service="radsec",
            ap="s001-ap1",
            gateway="s001-gw1",
            egress="wan0",
            family="ipv4",
            direction=direction,
        ),
        mtu=MtuView(ap=1500, vlan=1500, wan=1492),
        mss=MssView(configured=1452 if covered else 1460, needed=1452),
        path_mtu=1492,
        covered=covered,
        proof="the clamp matches" if covered else "the clamp matches vlan30 only",
    )


def choice_of(edits, change="clamp-scope", backend="nft", target="inet clamp") -> FixChoice:
    return FixChoice(
        device="s001-gw1",
        change=change,
        finding="clamp-scope",
        backend=backend,
        target=target,
        summary="let the clamp match vlan20 too",
        edits=tuple(edits),
        before=(flow_report("up", covered=False), flow_report("down", covered=False)),
        after=(flow_report("up", covered=True), flow_report("down", covered=True)),
        other_flows=("every host in vlan20",),
        blast_radius="new TCP connections of vlan20",
        risk="small",
        touches_management=False,
    )


def _clamp(one, two, tool="nft", **more) -> ClampText:
    return ClampText(
        tool=tool,
        in_interfaces=one,
        out_interfaces=two,
        flags=1 if tool == "nft" else 2,
        counter_at=1 if tool == "nft" else 0,
        **more,
    )


def scope_choice() -> FixChoice:
    out, back = _clamp(("vlan30",), ("wan0",)), _clamp(("wan0",), ("vlan30",))
    both = ("vlan20", "vlan30")
    return choice_of(
        [
            ReplaceRule(
                table="inet clamp",
                chain="forward",
                before=out,
                after=replace(out, in_interfaces=both),
            ),
            ReplaceRule(
                table="inet clamp",
                chain="forward",
                before=back,
                after=replace(back, out_interfaces=both),
            ),
        ]
    )


def value_choice() -> FixChoice:
    """Let both rules write a number, in their place."""
    out, back = _clamp(("vlan30",), ("wan0",)), _clamp(("wan0",), ("vlan30",))
    edits = [
        ReplaceRule(
            table="inet clamp", chain="forward", before=one, after=replace(one, mss_bytes=1400)
        )
        for one in (out, back)
    ]
    return choice_of(edits, change="clamp-too-high")


def add_choice() -> FixChoice:
    out = _clamp(("vlan30",), ("wan0",))
    new = replace(out, in_interfaces=("vlan20",), comment="mtughost-0123abcd")
    return choice_of(
        [AddRule(table="inet clamp", chain="forward", rule=new, behind=out.text())],
        change="clamp-one-direction",
    )


def missing_choice(mss: int = 0) -> FixChoice:
    out = ClampText(
        tool="nft", in_interfaces=("vlan20",), out_interfaces=("wan0",), flags=1, counter_at=3
    )
    rules = [out, out.mirrored()]
    if mss:
        rules = [
            replace(rule, nfproto=proto, above_bytes=value, mss_bytes=value)
            for proto, value in ((4, mss), (6, mss - 20))
            for rule in (out, out.mirrored())
        ]
    return choice_of([NewTable(rules=tuple(rules))], "clamp-missing", "nft", "inet mtughost")


def iptables_choice() -> FixChoice:
    out = _clamp(("vlan30",), ("wan0",), tool="iptables", nfproto=4)
    twin = replace(out, in_interfaces=("vlan20",))
    table = "ip mangle"
    return choice_of(
        [
            AddRule(table=table, chain="FORWARD", rule=twin, behind="-A FORWARD " + out.text()),
            AddRule(
                table=table,
                chain="FORWARD",
                rule=twin.mirrored(),
                behind="-A FORWARD " + out.mirrored().text(),
            ),
            AddRule(
                table="ip6 mangle",
                chain="FORWARD",
                behind="",
                rule=replace(twin, nfproto=6, mss_bytes=1432),
            ),
        ],
        backend="iptables",
        target="mangle",
    )


def mtu_choice(after=1440) -> FixChoice:
    return choice_of(
        [SetMtu(interface="vlan20", before_bytes=1500, after_bytes=after)],
        "host-mtu",
        "link-mtu",
        "vlan20",
    )


CHOICES = {
    "clamp-scope-nft": (scope_choice, "nft"),
    "clamp-value-nft": (value_choice, "nft"),
    "clamp-add-nft": (add_choice, "nft"),
    "clamp-missing-nft": (missing_choice, "nft"),
    "clamp-missing-nft-fixed": (lambda: missing_choice(1452), "nft"),
    "clamp-iptables": (iptables_choice, "iptables"),
    "host-mtu": (mtu_choice, "nft"),
}

GOOD_SERVICE = ServiceCheck(
    full_handshake=True,
    round_trip_after_change=True,
    full_size_reply=True,
    summary="Access-Accept after the change; 1492 bytes answered",
)


class Rig:
    """A box, a plan for it, its approval, and a way to apply it."""

    def __init__(self, box, content, people, directory: Path) -> None:
        self.box, self.content, self.people, self.directory = box, content, people, directory
        self.sent: list[str] = []
        self.before = lambda _: ""
        self.service = lambda _: GOOD_SERVICE
        self.stop = lambda: False
        self.events: list = []
        self.clock = boxes.RealClock()
        self.host_key = (FINGERPRINT,)

    def open_session(self, name):
        return boxes.opener(self.box, self.sent, self._before_now)(name)

    # Looked up at the moment of use, so that a test may exchange them during a run.
    def _before_now(self, command):
        return self.before(command)

    def _service_now(self, request):
        return self.service(request)

    def _stop_now(self):
        return self.stop()

    @property
    def tools(self) -> Tools:
        return Tools(
            open_session=self.open_session,
            verify_service=self._service_now,
            host_keys=lambda _: self.host_key,
            clock=self.clock,
            backups=self.directory / "backups",
            progress=self.events.append,
            stop_requested=self._stop_now,
        )

    def plan(self, choice, window_s=60, **header):
        device = Device(
            name="s001-gw1",
            address="192.0.2.1",
            site="s001",
            role="gateway",
            credential=Credential(realm="lab", username="root"),
        )
        planned = prepare_device(
            choice,
            session=self.open_session("s001-gw1"),
            place=Place(
                device=device,
                book=self.content.book,
                root=self.content.root,
                host_key_fp=(FINGERPRINT,),
            ),
            clock=self.clock,
            window_s=window_s,
        )
        return build_plan(plan_header(self.people, **header), [planned])

    def given(self, plan, **accept) -> ApplyInput:
        data = plan_bytes(plan)
        approval = make_approval(
            plan,
            author=self.people.approver,
            decision="approve",
            now_utc=self.clock.utc_now(),
            hours=2,
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

    def apply(self, plan, run_id="run-1"):
        with self.journal() as journal:
            return apply_plan(
                self.given(plan),
                journal=journal,
                writer=self.writer,
                run_id=run_id,
                tools=self.tools,
            )

    def resume(self):
        with self.journal() as journal:
            results = resume(journal=journal, writer=self.writer, tools=self.tools)
        return results[0].devices[0] if results else None

    def recorded(self) -> list[str]:
        with self.journal() as journal:
            return [record.ev for record in journal.records]


class KilledError(BaseException):
    """The tool died."""


def killed(monkeypatch, run, dies):
    """Run until ``dies`` says so of a record that was just written; whether it came to that."""
    wrote = RunJournal.write

    def write(self, event, *args, **more):
        done = wrote(self, event, *args, **more)
        if dies(event):
            raise KilledError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(RunJournal, "write", write)
        try:
            run()
        except KilledError:
            return True
    return False


def at_record(number):
    """Die at the record of this number, from 1."""
    left = iter(range(number - 1, -1, -1))
    return lambda _: next(left) == 0


def plan_header(people, **more) -> PlanHeader:
    values = {
        "plan_id": "p-1",
        "created_utc": "2020-01-01T00:00:00Z",
        "not_after_utc": "2020-01-01T00:00:00Z",
        "tool": ToolInfo(name="mtughost", version="0", code_digest="sha256:0"),
        "author": people.author,
        "reason": "RADsec of s001 fails",
        "inventory_digest": "sha256:1",
        "templates_digest": "sha256:2",
        "lineage": "3f1c",
        "serial": 0,
    }
    now = boxes.RealClock().utc_now()
    values |= {"created_utc": now, "not_after_utc": _later(now)} | more
    return PlanHeader(**values)


def _later(now: str) -> str:
    from datetime import datetime, timedelta  # noqa: PLC0415

    return (datetime.fromisoformat(now) + timedelta(hours=24)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def rig(box, content, people, tmp_path) -> Rig:
    return Rig(box, content, people, tmp_path)


@pytest.fixture(scope="session")
def choices():
    return CHOICES


@pytest.fixture(scope="session")
def world():
    """Everything about virtual gateways: see world.py."""
    return worlds


@pytest.fixture(scope="session")
def builder(content):
    return worlds.Builder(content)


@pytest.fixture
def virtual(builder, choices, tmp_path):
    """Return a maker of worlds with one gateway and a plan for it."""

    def make(kind="clamp-scope-nft", **more):
        return worlds.world_of(tmp_path, builder.one(kind, choices), **more)

    return make


@pytest.fixture
def as_kept(request, tmp_path):
    """Hold a text against the one that was kept for this test: see told.py."""

    def check(text, hide=(), **more):
        file = request.node.path.stem.removeprefix("test_")
        told.as_kept(file, request.node.name, text, hide=[tmp_path, *hide], **more)

    return check


class Shell:
    """Answers a state's lines from fixed texts: enough to make a plan without a kernel."""

    host, small_mss_login = "s001-gw1", False

    def __init__(self, texts) -> None:
        self.texts = texts

    def ask(self, commands):
        return tuple(
            Answer(
                command_id=one.command_id,
                line=one.line,
                exit_code=0,
                text=self.texts.get(one.command_id, ""),
            )
            for one in commands
        )

    def close(self):
        """Nothing to close."""


CLAMP = "tcp flags syn counter tcp option maxseg size set rt mtu"
TABLE = f"""table inet clamp {{ # handle 2
\tchain forward {{ # handle 1
\t\ttype filter hook forward priority mangle; policy accept;
\t\tiifname "vlan30" oifname "wan0" {CLAMP} # handle 2
\t\tiifname "wan0" oifname "vlan30" {CLAMP} # handle 3
\t}}
}}
"""


@pytest.fixture
def plain_plan(people, content):
    plain = "\n".join(line.partition(" # handle")[0] for line in TABLE.splitlines())
    texts = {
        "state-relevant-nft": TABLE,
        "state-ruleset": plain,
        "state-saved-nft": plain,
        "state-links": "2: wan0: <UP> mtu 1492 qdisc noqueue state UP\n",
        "state-boot": "d5c1\n100.1 200.2\n",
        "state-identity": "s001-gw1\n6.1.0\nnone\n",
    }
    device = Device(
        name="s001-gw1",
        address="192.0.2.1",
        site="s001",
        role="gateway",
        credential=Credential(realm="lab", username="root"),
    )
    place = Place(device=device, book=content.book, root=content.root, host_key_fp=(FINGERPRINT,))
    planned = prepare_device(
        scope_choice(), session=Shell(texts), place=place, clock=boxes.RealClock()
    )
    return build_plan(plan_header(people), [planned])
