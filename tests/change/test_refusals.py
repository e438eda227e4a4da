"""Every stale, tampered or wrongly signed plan is refused, and no device is written to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from mtughost.change.apply import ApplyInput, apply_plan
from mtughost.change.approval import iso, make_approval, sign_approval
from mtughost.change.signers import parse_signers, sign
from mtughost.model.approvals import APPROVAL_NAMESPACE
from mtughost.model.errors import MtughostError
from mtughost.model.plans import PLAN_NAMESPACE, Author, plan_bytes
from tests.change.told import journal_text, result_text


class Desk:
    """A plan with good papers for a virtual gateway; a case spoils one thing."""

    def __init__(self, fleet, people, world) -> None:
        self.fleet, self.people, self.world = fleet, people, world
        self.sign_plan(fleet.plan)
        self.approve()
        self.signers = people.signers

    def at(self, **delta) -> str:
        return iso(self.world.BASE + timedelta(**delta))

    def sign_plan(self, plan, *, key=None, namespace=PLAN_NAMESPACE) -> None:
        self.plan = plan
        self.data = plan_bytes(plan)
        self.signature = sign(self.data, key=key or self.people.author_key, namespace=namespace)

    def change_plan(self, **changes) -> None:
        """Let the author sign another plan, with an approval for exactly that."""
        self.sign_plan(replace(self.plan, **changes))
        self.approve()

    def approve(self, *, key=None, namespace=APPROVAL_NAMESPACE, decision="approve", **changes):
        made = make_approval(
            self.plan, author=self.people.approver, decision=decision, now_utc=self.at(), hours=4
        )
        made = replace(made, **changes)
        signed = sign_approval(made, key=key or self.people.approver_key)
        if namespace != APPROVAL_NAMESPACE:
            signature = sign(signed.data, key=key or self.people.approver_key, namespace=namespace)
            signed = replace(signed, signature=signature)
        self.approvals = [signed]

    @property
    def station(self):
        return self.fleet.stations["s001-gw1"]

    @property
    def gateway(self):
        return self.station.gateway

    def apply(self):
        given = ApplyInput(
            data=self.data,
            signature=self.signature,
            approvals=self.approvals,
            signers=self.signers,
        )
        with self.fleet.journal() as journal:
            return apply_plan(
                given,
                journal=journal,
                writer=self.world.WRITER,
                run_id="run-1",
                tools=self.fleet.tools,
            )


def edit(old: bytes, new: bytes):
    def case(desk):
        assert old in desk.data
        desk.data = desk.data.replace(old, new, 1)

    return case


def data(change):
    return lambda desk: setattr(desk, "data", change(desk.data))


def plan(**changes):
    return lambda desk: desk.change_plan(**{k: v(desk) for k, v in changes.items()})


def device(**changes):
    """Change the planned device; the author signs it all the same."""

    def case(desk):
        one = desk.plan.devices[0]
        desk.change_plan(devices=(replace(one, **{k: v(one) for k, v in changes.items()}),))

    return case


def approval(**changes):
    return lambda desk: desk.approve(**{k: v(desk) for k, v in changes.items()})


def signature(change):
    def case(desk):
        desk.approvals = [replace(one, signature=change(one.signature)) for one in desk.approvals]

    return case


def both_decisions(desk):
    good = desk.approvals
    desk.approve(decision="reject")
    desk.approvals = [*good, *desk.approvals]


def turned_keys(desk):
    """Somebody exchanges the two people's keys in the file of signers."""
    text = desk.people.signers.data.decode()
    turned = text.replace("amy@", "xyz@").replace("ben@", "amy@").replace("xyz@", "ben@")
    desk.signers = parse_signers(turned.encode(), path="allowed_signers")


def only_ben(desk):
    lines = [line for line in desk.people.signers.data.decode().splitlines() if "ben@" in line]
    desk.signers = parse_signers("\n".join(lines).encode(), path="allowed_signers")


