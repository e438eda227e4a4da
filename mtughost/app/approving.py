"""A second person looks at a plan and signs a decision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mtughost.app.papers import journal_path, load_papers, save_approval, signers_of
from mtughost.app.project import Project
from mtughost.change.approval import (
    Authority,
    author_of,
    check_approvals,
    check_plan,
    make_approval,
    sign_approval,
)
from mtughost.change.journal import load_journal
from mtughost.model.approvals import Accepted
from mtughost.model.plans import Plan
from mtughost.model.session import Clock
from mtughost.wire.clock import SystemClock

NOTHING: Final = Accepted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A signed decision."""

    plan: Plan
    approver: str
    decision: Literal["approve", "reject"]
    path: Path


def open_plan(project: Project, path: Path, *, clock: Clock | None = None) -> Plan:
    """Read a plan, with its author's signature and times checked.

    Raises:
        PlanRefusedError: any of it is wrong.
    """
    papers = load_papers(path)
    now_utc = (clock or SystemClock()).utc_now()
    signers = signers_of(project, plan=path)
    return check_plan(papers.data, papers.signature, signers=signers, now_utc=now_utc)


def check_papers(project: Project, path: Path, *, clock: Clock | None = None) -> Authority:
    """Decide whether a plan may be applied, as ``apply`` will; read files and nothing else.

    Raises:
        PlanRefusedError: the plan, or its approval, is not valid now.
    """
    papers, signers = load_papers(path), signers_of(project, plan=path)
    now_utc = (clock or SystemClock()).utc_now()
    plan = check_plan(papers.data, papers.signature, signers=signers, now_utc=now_utc)
    journal = load_journal(journal_path(project)).records
    return check_approvals(
        plan, papers.approvals, signers=signers, now_utc=now_utc, journal=journal
    )


def decide(
    project: Project,
    path: Path,
    *,
    key: Path,
    decision: Literal["approve", "reject"] = "approve",
    accept: Accepted = NOTHING,
    clock: Clock | None = None,
) -> Decision:
    """Sign a decision about a plan that was shown before.

    Args:
        project: Whose ``allowed_signers`` judge.
        path: The plan.
        key: The approver's private key, or the public one where ssh-agent holds the private.
        decision: ``approve`` or ``reject``.
        accept: Prices that the approver accepts by name.
        clock: Time.

    Raises:
        PlanRefusedError: the plan is not valid, or the approver is its author.
    """
    time = clock or SystemClock()
    plan = open_plan(project, path, clock=time)
    approver = author_of(signers_of(project, plan=path), key)
    approval = make_approval(
        plan, author=approver, decision=decision, now_utc=time.utc_now(), accept=accept
    )
    signed = sign_approval(approval, key=key)
    return Decision(
        plan=plan,
        approver=approver.principal,
        decision=decision,
        path=save_approval(path, signed),
    )
