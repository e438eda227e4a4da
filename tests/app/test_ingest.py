"""What people hand in: kept with who, when and how, and never worth more than it is."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from mtughost.app.handed_in import checked_told, with_handed_in
from mtughost.app.ingest import Handover, ingest
from mtughost.app.lab_access import narrowed_project
from mtughost.app.pasted import candidates, cleaned
from mtughost.app.project import init_project, open_project
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.diagnose import SiteEvidence, diagnose_site, wanted_tests
from mtughost.lab import SiteSpec
from mtughost.model.basis import Known
from mtughost.model.errors import UsageError
from mtughost.model.evidence import CaptureEvidence, FlowSeen, SynSeen
from mtughost.model.inventory import Credential, Device, Service, Site
from mtughost.store import Ingested, RunStore
from mtughost.wire.clock import SystemClock

CONTENT = packaged_content()
HOSTS = """\
s001-ap1:
  hostname: 192.0.2.10
  platform: linux
  username: nobody
  data:
    site: s001
    role: ap
    key_file: key
    services: [{name: radsec, host: 203.0.113.10, port: 2083, tls: mutual}]
s001-gw1:
  hostname: 192.0.2.1
  platform: linux
  username: nobody
  data: {site: s001, role: gateway, key_file: key}
"""
NFT = """\
table inet clamp { # handle 1
	chain forward { # handle 1
		type filter hook forward priority mangle; policy accept;
		iifname "vlan30" oifname "wan0" tcp flags syn tcp option maxseg size set rt mtu # handle 2
		iifname "wan0" oifname "vlan30" tcp flags syn tcp option maxseg size set rt mtu # handle 3
	}
}
"""
ADDRESSES = """\
2: vlan20: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default
    inet 10.20.0.1/24 scope global vlan20
3: wan0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1492 qdisc noqueue state UP group default
    inet 100.64.1.2/30 scope global wan0
