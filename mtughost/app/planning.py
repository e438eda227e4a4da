"""Plan a repair: diagnose the site afresh, choose the smallest sufficient fix, write it down."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

from mtughost import __version__
from mtughost.app.audit import AuditOptions, audit_fleet
from mtughost.app.fix_offers import FixOffers
from mtughost.app.inventory import open_inventory
from mtughost.app.papers import journal_path, lineage_of, save_plan, signers_of
from mtughost.app.progress import Reporter
from mtughost.app.project import Project
from mtughost.app.reports import AuditResult, judged_again
from mtughost.app.sessions import SessionFactory
from mtughost.app.watch import Watch
from mtughost.app.windows import hull, site_windows
from mtughost.change.approval import MAX_PLAN_HOURS, author_of, iso, moment, sign_plan
from mtughost.change.journal import load_journal
from mtughost.change.prepare import Place, prepare_device
from mtughost.fleet.inventory import Inventory
from mtughost.fleet.selection import select
from mtughost.model.documents import canonical_bytes, digest_bytes
from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceError,
    PlanRefusedError,
    UsageError,
)
from mtughost.model.inventory import Device
from mtughost.model.plans import Author, Plan, PlannedDevice, PlanWindow, ToolInfo
from mtughost.model.session import Answer, Clock
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.fix import FixChoice, FixRefused
from mtughost.remedy.plan import (
    ANY_TIME,
    DEFAULT_WINDOW_S,
    STANDARD,
    PlanHeader,
    build_plan,
)
from mtughost.remedy.waves import WavePolicy
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

NO_WINDOWS: Final[Mapping[str, PlanWindow]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is to be planned.

    Attributes:
        sites: Names or patterns of the sites to repair.
        reason: Why, for the approver and the journal.
        ticket: Number of the ticket, or ``""``.
        change: A change asked for by name; ``""`` leaves the choice to the proof.
        window_s: From arming to the undo.
        hours: ``HH:MM-HH:MM`` in each site's own time zone, or ``""`` for any time.
        policy: How the run is divided into waves.
        guard: A guard asked for by the name that the task book gives it; ``""`` for the
            change's own.
        accept_no_autorevert: Plan also where nothing on the device would take the change back.
        from_run: Plan from this stored run instead of diagnosing afresh; devices that have
            changed since are refused. ``""`` for none.
        watch: How closely to look before planning.
        out: Where the plan goes; in the state directory when ``None``.
    """

    sites: tuple[str, ...]
    reason: str
    ticket: str = ""
    change: str = ""
    window_s: int = DEFAULT_WINDOW_S
    hours: str = ""
    policy: WavePolicy = STANDARD
    guard: str = ""
    accept_no_autorevert: bool = False
    from_run: str = ""
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


@dataclass(frozen=True, slots=True)
class GuardWish:
    """Which guard is wanted: the change's own unless named; none at all only if accepted."""

    name: str = ""
    accept_no_autorevert: bool = False


ITS_OWN: Final = GuardWish()


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
        PlanRefusedError: the author's key is not among the signers, or no state fits its fix.
        DeviceError: no device to change answered, or one refused the credential.
    """
    time = clock or SystemClock()
    key, author = author_and_key(project)
    if not request.reason.strip():
        raise UsageError("a plan needs a reason", todo='Say why: --reason "..."')
    audit = _audit(project, request, progress, time)
    choices: list[FixChoice] = []
    refused: list[tuple[str, FixRefused]] = []
    inventory = open_inventory(project)
    offers = _offers(project, inventory, audit.report.run_id)
    for site in audit.report.sites:
        evidence = audit.evidence_of(site.site)
        choice = choose_fix(site, evidence, wanted=request.change, offers=offers)
        if isinstance(choice, FixRefused):
            refused.append((site.site, choice))
        else:
            choices.append(choice)
    if not choices:
        return Planned(plan=None, path=None, refused=tuple(refused), audit=audit)
    windows = site_windows(inventory, [c.device for c in choices], request.hours, time.utc_now())
    found = prepare_devices(
        project,
        inventory,
        choices,
        window_s=request.window_s,
        clock=time,
        windows=windows,
        wish=GuardWish(name=request.guard, accept_no_autorevert=request.accept_no_autorevert),
    )
    devices = [one for one in found if isinstance(one, PlannedDevice)]
    # One store that does not answer keeps no other from its repair.
    for choice, one in zip(choices, found, strict=True):
        if not isinstance(one, PlannedDevice):
            if not devices:
                raise one
            because = FixRefused(reason=str(one), todo=one.todo)
            refused.append((inventory.known[choice.device].site, because))
    plan, path = write_plan(
        project,
        inventory,
        devices,
        reason=request.reason.strip(),
        ticket=request.ticket,
        policy=request.policy,
        signer=(key, author),
        out=request.out,
        clock=time,
    )
    return Planned(plan=plan, path=path, refused=tuple(refused), audit=audit)


def _audit(
    project: Project, request: PlanRequest, progress: Reporter | None, clock: Clock
) -> AuditResult:
    if request.from_run:
        chosen = select(open_inventory(project), sites=request.sites)
        return judged_again(project, request.from_run, chosen.sites)
    options = AuditOptions(sites=request.sites, watch=request.watch, kind="plan")
    return audit_fleet(project, options, progress=progress, clock=clock)


def write_plan(  # noqa: PLR0913 - what a plan says besides its devices
    project: Project,
    inventory: Inventory,
    devices: Sequence[PlannedDevice],
    *,
    reason: str,
    ticket: str,
    policy: WavePolicy,
    signer: tuple[Path, Author],
    out: Path | None,
    clock: Clock,
) -> tuple[Plan, Path]:
    """Put the devices into waves, sign the plan and write it. Returns it and its place.

    Raises:
        PlanRefusedError: the waves cannot be built.
        UsageError: the file exists already, or the key cannot sign.
    """
    key, author = signer
    header = _header(project, inventory, (reason, ticket), author, clock)
    plan = build_plan(replace(header, window=hull(devices)), devices, policy)
    data = canonical_bytes(plan)
    path = out or project.state_dir / "plans" / plan.plan_id / "plan.json"
    save_plan(path, data, sign_plan(data, key=key))
    return plan, path


def code_digest() -> str:
    """Return ``sha256:`` over the engine's own modules, so that a plan names what wrote it."""
    package = Path(str(files("mtughost")))
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        body = path.read_bytes()
        total.update(f"{path.relative_to(package).as_posix()}\0{len(body)}\0".encode() + body)
    return f"sha256:{total.hexdigest()}"


