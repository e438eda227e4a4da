"""``plan -> approve -> apply -> verify -> confirm -> persist`` for all devices of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtughost.change.approval import Authority, SignedApproval, check_approvals, check_plan
from mtughost.change.journal import Journal, RunJournal, Writer
from mtughost.change.resume import open_devices
from mtughost.change.signers import Signers
from mtughost.change.tools import RunResult, Tools
from mtughost.change.wave_run import WaveRun
from mtughost.disk import replace_file
from mtughost.model.errors import PlanRefusedError, StoreError
from mtughost.model.plans import content_digest, parse_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyInput:
    """What is to be applied, and on whose word.

    Attributes:
        data: The bytes of ``plan.json``.
        signature: The author's.
        approvals: Every approval and rejection that lies beside the plan.
        signers: The checked ``allowed_signers``.
    """

    data: bytes
    signature: bytes
    approvals: Sequence[SignedApproval]
    signers: Signers


def authorise(given: ApplyInput, journal: Journal, now_utc: str) -> Authority:
    """Check plan, author, approvals, times and earlier runs. Nothing is sent.

    Raises:
        PlanRefusedError: any of it does not hold.
    """
    plan = check_plan(given.data, given.signature, signers=given.signers, now_utc=now_utc)
    # Before the approvals: a killed run has used its own, and a new one would not help.
    open_now = {status.device for status in open_devices(journal.records)}
    # One that cannot be reached for days does not keep other sites from being repaired.
    unfinished = open_now & {device.name for device in plan.devices}
    if unfinished:
        names = ", ".join(sorted(unfinished))
        raise PlanRefusedError(
            f"an earlier run has not ended for {names}", todo="Run: mtughost resume"
        )
    return check_approvals(
        plan, given.approvals, signers=given.signers, now_utc=now_utc, journal=journal.records
    )


def apply_plan(
    given: ApplyInput, *, journal: Journal, writer: Writer, run_id: str, tools: Tools
) -> RunResult:
    """Apply a plan, wave by wave; the first failure of a touched device ends it.

    Args:
        given: Plan and approvals.
        journal: Open, so that no other run writes.
        writer: Who does it.
        run_id: Name of the run in the journal.
        tools: Sessions, service check, clock.

    Raises:
        PlanRefusedError: the plan may not be applied; nothing was sent.
        StoreError: journal or backup failed; armed devices undo themselves.
    """
    authority = authorise(given, journal, tools.clock.utc_now())
    keep_plan(journal.directory, given.data)
    pen = journal.run(run_id, authority.digest, writer)
    _open_run(pen, authority)
    results = WaveRun(authority, pen, tools).run()
    record = pen.write("run-close", outcomes={r.device: r.outcome for r in results})
    return RunResult(run_id=run_id, plan=authority.plan, devices=tuple(results), head=record.hash)


def _open_run(pen: RunJournal, authority: Authority) -> None:
    plan, approval = authority.plan, authority.approval
    pen.write(
        "run-open",
        lineage=plan.lineage,
        allowed_signers_digest=authority.signers_digest,
        tool={"name": plan.tool.name, "version": plan.tool.version},
        plan_id=plan.plan_id,
    )
    pen.write("lock", text="no other run writes this journal")
    pen.write(
        "approval-used",
        nonce=approval.nonce,
        approver=approval.approver,
        approver_key_fp=approval.approver_key_fp,
        approval_digest=authority.digest,
        valid_from_utc=approval.valid_from_utc,
    )


def plan_path(directory: Path, digest: str) -> Path:
    """Return where the journal's directory keeps a plan, by content digest."""
    return directory / "plans" / f"{digest.removeprefix('sha256:')}.json"


def keep_plan(directory: Path, data: bytes) -> Path:
    """Keep the plan beside the journal, so that ``resume`` needs nothing else.

    Raises:
        StoreError: it is not safely on the disk.
    """
    path = plan_path(directory, content_digest(parse_plan(data)))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise StoreError(f"{path}: cannot keep the plan: {error.strerror}") from error
    return path
