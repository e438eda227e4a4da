"""A chosen fix, the device's state and the rendered lines become a plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Final

from mtughost.model.config import ConfigEdit
from mtughost.model.documents import digest_bytes
from mtughost.model.errors import PlanRefusedError
from mtughost.model.findings import FlowReport
from mtughost.model.inventory import Device
from mtughost.model.plans import (
    PLAN_SCHEMA,
    Author,
    Autorevert,
    BackupSpec,
    Cost,
    CoverageRow,
    GuardLines,
    GuardMethod,
    Plan,
    PlanItem,
    PlannedDevice,
    PlannedLine,
    PlanWindow,
    StateDigest,
    StateLines,
    ToolInfo,
    VerifyStep,
)
from mtughost.model.session import RenderedCommand
from mtughost.remedy.config_state import config_after, items_of_settings
from mtughost.remedy.edits import lines_after, saved_after
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.state import (
    DeviceReading,
    has_stanza,
    predicted,
    stanza_mtu,
    state_digest,
)
from mtughost.remedy.values import items_of
from mtughost.remedy.waves import WavePolicy, build_waves

#: Long enough for two logins, the change, and an access point that retries every ten seconds.
DEFAULT_WINDOW_S: Final = 180
SERVICE_TIMEOUT_S: Final = 90
#: Of the window: later than this nothing is confirmed any more.
CUT_OFF: Final = 0.7
#: Counters move all the time; an approval must outlive that (it signs the plan's content).
_COUNTS: Final = re.compile(r" \((?:[0-9]+ (?:packets?|hits?)|no counter)\)")
ANY_TIME: Final = PlanWindow()
STANDARD: Final = WavePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHeader:
    """What a plan says besides its devices; see :class:`mtughost.model.plans.Plan`."""

    plan_id: str
    created_utc: str
    not_after_utc: str
    tool: ToolInfo
    author: Author
    reason: str
    inventory_digest: str
    templates_digest: str
    lineage: str
    serial: int
    tenant: str = ""
    ticket: str = ""
    policy_digest: str = ""
    window: PlanWindow = ANY_TIME
    allow_unrelated_drift: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLines:
    """All lines for one device, rendered from the task book."""

    apply: tuple[RenderedCommand, ...]
    undo: tuple[RenderedCommand, ...]
    preview: tuple[RenderedCommand, ...]
    persist: tuple[RenderedCommand, ...]
    unsave: tuple[RenderedCommand, ...]
    guard: GuardLines
    state: StateLines


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNow:
    """What was read of a device when the plan was made.

    Attributes:
        identity: Host name, version, serial number.
        host_key_fp: Fingerprints that are accepted for it.
        window: When it may be changed.
    """

    device: Device
    read: DeviceReading
    identity: tuple[str, str, str]
    host_key_fp: tuple[str, ...]
    taken_utc: str
    window: PlanWindow = ANY_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTerms:
    """What the task book says of the guard."""

    window_s: int
    reboot_reverts: bool
    cost: Cost
    survives: tuple[str, ...]
    method: GuardMethod = "detached-restore"
    limits: str = ""


def coverage_rows(reports: Sequence[FlowReport]) -> tuple[CoverageRow, ...]:
    """Return the coverage proof as the plan keeps it."""
    return tuple(
        CoverageRow(
            service=row.key.service,
            ap=row.key.ap,
            egress=row.key.egress,
            family=row.key.family,
            direction=row.key.direction,
            path_mtu_bytes=row.path_mtu,
            mss_bytes=row.mss.configured,
            covered=row.covered,
            proof=_COUNTS.sub("", row.proof),
        )
        for row in reports
    )


def _lines(commands: Sequence[RenderedCommand]) -> tuple[PlannedLine, ...]:
    return tuple(PlannedLine.of(command) for command in commands)


def check_saved(choice: FixChoice, read: DeviceReading) -> None:
    """Refuse where saving the running state would save more than the change.

    Raises:
        PlanRefusedError: saved and running state differ already.
    """
    if choice.backend == "link-mtu":
        _check_stanza(choice, read)
        return
    if read.saved == read.running:
        return
    what = "configuration" if choice.backend == "config" else "rules"
    diff = unified_diff(read.saved, read.running, "saved", "running", lineterm="", n=1)
    raise PlanRefusedError(
        f"{choice.device}: the saved and the running {what} differ already, so saving the fix "
        "would save those differences too:\n" + "\n".join(diff),
        todo=f"Save or reload the device's {what} first (runbook fix-not-persisted), then plan "
        "again",
    )


def _check_stanza(choice: FixChoice, read: DeviceReading) -> None:
    where = f"{choice.device}: /etc/network/interfaces"
    if not has_stanza(read.saved, choice.target):
        raise PlanRefusedError(
            f"{where} does not configure {choice.target}, so its MTU cannot be saved there",
            todo="Save the MTU where the interface is configured (networkd, NetworkManager, DHCP)",
        )
    saved = stanza_mtu(read.saved, choice.target)
    if saved is not None and f" mtu {saved} " not in f"{read.running[0]} ":
        raise PlanRefusedError(
            f"{where} says mtu {saved} for {choice.target}, which is not the running one",
            todo="Find out which one is meant (runbook fix-not-persisted), then plan again",
        )


def plan_device(
    choice: FixChoice, now: DeviceNow, lines: DeviceLines, terms: GuardTerms
) -> PlannedDevice:
    """Return one device of the plan.

    Raises:
        PlanRefusedError: the fix does not fit the state that was read, or cannot be saved alone.
    """
    check_saved(choice, now.read)
    relevant, post, items = _prediction(choice, now.read, lines.state.form)
    diff_text = _diff_text(choice, now.read.relevant, relevant)
    device = now.device
    hostname, version, serial = now.identity
    return PlannedDevice(
        name=device.name,
        site=device.site,
        ha_peer=device.ha_peer,
        platform=device.platform,
        hostname=hostname,
        version=version,
        serial=serial,
        window=now.window,
        address=device.address,
        port=device.port,
        host_key_fp=tuple(sorted(now.host_key_fp)),
        change=choice.change,
        backend=choice.backend,
        target=choice.target,
        finding=choice.finding,
        summary=choice.summary,
        touches_management=choice.touches_management,
        pre=state_digest(now.read, taken_utc=now.taken_utc, items=items),
        post=post,
        state=lines.state,
        guard=lines.guard,
        commands=_lines(lines.apply),
        undo_commands=_lines(lines.undo),
        preview=_lines(lines.preview),
        persist=_lines(lines.persist),
        unsave=_lines(lines.unsave),
        autorevert=Autorevert(
            method=terms.method,
            window_s=terms.window_s,
            survives_reboot=False,
            cost=terms.cost,
            survives=_survives(terms),
        ),
        verify=_verify_steps(choice, terms.window_s),
        backup=BackupSpec(method="state read twice, kept with its digest", required=True),
        risk=choice.risk,
        other_flows=choice.other_flows,
        blast_radius=choice.blast_radius,
        coverage_before=coverage_rows(choice.before),
        coverage_after=coverage_rows(choice.after),
        diff_text=diff_text,
        diff_text_digest=digest_bytes(diff_text.encode("utf-8")),
        edits=tuple(edit for edit in choice.edits if isinstance(edit, ConfigEdit)),
    )


def _prediction(
    choice: FixChoice, read: DeviceReading, form: str
) -> tuple[tuple[str, ...], StateDigest, tuple[PlanItem, ...]]:
    """Return the touched section afterwards, all digests afterwards, and what must hold before."""
    settings = [
        setting
        for edit in choice.edits
        if isinstance(edit, ConfigEdit)
        for setting in edit.settings
    ]
    if settings:
        after, post = config_after(form, read, settings)
        return after.relevant, post, items_of_settings(settings)
    relevant = read.relevant
    edits = tuple(edit for edit in choice.edits if not isinstance(edit, ConfigEdit))
    for edit in edits:
        relevant = lines_after(relevant, edit)
    items = tuple(item for edit in edits for item in items_of(edit, read))
    return relevant, predicted(read, relevant, saved_after(read, edits, relevant)), items


def _survives(terms: GuardTerms) -> str:
    if terms.method == "tool-inverse":
        return f"no timer: it ends with this tool and its connection. {terms.limits}".strip()
    reboot = (
        "a reboot restores by itself"
        if terms.reboot_reverts
        else "whether a reboot inside the window restores is not certain"
    )
    limits = f". {terms.limits}" if terms.limits else ""
    return f"outlives {', '.join(terms.survives)}; {reboot}{limits}"


def _verify_steps(choice: FixChoice, window_s: int) -> tuple[VerifyStep, ...]:
    state = VerifyStep(
        id="state",
        kind="read-back",
        expect="over a new login, the touched section has the planned digest and nothing "
        "else has changed",
        timeout_s=30,
    )
    if not choice.prove_service:
        return (state,)
    services = sorted({row.key.service for row in choice.after})
    service = VerifyStep(
        id="service",
        kind="service",
        expect=f"{', '.join(services)}: a full handshake and a round trip after the change, "
        "and a full-size probe answered",
        timeout_s=min(SERVICE_TIMEOUT_S, int(window_s * CUT_OFF)),
    )
    return (state, service)


def _diff_text(choice: FixChoice, before: tuple[str, ...], after: tuple[str, ...]) -> str:
    name = f"{choice.device}: {choice.target}"
    lines = unified_diff(before, after, f"{name} (running)", f"{name} (planned)", lineterm="", n=3)
    return "\n".join(lines) + "\n"


def build_plan(
    header: PlanHeader, devices: Sequence[PlannedDevice], policy: WavePolicy = STANDARD
) -> Plan:
    """Return a plan: a canary alone, then waves.

    Raises:
        PlanRefusedError: no device, or a canary that is not among them.
    """
    if not devices:
        raise PlanRefusedError("the plan would hold no device")
    return Plan(
        schema=PLAN_SCHEMA,
        plan_id=header.plan_id,
        tenant=header.tenant,
        created_utc=header.created_utc,
        not_after_utc=header.not_after_utc,
        tool=header.tool,
        author=header.author,
        reason=header.reason,
        ticket=header.ticket,
        inventory_digest=header.inventory_digest,
        templates_digest=header.templates_digest,
        policy_digest=header.policy_digest,
        lineage=header.lineage,
        serial=header.serial,
        window=header.window,
        waves=build_waves(devices, policy),
        fail_budget=0,
        allow_unrelated_drift=header.allow_unrelated_drift,
        accept_no_autorevert=any(d.autorevert.method == "tool-inverse" for d in devices),
        devices=tuple(devices),
    )