def author_and_key(project: Project) -> tuple[Path, Author]:
    """Return the key that signs plans here, and whose it is.

    Raises:
        UsageError: nobody is configured.
        PlanRefusedError: the key is nobody's in ``allowed_signers``, or somebody else's.
    """
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


def prepare_devices(
    project: Project,
    inventory: Inventory,
    choices: Sequence[FixChoice],
    *,
    window_s: int,
    clock: Clock,
    windows: Mapping[str, PlanWindow] = NO_WINDOWS,
    wish: GuardWish = ITS_OWN,
) -> list[PlannedDevice | PlanRefusedError | DeviceError]:
    """Read the devices to change and render every line. Sends nothing that changes one.

    The first device alone, then as many at once as the project allows logins.

    Returns:
        For each choice its part of the plan, or why there is none: the device did not answer, or
        its state and the fix do not fit.

    Raises:
        AuthenticationRefusedError: a device refused the credential; it is not tried any further.
    """
    policy = project.settings.policy
    at_once = min(policy.overall, policy.per_realm)
    with (
        closing(SessionFactory(project, inventory.known, clock=clock)) as factory,
        ThreadPoolExecutor(at_once) as pool,
    ):
        keys = {name: factory.fingerprints(name) for name in inventory.known}

        def prepared(choice: FixChoice) -> PlannedDevice | PlanRefusedError | DeviceError:
            try:
                return planned_device(choice)
            except AuthenticationRefusedError:
                raise
            except (PlanRefusedError, DeviceError) as error:
                return error

        def planned_device(choice: FixChoice) -> PlannedDevice:
            device = inventory.known[choice.device]
            refuse_copies(device, keys)
            place = Place(
                device=device,
                book=factory.book(device),
                root=project.content,
                host_key_fp=factory.fingerprints(device.name),
                window=windows.get(device.name, ANY_TIME),
            )
            with closing(factory.open_in_turn(device)) as session:
                return prepare_device(
                    choice,
                    session=session,
                    place=place,
                    clock=clock,
                    window_s=window_s,
                    guard=wish.name,
                    accept_no_autorevert=wish.accept_no_autorevert,
                )

        planned = [prepared(choice) for choice in choices[:1]]
        try:
            planned += pool.map(prepared, choices[1:])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return planned


def refuse_copies(device: Device, keys: Mapping[str, Sequence[str]]) -> None:
    """Refuse to change a device whose host key is another one's too.

    A cloned image answers like its original: nobody can tell which of the two is being changed.
    The members of an HA pair may share their keys.

    Args:
        device: What is to be changed.
        keys: Accepted fingerprints of every device, by name.

    Raises:
        PlanRefusedError: names the other device.
    """
    mine = set(keys.get(device.name, ()))
    for name, theirs in keys.items():
        if name not in (device.name, device.ha_peer) and mine.intersection(theirs):
            raise PlanRefusedError(
                f"{device.name} has the same host key as {name}: one is a copy of the other, and "
                "nobody can tell which of them answers",
                todo="Give one of them a key of its own (ssh-keygen -A), then enroll it again",
            )


def _offers(project: Project, inventory: Inventory, run_id: str) -> FixOffers:
    """Return what lists fixes from the answers of this run."""

    def answers(device: str) -> Sequence[Answer]:
        with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
            hosts = store.load_part(run_id, [device]).hosts
        return hosts[0].answers if hosts else ()

    return FixOffers(answers, inventory.known, project.content)


def _header(
    project: Project, inventory: Inventory, why: tuple[str, str], author: Author, clock: Clock
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
        reason=why[0],
        ticket=why[1],
        inventory_digest=inventory.digest,
        templates_digest=project.content.digest,
        policy_digest=digest_bytes(project.settings.model_dump_json().encode()),
        lineage=lineage_of(project),
        serial=records[-1].seq if records else 0,
        tenant=project.settings.project.name,
    )
