"""Plan a repair: diagnose the site afresh, choose the smallest sufficient fix, write it down."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from mtughost import __version__
from mtughost.app.audit import AuditOptions, audit_fleet
from mtughost.app.inventory import open_inventory
from mtughost.app.papers import journal_path, lineage_of, save_plan, signers_of
from mtughost.app.progress import Reporter
from mtughost.app.project import Project
from mtughost.app.reports import AuditResult
from mtughost.app.sessions import SessionFactory
from mtughost.app.watch import Watch
from mtughost.change.approval import MAX_PLAN_HOURS, author_of, iso, moment, sign_plan
from mtughost.change.journal import load_journal
from mtughost.change.prepare import Place, prepare_device
from mtughost.fleet.inventory import Inventory
from mtughost.model.documents import canonical_bytes, digest_bytes
from mtughost.model.errors import PlanRefusedError, UsageError
from mtughost.model.plans import Author, Plan, PlannedDevice, ToolInfo
from mtughost.model.session import Clock
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.fix import FixChoice, FixRefused
from mtughost.remedy.plan import DEFAULT_WINDOW_S, PlanHeader, build_plan
from mtughost.wire.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is to be planned.

    Attributes:
        sites: Names or patterns of the sites to repair.
        reason: Why, for the approver and the journal.
        ticket: Number of the ticket, or ``""``.
        change: A change asked for by name; ``""`` leaves the choice to the proof.
        window_s: From arming to the undo.
        watch: How closely to look before planning.
        out: Where the plan goes; in the state directory when ``None``.
    """

    sites: tuple[str, ...]
    reason: str
    ticket: str = ""
    change: str = ""
    window_s: int = DEFAULT_WINDOW_S
    watch: Watch = field(default_factory=lambda: Watch(probe=True, capture_s=10.0))
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, or the reasons why there is none.

    Attributes:
        plan: ``None`` when no site needs a change that this tool may make.
        path: Where it was written.
        refused: Per site: why nothing is planned there, or the change request for its owner.
        audit: What the plan rests on.
    """

    plan: Plan | None
    path: Path | None
    refused: tuple[tuple[str, FixRefused], ...]
    audit: AuditResult


def make_plan(
    project: Project,
    request: PlanRequest,
    *,
    progress: Reporter | None = None,
    clock: Clock | None = None,
) -> Planned:
    """Diagnose, choose, render, sign. Sends nothing that changes a device.

    Raises:
        UsageError: no author is configured, or the reason is empty.
        PlanRefusedError: the author's key is not among the signers, or state and fix do not fit.
        DeviceError: a device to change did not answer.
    """
    time = clock or SystemClock()
    key, author = _author(project)
    if not request.reason.strip():
        raise UsageError("a plan needs a reason", todo='Say why: --reason "..."')
    options = AuditOptions(sites=request.sites, watch=request.watch, kind="plan")
    audit = audit_fleet(project, options, progress=progress, clock=time)
    choices: list[FixChoice] = []
    refused: list[tuple[str, FixRefused]] = []
    for site in audit.report.sites:
        choice = choose_fix(site, audit.evidence_of(site.site), wanted=request.change)
        if isinstance(choice, FixRefused):
            refused.append((site.site, choice))
        else:
            choices.append(choice)
    if not choices:
        return Planned(plan=None, path=None, refused=tuple(refused), audit=audit)
    inventory = open_inventory(project)
    devices = _prepare(project, inventory, choices, request, time)
    plan = build_plan(_header(project, inventory, request, author, time), devices)
    data = canonical_bytes(plan)
    path = request.out or project.state_dir / "plans" / plan.plan_id / "plan.json"
    save_plan(path, data, sign_plan(data, key=key))
    return Planned(plan=plan, path=path, refused=tuple(refused), audit=audit)


def code_digest() -> str:
    """Return ``sha256:`` over the engine's own modules, so that a plan names what wrote it."""
    package = Path(str(files("mtughost")))
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        body = path.read_bytes()
        total.update(f"{path.relative_to(package).as_posix()}\0{len(body)}\0".encode() + body)
    return f"sha256:{total.hexdigest()}"


def _author(project: Project) -> tuple[Path, Author]:
    named = project.settings.change.author_key
    if not named:
        raise UsageError(
            "nobody is configured as the author of plans",
            todo="Set author_key under [change] in mtughost.toml",
        )
    key = (project.root or Path()) / Path(named).expanduser()
    author = author_of(signers_of(project), key)
    expected = project.settings.change.author
    if expected and expected != author.principal:
        raise PlanRefusedError(
            f"{key} belongs to {author.principal}, not to {expected}",
            todo="Correct [change] in mtughost.toml or allowed_signers",
        )
    return key, author


def _prepare(
    project: Project,
    inventory: Inventory,
    choices: Sequence[FixChoice],
    request: PlanRequest,
    clock: Clock,
) -> list[PlannedDevice]:
    planned = []
    with closing(SessionFactory(project, inventory.known, clock=clock)) as factory:
        for choice in choices:
            device = inventory.known[choice.device]
            with closing(factory.open(device)) as session:
                planned.append(
                    prepare_device(
                        choice,
                        session=session,
                        place=Place(
                            device=device,
                            book=factory.book(device),
                            root=project.content,
                            host_key_fp=factory.fingerprints(device.name),
                        ),
                        clock=clock,
                        window_s=request.window_s,
                    )
                )
    return planned


def _header(
    project: Project, inventory: Inventory, request: PlanRequest, author: Author, clock: Clock
) -> PlanHeader:
    now = clock.utc_now()
    journal = journal_path(project)
    records = load_journal(journal).records if journal.exists() else ()
    return PlanHeader(
        plan_id=uuid.uuid4().hex,
        created_utc=now,
        not_after_utc=iso(moment(now, "now") + timedelta(hours=MAX_PLAN_HOURS)),
        tool=ToolInfo(name="mtughost", version=__version__, code_digest=code_digest()),
        author=author,
        reason=request.reason.strip(),
        ticket=request.ticket,
        inventory_digest=inventory.digest,
        templates_digest=project.content.digest,
        policy_digest=digest_bytes(project.settings.model_dump_json().encode()),
        lineage=lineage_of(project),
        serial=records[-1].seq if records else 0,
        tenant=project.settings.project.name,
    )
