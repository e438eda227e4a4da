"""The main job on real devices: audit, plan, approve, apply, prove, or undo.

Each story has a lab of its own and is lived once, beside the others; the tests look at what the
devices, the packets and the commands said. The device's state is the judge, never our own words.
"""

from __future__ import annotations

import json
import re
import signal
import time
import zipfile

import pytest
from jsonschema import Draft202012Validator

from mtughost.lab import SiteSpec, truth

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SITE = "s001"
GATEWAY = "s001-gw1"
LOOK = ("--probe", "service", "--capture", "5")


def ruleset(operator, device=GATEWAY):
    return operator.on(device, "nft -s list ruleset")


def left_on(operator, device):
    return operator.on(device, "ls -A /run/mtughost 2>/dev/null || true").split()


def last_run(operator):
    """Return the journal's records of the last run, from its bytes."""
    lines = (operator.project / "state" / "change" / "journal.mtj").read_bytes().splitlines()
    records = [json.loads(line[9:]) for line in lines]
    return [one for one in records if one["run_id"] == records[-1]["run_id"]]


def site_a_story(labs, papers):
    """From the audit to the proof, with a refusal at every step that deserves one."""
    story, plan = {}, papers / "a.json"
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        story["truth before"] = truth(operator.lab, SITE)
        story["audit"] = operator.audit(*LOOK)
        again = ("plan", "--site", SITE, "--reason", "stored", "--from-run", "latest")
        story["planned from the audit"] = operator(*again, "--out", str(papers / "stored.json"))
        story["stored plan"] = json.loads((papers / "stored.json").read_text())
        untouched = operator.look()
        story["planned"] = operator(
            "plan", "--site", SITE, "--reason", "no RADsec", "--out", str(plan)
        )
        story["after planning"] = (untouched, operator.look())
        story["unapproved"] = operator("apply", str(plan))
        story["author approves"] = operator.approve(plan, "operator")
        story["second person approves"] = operator.approve(plan)
        drift(operator, story, plan)
        story["approved anew"] = operator.approve(plan)
        story["applied"] = operator("apply", str(plan))
        story["plan"] = json.loads(plan.read_text())
        story["records"] = last_run(operator)
        story["rules after"] = ruleset(operator)
        story["left"] = left_on(operator, GATEWAY)
        story["status"] = operator("status")
        story["truth after"] = truth(operator.lab, SITE)
        before = (operator.look(GATEWAY), operator.logins(GATEWAY))
        story["applied again"] = operator("apply", str(plan))
        story["second apply"] = (before, (operator.look(GATEWAY), operator.logins(GATEWAY)))
        operator.lab.reboot(GATEWAY)
        story["rules after reboot"] = ruleset(operator)
        operator.lab.settle()
        story["audit after"] = operator("audit", *LOOK)
        bundle = papers / "repaired.zip"
        story["handed over"] = operator("evidence", "--site", SITE, "--out", str(bundle))
        with zipfile.ZipFile(bundle) as archive:
            story["bundle"] = {name: archive.read(name) for name in archive.namelist()}
    return story


def drift(operator, story, plan):
    """Somebody adds a rule by hand between plan and apply, and takes it away again."""
    rule = ["inet", "clamp", "forward", "iifname", "eth9", "counter"]
    done = operator.lab.in_device(
        GATEWAY, ["nft", "--echo", "--handle", "add", "rule", *rule], check=True
    )
    before = operator.look(GATEWAY)
    story["drifted"] = operator("apply", str(plan))
    story["after drift"] = (before, operator.look(GATEWAY))
    handle = done.stdout.split("# handle ")[1].split()[0]
    where = ["inet", "clamp", "forward", "handle", handle]
    operator.lab.in_device(GATEWAY, ["nft", "delete", "rule", *where], check=True)


def second_story(labs, papers):
    """The appliance behind the tunnel of 1446 that ignores ICMP."""
    story, plan = {}, papers / "second.json"
    with labs(SiteSpec(scenario="icmp-ignored", tls="1.3")) as operator:
        host = operator.lab.sites[0].device
        story["audit"] = operator.audit(*LOOK)
        story["planned"] = operator(
            "plan", "--site", SITE, "--reason", "portal", "--out", str(plan)
        )
        operator.approve(plan)
        story["applied"] = operator("apply", str(plan))
        story["plan"] = json.loads(plan.read_text())
        story["link"] = operator.on(host, "ip link show eth0")
        operator.lab.reboot(host)
        story["link after reboot"] = operator.on(host, "ip link show eth0")
        story["truth after"] = truth(operator.lab, SITE)
    return story