def open_run(desk):
    with desk.fleet.journal() as journal:
        pen = journal.run("run-0", "sha256:0", desk.world.WRITER)
        pen.write("run-open")
        pen.write("arm-intent", "s001-gw1", token="0" * 16)


def used(desk):
    with desk.fleet.journal() as journal:
        pen = journal.run("run-0", "sha256:0", desk.world.WRITER)
        pen.write("run-open")
        nonce = json.loads(desk.approvals[0].data)["nonce"]
        pen.write("approval-used", nonce=nonce)


def later_journal(desk):
    desk.fleet.time.wall_jump_s = 7200
    with desk.fleet.journal() as journal:
        journal.run("run-0", "sha256:0", desk.world.WRITER).write("run-open")
    desk.fleet.time.wall_jump_s = 0


def damaged_journal(desk):
    later_journal(desk)
    path = desk.fleet.directory / "journal.mtj"
    path.write_bytes(path.read_bytes().replace(b"run-open", b"run-0pen"))


def linked_journal(desk):
    (desk.fleet.directory / "elsewhere").touch(mode=0o600)
    (desk.fleet.directory / "journal.mtj").symlink_to(desk.fleet.directory / "elsewhere")


def readable_journal(desk):
    (desk.fleet.directory / "journal.mtj").touch()
    (desk.fleet.directory / "journal.mtj").chmod(0o644)


def second_run(desk):
    desk.locked = desk.fleet.journal()


def at_time(seconds):
    return lambda desk: setattr(desk.fleet.time, "wall_jump_s", seconds)


def saved_drift(desk):
    desk.gateway.boots.tables["inet clamp"].rules.pop()


def table_drift(desk):
    desk.gateway.running.nft("add table inet other; add chain inet other c { x }")
    desk.gateway.boots = desk.gateway.running.copy()


def new_handles(desk):
    table = desk.gateway.running.tables["inet clamp"]
    table.rules = [(number + 10, rule) for number, rule in table.rules]


def changed_key(desk):
    desk.station.key = "SHA256:" + "B" * 43


def other_words(desk):
    desk.gateway.name = "s777-gw1"


def meddle(at):
    def case(desk):
        desk.station.faults = [desk.world.Fault(at, "meddle")]

    return case


def link_mtu(desk):
    desk.gateway.running.mtus["wan0"] = 1400


def rule_drift(desk):
    desk.gateway.running.tables["inet clamp"].add("tcp dport 9 drop")


