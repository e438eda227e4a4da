"""The page of a plan: served to this machine only, and in a real browser."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mtughost.app.review import plan_templates, serve_page
from mtughost.content.root import ContentRoot
from mtughost.model.plans import (
    Author,
    Autorevert,
    BackupSpec,
    CoverageRow,
    GuardLines,
    Plan,
    PlannedDevice,
    PlannedLine,
    PlanWindow,
    StateDigest,
    StateLines,
    ToolInfo,
    VerifyStep,
    Wave,
    content_digest,
)
from mtughost.report.plan_page import render_plan_page

CHECKOUT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = '"><img src=x onerror=alert(1)><script>document.title="pwned"</script>'
DIFF = """\
--- gw: inet clamp (running)
+++ gw: inet clamp (planned)
-iifname "vlan30" oifname "wan0" tcp flags syn tcp option maxseg size set rt mtu
+iifname { "vlan20", "vlan30" } oifname "wan0" tcp flags syn tcp option maxseg size set rt mtu
"""


def line(text):
    return PlannedLine(id="x", line=text, risk="disruptive", basis="device", timeout_s=20)


def row(direction, *, covered):
    return CoverageRow(
        service="radsec",
        ap="s001-ap1",
        egress="wan0",
        family="ipv4",
        direction=direction,
        path_mtu_bytes=1492,
        mss_bytes=1452 if covered else 1460,
        covered=covered,
        proof="rule 2 clamps it" if covered else "rule 2 would clamp it but matches vlan30 only",
    )


def digest_of(lines):
    return StateDigest(
        relevant="a", whole="b", saved="c", normaliser="n", taken_utc="", items=(), lines=lines
    )


def device(name, summary="let the clamp match vlan20 too"):
    some = line("true")
    return PlannedDevice(
        name=name,
        site=name[:4],
        ha_peer="",
        platform="linux",
        hostname=name,
        version="6.1",
        serial="x",
        window=PlanWindow(),
        address="192.0.2.1",
        port=22,
        host_key_fp=("SHA256:" + "A" * 43,),
        change="clamp-scope",
        backend="nft",
        target="inet clamp",
        finding="clamp-scope",
        summary=summary,
        touches_management=False,
        pre=digest_of(("x",)),
        post=digest_of(("y",)),
        state=StateLines(relevant=(), whole=(), saved=(), boot=some, identity=some),
        guard=GuardLines(
            arm=(), read_back=some, confirm=some, cancel=some, revert=some, clean=some
        ),
        commands=(line("nft 'replace rule inet clamp forward handle 2 iifname ...'"),),
        undo_commands=(line("nft 'replace rule inet clamp forward handle 2 ...'"),),
        preview=(),
        persist=(line("nft -s list ruleset > /etc/nftables.conf"),),
        unsave=(),
        autorevert=Autorevert(
            method="detached-restore",
            window_s=180,
            survives_reboot=False,
            cost="none",
            survives="outlives tool death",
        ),
        verify=(VerifyStep(id="service", kind="service", expect="a full handshake", timeout_s=90),),
        backup=BackupSpec(method="read twice", required=True),
        risk="small",
        other_flows=("every host in vlan20",),
        blast_radius="new TCP connections of vlan20",
        coverage_before=(row("up", covered=False), row("down", covered=False)),
        coverage_after=(row("up", covered=True), row("down", covered=True)),
        diff_text=DIFF,
        diff_text_digest="sha256:0",
    )


def plan_of(*devices, reason="RADsec of two stores never completes"):
    names = [one.name for one in devices]
    return Plan(
        schema="mtughost/plan/v1",
        plan_id="p-1",
        tenant="t",
        created_utc="2026-03-02T01:00:00Z",
        not_after_utc="2026-03-03T01:00:00Z",
        tool=ToolInfo(name="mtughost", version="0", code_digest="sha256:0"),
        author=Author(principal="amy@example.net", key_fp="SHA256:" + "B" * 43),
        reason=reason,
        ticket="T-17",
        inventory_digest="i",
        templates_digest="t",
        policy_digest="p",
        lineage="l",
        serial=0,
        window=PlanWindow(),
        waves=tuple(
            Wave(n=n, devices=(name,), max_parallel=1, soak_s=0)
            for n, name in enumerate(names, start=1)
        ),
        fail_budget=0,
        allow_unrelated_drift=False,
        accept_no_autorevert=False,
        devices=devices,
    )


def page_of(plan, path="/srv/plans/plan.json"):
    return render_plan_page(plan, path, plan_templates(ContentRoot(CHECKOUT)))


def ask(address, *, path=None, host=None, method="GET"):
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    headers = {} if host is None else {"Host": host}
    connection.request(method, parts.path if path is None else path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def test_the_page_is_served_under_its_secret_address_only():
    with serve_page("<p>the plan</p>") as address:
        answer, body = ask(address)
        secret = urlsplit(address).path.strip("/")
        elsewhere = [ask(address, path=path)[0].status for path in ("/", "/x/", f"/{secret}")]
        turned = ask(address, path="/" + secret[::-1] + "/")[0].status

    assert (answer.status, body) == (200, "<p>the plan</p>")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert elsewhere == [404, 404, 404]
    assert turned == 404
    assert len(secret) >= 32


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1"])
def test_a_name_that_points_here_from_the_web_is_refused(host):
    with serve_page("x") as address:
        assert ask(address, host=host)[0].status == 404
        assert ask(address, host=f"localhost:{urlsplit(address).port}")[0].status == 200


def test_only_looking_is_possible():
    with serve_page("x") as address:
        assert ask(address, method="HEAD")[1] == ""
        assert ask(address, method="POST")[0].status == 501


def test_nothing_listens_beyond_the_loopback_or_after_the_end():
    with serve_page("x") as address:
        port = urlsplit(address).port
        assert urlsplit(address).hostname == "127.0.0.1"
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection(("127.0.0.2", port), timeout=2)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_two_pages_have_two_secrets():
    with serve_page("x") as one, serve_page("x") as two:
        assert urlsplit(one).path != urlsplit(two).path


def test_the_page_shows_diff_proof_waves_digest_and_the_command():
    plan = plan_of(device("s001-gw1"), device("s002-gw1"))
    page = page_of(plan)

    assert content_digest(plan) in page
    assert "mtughost approve /srv/plans/plan.json --key YOUR_KEY" in page
    assert "--reject" in page
    assert "rule 2 would clamp it but matches vlan30 only" in page
    assert page.count('class="add"') == 2
    assert page.count('class="del"') == 2
    assert "(canary)" in page
    assert "<script" not in page


def test_the_command_is_quoted_for_a_shell():
    page = page_of(plan_of(device("s001-gw1")), "/tmp/a b;c/plan.json")  # noqa: S108 - a text

    assert "approve &#39;/tmp/a b;c/plan.json&#39; --key" in page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: Debian package chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_the_page_is_whole_and_nothing_of_a_plan_acts(tmp_path, width):
    poisoned = device("s002-gw1", summary=HOSTILE)
    page = page_of(plan_of(device("s001-gw1"), poisoned, reason=HOSTILE))

    with serve_page(page) as address:
        dom = dumped(tmp_path, address, width)

    assert "<title>Plan p-1</title>" in dom
    assert dom.count("<script") == 0
    assert dom.count("<img") == 0
    assert HOSTILE.split(">")[1].replace("<", "&lt;") in dom
    assert re.search(r"<summary>s001-gw1", dom)


def dumped(tmp_path, address, width, extra=("--dump-dom",)):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1000", "--virtual-time-budget=8000", *extra, address,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.communicate(timeout=60)[0].decode()
        finally:
            # Only the group that this test started: its helpers outlive a killed leader.
            end_group(process.pid)


def end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
