"""Who may let a plan loose: the author signs the plan, somebody else signs its content.

The author's signature covers the plan's bytes, so that the plan cannot name an author who did not
make it. The approval names the *content digest*, so that a re-plan that differs only in id and
times keeps it; a changed state gives another digest and needs another approval.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from mtughost.change.journal import Record
from mtughost.change.signers import (
    KEYGEN_TIMEOUT_S,
    GoodSignature,
    Signers,
    key_fingerprint,
    principal_of,
    sign,
    verify,
)
from mtughost.model.approvals import (
    APPROVAL_NAMESPACE,
    APPROVAL_SCHEMA,
    Accepted,
    Approval,
    Shown,
    parse_approval,
)
from mtughost.model.documents import canonical_bytes
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import (
    PLAN_NAMESPACE,
    Author,
    Plan,
    content_digest,
    parse_plan,
)
from mtughost.remedy.describe import diff_digest, summary_digest
from mtughost.remedy.waves import check_waves

MAX_PLAN_HOURS: Final = 72
MAX_APPROVAL_HOURS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedApproval:
    """An approval as it lies on the disk.

    Attributes:
        name: File name, for messages.
        data: The payload's bytes.
        signature: The detached SSHSIG.
    """

    name: str
    data: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What the checks found: the plan may be applied.

    Attributes:
        digest: The plan's content digest.
        signers_digest: Of the file that judged, for the journal.
    """

    plan: Plan
    digest: str
    approval: Approval
    signers_digest: str


def moment(text: str, what: str) -> datetime:
    """Read a time in UTC.

    Raises:
        PlanRefusedError: not ISO 8601 with a zone.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise PlanRefusedError(f"{what} is not a time: {text!r}") from None
    if when.tzinfo is None:
        raise PlanRefusedError(f"{what} has no time zone: {text!r}")
    return when.astimezone(UTC)


def iso(when: datetime) -> str:
    """Return ISO 8601 in UTC with seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def author_of(signers: Signers, key: Path) -> Author:
    """Return who owns a key, as plans name authors.

    Raises:
        PlanRefusedError: the key is not in ``allowed_signers``.
    """
    key_fp = key_fingerprint(key)
    return Author(principal=principal_of(signers, key_fp), key_fp=key_fp)


def sign_plan(data: bytes, *, key: Path, timeout_s: float = KEYGEN_TIMEOUT_S) -> bytes:
    """Return the author's signature over the bytes of ``plan.json``.

    Raises:
        UsageError: the key cannot sign.
        PlanRefusedError: the key is not the one that the plan names.
    """
    plan = parse_plan(data)
    if key_fingerprint(key) != plan.author.key_fp:
        raise PlanRefusedError(f"{key} is not the key of the plan's author {plan.author.principal}")
    return sign(data, key=key, namespace=PLAN_NAMESPACE, timeout_s=timeout_s)


def make_approval(
    plan: Plan,
    *,
    author: Author,
    decision: Literal["approve", "reject"],
    now_utc: str,
    hours: int = MAX_APPROVAL_HOURS,
    accept: Accepted = Accepted(),  # noqa: B008 - frozen
) -> Approval:
    """Return the payload that an approver signs after having seen diff and summary.

    Args:
        plan: What was shown.
        author: The approver: principal and key.
        decision: ``approve`` or ``reject``.
        now_utc: Wall time.
        hours: How long it holds, at most 24.
        accept: Prices accepted by name.

    Raises:
        PlanRefusedError: the approver wrote the plan, or the time is too long.
    """
    if not 0 < hours <= MAX_APPROVAL_HOURS:
        raise PlanRefusedError(f"an approval holds for 1 to {MAX_APPROVAL_HOURS} hours")
    if decision == "approve":
        _refuse_own_plan(plan, author.principal, author.key_fp)
    start = moment(now_utc, "now")
    return Approval(
        schema=APPROVAL_SCHEMA,
        plan_digest=content_digest(plan),
        plan_id=plan.plan_id,
        tenant=plan.tenant,
        decision=decision,
        approver=author.principal,
        approver_key_fp=author.key_fp,
        devices_count=len(plan.devices),
        waves_allowed=len(plan.waves),
        valid_from_utc=iso(start),
        not_after_utc=iso(start + timedelta(hours=hours)),
        nonce=secrets.token_hex(16),
        accept=accept,
        shown=Shown(diff_digest=diff_digest(plan), summary_digest=summary_digest(plan)),
    )


def sign_approval(
    approval: Approval, *, key: Path, name: str = "", timeout_s: float = KEYGEN_TIMEOUT_S
) -> SignedApproval:
    """Sign an approval.

    Raises:
        UsageError: the key cannot sign.
    """
    data = canonical_bytes(approval)
    signature = sign(data, key=key, namespace=APPROVAL_NAMESPACE, timeout_s=timeout_s)
    return SignedApproval(name=name or approval.approver, data=data, signature=signature)


def _refuse_own_plan(plan: Plan, principal: str, key_fp: str) -> None:
    if plan.author.principal == principal:
        raise PlanRefusedError(
            f"{principal} wrote this plan and cannot approve it", todo="Ask a second person"
        )
    if plan.author.key_fp == key_fp:
        raise PlanRefusedError(
            f"the key {key_fp} made this plan and cannot approve it under another name",
            todo="Ask a second person",
        )