#: name -> (what is spoilt, words of the refusal)
CASES = {
    "plan: one letter": (edit(b"RADsec fails", b"RADsec fai1s"), "is not good"),
    "plan: another command": (edit(b'"vlan20\\"', b'"vlan21\\"'), "not the one in|is not good"),
    "plan: a longer window": (edit(b'"window_s":180', b'"window_s":190'), "is not good"),
    "plan: a line end": (data(lambda d: d + b"\n"), "canonical"),
    "plan: a blank": (edit(b'{"accept', b'{ "accept'), "canonical"),
    "plan: a fraction": (edit(b'"serial":0', b'"serial":0.0'), "not an integer"),
    "plan: a key twice": (edit(b'"serial":0', b'"serial":0,"serial":0'), "twice"),
    "plan: an unknown key": (edit(b'"serial":0', b'"serial":0,"seriam":0'), "seriam"),
    "plan: a missing key": (edit(b'"serial":0,', b""), "serial"),
    "plan: a text for a number": (edit(b'"serial":0', b'"serial":"0"'), "serial"),
    "plan: cut": (data(lambda d: d[:-9]), "not valid"),
    "plan: empty": (data(lambda _: b""), "not valid"),
    "plan: not JSON": (data(lambda _: b"\x00\xff"), "not valid"),
    "plan: nested": (data(lambda _: b"[" * 100_000), "nested"),
    "plan: unsigned": (lambda d: setattr(d, "signature", b""), "is not good"),
    "plan: signature cut": (
        lambda d: setattr(d, "signature", d.signature[:-50]),
        "is not good",
    ),
    "plan: signed by the approver": (
        lambda d: d.sign_plan(d.plan, key=d.people.approver_key),
        "is not good",
    ),
    "plan: signed for git": (lambda d: d.sign_plan(d.plan, namespace="git"), "is not good"),
    "plan: signed as an approval": (
        lambda d: d.sign_plan(d.plan, namespace=APPROVAL_NAMESPACE),
        "is not good",
    ),
    "plan: names somebody else": (
        plan(author=lambda d: d.people.approver),
        "is not good|wrote this plan",
    ),
    "plan: names another key": (
        plan(author=lambda _: Author(principal="amy@example.net", key_fp="SHA256:" + "D" * 43)),
        "another key",
    ),
    "plan: too old": (at_time(25 * 3600), "the plan held"),
    "plan: from the future": (at_time(-60), "the plan held"),
    "plan: holds too long": (plan(not_after_utc=lambda d: d.at(hours=73)), "at most 72"),
    "plan: window over": (
        plan(window=lambda d: replace(d.plan.window, end_utc=d.at(hours=-1))),
        "change window",
    ),
    "plan: window not open": (
        plan(window=lambda d: replace(d.plan.window, start_utc=d.at(hours=1))),
        "change window",
    ),
    "plan: bears a failure": (plan(fail_budget=lambda _: 1), "budget"),
    "plan: no wave": (plan(waves=lambda _: ()), "every device exactly once"),
    "plan: a wave twice": (
        plan(waves=lambda d: d.plan.waves * 2),
        "every device exactly once",
    ),
    "plan: too many at once": (
        plan(waves=lambda d: (replace(d.plan.waves[0], max_parallel=5),)),
        "5 at once",
    ),
    "plan: another diff than its digest": (
        device(diff_text=lambda _: "nothing changes\n"),
        "not the one in its digest",
    ),
    "approval: none": (lambda d: setattr(d, "approvals", []), "not approved"),
    "approval: for another plan": (
        approval(plan_digest=lambda _: "sha256:0"),
        "for another plan",
    ),
    "approval: for another tenant": (approval(tenant=lambda _: "t2"), "for another plan"),
    "approval: expired": (
        approval(not_after_utc=lambda d: d.at(seconds=-1)),
        "it holds from",
    ),
    "approval: later": (approval(valid_from_utc=lambda d: d.at(hours=1)), "it holds from"),
    "approval: too long": (
        approval(not_after_utc=lambda d: d.at(hours=25)),
        "more than 24 hours",
    ),
    "approval: by the author": (
        approval(
            approver=lambda d: d.people.author.principal,
            approver_key_fp=lambda d: d.people.author.key_fp,
            key=lambda d: d.people.author_key,
        ),
        "cannot approve it",
    ),
    "approval: the author's key, the approver's name": (
        approval(key=lambda d: d.people.author_key),
        "is not good",
    ),
    "approval: a pattern": (approval(approver=lambda _: "*"), "not a plain name"),
    "approval: an option as name": (
        approval(approver=lambda _: "-Overify-time=20200101"),
        "not a plain name|is not good",
    ),
    "approval: fewer devices": (approval(devices_count=lambda _: 0), "all devices"),
    "approval: fewer waves": (approval(waves_allowed=lambda _: 0), "all devices"),
    "approval: signed as a plan": (approval(namespace=lambda _: PLAN_NAMESPACE), "is not good"),
    "approval: signature cut": (signature(lambda s: s[:-60]), "is not good"),
    "approval: no signature": (signature(lambda _: b""), "is not good"),
    "approval: a rejection beside it": (both_decisions, "rejected this plan"),
    "approval: used": (used, "was used at"),
    "signers: keys exchanged": (turned_keys, "is not good"),
    "signers: the author is gone": (only_ben, "is not good"),
    "journal: a run is open": (open_run, "has not ended"),
    "journal: the clock went back": (later_journal, "clock"),
    "journal: damaged": (damaged_journal, "damaged"),
    "journal: a link": (linked_journal, "symbolic link"),
    "journal: others can read it": (readable_journal, "0600"),
    "journal: another run holds it": (second_run, "another run"),
    "device: a rule more": (rule_drift, r"\+tcp dport 9 drop"),
    "device: saved rules differ": (saved_drift, "saved configuration"),
    "device: a table more": (table_drift, "inet other came or went"),
    "device: an MTU elsewhere": (link_mtu, "section links changed"),
    "device: other handles": (new_handles, "handle"),
    "device: another machine": (other_words, "says it is s777-gw1"),
    "device: another host key": (changed_key, "host keys changed"),
    "device: it changes while it is read": (meddle(6), "changes while it is being read"),
}


