"""The plan as a value: everything that ``apply`` may do, and nothing that it must look up.

Fields follow the reliability fact sheet, section 4. A plan carries the exact lines for reading
the state, arming, changing, confirming, undoing and saving; the only thing that is put in later
is the run's token (:data:`TOKEN_MARK`), so that two runs never share a directory on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

from pydantic import ConfigDict

from mtughost.model.basis import CommandBasis, Risk
from mtughost.model.config import ConfigEdit
from mtughost.model.device import Family
from mtughost.model.documents import canonical_bytes, digest, digest_bytes, parse_document
from mtughost.model.errors import PlanRefusedError
from mtughost.model.evidence import Direction
from mtughost.model.session import RenderedCommand

PLAN_SCHEMA: Final = "mtughost/plan/v1"
#: SSHSIG namespace: a signature made for another kind of document never counts for a plan.
PLAN_NAMESPACE: Final = "mtughost-plan-v1"
#: Stands in planned lines where the run's token (16 hex digits) goes.
TOKEN_MARK: Final = "@MTUGHOST-TOKEN@"  # noqa: S105 - names a run, opens nothing

Cost = Literal["none", "link-flap", "reboot", "ha-pair-reboot"]
GuardMethod = Literal["detached-restore", "device-timer", "confirmed-commit", "tool-inverse"]
#: What a device's change acts on: decides which lines read and save its state.
Backend = Literal["nft", "iptables", "link-mtu", "config"]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """One named value of a device's state, as a person would quote it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLine:
    """One exact line.

    Attributes:
        id: Entry of the task book or template that it comes from.
        timeout_s: Monotonic deadline for its answer.
        mode: On command lines: the mode whose prompt must follow, ``""`` for the login's own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: str
    line: str
    risk: Risk
    basis: CommandBasis
    timeout_s: int
    mode: str = ""

    @classmethod
    def of(cls, command: RenderedCommand) -> PlannedLine:
        """Keep a rendered command in the plan; a fraction of a second is rounded up."""
        return cls(
            id=command.command_id,
            line=command.line,
            risk=command.risk,
            basis=command.basis,
            timeout_s=-int(-command.timeout_s // 1),
            mode=command.mode,
        )

    def command(self, token: str = "") -> RenderedCommand:
        """Return what the session sends, with the run's token in its place."""
        if TOKEN_MARK in self.line and not token:
            raise PlanRefusedError(f"the planned line {self.id} needs the token of a run")
        return RenderedCommand(
            command_id=self.id,
            line=self.line.replace(TOKEN_MARK, token),
            risk=self.risk,
            basis=self.basis,
            timeout_s=float(self.timeout_s),
            # Every answer is judged by its exit code where it is used; none is an error by itself.
            ok_exit_codes=tuple(range(256)),
            mode=self.mode,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDigest:
    """What a device's state is, or must become.

    Attributes:
        relevant: Digest of the normalised section that the change touches.
        whole: Digest of the whole configuration without volatile lines.
        saved: Digest of what would be loaded at the next boot, for the touched section.
        normaliser: Name and version of the rules that made the text comparable.
        taken_utc: When it was read; ``""`` for a predicted state.
        items: Named values: rules with their handles, MTUs, and one digest per other section.
        lines: The relevant section's normalised lines, so that drift can be shown.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    relevant: str
    whole: str
    saved: str
    normaliser: str
    taken_utc: str
    items: tuple[PlanItem, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Autorevert:
    """How the device undoes the change by itself.

    Attributes:
        window_s: From arming to the revert, by the device's own monotonic clock.
        survives_reboot: Whether the timer outlives a reboot. Where it does not, nothing was
            saved before confirm, so the reboot itself is the revert.
        cost: What a revert costs the site.
        survives: What the timer outlives, in words, for the approver.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    method: GuardMethod
    window_s: int
    survives_reboot: bool
    cost: Cost
    survives: str

    @property
    def in_words(self) -> str:
        """What undoes the change if nobody confirms, as the approver reads it."""
        if self.method == "tool-inverse":
            return f"by this tool with the undo lines; {self.survives}"
        return f"{self.method}: by itself {self.window_s} s after arming; {self.survives}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLines:
    """The lines of the guard; on shells each holds :data:`TOKEN_MARK`.

    Attributes:
        arm: Create the restore files and start the sleeper, or the device's timer. Touches
            nothing else.
        read_back: Print the token's state, the sleeper, the deadline and the restore files' sums;
            or the device's timer.
        confirm: Take the token so that the sleeper cannot; print who holds it. Or end the timer.
        cancel: The same where nothing was changed.
        revert: Take the token and restore now.
        clean: Remove what arming made once it is settled.
        enter: Open a candidate configuration.
        check: Check the candidate.
        commit: Arm the undo and make the candidate active, in one step.
        leave: Close the candidate.
        take_back: Undo after confirm, when nothing is armed any more.
        pending: Regular expression of a timer that runs, in the answer of ``read_back``.
        idle: Regular expression of the answer while none runs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    arm: tuple[PlannedLine, ...] = ()
    read_back: tuple[PlannedLine, ...] = ()
    confirm: tuple[PlannedLine, ...] = ()
    cancel: tuple[PlannedLine, ...] = ()
    revert: tuple[PlannedLine, ...] = ()
    clean: tuple[PlannedLine, ...] = ()
    enter: tuple[PlannedLine, ...] = ()
    check: tuple[PlannedLine, ...] = ()
    commit: tuple[PlannedLine, ...] = ()
    leave: tuple[PlannedLine, ...] = ()
    take_back: tuple[PlannedLine, ...] = ()
    pending: str = ""
    idle: str = ""

    @property
    def arming(self) -> tuple[PlannedLine, ...]:
        """Every line that is sent around the change until its undo is armed."""
        return (*self.arm, *self.enter, *self.check, *self.commit, *self.leave)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLines:
    """The lines that read the state back.

    Attributes:
        relevant: The section that the change touches.
        whole: Everything else that must stay as it is.
        saved: What the next boot would load, for the touched section.
        boot: The boot id and the uptime.
        identity: Name and version, compared with the plan.
        native: Show the device's own words for the difference; kept, never judged.
        form: On command lines: how the configuration is written (``remedy.forms``).
        sections: The flat lines below these are the touched section.
        patterns: Regular expressions that read identity, boot and completeness, and ``hide``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    relevant: tuple[PlannedLine, ...]
    whole: tuple[PlannedLine, ...]
    saved: tuple[PlannedLine, ...]
    boot: PlannedLine
    identity: tuple[PlannedLine, ...]
    native: tuple[PlannedLine, ...] = ()
    form: str = ""
    sections: tuple[str, ...] = ()
    patterns: tuple[PlanItem, ...] = ()

    def pattern(self, name: str) -> str:
        """Return one of the patterns, ``""`` where there is none."""
        return next((item.value for item in self.patterns if item.path == name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyStep:
    """One thing that must be true before confirm."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: str
    kind: Literal["read-back", "service"]
    expect: str
    timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSpec:
    """What is kept on the operator's side before arming."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    method: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """One flow and direction of the coverage proof, before or after."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    service: str
    ap: str
    egress: str
    family: Family
    direction: Direction
    path_mtu_bytes: int | None
    mss_bytes: int | None
    covered: bool | None
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWindow:
    """When a change may run; empty strings mean "at any time".

    Attributes:
        start_utc: ISO 8601 in UTC.
        end_utc: ISO 8601 in UTC.
        tz: The site's time zone, for people.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    start_utc: str = ""
    end_utc: str = ""
    tz: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDevice:
    """One device of the plan.

    Attributes:
        host_key_fp: Accepted host key fingerprints (``SHA256:...``).
        serial: Serial number or machine id as read, ``""`` where the device has none.
        window: When it may be changed, counted from the site's own time zone.
        change: ``clamp-scope``, ``clamp-one-direction``, ``clamp-missing``, ``host-mtu``.
        backend: What kind of state it changes.
        target: Which: an nft table (``inet clamp``), ``mangle``, or an interface.
        finding: The finding id that it repairs.
        summary: One sentence.
        touches_management: Whether the change can cut the path that we log in by.
        commands: Running state only; in order; applying stops at the first error.
        undo_commands: The inverse, for people and for a rollback plan.
        preview: Dry runs that the device itself checked when the plan was made.
        persist: Save, after confirm.
        unsave: Put the old saved file back, from the copy made by ``persist``.
        other_flows: Flows besides the site's services that the change also affects, in words.
        blast_radius: What would suffer if the change were wrong, in words.
        diff_text_digest: Of ``diff_text``.
        edits: On command lines: the settings that the lines change, for a rollback.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    site: str
    ha_peer: str
    platform: str
    hostname: str
    version: str
    serial: str
    window: PlanWindow
    address: str
    port: int
    host_key_fp: tuple[str, ...]
    change: str
    backend: Backend
    target: str
    finding: str
    summary: str
    touches_management: bool
    pre: StateDigest
    post: StateDigest
    state: StateLines
    guard: GuardLines
    commands: tuple[PlannedLine, ...]
    undo_commands: tuple[PlannedLine, ...]
    preview: tuple[PlannedLine, ...]
    persist: tuple[PlannedLine, ...]
    unsave: tuple[PlannedLine, ...]
    autorevert: Autorevert
    verify: tuple[VerifyStep, ...]
    backup: BackupSpec
    risk: str
    other_flows: tuple[str, ...]
    blast_radius: str
    coverage_before: tuple[CoverageRow, ...]
    coverage_after: tuple[CoverageRow, ...]
    diff_text: str
    diff_text_digest: str
    edits: tuple[ConfigEdit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Devices that may be changed in one go; ``soak_s`` seconds are waited after them."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    n: int
    devices: tuple[str, ...]
    max_parallel: int
    soak_s: int

    @property
    def pace(self) -> str:
        """How fast it goes, for people; ``""`` for one device with nothing after it."""
        most = min(self.max_parallel, len(self.devices))
        parts = [f"{most} at once"] if len(self.devices) > 1 else []
        return ", ".join(parts + ([f"then {self.soak_s} s of waiting"] if self.soak_s else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """What made the plan."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    version: str
    code_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made the plan: principal in ``allowed_signers`` and key fingerprint."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    principal: str
    key_fp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One guarded change.

    Attributes:
        plan_id: Random; not part of the content digest.
        not_after_utc: At most 72 hours after ``created_utc``.
        templates_digest: Digest of the content that wrote the lines.
        lineage: The state store that the plan belongs to.
        serial: That store's last journal record; not part of the content digest.
        fail_budget: Touched devices that may fail; always 0 here.
        allow_unrelated_drift: Whether a change outside the relevant section is accepted.
        accept_no_autorevert: Always ``False`` on shells: they have a guard.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    schema: Literal["mtughost/plan/v1"]
    plan_id: str
    tenant: str
    created_utc: str
    not_after_utc: str
    tool: ToolInfo
    author: Author
    reason: str
    ticket: str
    inventory_digest: str
    templates_digest: str
    policy_digest: str
    lineage: str
    serial: int
    window: PlanWindow
    waves: tuple[Wave, ...]
    fail_budget: int
    allow_unrelated_drift: bool
    accept_no_autorevert: bool
    devices: tuple[PlannedDevice, ...]

    def device(self, name: str) -> PlannedDevice:
        """Return one device.

        Raises:
            PlanRefusedError: the plan does not hold it.
        """
        for device in self.devices:
            if device.name == name:
                return device
        raise PlanRefusedError(f"the plan holds no device {name}")


def plan_bytes(plan: Plan) -> bytes:
    """Return the bytes of ``plan.json``."""
    return canonical_bytes(plan)


def parse_plan(data: bytes) -> Plan:
    """Read ``plan.json`` and check what must hold inside it.

    Raises:
        PlanRefusedError: not canonical, unknown or missing fields, or inconsistent.
    """
    plan = parse_document(data, Plan, what="the plan")
    names = [device.name for device in plan.devices]
    waved = [name for wave in plan.waves for name in wave.devices]
    if len(set(names)) != len(names) or sorted(waved) != sorted(names):
        raise PlanRefusedError("the plan's waves do not hold every device exactly once")
    for device in plan.devices:
        if digest_bytes(device.diff_text.encode()) != device.diff_text_digest:
            raise PlanRefusedError(f"the diff shown for {device.name} is not the one in its digest")
    return plan


def content_digest(plan: Plan) -> str:
    """Return the digest that an approval signs: the plan without its id and times."""
    devices = tuple(
        replace(device, pre=replace(device.pre, taken_utc="")) for device in plan.devices
    )
    return digest(
        replace(plan, plan_id="", created_utc="", not_after_utc="", serial=0, devices=devices)
    )
