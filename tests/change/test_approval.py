"""Every way in which a plan or an approval must not count, with real keys and ssh-keygen."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtughost.change.approval import (
    author_of,
    check_approvals,
    check_plan,
    iso,
    make_approval,
    sign_approval,
    sign_plan,
)
from mtughost.change.signers import load_signers, parse_signers, sign, verify
from mtughost.model.approvals import APPROVAL_NAMESPACE, Accepted
from mtughost.model.documents import canonical_bytes
from mtughost.model.errors import PlanRefusedError, UsageError
from mtughost.model.plans import (
    PLAN_NAMESPACE,
    Author,
    content_digest,
    parse_plan,
    plan_bytes,
)
from mtughost.remedy.describe import plan_summary
from tests.change.conftest import make_key

NOW = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


def at(**delta) -> str:
    return iso(NOW + timedelta(**delta))


@pytest.fixture
def plan(people, plain_plan):
    return replace(plain_plan, author=people.author, created_utc=at(), not_after_utc=at(hours=24))


@pytest.fixture
def office(people):
    """Sign and check in one place, with everything replaceable."""

    def approval(plan, *, author=None, decision="approve", hours=4, **changes):
        made = make_approval(
            plan, author=people.approver, decision=decision, now_utc=at(), hours=hours
        )
        if author is not None:
            changes |= {"approver": author.principal, "approver_key_fp": author.key_fp}
        return replace(made, **changes)

    def check(plan, approvals, now=None, journal=(), signers=None):
        signed = [
            item if hasattr(item, "signature") else sign_approval(item, key=people.approver_key)
            for item in approvals
        ]
        return check_approvals(
            plan,
            signed,
            signers=signers or people.signers,
            now_utc=now or at(minutes=5),
            journal=journal,
        )

    return SimpleNamespace(approval=approval, check=check, people=people)


def used(nonce, when):
    return SimpleNamespace(
        ev="approval-used", data={"nonce": nonce}, t_wall_utc=when, run_id="run-1"
    )


def test_a_second_persons_approval_counts(office, plan):
    approval = office.approval(plan)

    authority = office.check(plan, [approval])

    assert authority.approval == approval
    assert authority.digest == content_digest(plan)


def test_a_replan_that_differs_in_id_and_times_only_keeps_its_approval(office, plan):
    approval = office.approval(plan)
    device = plan.devices[0]
    again = replace(
        plan,
        plan_id="p-2",
        created_utc=at(hours=1),
        not_after_utc=at(hours=9),
        serial=7,
        devices=(replace(device, pre=replace(device.pre, taken_utc=at(hours=1))),),
    )

    assert office.check(again, [approval]).plan.plan_id == "p-2"


def refused_approvals(office, plan):
    """Return name -> (approvals, words of the refusal, more arguments)."""
    people, good = office.people, office.approval(plan)
    signed = sign_approval(good, key=people.approver_key)
    other_plan = replace(plan, reason="something else")
    flipped = bytearray(signed.data)
    flipped[-20] ^= 1
    return {
        "none at all": ([], "not approved", {}),
        "for another plan": ([office.approval(other_plan)], "is for another plan", {}),
        "for another tenant": ([replace(good, tenant="t2")], "is for another plan", {}),
        "expired": ([good], "it holds from", {"now": at(hours=5)}),
        "not yet valid": ([replace(good, valid_from_utc=at(hours=1))], "it holds from", {}),
        "valid for too long": (
            [replace(good, not_after_utc=at(hours=25))],
            "more than 24 hours",
            {},
        ),
        "by the author under the author's name": (
            [sign_approval(office.approval(plan, author=people.author), key=people.author_key)],
            "cannot approve it",
            {},
        ),
        "in the approver's name with the author's key": (
            [sign_approval(good, key=people.author_key)],
            "is not good",
            {},
        ),
        "naming another key than it was signed with": (
            [replace(good, approver_key_fp="SHA256:" + "B" * 43)],
            "another key",
            {},
        ),
        "by a name that nobody has": (
            [replace(good, approver="eve@example.net")],
            "is not good",
            {},
        ),
        "by a pattern": ([replace(good, approver="*")], "not a plain name", {}),
        "for fewer devices": ([replace(good, devices_count=0)], "all devices", {}),
        "for fewer waves": ([replace(good, waves_allowed=0)], "all devices and waves", {}),
        "after another diff was shown": (
            [replace(good, shown=replace(good.shown, diff_digest="sha256:0"))],
            "another diff",
            {},
        ),
        "after another summary was shown": (
            [replace(good, shown=replace(good.shown, summary_digest="sha256:0"))],
            "another summary",
            {},
        ),
        "used before": ([good], "was used at", {"journal": [used(good.nonce, at())]}),
        "with the clock set back": ([good], "clock", {"journal": [used("other", at(hours=1))]}),
        "beside a rejection": (
            [good, office.approval(plan, decision="reject")],
            "rejected this plan",
            {},
        ),
        "beside an expired rejection": (
            [office.approval(plan, decision="reject", not_after_utc=at(minutes=1)), good],
            "rejected this plan",
            {},
        ),
        "with one bit turned": ([replace(signed, data=bytes(flipped))], "(not good|not valid)", {}),
        "with a line end more": ([replace(signed, data=signed.data + b"\n")], "canonical", {}),
        "with a truncated signature": (
            [replace(signed, signature=signed.signature[:-60])],
            "is not good",
            {},
        ),
        "with no signature": ([replace(signed, signature=b"")], "is not good", {}),
        "signed as a plan": (
            [
                replace(
                    signed,
                    signature=sign(signed.data, key=people.approver_key, namespace=PLAN_NAMESPACE),
                )
            ],
            "is not good",
            {},
        ),
        "signed for git": (
            [
                replace(
                    signed, signature=sign(signed.data, key=people.approver_key, namespace="git")
                )
            ],
            "is not good",
            {},
        ),
    }


CASES = [
    "none at all",
    "for another plan",
    "for another tenant",
    "expired",
    "not yet valid",
    "valid for too long",
    "by the author under the author's name",
    "in the approver's name with the author's key",
    "naming another key than it was signed with",
    "by a name that nobody has",
    "by a pattern",
    "for fewer devices",
    "for fewer waves",
    "after another diff was shown",
    "after another summary was shown",
    "used before",
    "with the clock set back",
    "beside a rejection",
    "beside an expired rejection",
    "with one bit turned",
    "with a line end more",
    "with a truncated signature",
    "with no signature",
    "signed as a plan",
    "signed for git",
]


@pytest.mark.parametrize("case", CASES)
def test_an_approval_is_refused(case, office, plan, as_kept):
    approvals, words, more = refused_approvals(office, plan)[case]

    with pytest.raises(PlanRefusedError, match=words) as caught:
        office.check(plan, approvals, **more)
    as_kept(str(caught.value), times=False)


def test_every_case_of_refusal_is_run(office, plan):
    assert sorted(refused_approvals(office, plan)) == sorted(CASES)


def test_a_revert_that_reboots_needs_its_own_consent(office, plan, as_kept):
    device = plan.devices[0]
    costly = replace(
        plan, devices=(replace(device, autorevert=replace(device.autorevert, cost="reboot")),)
    )

    with pytest.raises(PlanRefusedError, match="reboot") as caught:
        office.check(costly, [office.approval(costly)])
    as_kept(str(caught.value), times=False)
    assert office.check(costly, [office.approval(costly, accept=Accepted(reboot=True))])


def test_a_change_without_a_guard_needs_its_own_consent(office, plan, as_kept):
    bare = replace(plan, accept_no_autorevert=True)

    with pytest.raises(PlanRefusedError, match="without a guard") as caught:
        office.check(bare, [office.approval(bare)])
    as_kept(str(caught.value), times=False)


def test_a_revoked_key_is_refused_and_a_missing_list_too(office, people, plan, tmp_path):
    allowed = people.directory / "allowed_signers"
    revoked = tmp_path / "revoked"
    revoked.write_text(people.approver_key.with_suffix(".pub").read_text())
    revoked.chmod(0o600)
    signers = load_signers(allowed, revocation=revoked)

    with pytest.raises(PlanRefusedError, match="is not good"):
        office.check(plan, [office.approval(plan)], signers=signers)
    with pytest.raises(PlanRefusedError, match="No such file"):
        load_signers(allowed, revocation=tmp_path / "gone")


def test_every_flip_of_one_bit_in_the_signature_blob_is_refused(office, people, plan):
    signed = sign_approval(office.approval(plan), key=people.approver_key)
    start = signed.signature.index(b"\n") + 1
    # Every 31st byte of the armoured blob; the nightly run takes them all.
    for position in range(start, len(signed.signature) - 40, 31):
        broken = bytearray(signed.signature)
        broken[position] ^= 0x02
        with pytest.raises(PlanRefusedError):
            office.check(plan, [replace(signed, signature=bytes(broken))])


# -- the plan itself ---------------------------------------------------------------------------


def test_the_authors_signature_lets_the_plan_through(people, plan):
    data = plan_bytes(plan)
    signature = sign_plan(data, key=people.author_key)

    checked = check_plan(data, signature, signers=people.signers, now_utc=at(minutes=1))

    assert checked == plan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.replace(b"RADsec of", b"RADsec 0f"), "is not good"),
        (lambda d: d + b"\n", "canonical"),
        (lambda d: d.replace(b'{"accept', b'{ "accept', 1), "canonical"),
        (lambda d: d.replace(b'"serial":0', b'"serial":0.5'), "not an integer"),
        (lambda d: d.replace(b'"serial":0', b'"serial":NaN'), "not an integer"),
        (lambda d: d.replace(b'"serial":0', b'"serial":0,"serial":0'), "twice"),
        (lambda d: d.replace(b'"serial":0', b'"serial":"0"'), "serial"),
        (lambda d: d.replace(b'"serial":0', b'"serial":0,"seriam":0'), "seriam"),
        (lambda d: d.replace(b'"serial":0,', b""), "serial"),
        (lambda d: d[:-10], "not valid"),
        (lambda d: b"\xff" + d, "not valid"),
        (lambda _: b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_plan_that_was_touched_is_refused(people, plan, change, words, as_kept):
    data = plan_bytes(plan)
    signature = sign_plan(data, key=people.author_key)

    with pytest.raises(PlanRefusedError, match=words) as caught:
        check_plan(change(data), signature, signers=people.signers, now_utc=at(minutes=1))
    as_kept(str(caught.value), times=False)


def test_keys_in_another_order_are_refused_although_the_value_is_the_same(people, plan, as_kept):
    import json  # noqa: PLC0415

    data = plan_bytes(plan)
    value = json.loads(data)
    turned = json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()

    with pytest.raises(PlanRefusedError, match="canonical") as caught:
        parse_plan(turned)
    as_kept(str(caught.value), times=False)


@pytest.mark.parametrize(
    ("changes", "now", "words"),
    [
        ({}, at(hours=25), "the plan held from"),
        ({}, at(hours=-1), "the plan held from"),
        ({"not_after_utc": at(hours=73)}, at(minutes=1), "at most 72 hours"),
        ({"not_after_utc": at()}, at(), "at most 72 hours"),
        ({"not_after_utc": "tomorrow"}, at(minutes=1), "not a time"),
        ({"not_after_utc": "2026-03-02T12:00:00"}, at(minutes=1), "no time zone"),
    ],
)
def test_a_plan_out_of_its_time_is_refused(people, plan, changes, now, words, as_kept):
    data = plan_bytes(replace(plan, **changes))
    signature = sign_plan(data, key=people.author_key)

    with pytest.raises(PlanRefusedError, match=words) as caught:
        check_plan(data, signature, signers=people.signers, now_utc=now)
    as_kept(str(caught.value), times=False)


def test_a_plan_outside_its_window_is_refused(people, plan, as_kept):
    window = replace(plan.window, start_utc=at(hours=2), end_utc=at(hours=3))
    data = plan_bytes(replace(plan, window=window))
    signature = sign_plan(data, key=people.author_key)

    with pytest.raises(PlanRefusedError, match="change window") as caught:
        check_plan(data, signature, signers=people.signers, now_utc=at(hours=1))
    as_kept(str(caught.value), times=False)
    assert check_plan(data, signature, signers=people.signers, now_utc=at(hours=2, minutes=1))


def test_a_plan_that_names_somebody_else_as_author_is_refused(people, plan, as_kept):
    framed = plan_bytes(replace(plan, author=people.approver))

    with pytest.raises(PlanRefusedError, match="not the key of the plan's author") as caught:
        sign_plan(framed, key=people.author_key)
    as_kept(str(caught.value), hide=[people.directory])
    forged = sign(framed, key=people.author_key, namespace=PLAN_NAMESPACE)
    with pytest.raises(PlanRefusedError, match="is not good"):
        check_plan(framed, forged, signers=people.signers, now_utc=at(minutes=1))


def test_the_author_cannot_even_make_an_approval(people, plan, as_kept):
    with pytest.raises(PlanRefusedError, match="wrote this plan") as own:
        make_approval(plan, author=people.author, decision="approve", now_utc=at())
    second_name = Author(principal="amy.two@example.net", key_fp=people.author.key_fp)
    with pytest.raises(PlanRefusedError, match="under another name") as other:
        make_approval(plan, author=second_name, decision="approve", now_utc=at())
    as_kept(f"{own.value}\n{other.value}\n")


def test_the_author_may_reject(people, plan):
    approval = make_approval(plan, author=people.author, decision="reject", now_utc=at())

    assert approval.decision == "reject"


def test_the_summary_shows_every_line_that_changes_something(plan):
    text = plan_summary(plan)

    for line in (*plan.devices[0].commands, *plan.devices[0].persist):
        assert line.line in text


# -- allowed_signers ---------------------------------------------------------------------------

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0mQ4u6o9e2cS1pW5Jr7y3hTqv0bLkXw8dNzFgYxAbC"
OPTIONS = 'namespaces="mtughost-plan-v1",valid-before="20991231"'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nobody may sign"),
        ("# only words\n", "nobody may sign"),
        (f"* {OPTIONS} {KEY}\n", "pattern"),
        (f"*@example.net {OPTIONS} {KEY}\n", "pattern"),
        (f"amy,ben {OPTIONS} {KEY}\n", "a list"),
        (f"!amy {OPTIONS} {KEY}\n", "pattern"),
        (f"amy {KEY}\n", "needs namespaces="),
        (f'amy valid-before="20991231" {KEY}\n', "needs namespaces="),
        (f'amy namespaces="*",valid-before="20991231" {KEY}\n', "plain names"),
        (f'amy namespaces="mtughost-plan-v1" {KEY}\n', "needs valid-before="),
        (f"amy cert-authority,{OPTIONS} {KEY}\n", "authorities"),
        (f"amy {OPTIONS} {KEY}\nben {OPTIONS} {KEY}\n", "stands here for ben too"),
        (f"amy {OPTIONS}\n", "not a line"),
        (f"amy {OPTIONS} not a key\n", "no key"),
        (f'amy namespaces="a"valid-before="b" {KEY}\n', "cannot be read"),
        (f"amy {OPTIONS},{OPTIONS} {KEY}\n", "cannot be read"),
    ],
)
def test_a_loose_allowed_signers_is_refused(text, words, as_kept):
    with pytest.raises(PlanRefusedError, match=words) as caught:
        parse_signers(text.encode(), path="allowed_signers")
    as_kept(str(caught.value), times=False)


def test_one_person_may_have_two_keys():
    other = KEY[:-1] + "D"

    signers = parse_signers(
        f"amy {OPTIONS} {KEY}\namy {OPTIONS} {other}\n".encode(), path="allowed_signers"
    )

    assert len(signers.entries) == 2


def test_signers_that_are_no_text_are_refused(as_kept):
    with pytest.raises(PlanRefusedError, match="not UTF-8") as caught:
        parse_signers(b"amy \xff\xfe", path="allowed_signers")
    as_kept(str(caught.value), times=False)


def test_signers_that_are_missing_or_too_large_are_refused(tmp_path, as_kept):
    with pytest.raises(PlanRefusedError, match="cannot be read: No such file") as gone:
        load_signers(tmp_path / "allowed_signers")
    large = tmp_path / "large"
    large.write_text("# " + "x" * 4 * 1024 * 1024)
    large.chmod(0o600)
    with pytest.raises(PlanRefusedError, match="larger than") as caught:
        load_signers(large)
    as_kept(f"{gone.value}\n{caught.value}\n")


def test_a_key_that_is_nobodys_has_no_principal(people, tmp_path, as_kept):
    stranger = make_key(tmp_path, "zoe")

    with pytest.raises(PlanRefusedError, match="is nobody's") as caught:
        author_of(people.signers, stranger)
    as_kept(str(caught.value), times=False)


@pytest.mark.parametrize(("hours", "good"), [(0, False), (1, True), (24, True), (25, False)])
def test_an_approval_holds_for_a_day_at_most(office, plan, people, hours, good, as_kept):
    make = lambda: make_approval(  # noqa: E731
        plan, author=people.approver, decision="approve", now_utc=plan.created_utc, hours=hours
    )

    if good:
        assert make().plan_id == plan.plan_id
    else:
        with pytest.raises(PlanRefusedError, match="holds for 1 to 24 hours") as caught:
            make()
        as_kept(str(caught.value), times=False)


def test_an_expired_line_is_refused_by_ssh_keygen(people, tmp_path, as_kept):
    public = " ".join(people.author_key.with_suffix(".pub").read_text().split()[:2])
    old = 'namespaces="mtughost-plan-v1",valid-before="20200101"'
    signers = parse_signers(f"amy {old} {public}\n".encode(), path="allowed_signers")
    signature = sign(b"x", key=people.author_key, namespace=PLAN_NAMESPACE)

    with pytest.raises(PlanRefusedError, match="expired") as caught:
        verify(b"x", signature, signers=signers, principal="amy", namespace=PLAN_NAMESPACE)
    as_kept(str(caught.value), times=False)


def test_a_key_allowed_for_plans_only_does_not_approve(people, as_kept):
    public = " ".join(people.author_key.with_suffix(".pub").read_text().split()[:2])
    signers = parse_signers(f"amy {OPTIONS} {public}\n".encode(), path="allowed_signers")
    signature = sign(b"x", key=people.author_key, namespace=APPROVAL_NAMESPACE)

    with pytest.raises(PlanRefusedError, match="is not good") as caught:
        verify(b"x", signature, signers=signers, principal="amy", namespace=APPROVAL_NAMESPACE)
    as_kept(str(caught.value), times=False)


def test_signers_beside_the_plan_or_writable_by_others_are_refused(people, tmp_path, as_kept):
    copy = tmp_path / "allowed_signers"
    copy.write_bytes((people.directory / "allowed_signers").read_bytes())
    copy.chmod(0o600)

    with pytest.raises(PlanRefusedError, match="plan's directory") as beside:
        load_signers(copy, plan=tmp_path / "plan.json")
    copy.chmod(0o622)
    with pytest.raises(PlanRefusedError, match="others could write") as open_to_all:
        load_signers(copy)
    as_kept(f"{beside.value}\n{open_to_all.value}\n")


def test_a_link_in_place_of_the_signers_is_refused(people, tmp_path, as_kept):
    link = tmp_path / "allowed_signers"
    link.symlink_to(people.directory / "allowed_signers")

    with pytest.raises(PlanRefusedError, match="cannot be read") as caught:
        load_signers(link)
    as_kept(str(caught.value), times=False)


def test_rsa_and_ecdsa_keys_sign_too(tmp_path):
    for kind, bits in (("rsa", "3072"), ("ecdsa", "256")):
        key = tmp_path / kind
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(key)], check=True
        )
        public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
        signers = parse_signers(f"amy {OPTIONS} {public}\n".encode(), path="allowed_signers")

        good = verify(
            b"x",
            sign(b"x", key=key, namespace=PLAN_NAMESPACE),
            signers=signers,
            principal="amy",
            namespace=PLAN_NAMESPACE,
        )

        assert good.key_fp == author_of(signers, key).key_fp


def test_a_file_that_is_no_key_cannot_sign(tmp_path):
    path = tmp_path / "key"
    path.write_text("no key")
    path.chmod(0o600)

    with pytest.raises(UsageError):
        sign(b"x", key=path, namespace=PLAN_NAMESPACE)


def test_an_ssh_keygen_that_hangs_or_is_missing_refuses(people, tmp_path, monkeypatch, as_kept):
    slow = tmp_path / "ssh-keygen"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("mtughost.change.signers.KEYGEN_TIMEOUT_S", 0.2)

    with pytest.raises(PlanRefusedError, match="did not answer") as late:
        sign(b"x", key=people.author_key, namespace=PLAN_NAMESPACE, timeout_s=0.2)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(PlanRefusedError, match="not installed") as missing:
        sign(b"x", key=people.author_key, namespace=PLAN_NAMESPACE)
    as_kept(f"{late.value}\n{missing.value}\n")


def test_an_ssh_keygen_that_says_good_for_another_name_is_not_believed(
    people, tmp_path, monkeypatch, as_kept
):
    liar = tmp_path / "ssh-keygen"
    fingerprint = "SHA256:" + "A" * 43
    liar.write_text(
        '#!/bin/sh\necho \'Good "mtughost-plan-v1" signature for eve with ED25519 key '
        f"{fingerprint}'\n"
    )
    liar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(PlanRefusedError, match="is not good") as caught:
        verify(
            b"x",
            b"y",
            signers=people.signers,
            principal="amy@example.net",
            namespace=PLAN_NAMESPACE,
        )
    as_kept(str(caught.value), times=False)


def test_an_approval_survives_writing_and_reading(office, plan):
    approval = office.approval(plan)
    from mtughost.model.approvals import parse_approval  # noqa: PLC0415

    assert parse_approval(canonical_bytes(approval)) == approval