"""


@pytest.fixture
def project(tmp_path):
    init_project(tmp_path / "p", env={"XDG_STATE_HOME": str(tmp_path / "state")})
    (tmp_path / "p" / "inventory" / "hosts.yaml").write_text(HOSTS)
    for name in ("groups.yaml", "defaults.yaml"):
        (tmp_path / "p" / "inventory" / name).write_text("{}\n")
    return open_project(tmp_path / "p", None)


def handed(**more):
    base = {"host": "s001-gw1", "by": "ISP hotline", "how": "phone", "on": "2026-11-20"}
    return Handover(**{**base, **more})


def stored(project):
    with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
        return store.ingested()


def test_a_told_value_is_kept_with_who_when_and_how(project):
    taken = ingest(project, handed(told=("wan.mtu=1492",)))

    (item,) = stored(project)
    assert (item.told_key, item.told_value, item.by, item.on, item.how) == (
        "wan.mtu",
        "1492",
        "ISP hotline",
        "2026-11-20",
        "phone",
    )
    assert item.note == "phone from ISP hotline on 2026-11-20"
    assert item.recorded_utc
    assert taken.report is None


def test_pasted_output_is_recognised_by_its_reader_and_kept_whole(project):
    pasted = f"root@gw:~# nft list ruleset\n{NFT}root@gw:~# "
    taken = ingest(project, handed(text=pasted, how="mail"))

    (item,) = stored(project)
    assert (item.command_id, item.text) == ("nft-text", NFT)
    assert taken.facts == ("clamps",)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("nft list ruleset", {"nft-text", "nft-json"}),
        ("nft -a list ruleset", {"nft-text"}),
        ("iptables-save", {"iptables-save"}),
        ("links", {"links"}),
    ],
)
def test_a_command_is_found_as_people_type_it(command, expected):
    book = load_book(CONTENT, "linux")
    device = Device(
        name="g", address="", site="s", role="gateway", credential=Credential(realm="", username="")
    )

    assert set(candidates(book, device, command)) == expected
    with pytest.raises(UsageError, match="does not read"):
        candidates(book, device, "show ip interface")


@pytest.mark.parametrize(
    "wrong",
    [
        {"told": ("wan.mtu=9",)},
        {"told": ("wan.mtu=1492x",)},
        {"told": ("wan.mtu",)},
        {"told": ("speed=9",)},
        {"told": ("filter.complete=no",)},
        {"by": " ", "told": ("wan.mtu=1492",)},
        {"how": "", "told": ("wan.mtu=1492",)},
        {"on": "yesterday", "told": ("wan.mtu=1492",)},
        {"host": "nobody", "told": ("wan.mtu=1492",)},
        {"site": "s002", "told": ("wan.mtu=1492",)},
        {},
        {"text": "nothing that anybody prints"},
        {"text": ""},
        {"text": NFT, "command": "reload"},
    ],
)
def test_what_is_not_understood_is_refused_and_nothing_is_kept(project, wrong):
    with pytest.raises(UsageError):
        ingest(project, handed(**wrong))

    assert stored(project) == ()


def test_quotes_line_ends_and_prompts_of_mails_are_taken_off():
    assert cleaned("> a b\r\n> c d\r\n") == "a b\nc d\n"
    assert cleaned("gw# show it\na\ngw#\n\n", "show it") == "a\n"
    assert cleaned("# Generated by iptables-save\n*mangle\n") == (
        "# Generated by iptables-save\n*mangle\n"
    )


# --- what it does to a diagnosis -----------------------------------------------------------

SERVICE = Service(name="radsec", host="203.0.113.10", port=2083)
NOBODY = Credential(realm="fake", username="nobody")


def ap_only(*, gateway=True):
    """A site of which only a capture at the AP is known: large packets are lost upwards."""
    flow = FlowSeen(
        client="10.20.0.10",
        client_port=40000,
        server="203.0.113.10",
        server_port=2083,
        family="ipv4",
        syn_ack_mss_bytes=1460,
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=5,
        largest_acked_up_bytes=294,
        df_up=False,
        tls_stage="client-flight",
    )

    def syn(kind, source, destination, mss):
        return SynSeen(
            kind=kind,
            source=source[0],
            source_port=source[1],
            destination=destination[0],
            destination_port=destination[1],
            family="ipv4",
            mss_bytes=mss,
            df=True,
            frame=1,
        )

    client, server = ("10.20.0.10", 40000), ("203.0.113.10", 2083)
    capture = CaptureEvidence(
        host="s001-ap1",
        point="ap",
        interface="eth0",
        basis="real program",
        command="tcpdump",
        seconds=20.0,
        packets=40,
        flows=(flow,),
        syns=(syn("syn", client, server, 1460), syn("syn-ack", server, client, 1460)),
    )
    devices = [
        Device(
            name="s001-ap1",
            address="192.0.2.10",
            site="s001",
            role="ap",
            credential=NOBODY,
            services=(SERVICE,),
        )
    ]
    if gateway:
        devices.append(
            Device(name="gw", address="192.0.2.1", site="s001", role="gateway", credential=NOBODY)
        )
    return SiteEvidence(site=Site(name="s001", devices=tuple(devices)), captures=(capture,))


def item(**more):
    base = {
        "host": "gw",
        "site": "s001",
        "role": "gateway",
        "platform": "linux",
        "by": "the provider",
        "on": "2026-11-20",
        "how": "mail",
    }
    return Ingested(**{**base, **more})


def output(command_id, text):
    line = load_book(CONTENT, "linux").commands[command_id].run
    return item(command_id=command_id, line=line, text=text)


def test_a_told_mtu_is_cited_with_its_origin_and_confirms_nothing():
    evidence = with_handed_in(ap_only(), [item(told_key="wan.mtu", told_value="1492")], CONTENT)
    report = diagnose_site(evidence)

    assert all(f.grade != "confirmed" for f in report.findings)
    assert any("as told" in flow.proof for flow in report.flows) or evidence.told
    (told,) = evidence.told
    assert told.note == "mail from the provider on 2026-11-20"


def test_the_newer_word_replaces_the_older_one():
    items = [
        item(told_key="wan.mtu", told_value="1500"),
        item(told_key="wan.mtu", told_value="1492", by="somebody else"),
    ]
    (told,) = with_handed_in(ap_only(), items, CONTENT).told

    assert (told.mtu_bytes, "somebody else" in told.note) == (1492, True)


GATEWAY_OUTPUT = (
    output("nft-text", NFT),
    output("links-text", ADDRESSES.replace("    inet", "    link/ether 02:00:00:00:00:01\n#")),
    output("addresses-text", ADDRESSES),
    output("routes-v4", "default via 100.64.1.1 dev wan0\n10.20.0.0/24 dev vlan20 scope link\n"),
)


def test_handed_in_output_becomes_facts_that_say_who_sent_them():
    complete = item(told_key="filter.complete", told_value="yes", by="Ms Fake")
    evidence = with_handed_in(ap_only(), [*GATEWAY_OUTPUT, complete], CONTENT)
    facts = evidence.facts_of("gw")

    assert isinstance(facts.clamps, Known)
    assert facts.clamps.value.notes == ()
    assert facts.clamps.source.basis == "recorded output"
    assert "mail from the provider on 2026-11-20" in facts.clamps.source.note
    assert "Ms Fake" in facts.clamps.source.note
    assert isinstance(facts.addresses, Known)


def test_without_anybodys_word_that_it_is_all_something_may_hide_behind_the_filter():
    facts = with_handed_in(ap_only(), GATEWAY_OUTPUT, CONTENT).facts_of("gw")

    assert any("legacy" in note for note in facts.clamps.value.notes)


def test_what_the_tool_asks_for_is_what_settles_it():
    """The question names the told value; once it is told nothing more is asked."""
    evidence = ap_only()
    open_ = with_handed_in(evidence, GATEWAY_OUTPUT, CONTENT)
    (asked,) = [test for test in wanted_tests(open_) if test.kind == "question"]
    assert "--host gw --told filter.complete=yes" in asked.summary

    key, value = checked_told(asked.summary.rpartition("--told ")[2])
    told = item(told_key=key, told_value=value, by="Ms Fake")
    settled = with_handed_in(evidence, [*GATEWAY_OUTPUT, told], CONTENT)

    assert [test for test in wanted_tests(settled) if test.kind == "question"] == []
    assert settled.facts_of("gw").clamps.value.notes == ()


def test_a_device_of_no_inventory_joins_its_site_by_what_was_handed_in():
    evidence = with_handed_in(ap_only(gateway=False), GATEWAY_OUTPUT, CONTENT)

    assert [d.name for d in evidence.site.with_role("gateway")] == ["gw"]


def test_another_sites_word_changes_nothing():
    evidence = ap_only()

    assert with_handed_in(evidence, [item(site="s002", told_key="x")], CONTENT) == evidence


def test_told_keys_are_checked_where_they_are_typed():
    assert checked_told(" wan.mtu = 1492 ") == ("wan.mtu", "1492")


# --- live --------------------------------------------------------------------------------


@pytest.mark.lab
@pytest.mark.timeout(200)
def test_what_the_owner_mails_turns_a_suspicion_into_the_rule_that_is_wrong(labs, tmp_path: Path):
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        (tmp_path / "copy").mkdir()
        project = narrowed_project(operator.project, tmp_path / "copy", "ap-only")
        operator.env["MTUGHOST_PROJECT"] = str(project)
        before = operator.audit("--probe", "service", "--capture", "8")["sites"][0]
        named = {f["id"]: f["grade"] for f in before["findings"]}
        assert named["clamp-missing"] == "likely"
        assert before["next_test"]["kind"] == "question"

        for argv in (
            ["ip", "-d", "link", "show"],
            ["ip", "address", "show"],
            ["ip", "-4", "route", "show", "table", "all"],
            ["nft", "-a", "list", "ruleset"],
        ):
            text = operator.lab.in_device("s001-gw1", argv, check=True).stdout
            (tmp_path / "mail.txt").write_text(text)
            operator.ran(
                "ingest", str(tmp_path / "mail.txt"), "--host", "gw", "--site", "s001",
                "--command", " ".join(argv), "--by", "the provider", "--how", "mail",
            )  # fmt: skip
        last = operator.ran(
            "ingest", "--host", "gw", "--site", "s001", "--told", "filter.complete=yes",
            "--by", "the provider", "--how", "phone",
        )  # fmt: skip
        after = operator.audit("--probe", "service", "--capture", "8")["sites"][0]
        bundle = tmp_path / "ticket.zip"
        operator.ran("evidence", "--site", "s001", "--for", "isp", "--out", str(bundle))
        operator.ran("evidence", "verify", str(bundle))
        offline = json.loads(
            operator.ran("diagnose", "--bundle", str(bundle), "--json", "-", code=10).stdout
        )["sites"][0]
        members = members_of(bundle)

    assert "clamp-scope" in last.stdout
    assert after["verdict"] == "fault"
    scope = next(f for f in after["findings"] if f["id"] == "clamp-scope")
    rule = next(e for e in scope["evidence"] if e["kind"] == "clamp-rule")
    assert rule["basis"] == "recorded output"
    assert "mail from the provider" in rule["value"]
    assert "vlan30 only" in scope["summary"]
    # The same in a bundle, without anybody's name; who, when and how stay visible.
    assert offline["verdict"] == after["verdict"]
    assert [(f["id"], f["grade"], f["owner"]) for f in offline["findings"]] == [
        (f["id"], f["grade"], f["owner"]) for f in after["findings"]
    ]
    assert not [name for name, data in members.items() if b"the provider on" in data]
    manifest = json.loads(members["manifest.json"])
    told = [member for member in manifest["members"] if member["kind"] == "handed-in"]
    assert [member["basis"] for member in told if member["host"]] == [
        *["recorded output"] * 4, "told",
    ]  # fmt: skip
    assert all(member["told"].startswith(("mail from ", "phone from ")) for member in told[1:])
    page = members["report.md"].decode()
    assert page.count("Not read over a login, but handed in") == 5
    assert "handed-in/04-" in page


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