def no_help_story(labs, papers):
    """Between plan and apply the path behind the ISP becomes smaller still."""
    story, plan = {}, papers / "no-help.json"
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        operator.plan(SITE, plan, window_s=60)
        operator.approve(plan)
        behind = ["ip", "-n", "isp1", "link", "set", "dev", "core0", "mtu", "1400"]
        operator.lab.exec(behind, check=True)
        before = operator.look(GATEWAY)
        story["applied"] = operator("apply", str(plan))
        story["after"] = (before, operator.look(GATEWAY))
        story["left"] = left_on(operator, GATEWAY)
        story["status"] = operator("status")
    return story


def killed_story(labs, papers):
    """The tool is killed right after the change; somebody runs resume."""
    story, plan = {}, papers / "killed.json"
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        operator.plan(SITE, plan)
        operator.approve(plan)
        before = operator.look(GATEWAY)
        with operator.typing("apply", str(plan)) as apply:
            apply.wait_for("all-applied")
            apply.signal(signal.SIGKILL)
            story["killed"] = apply.end()
        story["rules when killed"] = ruleset(operator)
        story["status when killed"] = operator("status")
        story["apply anew"] = operator("apply", str(plan))
        story["resumed"] = operator("resume")
        story["after"] = (before, operator.look(GATEWAY))
        story["left"] = left_on(operator, GATEWAY)
        story["status"] = operator("status")
        story["resumed again"] = operator("resume")
    return story


def cut_off_story(labs, papers):
    """The management path breaks right after the change; the device is on its own."""
    story, plan = {}, papers / "cut-off.json"
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        operator.plan(SITE, plan, window_s=20)
        operator.approve(plan)
        before, rules = operator.look(GATEWAY), ruleset(operator)
        with operator.typing("apply", str(plan)) as apply:
            apply.wait_for("all-applied")
            operator.lab.exec(["nft", "-f", "-"], text_in=cut("172.31.1.1"), check=True)
            story["rules when cut"] = ruleset(operator)
            deadline_s = time.monotonic() + 60
            while ruleset(operator) != rules and time.monotonic() < deadline_s:
                time.sleep(1)
            story["undone alone"] = (rules, ruleset(operator))
            operator.lab.exec(["nft", "delete", "table", "inet", "cut"], check=True)
            story["applied"] = apply.end()
        story["after"] = (before, operator.look(GATEWAY))
    return story


def cut(address):
    """Nothing of the operator reaches the address any more; the device itself is not changed."""
    return f"""
        table inet cut {{
            chain out {{
                type filter hook output priority 0
                ip daddr {address} drop
            }}
        }}
    """


STORIES = (site_a_story, second_story, no_help_story, killed_story, cut_off_story)


@pytest.fixture
def site_a(stories):
    return stories.site_a


def only_site(document):
    (site,) = document["sites"]
    return site


# -- the audit of Site A ---------------------------------------------------------------------------


def test_the_json_is_valid_against_the_shipped_schema(site_a, checkout):
    path = checkout / "mtughost" / "report" / "schemas" / "audit-v1.schema.json"
    validator = Draft202012Validator(json.loads(path.read_text()))

    problems = [
        error.message
        for document in (site_a["audit"],)
        for error in validator.iter_errors(document)
    ]

    assert problems == []


def test_the_finding_names_the_rule_the_vlan_it_matches_instead_its_counter_and_the_value(site_a):
    site = only_site(site_a["audit"])

    assert site["verdict"] == "fault"
    finding = site["findings"][0]
    assert (finding["id"], finding["owner"]) == ("clamp-scope", "gateway")
    for words in (
        "inet clamp forward handle 3",
        "matches vlan30 only, not vlan20",
        "packets)",
        "MSS 1460 (seen)",
        "MSS 1452 will work",
        "path MTU 1492",
    ):
        assert words in finding["summary"]
    assert finding["fix"]["value_bytes"] == 1452


def test_the_counter_in_the_report_is_that_of_a_rule_that_does_count(site_a):
    up = next(f for f in only_site(site_a["audit"])["flows"] if f["direction"] == "up")

    rules = {rule["rule"]: rule for rule in up["mss"]["installed"]}
    missed = rules["inet clamp forward handle 3"]
    assert missed["packets"] > 0
    assert missed["covers"] is False
    assert '"vlan30"' in missed["text"]
    assert (up["mss"]["observed"]["ap"], up["mss"]["needed"]) == (1460, 1452)


