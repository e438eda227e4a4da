"""The audit: read many devices, watch where asked, diagnose every site, keep everything."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from mtughost import __version__
from mtughost.app.inventory import briefly, open_inventory, shared_keys
from mtughost.app.judging import Judge
from mtughost.app.progress import Reporter, Silent
from mtughost.app.project import Project
from mtughost.app.reports import AuditResult, StoredEvidence
from mtughost.app.sessions import SessionFactory, refuse_without_command_line
from mtughost.app.visiting import VisitSetup, jumps_of, processes_for
from mtughost.app.watch import Watch
from mtughost.diagnose import wanted_tests
from mtughost.fleet.outcome import HostOutcome
from mtughost.fleet.ramp import RampPolicy
from mtughost.fleet.runner import run_fleet
from mtughost.fleet.selection import select
from mtughost.model.basis import Risk
from mtughost.model.errors import NoCommandLineError, StoreError, UsageError
from mtughost.model.findings import AuditReport, SiteVerdict
from mtughost.model.inventory import Device, Site
from mtughost.model.session import Answer, Clock
from mtughost.report.json_report import stored_document
from mtughost.report.summary import sentence_of
from mtughost.report.words import VERDICT_WORDS
from mtughost.store import RunMeta, RunStore
from mtughost.wire.clock import SystemClock

if TYPE_CHECKING:
    from mtughost.app.observing import Observed
    from mtughost.fleet.seed import Seed
    from mtughost.fleet.worker import Visitor
    from mtughost.model.visit import Visit

#: How often the diagnosis may ask again, and for what class of commands.
MAX_ROUNDS = 2
ALLOWED: tuple[Risk, ...] = ("passive", "active")
#: A failing access point tries again within this time.
LONGER_CAPTURE_S = 25.0
#: So many findings are shown while the others are still being read.
FIRST_TOLD = 20
_TOLD = frozenset({"fault", "latent", "not-mtu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """What to audit and how closely.

    Attributes:
        sites: Names or patterns; empty means all.
        where: ``--filter``.
        watch: What may be sent beyond reading; nothing by default.
        resume_run: Continue this interrupted run: devices that finished are not asked again.
        scheduler: ``tls://HOST:PORT`` of a Dask cluster whose workers log in; ``""``: we do.
        kind: ``audit`` or ``diagnose``, for the list of runs.
    """

    sites: tuple[str, ...] = ()
    where: str = ""
    watch: Watch = field(default_factory=Watch)
    resume_run: str = ""
    scheduler: str = ""
    kind: str = "audit"


def audit_fleet(
    project: Project,
    options: AuditOptions | None = None,
    *,
    progress: Reporter | None = None,
    clock: Clock | None = None,
    seed: Seed | None = None,
) -> AuditResult:
    """Audit the selected sites.

    Every device's answers are on disk before its visit counts as finished, so that a crash or
    Ctrl-C loses nothing that had finished; ``resume_run`` goes on from there.

    Args:
        project: Content, inventory, host keys, state.
        options: What to audit; everything, passively, by default.
        progress: Is told what happens.
        clock: Time.
        seed: What workers are forked from, if it was begun already.

    Raises:
        InventoryError: the inventory is wrong. Nothing was sent.
        ContentError: a task book is wrong. Nothing was sent.
        UsageError: nothing is selected, or the run to resume asked for other devices.
        KeyboardInterrupt: Ctrl-C; what had finished is stored.
    """
    time = clock or SystemClock()
    listener = progress or Silent()
    with closing(RunStore.open(project.store_path, clock=time)) as store:
        audit = _Audit(project, options or AuditOptions(), listener, time, store, seed)
        with closing(audit.factory):
            return audit.run()


class _Audit:
    """One run. Short-lived: made, run, dropped."""

    def __init__(
        self,
        project: Project,
        options: AuditOptions,
        progress: Reporter,
        clock: Clock,
        store: RunStore,
        seed: Seed | None,
    ) -> None:
        self.project = project
        self.options = options
        self.progress = progress
        self.clock = clock
        self.store = store
        self.seed = seed
        if options.scheduler and options.watch:
            raise UsageError(
                "workers of a cluster only read: --scheduler goes without --probe and --capture",
                todo="Audit through the cluster, then: mtughost diagnose SITE, from where it can "
                "be reached",
            )
        everything = open_inventory(project)
        self.factory = SessionFactory(project, everything.known, clock=clock, warn=progress.note)
        copies = shared_keys(everything.devices, self.factory.host_keys)
        for remark in (*briefly(everything.warnings), *copies):
            progress.note(remark)
        self.inventory = select(everything, sites=options.sites, where=options.where)
        # Now, and once: a wrong book ends the run before anything is sent, and the first visits
        # do not each read it.
        for device in {device.platform: device for device in self.inventory.devices}.values():
            self.factory.book(device)
        policy = project.settings.policy
        self.policy = RampPolicy(
            overall=policy.overall,
            per_realm=policy.per_realm,
            per_jump=policy.per_jump,
            per_site=policy.per_site,
        )
        #: What is watched at each site, once its devices are in.
        self.targets: dict[str, list[Device]] = {}
        self.told = 0
        self.trouble: list[str] = []

    def run(self) -> AuditResult:
        run_id, started_utc = self._open_run()
        # Said at once: after a crash it is what --run takes.
        self.progress.note(f"run {run_id}")
        try:
            judge = Judge(self.project.content, self.store, run_id, self.inventory.sites)
            self._take_over(judge, run_id)
            self._read(judge, run_id)
            if self.options.watch:
                self._watch(judge, run_id, self.options.watch)
            if self.options.kind == "diagnose":
                self._answer_questions(judge, run_id)
            if far_ends := judge.compare_far_ends():
                from mtughost.app.stored import far_ends_probe  # noqa: PLC0415  # where probed

                self.store.record_probe(run_id, far_ends_probe(far_ends))
        except BaseException:
            self.store.finish_run(run_id, state="interrupted")
            raise
        for site in judge.unjudged:
            judge.judge(site.name)
        report = AuditReport(
            run_id=run_id,
            started_utc=started_utc,
            tool=f"mtughost {__version__}",
            content_digest=self.project.content.digest,
            hosts=tuple(judge.statuses[device.name] for device in self.inventory.devices),
            sites=judge.reports,
            fleet=judge.fleet_view(),
        )
        self.store.record_report(run_id, stored_document(report))
        self.store.finish_run(run_id)
        return AuditResult(
            report=report,
            content=self.project.content,
            stored=StoredEvidence(self.project, run_id, self.inventory.sites),
            trouble=tuple(self.trouble),
        )

    def _open_run(self) -> tuple[str, str]:
        if self.options.resume_run:
            return self._resume(self.store.find_run(self.options.resume_run))
        started_utc = self.clock.utc_now()
        meta = RunMeta(
            started_utc=started_utc,
            tool=f"mtughost {__version__}",
            kind=self.options.kind,
            hosts=tuple(device.name for device in self.inventory.devices),
            content_digest=self.project.content.digest,
            inventory_digest=self.inventory.digest,
            options=asdict(self.options.watch),
        )
        return self.store.create_run(meta, suffix=secrets.token_hex(3)), started_utc

    def _resume(self, run_id: str) -> tuple[str, str]:
        stored = self.store.load_run(run_id, bodies=False)
        if set(stored.info.meta.hosts) != {device.name for device in self.inventory.devices}:
            raise UsageError(
                f"run {run_id} asked for other devices than are selected now",
                todo="Repeat its --site and --filter, or start a new run",
            )
        self.store.finish_run(run_id, state="running")
        return run_id, stored.info.meta.started_utc

    def _take_over(self, judge: Judge, run_id: str) -> None:
        """Note what an interrupted run had read; the facts come from its raw answers."""
        if not self.options.resume_run:
            return
        for host in self.store.load_run(run_id, bodies=False).hosts:
            if host.status.status != "skipped":
                self._look_at(judge, judge.arrived(host.status))

    def _read(self, judge: Judge, run_id: str) -> None:
        self._account_unreadable(judge, run_id)
        left = [d for d in self.inventory.devices if d.name not in judge.statuses]
        self.progress.phase("reading", len(left))
        with self._reader(len(left)) as reader:
            summary = run_fleet(
                left,
                reader.visit,
                policy=self.policy,
                on_result=lambda outcome: self._keep_visit(judge, run_id, outcome),
                clock=self.clock,
            )
        for realm in summary.stopped_realms:
            self.progress.note(f"stopped using the credential {realm}: devices refused it")
        if summary.interrupted:
            self.progress.note(f"go on with: mtughost audit --run {run_id}")
            raise KeyboardInterrupt

    def _account_unreadable(self, judge: Judge, run_id: str) -> None:
        """Say of every device without an SSH command line what to do instead; dial none."""
        for device in self.inventory.devices:
            if device.name in judge.statuses:
                continue
            try:
                refuse_without_command_line(device, self.factory.book(device))
            except NoCommandLineError as error:
                # "Title has no SSH command line. What to do instead."
                reason = f"{error.reason}. {error.todo}"
                outcome: HostOutcome[Visit] = HostOutcome(
                    device=device, status="skipped", error=error, reason=reason
                )
                self._keep_visit(judge, run_id, outcome)

    def _reader(self, devices: int) -> AbstractContextManager[Visitor]:
        """Read in this process, in several where the fleet repays them, or on a cluster."""
        if self.options.scheduler:
            from mtughost.app.abroad import cluster_readers  # noqa: PLC0415  # only for clusters

            return cluster_readers(
                self.project,
                self.inventory,
                scheduler=self.options.scheduler,
                note=self.progress.note,
            )
        processes = processes_for(devices, self.project.settings.policy.processes)
        if processes == 1:
            from mtughost.app.reader import Reader  # noqa: PLC0415  # a parent of workers reads not

            return nullcontext(Reader(self.factory, self.clock))
        from mtughost.fleet.pool import WorkerPool  # noqa: PLC0415  # only for large fleets
        from mtughost.fleet.worker import Start  # noqa: PLC0415

        setup = VisitSetup(
            project=self.project,
            jumps=jumps_of(self.inventory),
            platforms=tuple(dict.fromkeys(d.platform for d in self.inventory.devices)),
        )
        start = Start("mtughost.app.reader:make_reader", setup)
        pool = WorkerPool(start, processes=processes, note=self.progress.note, seed=self.seed)
        return closing(pool)

    def _keep_visit(self, judge: Judge, run_id: str, outcome: HostOutcome[Visit]) -> None:
        status, visit = outcome.host_status, outcome.value
        extra: dict[str, object] = {}
        if visit is not None:
            extra["small_mss_login"] = visit.facts.login_needed_small_mss
            extra["default_login"] = visit.facts.login_by_default
        self.store.record_host(run_id, status, visit.answers if visit else (), extra=extra)
        self.progress.step(status.host, failed=status.error)
        if cut := _cut_off(status.host, visit.answers if visit else ()):
            self.trouble.append(cut)
            self.progress.note(cut)
        self._look_at(judge, judge.arrived(status, visit.facts if visit else None))

    def _look_at(self, judge: Judge, site: Site | None) -> None:
        """Judge a site whose devices are all in, or note what is watched there first."""
        if site is None:
            return
        try:
            if self.options.watch or self.options.kind == "diagnose":
                found = judge.evidence(site.name)
                watched = found.site.with_role("ap", "appliance")
                self.targets[site.name] = [d for d in watched if found.facts_of(d.name)]
                judge.forget(site.name)
            else:
                report = judge.judge(site.name)
                self._tell(site.name, report.verdict, sentence_of(report))
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - tried again, and raised, when all devices were read
            judge.forget(site.name)

    def _tell(self, site: str, verdict: SiteVerdict, sentence: str) -> None:
        """Show the first verdict and the first findings at once: the table comes at the end."""
        if len(self.inventory.sites) < 2:  # noqa: PLR2004 - one site's report is the whole answer
            return
        if not self.told or (verdict in _TOLD and self.told < FIRST_TOLD):
            self.told += 1
            self.progress.note(f"{site}: {VERDICT_WORDS[verdict]}: {sentence}")

    def _answer_questions(self, judge: Judge, run_id: str) -> None:
        """Let the diagnosis ask, collect what it asks for, until it is settled or cannot be."""
        for _ in range(MAX_ROUNDS):
            asked = {
                test.kind
                for site in self.inventory.sites
                for test in wanted_tests(judge.evidence(site.name), ALLOWED)
            }
            watch = Watch(
                probe="service-probe" in asked,
                path="ping" in asked,
                # What a first capture did not show may come with the device's next try.
                capture_s=LONGER_CAPTURE_S if "capture" in asked else 0.0,
            )
            if not watch:
                break
            self._watch(judge, run_id, watch)

    def _watch(self, judge: Judge, run_id: str, watch: Watch) -> None:
        """Visit every AP that was read again, now with traffic, all sites side by side."""
        from mtughost.app.observing import Observed, observe  # noqa: PLC0415  # only where wanted

        targets = [d for site in self.inventory.sites for d in self.targets.get(site.name, ())]
        self.progress.phase("watching", len(targets))

        def visit(ap: Device) -> Observed:
            return observe(self.factory, judge.evidence(ap.site), ap, watch)

        def keep(outcome: HostOutcome[Observed]) -> None:
            seen = outcome.value or Observed(trouble=[outcome.reason])
            self._keep_seen(run_id, seen)
            judge.saw(outcome.device.site, seen)
            self.progress.step(outcome.device.name, failed="; ".join(seen.trouble))

        # One visit opens a login at the AP and one at its gateway: the site's whole allowance. A
        # command line does one thing at a time: to capture on both its sides takes one more.
        policy = replace(self.policy, per_site=1)
        summary = run_fleet(targets, visit, policy=policy, on_result=keep, clock=self.clock)
        if summary.interrupted:
            raise KeyboardInterrupt

    def _keep_seen(self, run_id: str, seen: Observed) -> None:
        for raw, capture in seen.captures:
            meta: dict[str, object] = {
                "command": raw.command,
                "seconds": raw.seconds,
                "basis": raw.basis,
            }
            if raw.misses:
                meta |= {"misses": raw.misses, "misses_later": raw.misses_later}
            meta |= {} if raw.leaving_known else {"leaving_known": False}
            self.store.record_capture(
                run_id, raw.host, point=raw.point, interface=raw.interface, pcap=raw.pcap, meta=meta
            )
            self.trouble += [f"{raw.host} {raw.interface}: {text}" for text in capture.warnings]
        for probe in seen.probes:
            self.store.record_probe(run_id, {"kind": "service", **asdict(probe)})
        for ping in seen.pings:
            self.store.record_probe(run_id, {"kind": "ping", **asdict(ping)})
        self.trouble += seen.trouble


def _cut_off(host: str, answers: Sequence[Answer]) -> str:
    """Say in one line which answers of a device did not end, and so became no fact."""
    cut = [answer for answer in answers if answer.status in {"timeout", "output-limit", "desync"}]
    if not cut:
        return ""
    more = f" (and {len(cut) - 1} more)" if len(cut) > 1 else ""
    return f"{host}: no whole answer to '{cut[0].line}'{more}: {cut[0].error}"