def check_plan(data: bytes, signature: bytes, *, signers: Signers, now_utc: str) -> Plan:
    """Read a plan and check its author's signature and its times.

    Raises:
        PlanRefusedError: any of it is wrong.
    """
    plan = parse_plan(data)
    good = verify(
        data,
        signature,
        signers=signers,
        principal=plan.author.principal,
        namespace=PLAN_NAMESPACE,
    )
    if good.key_fp != plan.author.key_fp:
        raise PlanRefusedError("the plan was signed with another key than its author's")
    created, end = moment(plan.created_utc, "created_utc"), moment(plan.not_after_utc, "not_after")
    now = moment(now_utc, "now")
    if end - created > timedelta(hours=MAX_PLAN_HOURS) or end <= created:
        raise PlanRefusedError(f"a plan holds for at most {MAX_PLAN_HOURS} hours")
    if not created <= now < end:
        raise PlanRefusedError(
            f"the plan held from {plan.created_utc} to {plan.not_after_utc}, now is {now_utc}",
            todo="Plan again: an identical plan keeps its approval",
        )
    _check_window(plan, now)
    check_waves(plan)
    return plan


def _check_window(plan: Plan, now: datetime) -> None:
    start, end = plan.window.start_utc, plan.window.end_utc
    if (start and now < moment(start, "window.start")) or (
        end and now >= moment(end, "window.end")
    ):
        raise PlanRefusedError(
            f"outside the change window {start or '-'} to {end or '-'} UTC",
            todo="Wait for the window",
        )


def check_approvals(
    plan: Plan,
    approvals: Sequence[SignedApproval],
    *,
    signers: Signers,
    now_utc: str,
    journal: Iterable[Record],
) -> Authority:
    """Decide whether a plan may be applied.

    A valid ``reject`` of this content beats every ``approve`` and does not expire. A file that
    cannot be verified refuses the whole: it may be a rejection that somebody broke.

    Raises:
        PlanRefusedError: no valid, unused, unexpired approval by somebody else.
    """
    records = tuple(journal)
    now = moment(now_utc, "now")
    _refuse_clock_set_back(now, now_utc, records)
    digest = content_digest(plan)
    reasons: list[str] = []
    found: Approval | None = None
    for signed in approvals:
        approval = parse_approval(signed.data)
        if approval.plan_digest != digest or approval.tenant != plan.tenant:
            reasons.append(f"{signed.name} is for another plan ({approval.plan_digest[:19]})")
            continue
        good = _verify_approval(signed, approval, signers)
        if approval.decision == "reject":
            raise PlanRefusedError(
                f"{approval.approver} rejected this plan",
                todo="Ask why; only another plan can be approved",
            )
        try:
            _check_one(plan, approval, good, now)
            _refuse_reuse(approval, records)
        except PlanRefusedError as refused:
            reasons.append(f"{signed.name}: {refused.reason}")
            continue
        found = approval
    if found is None:
        raise PlanRefusedError(
            "the plan is not approved" + "".join(f"; {reason}" for reason in reasons),
            todo="Let a second person run: mtughost approve",
        )
    return Authority(plan=plan, digest=digest, approval=found, signers_digest=signers.digest)


def _verify_approval(signed: SignedApproval, approval: Approval, signers: Signers) -> GoodSignature:
    good = verify(
        signed.data,
        signed.signature,
        signers=signers,
        principal=approval.approver,
        namespace=APPROVAL_NAMESPACE,
    )
    if good.key_fp != approval.approver_key_fp:
        raise PlanRefusedError(f"{signed.name}: signed with another key than it names")
    return good


def _refuse_clock_set_back(now: datetime, now_utc: str, records: Sequence[Record]) -> None:
    newest = max((moment(record.t_wall_utc, "journal") for record in records), default=None)
    if newest is not None and now < newest:
        raise PlanRefusedError(
            f"the clock says {now_utc}, but the journal already holds {iso(newest)}",
            todo="Set the clock: a clock set back would revive expired approvals",
        )


def _check_one(plan: Plan, approval: Approval, good: GoodSignature, now: datetime) -> None:
    _refuse_own_plan(plan, good.principal, good.key_fp)
    start = moment(approval.valid_from_utc, "valid_from_utc")
    end = moment(approval.not_after_utc, "not_after_utc")
    if end - start > timedelta(hours=MAX_APPROVAL_HOURS):
        raise PlanRefusedError(f"it holds for more than {MAX_APPROVAL_HOURS} hours")
    if not start <= now < end:
        raise PlanRefusedError(
            f"it holds from {approval.valid_from_utc} to {approval.not_after_utc} only"
        )
    if approval.devices_count != len(plan.devices) or approval.waves_allowed < len(plan.waves):
        raise PlanRefusedError("it does not cover all devices and waves of the plan")
    if approval.shown.diff_digest != diff_digest(plan):
        raise PlanRefusedError("the approver was shown another diff")
    if approval.shown.summary_digest != summary_digest(plan):
        raise PlanRefusedError("the approver was shown another summary")
    costs = {device.autorevert.cost for device in plan.devices}
    if costs & {"reboot", "ha-pair-reboot"} and not approval.accept.reboot:
        raise PlanRefusedError("a revert may cost a reboot, which the approver did not accept")
    if plan.accept_no_autorevert and not approval.accept.no_autorevert:
        raise PlanRefusedError("the approver did not accept a change without a guard")


def _refuse_reuse(approval: Approval, records: Sequence[Record]) -> None:
    """An approval counts once; its content holds the state's digest, so also once per state."""
    for record in records:
        if record.ev == "approval-used" and record.data.get("nonce") == approval.nonce:
            raise PlanRefusedError(f"it was used at {record.t_wall_utc} in run {record.run_id}")
