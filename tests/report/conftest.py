"""Reports with the shapes that the documents must handle, built from the shared values only."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mtughost.model.findings import (
    AuditReport,
    Evidence,
    Finding,
    FixHint,
    FlowKey,
    FlowReport,
    HostStatus,
    InstalledClamp,
    MssSeen,
    MssView,
    MtuView,
    NextTest,
    RuledOut,
    SiteReport,
)

CHECKOUT = Path(__file__).resolve().parents[2]

RULE_TEXT = (
    'iifname "vlan30" oifname "wan0" tcp flags syn / syn,rst counter packets 0 bytes 0 '
    "tcp option maxseg size set rt mtu"
)


def flow(  # noqa: PLR0913 - a builder names every field
    direction,
    *,
    site="s001",
    service="radsec",
    family="ipv4",
    egress="wan0",
    mtu=None,
    configured=1460,
    needed=1452,
    seen=None,
    installed=(),
    path_mtu=1492,
    covered=False,
    proof="No rule clamps this handshake.",
):
    return FlowReport(
        key=FlowKey(
            service=service,
            ap=f"{site}-ap1",
            gateway=f"{site}-gw1",
            egress=egress,
            family=family,
            direction=direction,
        ),
        mtu=mtu or MtuView(ap=1500, vlan=1500, wan=1492),
        mss=MssView(
            configured=configured,
            installed=installed,
            observed=seen or MssSeen(),
            needed=needed,
        ),
        path_mtu=path_mtu,
        covered=covered,
        proof=proof,
    )


def wrong_scope(direction):
    way = "oifname wan0, iifname vlan30" if direction == "down" else "iifname wan0, oifname vlan30"
    return InstalledClamp(
        rule="inet clamp forward handle 12"
        if direction == "up"
        else "inet clamp forward handle 11",
        text=RULE_TEXT,
        value=1452,
        packets=0,
        covers=False,
        because=f"matches {way}, and this handshake uses vlan20",
        line=31 if direction == "up" else 30,
    )


def site_a() -> SiteReport:
    up = flow(
        "up",
        site="site-a",
        seen=MssSeen(ap=1460, lan=1460, wan=1460),
        installed=(wrong_scope("up"),),
        proof="This SYN-ACK leaves vlan20 with MSS 1460; inet clamp forward handle 12 would clamp "
        "it but matches vlan30 only (0 packets).",
    )
    down = flow(
        "down",
        site="site-a",
        seen=MssSeen(lan=1460, wan=1460),
        installed=(wrong_scope("down"),),
        proof="This SYN leaves wan0 with MSS 1460; inet clamp forward handle 11 would clamp it but "
        "matches vlan30 only (0 packets).",
    )
    scope = Finding(
        id="clamp-scope",
        grade="confirmed",
        owner="provider",
        summary="The MSS clamp matches vlan30 only, so the SYN-ACK that leaves vlan20 keeps MSS "
        "1460 and the AP's 1500-byte certificate packets do not fit the 1492-byte WAN.",
        flow=up.key,
        evidence=(
            Evidence(
                kind="interface-mtu",
                basis="real program",
                host="site-a-gw1",
                command="ip -d -j link",
                line=4,
                value="wan0 has MTU 1492, vlan20 has MTU 1500",
            ),
            Evidence(
                kind="clamp-rule",
                basis="real program",
                host="site-a-gw1",
                command="nft -a list ruleset",
                line=31,
                value='iifname "wan0" oifname "vlan30" ... tcp option maxseg size set rt mtu, '
                "counter packets 0 # handle 12",
            ),
            Evidence(
                kind="syn-ack-mss",
                basis="real program",
                host="site-a-gw1",
                command="tcpdump -i vlan20 -w - 'tcp port 2083'",
                frame=2,
                value="SYN-ACK 203.0.113.10:2083 > 10.20.0.10 carries MSS 1460",
            ),
        ),
        fix=FixHint(
            change="clamp-scope",
            summary="Let the clamp match vlan20 in both directions; it then writes 1452.",
            host="site-a-gw1",
            value_bytes=1452,
        ),
    )
    fragments = Finding(
        id="fragments-dropped",
        grade="likely",
        owner="isp",
        summary="Packets of 1500 bytes leave wan0 as fragments (DF is clear) and none is answered.",
        flow=up.key,
        evidence=(
            Evidence(
                kind="fragments",
                basis="real program",
                host="site-a-gw1",
                command="tcpdump -i wan0 -w - 'host 203.0.113.10'",
                frame=17,
                value="8 fragments towards 203.0.113.10, none acknowledged",
            ),
        ),
    )
    return SiteReport(
        site="site-a",
        verdict="fault",
        flows=(up, down),
        findings=(scope, fragments),
        ruled_out=(
            RuledOut(id="no-syn-ack", because="203.0.113.10:2083 answered the SYN in frame 2"),
            RuledOut(
                id="certificate-invalid",
                because="no TLS alert was seen and the certificate is valid until 2027-01-31",
            ),
            RuledOut(id="plain-loss", because="142 small packets were acknowledged, none was lost"),
        ),
        notes=("DF is clear on the AP's packets: net.ipv4.ip_no_pmtu_disc is 1.",),
    )


def tunnel_site() -> SiteReport:
    mtu = MtuView(ap=1500, vlan=1500, wan=1500, tunnel=1446)
    up = flow(
        "up",
        site="s002",
        service="portal",
        egress="tun0",
        mtu=mtu,
        needed=1406,
        path_mtu=1446,
        seen=MssSeen(ap=1460),
        proof="No rule touches this SYN-ACK; it reaches the appliance with MSS 1460, 1406 fits.",
    )
    down = flow(
        "down",
        site="s002",
        service="portal",
        egress="tun0",
        mtu=mtu,
        needed=1406,
        path_mtu=1446,
        seen=MssSeen(),
        covered=None,
        configured=None,
        proof="The far gateway's rules are not known.",
    )
    finding = Finding(
        id="icmp-ignored",
        grade="confirmed",
        owner="host",
        summary="The appliance is told that the tunnel takes 1446 bytes and goes on sending 1500.",
        flow=up.key,
        evidence=(
            Evidence(
                kind="icmp-too-big",
                basis="recorded output",
                host="s002-gw1",
                frame=41,
                value="fragmentation needed, next-hop MTU 1446, quoting 1500 bytes; "
                "the same segment was sent 7 more times",
            ),
        ),
        fix=FixHint(change="host-mtu", summary="Set the host's MTU to 1440.", value_bytes=1440),
    )
    return SiteReport(site="s002", verdict="fault", flows=(up, down), findings=(finding,))


def latent_site() -> SiteReport:
    up = flow("up", site="s003", seen=MssSeen(ap=1400), proof="Only the far end's MSS 1400 helps.")
    down = flow("down", site="s003", seen=MssSeen(wan=1460))
    finding = Finding(
        id="clamp-missing",
        grade="likely",
        owner="gateway",
        summary="No rule clamps the MSS; it works only because the far end offers 1400.",
        flow=up.key,
    )
    return SiteReport(site="s003", verdict="latent", flows=(up, down), findings=(finding,))


def healthy_site(name="s004") -> SiteReport:
    rule = InstalledClamp(
        rule="ip mangle FORWARD 1",
        text="-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1452",
        value=1452,
        packets=88,
        covers=True,
        because="asks for no interface, so it applies both ways",
        line=12,
    )
    flows = tuple(
        flow(
            direction,
            site=name,
            configured=1452,
            installed=(rule,),
            seen=MssSeen(ap=1452, lan=1452, wan=1452),
            covered=True,
            proof="ip mangle FORWARD 1 writes 1452 over any larger MSS (88 packets).",
        )
        for direction in ("up", "down")
    )
    return SiteReport(site=name, verdict="ok", flows=flows)


def unknown_site() -> SiteReport:
    flows = tuple(
        flow(
            direction,
            site="s005",
            configured=None,
            needed=None,
            mtu=MtuView(ap=1500),
            path_mtu=None,
            covered=None,
            proof="The account may not see the firewall.",
        )
        for direction in ("up", "down")
    )
    return SiteReport(
        site="s005",
        verdict="unknown",
        flows=flows,
        next_test=NextTest(
            kind="clamps",
            host="s005-gw1",
            summary="Read the packet filter as root: nft -a list ruleset",
        ),
        notes=("s005-gw1: the account may not see the firewall (uid 1001).",),
    )


def blocked_site() -> SiteReport:
    finding = Finding(
        id="no-syn-ack",
        grade="confirmed",
        owner="isp",
        summary="203.0.113.10:2083 answers no SYN of any size: the port is blocked or unrouted.",
        evidence=(
            Evidence(
                kind="syn",
                basis="emulation",
                host="s006-ap1",
                command="tcpdump -i eth0 -w - 'tcp port 2083'",
                frame=1,
                value="SYN sent 6 times, no answer",
            ),
        ),
    )
    flows = tuple(flow(d, site="s006", covered=True, configured=1452) for d in ("up", "down"))
    return SiteReport(site="s006", verdict="not-mtu", flows=flows, findings=(finding,))


def hosts_of(sites) -> tuple[HostStatus, ...]:
    return tuple(
        HostStatus(host=f"{site.site}-{kind}1", site=site.site, role=role, status="ok")
        for site in sites
        for kind, role in (("ap", "ap"), ("gw", "gateway"))
    )


def full_report() -> AuditReport:
    sites = (
        healthy_site(),
        site_a(),
        tunnel_site(),
        latent_site(),
        unknown_site(),
        blocked_site(),
        healthy_site("s007"),
        healthy_site("s008"),
    )
    failed = HostStatus(
        host="s009-ap1",
        site="s009",
        role="ap",
        status="failed",
        error="s009-ap1: host key is not known. Enroll it: mtughost enroll --site s009",
        error_kind="host-key",
    )
    skipped = HostStatus(
        host="s009-gw1",
        site="s009",
        role="gateway",
        status="skipped",
        error="the credential was refused at 3 devices",
        error_kind="auth-refused",
    )
    return AuditReport(
        run_id="20261121T101500Z-7f3a",
        started_utc="2026-11-21T10:15:00Z",
        tool="mtughost 0.1.0",
        content_digest="sha256:" + "4f" * 32,
        hosts=(*hosts_of(sites), failed, skipped),
        sites=sites,
    )


@pytest.fixture
def report() -> AuditReport:
    return full_report()


@pytest.fixture(scope="session")
def templates() -> dict[str, str]:
    folder = CHECKOUT / "templates" / "report"
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.j2"))}


@pytest.fixture(scope="session")
def runbooks() -> dict[str, str]:
    folder = CHECKOUT / "runbooks"
    return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.md"))}


@pytest.fixture
def poison(report):
    """Return a function that puts one hostile text into every text field of the report."""

    def poisoned(text: str) -> AuditReport:
        def put(value):
            if isinstance(value, tuple):
                return tuple(put(item) for item in value)
            if not hasattr(value, "__dataclass_fields__"):
                return value
            changes = {}
            for name in value.__dataclass_fields__:
                old = getattr(value, name)
                if isinstance(old, str) and name not in _CLOSED:
                    changes[name] = text
                elif name == "notes":
                    changes[name] = tuple(text for _ in old)
                else:
                    changes[name] = put(old)
            return replace(value, **changes)

        return put(report)

    return poisoned


#: Fields with a closed set of words: no device text can reach them.
_CLOSED = {"status", "verdict", "grade", "owner", "family", "direction", "basis"}


def _hostile_table() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("hostile", Path(__file__).parent / "hostile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.HOSTILE


HOSTILE = _hostile_table()


@pytest.fixture(scope="session")
def hostile() -> dict[str, str]:
    return HOSTILE


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def hostile_text(request) -> str:
    return request.param


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

LOOK = """
  const doc = frame.contentDocument, root = doc.documentElement, wide = [];
  for (const item of doc.querySelectorAll("body *")) {
    const box = item.getBoundingClientRect();
    if (box.width && box.left >= 0 && box.right > root.clientWidth + 0.5)
      wide.push(item.tagName + "." + item.getAttribute("class"));
  }
  const lying = doc.querySelector(".pp-lying"), standing = doc.querySelector(".pp-standing");
  const shown = item => item && item.getBoundingClientRect().width > 0;
  const say = {
    scroll: root.scrollWidth, client: root.clientWidth, wide: wide.slice(0, 9),
    lying: shown(lying), standing: shown(standing),
    sections: doc.querySelectorAll("section").length,
    scripts: doc.querySelectorAll("script").length, hit: String(frame.contentWindow.pwned),
    styled: frame.contentWindow.getComputedStyle(doc.body).margin,
  };
"""

#: The page is put into a frame of exact width and measured from outside: it runs no script itself.
MEASURE = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:@width@px;height:900px" srcdoc="@page@"></iframe><pre id="out"></pre>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {
@person@
  document.getElementById("out").textContent = JSON.stringify(say);
};
</script>"""


@pytest.fixture
def in_browser(tmp_path):
    """Show a page in a frame of exact width; return what was measured, or what ``person`` said."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: Debian package chromium")

    def look(page, width, person=""):
        return _measured(tmp_path, page, width, person)

    return look


def _measured(tmp_path, page, width, person):
    wrapper = tmp_path / "wrapper.html"
    text = MEASURE.replace("@width@", str(width)).replace("@person@", person or LOOK)
    wrapper.write_text(text.replace("@page@", html.escape(page)), "utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={max(width, 600)},1000", "--virtual-time-budget=8000",
        "--dump-dom", wrapper.as_uri(),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            dom = process.communicate(timeout=60)[0].decode()
        finally:
            # Only the group that this test started: its helpers outlive a killed leader.
            _end_group(process.pid)
    found = re.search(r'<pre id="out">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    return json.loads(html.unescape(found.group(1)))


def _end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