def test_the_mss_in_the_report_is_the_measured_one(site_a):
    measured = site_a["truth before"]
    flows = {flow["direction"]: flow for flow in only_site(site_a["audit"])["flows"]}

    assert measured.verdict == "fault"
    assert flows["up"]["mss"]["observed"]["ap"] == measured.at_device.syn_ack_mss_bytes
    assert flows["down"]["mss"]["observed"]["wan"] == measured.at_wan.syn_mss_bytes
    assert measured.upload_frames[:3] == (1514, 1514, 542) or 1514 in measured.upload_frames


# -- plan and approval -----------------------------------------------------------------------------


def test_planning_changes_nothing_on_any_device(site_a, changed):
    assert site_a["planned"].returncode == 0
    assert changed(*site_a["after planning"]) == {}


def test_the_plan_shows_the_dry_run_difference_and_the_undo(site_a):
    shown = " ".join(site_a["planned"].stdout.split())

    assert '-iifname "vlan30" oifname "wan0"' in shown
    assert '+iifname { "vlan20", "vlan30" } oifname "wan0"' in shown
    assert "detached-restore: by itself 180 s after arming" in shown


def test_a_plan_without_an_approval_is_refused(site_a):
    assert site_a["unapproved"].returncode == 5
    assert "not approved" in site_a["unapproved"].stderr


def test_the_author_cannot_approve_but_a_second_person_can(site_a):
    assert site_a["author approves"].returncode == 5
    assert "cannot approve" in site_a["author approves"].stderr
    assert site_a["second person approves"].returncode == 0


def test_drift_between_plan_and_apply_is_refused_with_the_drift_printed(site_a, changed):
    drifted = site_a["drifted"]

    assert drifted.returncode == 5
    assert '+iifname "eth9" counter' in drifted.stdout
    assert "drifted since the plan was made" in drifted.stdout
    assert changed(*site_a["after drift"]) == {}


# -- apply and proof -------------------------------------------------------------------------------


def test_after_apply_a_real_client_gets_through(site_a):
    after = site_a["truth after"]

    assert site_a["applied"].returncode == 0, site_a["applied"].stderr
    assert after.works
    assert after.verdict == "ok"
    assert after.at_device.syn_ack_mss_bytes == 1452
    assert after.at_wan.syn_mss_bytes == 1452
    assert max(after.upload_frames) == 1506


def test_the_undo_is_armed_and_read_back_before_the_first_line_of_the_change(site_a):
    steps = [record["ev"] for record in site_a["records"] if record["dev"] == GATEWAY]

    assert steps.index("arm-intent") < steps.index("armed") < steps.index("apply-intent")
    assert steps.index("verified") < steps.index("confirmed") < steps.index("persisted")


def test_a_plan_from_the_stored_audit_is_the_same_change(site_a):
    (stored,), (fresh,) = site_a["stored plan"]["devices"], site_a["plan"]["devices"]

    assert site_a["planned from the audit"].returncode == 0
    assert stored["commands"] == fresh["commands"]
    assert stored["pre"]["relevant"] == fresh["pre"]["relevant"]


def test_only_the_planned_lines_were_run(site_a):
    (device,) = site_a["plan"]["devices"]
    sent = [record["data"]["text"] for record in site_a["records"] if record["ev"] == "applied"]

    assert sent == [line["line"] for line in device["commands"]]


def test_the_saved_state_survives_a_reboot(site_a):
    assert '{ "vlan20", "vlan30" }' in site_a["rules after"]
    assert site_a["rules after reboot"] == site_a["rules after"]


def test_the_audit_after_the_repair_says_ok(site_a):
    after = site_a["audit after"]

    assert after.returncode == 0, after.stdout + after.stderr
    assert "1 ok" in after.stdout


def test_the_bundle_after_the_repair_shows_before_and_after_with_the_evidence_of_both(site_a):
    held = site_a["bundle"]
    page = held["report.md"].decode()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+ \| [^|]+) \|$", page, re.MULTILINE))

    assert site_a["handed over"].returncode == 0, site_a["handed over"].stderr
    assert rows["verdict"].startswith("fault: ")
    assert rows["verdict"].partition("| ")[2].startswith("ok: ")
    assert rows["radsec, AP to service, IPv4: MSS in the SYN-ACK"] == "1460 | 1452"
    assert rows["s001-ap1 says of radsec"] == "not connected | connected"
    assert '+iifname "wan0" oifname { "vlan20", "vlan30" }' in page
    states = [
        re.search(rb"connected: (\w+)", held[next(n for n in held if n.startswith(start))])[1]
        for start in ("before/raw/s001-ap1/21-", "raw/s001-ap1/21-")
    ]
    assert states == [b"no", b"yes"]