@pytest.fixture
def desk(builder, choices, people, world, tmp_path):
    kept = builder.one("clamp-scope-nft", choices)
    made = replace(kept, author=people.author)
    return Desk(world.world_of(tmp_path, made), people, world)


def test_with_nothing_spoilt_the_plan_is_applied(desk, as_kept):
    run = desk.apply()
    (result,) = run.devices

    assert result.outcome == "confirmed"
    assert desk.fleet.side("s001-gw1") == "after"
    journal = desk.fleet.directory / "journal.mtj"
    as_kept(journal_text(journal) + result_text(result))
    assert json.loads(journal.read_bytes().splitlines()[-1][9:])["hash"] == run.head
    assert (run.run_id, run.plan) == ("run-1", desk.plan)


def test_there_are_more_than_forty_cases():
    assert len(CASES) > 40


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_is_refused_and_no_device_is_written_to(desk, name, as_kept):
    spoil, words = CASES[name]
    desk.locked = None
    try:
        with pytest.raises(MtughostError, match=words) as caught:
            try_it(desk, spoil)
    finally:
        if desk.locked is not None:
            desk.locked.close()

    assert desk.gateway.changes == 0
    assert not any("arm" in line for line in desk.station.sent)
    as_kept(str(caught.value))
    if not name.startswith("device: "):
        assert desk.station.logins == 0


def try_it(desk, spoil):
    """Spoil and apply; a device's own refusal counts as one."""
    spoil(desk)
    (result,) = desk.apply().devices
    assert result.outcome == "refused", result
    raise MtughostError(result.reason, todo="; ".join(result.detail))


def test_a_backup_that_cannot_be_kept_is_refused_before_arming(desk, as_kept):
    (desk.fleet.directory / "backups").write_text("a file in its place")

    with pytest.raises(MtughostError, match="cannot keep the backup") as caught:
        desk.apply()
    as_kept(str(caught.value))

    assert not any("arm" in line for line in desk.station.sent)


def test_a_link_in_place_of_a_backup_is_replaced_and_not_followed(desk, tmp_path):
    from mtughost.change.asking import read_state  # noqa: PLC0415
    from mtughost.change.course import save_backup  # noqa: PLC0415

    planned = desk.plan.devices[0]
    session = desk.fleet.login("s001-gw1")
    state = read_state(
        session, planned.state, backend=planned.backend, target=planned.target, taken_utc=""
    )
    backups = tmp_path / "backups"
    digest = save_backup(backups, "s001-gw1", state).removeprefix("sha256:")
    path, precious = backups / "s001-gw1" / digest, tmp_path / "precious"
    precious.write_text("precious")
    kept = path.read_bytes()
    path.unlink()
    path.symlink_to(precious)

    save_backup(backups, "s001-gw1", state)

    assert precious.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_bytes() == kept


@pytest.mark.parametrize("name", ["", "../etc", "a/b", ".hidden"])
def test_a_device_whose_name_is_a_path_gets_no_backup(desk, tmp_path, name, as_kept):
    from mtughost.change.course import save_backup  # noqa: PLC0415

    with pytest.raises(MtughostError, match="cannot name a directory") as caught:
        save_backup(tmp_path, name, None)
    as_kept(str(caught.value))
