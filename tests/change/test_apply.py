"""The whole change on the real kernel, and every way that it can go wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.model.errors import (
    AuthenticationRefusedError,
    HostKeyError,
    PlanRefusedError,
    StoreError,
)

pytestmark = pytest.mark.lab


@pytest.fixture
def plan(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    return rig.plan(choices["clamp-scope-nft"][0]())


def only(result):
    assert len(result.devices) == 1
    return result.devices[0]


def breaking(line_id, verdict, times=1):
    """Break the answer to one line, so often."""
    left = [times]

    def before(command):
        if command.command_id.startswith(line_id) and left[0] > 0:
            left[0] -= 1
            return verdict
        return ""

    return before


def test_an_approved_plan_is_applied_confirmed_and_saved(rig, plan):
    result = rig.apply(plan)

    assert only(result).outcome == "confirmed"
    assert result.exit_code == 0
    listed = rig.box.run("nft list table inet clamp")
    assert 'iifname { "vlan20", "vlan30" } oifname "wan0"' in listed
    assert 'iifname "wan0" oifname { "vlan20", "vlan30" }' in listed
    assert '"vlan20"' in rig.box.run("cat /etc/nftables.conf")
    assert rig.box.run("ls /run/mtughost").split() == []


def test_the_records_stand_in_the_order_that_the_rules_demand(rig, plan):
    rig.apply(plan)

    assert rig.recorded() == [
        "run-open",
        "lock",
        "approval-used",
        "connect",
        "hostkey-ok",
        "pre-digest",
        "backup-saved",
        "arm-intent",
        "armed",
        "apply-intent",
        "applied",
        "apply-intent",
        "applied",
        "all-applied",
        "connect",
        "verify",
        "verify",
        "verified",
        "confirm-intent",
        "confirmed",
        "persist-intent",
        "persisted",
        "run-close",
    ]


def test_no_changing_line_is_sent_before_the_guard_was_read_back(rig, plan):
    rig.apply(plan)

    first = next(i for i, name in enumerate(rig.sent) if name.startswith("clamp-scope-nft.apply"))
    assert "detached-nft.read_back" in rig.sent[:first]


def test_the_backup_holds_the_raw_state_under_its_digest(rig, plan):
    rig.apply(plan)

    with rig.journal() as journal:
        digest = next(r.data["digest"] for r in journal.records if r.ev == "backup-saved")
    path = rig.directory / "backups" / "s001-gw1" / digest.removeprefix("sha256:")
    assert b"table inet clamp" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_does_not_help_is_undone(rig, plan):
    before = rig.box.snapshot()
    rig.service = lambda _: replace(
        good(rig), full_size_reply=False, summary="1500 bytes were not answered"
    )

    result = rig.apply(plan)

    assert only(result).outcome == "reverted"
    assert "1500 bytes were not answered" in only(result).reason
    assert result.exit_code == 6
    assert rig.box.snapshot() == before


def good(rig):
    from mtughost.change.tools import ServiceCheck  # noqa: PLC0415

    return ServiceCheck(
        full_handshake=True, round_trip_after_change=True, full_size_reply=True, summary="good"
    )


@pytest.mark.parametrize("field", ["full_handshake", "round_trip_after_change", "full_size_reply"])
def test_an_unknown_service_check_never_confirms(rig, plan, field):
    before = rig.box.snapshot()
    rig.service = lambda _: replace(good(rig), **{field: None})

    assert only(rig.apply(plan)).outcome == "reverted"
    assert rig.box.snapshot() == before


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("detached-nft.arm.2", "fail"),
        ("detached-nft.arm.2", "eof"),
        ("detached-nft.arm.4", "eof"),
        ("detached-nft.arm.4", "lost-answer"),
        ("detached-nft.read_back", "eof"),
    ],
)
def test_trouble_while_arming_leaves_the_device_untouched(rig, plan, line, verdict):
    before = rig.box.snapshot()
    rig.before = breaking(line, verdict)

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert not result.touched
    assert rig.box.snapshot() == before
    assert not any(name.startswith("clamp-scope-nft") for name in rig.sent if "preview" not in name)
    assert rig.box.run("ls /run/mtughost 2>/dev/null || true").split() == []


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("clamp-scope-nft.apply", "fail"),
        ("clamp-scope-nft.apply", "eof"),
        ("clamp-scope-nft.apply", "lost-answer"),
    ],
)
def test_trouble_while_changing_restores_the_state_before(rig, plan, line, verdict):
    before = rig.box.snapshot()
    rig.before = breaking(line, verdict)

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert rig.box.snapshot() == before


@pytest.mark.parametrize("verdict", ["eof", "lost-answer"])
def test_a_lost_confirm_is_settled_by_asking_the_device(rig, plan, verdict):
    before = rig.box.snapshot()
    rig.before = breaking("detached-nft.confirm", verdict)

    result = only(rig.apply(plan))

    # Never sent: the token is still the sleeper's. Sent and lost: the rename has happened.
    assert result.outcome == ("reverted" if verdict == "eof" else "confirmed")
    assert (rig.box.snapshot() == before) == (verdict == "eof")


@pytest.mark.parametrize("verdict", ["eof", "lost-answer"])
def test_saving_is_finished_after_a_lost_connection(rig, plan, verdict):
    rig.before = breaking("clamp-scope-nft.persist.2", verdict)

    assert only(rig.apply(plan)).outcome == "confirmed"
    assert '"vlan20"' in rig.box.run("cat /etc/nftables.conf")


def test_a_change_that_cannot_be_saved_is_taken_back(rig, plan):
    before = rig.box.snapshot()
    rig.before = breaking("clamp-scope-nft.persist.2", "fail")

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert rig.box.snapshot() == before


def test_a_confirm_after_the_devices_own_revert_is_seen_as_reverted(rig, plan):
    before = rig.box.snapshot()

    def late(command):
        if command.command_id == "detached-nft.confirm":
            # Exactly what the sleeper does when its time has come.
            line = plan.devices[0].guard.revert[0].line
            rig.box.run(line.replace("@MTUGHOST-TOKEN@", command.line.split("/")[3]))
        return ""

    rig.before = late

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert "confirm was too late" in result.reason
    assert rig.box.snapshot() == before


def test_the_device_reverts_by_itself_when_nobody_can_log_in_any_more(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0](), window_s=5)
    before = rig.box.snapshot()
    cut = []

    def cut_off(command):
        if command.command_id == "clamp-scope-nft.apply" and len(cut) < 2:
            cut.append(command)
        locked_out = len(cut) == 2 and "vlan20" in rig.box.run("nft list table inet clamp")
        return "unreachable" if locked_out else ""

    rig.before = cut_off

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert rig.box.snapshot() == before
    assert "detached-nft.revert" not in rig.sent


def test_nothing_is_confirmed_after_seventy_percent_of_the_window(rig, plan):
    real = rig.clock

    class Late(type(real)):
        late_s = 0.0

        def monotonic_s(self):
            return super().monotonic_s() + self.late_s

        def boottime_s(self):
            return super().boottime_s() + self.late_s

    rig.clock = Late()
    before = rig.box.snapshot()

    def slow(request):
        rig.clock.late_s = 43.0
        return good(rig)

    rig.service = slow

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert "70%" in result.reason
    assert rig.box.snapshot() == before


def test_a_laptop_that_slept_does_not_confirm(rig, plan):
    real = rig.clock

    class Slept(type(real)):
        slept_s = 0.0

        def boottime_s(self):
            return super().boottime_s() + self.slept_s

    rig.clock = Slept()

    def doze(request):
        rig.clock.slept_s = 5.0
        return good(rig)

    rig.service = doze

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert "slept" in result.reason


def test_a_drifted_device_is_refused_and_the_drift_is_shown(rig, plan):
    rig.box.run("nft add rule inet clamp forward tcp dport 9 drop")

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert "+tcp dport 9 drop" in result.reason
    assert not any("arm" in name for name in rig.sent)


def test_drift_outside_the_touched_table_is_refused_by_name(rig, plan):
    rig.box.run("nft add table inet other")

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert "section nft table inet other came or went" in result.reason


def test_drift_of_the_saved_rules_is_refused(rig, plan):
    rig.box.run("echo 'add table inet later' >> /etc/nftables.conf")

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert "the saved configuration changed" in result.reason


def test_moved_handles_are_drift_although_the_text_is_the_same(rig, plan):
    rig.box.run(
        "nft -s list table inet clamp > /tmp/t; nft delete table inet clamp; "
        "nft 'add table inet clamp; add chain inet clamp forward; "
        "add rule inet clamp forward accept; flush chain inet clamp forward; "
        "delete chain inet clamp forward'; nft -f /tmp/t; rm /tmp/t"
    )

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert "handle" in result.reason


def test_another_machine_than_planned_is_refused(rig, plan):
    rig.box.run("hostname s777-gw1")

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert "says it is s777-gw1" in result.reason


def test_a_changed_host_key_is_refused_before_any_login(rig, plan):
    rig.host_key = ("SHA256:" + "B" * 43,)
    sent = list(rig.sent)

    result = only(rig.apply(plan))

    assert result.outcome == "refused"
    assert rig.sent == sent


@pytest.mark.parametrize("error", [HostKeyError, AuthenticationRefusedError])
def test_a_login_refused_in_the_window_is_not_tried_again(rig, plan, error):
    logins = []
    normal = rig.open_session

    def open_session(name):
        logins.append(name)
        if len(logins) > 2:
            raise error(name, "refused")
        return normal(name)

    rig.open_session = open_session

    result = only(rig.apply(plan))

    assert result.outcome == "needs-human"
    assert len(logins) == 4  # check, change, verify, and one look


def test_a_device_that_was_never_reached_is_a_skip(rig, plan):
    rig.before = lambda _: "unreachable"

    result = rig.apply(plan)

    assert only(result).outcome == "skipped"
    assert result.exit_code == 4


def test_someone_elses_commit_in_the_window_stops_the_confirm(rig, plan):
    def meddle(request):
        rig.box.run("nft add rule inet clamp forward tcp dport 9 drop")
        return good(rig)

    rig.service = meddle

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert "dport 9" not in rig.box.run("nft list ruleset")


def test_a_full_disk_for_the_journal_sends_nothing_more_and_the_device_goes_back(
    rig, choices, monkeypatch
):
    from mtughost.change import journal as module  # noqa: PLC0415

    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0](), window_s=5)
    before = rig.box.snapshot()
    write = module.os.write

    def short(handle, data):
        if b'"ev":"confirm-intent"' in data:
            return write(handle, data[: len(data) // 2])
        return write(handle, data)

    monkeypatch.setattr(module.os, "write", short)

    with pytest.raises(StoreError, match="bytes fitted"):
        rig.apply(plan)

    assert "detached-nft.confirm" not in rig.sent
    rig.box.run("sleep 6")
    assert rig.box.snapshot() == before


def test_the_operator_can_stop_before_confirm_and_the_device_goes_back(rig, plan):
    before = rig.box.snapshot()
    stop = []
    rig.stop = lambda: bool(stop)

    def ask_to_stop(request):
        stop.append(True)
        return good(rig)

    rig.service = ask_to_stop

    result = only(rig.apply(plan))

    assert result.outcome == "reverted"
    assert "operator" in result.reason
    assert rig.box.snapshot() == before


def test_an_approval_is_used_once(rig, plan):
    given = rig.given(plan)
    rig.service = lambda _: replace(good(rig), full_size_reply=False)
    from mtughost.change.apply import apply_plan  # noqa: PLC0415

    with rig.journal() as journal:
        apply_plan(given, journal=journal, writer=rig.writer, run_id="run-1", tools=rig.tools)
        with pytest.raises(PlanRefusedError, match="was used at"):
            apply_plan(given, journal=journal, writer=rig.writer, run_id="run-2", tools=rig.tools)


def test_saved_and_running_rules_that_differ_already_are_refused_at_planning(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf; nft add table inet unsaved")

    with pytest.raises(PlanRefusedError, match="differ already"):
        rig.plan(choices["clamp-scope-nft"][0]())


def test_a_rule_that_is_gone_since_the_audit_is_refused_at_planning(rig, choices):
    rig.box.run("sed -i 's/vlan30/vlan31/' /etc/nftables.conf; nft -f /etc/nftables.conf")

    with pytest.raises(PlanRefusedError, match="Audit again"):
        rig.plan(choices["clamp-scope-nft"][0]())


def test_an_interface_that_the_saved_file_does_not_configure_is_refused_at_planning(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf; echo 'auto lo' > /etc/network/interfaces")

    with pytest.raises(PlanRefusedError, match="does not configure vlan20"):
        rig.plan(choices["host-mtu"][0]())


def test_a_saved_mtu_that_is_not_the_running_one_is_refused_at_planning(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf; sed -i 's/gateway.*/mtu 1400/' /etc/network/interfaces")

    with pytest.raises(PlanRefusedError, match="says mtu 1400"):
        rig.plan(choices["host-mtu"][0]())


@pytest.mark.parametrize("name", ["clamp-iptables", "host-mtu", "clamp-missing-nft"])
def test_every_kind_of_change_runs_through(rig, choices, name):
    make, kind = choices[name]
    if kind == "iptables":
        rig.box.run(
            "iptables-restore /etc/iptables/rules.v4; ip6tables-restore /etc/iptables/rules.v6; "
            "echo 'flush ruleset' > /etc/nftables.conf"
        )
    else:
        rig.box.run("nft -f /etc/nftables.conf")

    result = only(rig.apply(rig.plan(make())))

    assert result.outcome == "confirmed", result