def test_nothing_of_the_guard_stays_on_the_device(site_a):
    assert site_a["left"] == []
    assert "confirmed" in site_a["status"].stdout


def test_a_second_apply_is_refused_without_a_login_or_a_write(site_a, changed):
    (before, logins), (after, logins_after) = site_a["second apply"]

    assert site_a["applied again"].returncode == 5
    assert "it was used at" in site_a["applied again"].stderr
    assert changed(before, after) == {}
    assert logins_after == logins


# -- the second story ------------------------------------------------------------------------------


def test_the_second_story_is_repaired_on_the_host_and_measured_to_work(stories):
    story = stories.second

    (finding,) = [f for f in only_site(story["audit"])["findings"] if f["grade"] == "confirmed"]
    assert (finding["id"], finding["owner"]) == ("icmp-ignored", "host")
    assert "1446" in finding["summary"]
    assert story["applied"].returncode == 0, story["applied"].stderr
    assert "mtu 1440" in story["link"]
    assert "mtu 1440" in story["link after reboot"]
    assert story["truth after"].works
    assert story["truth after"].verdict == "ok"


# -- and undo --------------------------------------------------------------------------------------


def test_a_fix_that_does_not_help_is_taken_back_and_says_so(stories, changed):
    story = stories.no_help

    assert story["applied"].returncode == 6, story["applied"].stderr
    assert "the change did not help" in story["applied"].stdout
    assert "s001-gw1: reverted" in story["applied"].stdout
    assert changed(*story["after"]) == {}
    assert story["left"] == []
    assert "reverted" in story["status"].stdout


def test_killed_right_after_the_change_resume_puts_the_device_back_exactly(stories, changed):
    story = stories.killed

    assert story["killed"].returncode == -signal.SIGKILL
    assert '{ "vlan20", "vlan30" }' in story["rules when killed"]
    assert "applied" in story["status when killed"].stdout
    assert story["resumed"].returncode == 6, story["resumed"].stderr
    assert changed(*story["after"]) == {}
    assert story["left"] == []


def test_while_a_run_is_open_no_other_apply_begins(stories):
    refused = stories.killed["apply anew"]

    assert refused.returncode == 5
    assert "mtughost resume" in refused.stderr


def test_resume_has_nothing_to_do_when_all_ends_are_proven(stories):
    assert stories.killed["resumed again"].returncode == 0
    assert "no device was left open" in stories.killed["resumed again"].stdout


def test_a_device_that_nobody_can_reach_any_more_undoes_the_change_alone(stories, changed):
    story = stories.cut_off

    assert '{ "vlan20", "vlan30" }' in story["rules when cut"]
    planned, alone = story["undone alone"]
    assert alone == planned
    assert story["applied"].returncode == 6, story["applied"].stderr
    assert changed(*story["after"]) == {}


@pytest.mark.nightly(basis="real program")
@pytest.mark.timeout(600)
def test_killed_and_never_resumed_the_device_undoes_the_change_when_its_window_ends(
    labs, papers, changed
):
    plan = papers / "alone.json"
    with labs(SiteSpec(scenario="clamp-scope")) as operator:
        operator.ran("plan", "--site", SITE, "--reason", "no RADsec", "--out", str(plan))
        operator.approve(plan)
        before, rules = operator.look(GATEWAY), ruleset(operator)
        with operator.typing("apply", str(plan)) as apply:
            apply.wait_for("all-applied")
            apply.signal(signal.SIGKILL)
            apply.end()
        at_kill_s, when_killed = time.monotonic(), ruleset(operator)
        while ruleset(operator) != rules and time.monotonic() < at_kill_s + 200:
            time.sleep(1)
        waited_s = time.monotonic() - at_kill_s
        after = operator.look(GATEWAY)

        assert when_killed != rules
        assert 150 < waited_s < 190
        # The run's own papers below /run go with resume; what was changed is back by itself.
        assert [
            line for line in changed(before, after).get(GATEWAY, ()) if "run/mtughost/" not in line
        ] == []
        assert operator("resume").returncode == 6
        assert changed(before, operator.look(GATEWAY)) == {}
