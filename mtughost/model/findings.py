"""What the tool concludes: findings, rule-outs, flow tables, a site's verdict, an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mtughost.model.basis import Basis
from mtughost.model.device import Family
from mtughost.model.evidence import Direction

Grade = Literal["confirmed", "likely", "possible", "ruled-out", "unknown"]
Owner = Literal["ap", "gateway", "provider", "isp", "cloud", "host"]
SiteVerdict = Literal["fault", "latent", "not-mtu", "ok", "unknown"]

#: Every finding id (DESIGN section 6), in the decision order of failure-modes E, with the
#: catalogue's number.
FINDING_IDS: dict[str, str] = {
    "dns-failure": "N2",
    "no-syn-ack": "N1",
    "clock-skew": "N3",
    "certificate-invalid": "N4",
    "tls-inspection": "N5",
    "credential-rejected": "N10",
    "payload-dropped": "N6",
    "server-hang": "N7",
    "plain-loss": "N8",
    "duplicate-address": "N9",
    "asymmetric-state": "N9",
    "management-path-hole": "DESIGN 1",
    "clamp-scope": "M02",
    "clamp-missing": "M01",
    "clamp-one-direction": "M03, M04",
    "clamp-one-family": "M05",
    "clamp-too-high": "M06",
    "clamp-field-misread": "M07",
    "clamp-not-effective": "M08",
    "clamp-semantics-changed": "M09",
    "clamp-unsupported": "M10",
    "clamp-wrong-egress": "M11",
    "tunnel-overhead": "M12",
    "vlan-mtu-not-learned": "M32",
    "icmp-not-sent": "M13",
    "icmp-lost-upstream": "M14",
    "icmp-lost-at-nat": "M15",
    "icmp-ignored": "M16",
    "ptb-misdelivered": "M17",
    "fragments-dropped": "M18",
    "radius-fragments-dropped": "M19",
    "radsec-proxy-leg": "M20",
    "capwap-path": "M21",
    "l2-mtu-mismatch": "M22",
    "pppoe-mtu-half-done": "M23",
    "path-mtu-asymmetric": "M24",
    "failover-path-smaller": "M25",
    "isp-path-mtu-low": "M26",
    "mss-rewritten-upstream": "M27",
    "large-hello-dropped": "M30",
    "fix-not-persisted": "M31",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowKey:
    """One service flow, one direction, one family, one egress."""

    service: str
    ap: str
    gateway: str
    egress: str
    family: Family
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observable that a conclusion rests on.

    Attributes:
        kind: Short kind: ``interface-mtu``, ``clamp-rule``, ``syn-mss``, ``probe``, ``log`` ...
        value: The observable in words and figures, as a reader would quote it.
    """

    kind: str
    basis: Basis
    host: str
    value: str
    command: str | None = None
    line: int | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixHint:
    """What would repair it: the smallest sufficient change known.

    Attributes:
        change: Name of the change, such as ``clamp-scope``, ``host-mtu``.
        summary: One sentence.
        host: Device to change, or ``""`` when it is not one of ours.
        value_bytes: The MTU or MSS to set, where there is one.
    """

    change: str
    summary: str
    host: str = ""
    value_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One conclusion with its grade, its owner and what it rests on."""

    id: str
    grade: Grade
    owner: Owner
    summary: str
    evidence: tuple[Evidence, ...] = ()
    flow: FlowKey | None = None
    fix: FixHint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuledOut:
    """A cause that the evidence excludes, and the observable that excludes it."""

    id: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTest:
    """The one cheapest observation that would settle what is unknown.

    Attributes:
        kind: Kind of evidence to ask for: ``clamps``, ``capture``, ``service-probe``, ``ping``,
            ``cloud``, ``login``; ``app`` knows how to collect each. ``question`` only a person
            can answer.
        host: Device to ask.
        summary: One sentence for a person, with the command to type where there is one.
        question: What to write to whoever owns the device, where nobody here may log in to it.
    """

    kind: str
    host: str
    summary: str
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MtuView:
    """MTUs along the flow in bytes; ``None`` is unknown."""

    ap: int | None = None
    vlan: int | None = None
    wan: int | None = None
    tunnel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledClamp:
    """The rule that touched or should have touched the handshake packet.

    Attributes:
        rule: How to find it on the device.
        text: As the device prints it.
        value: MSS it writes, in bytes.
        packets: Its counter, ``None`` where it has none.
        covers: Whether it applies to this flow and direction.
        because: Why it does not, or which way it does.
    """

    rule: str
    text: str
    value: int | None
    packets: int | None
    covers: bool
    because: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MssSeen:
    """MSS in the packet that rules this direction, per point, in bytes."""

    ap: int | None = None
    lan: int | None = None
    wan: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MssView:
    """The three layers side by side.

    Attributes:
        configured: MSS that the parsed configuration yields for a far end with the usual 1460
            (1440 for IPv6); ``None`` when the configuration is not known well enough.
        installed: The rules concerned.
        observed: What SYN (down) or SYN-ACK (up) really carried.
        needed: Largest MSS that fits the known path, ``None`` when the path is unknown.
    """

    configured: int | None = None
    installed: tuple[InstalledClamp, ...] = ()
    observed: MssSeen = MssSeen()
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReport:
    """One row of the coverage table.

    Attributes:
        covered: ``True`` proven, ``False`` counterexample found, ``None`` unknown.
        proof: The proof or the counterexample in one sentence.
        path_mtu: Path MTU in this direction as far as known, bytes.
    """

    key: FlowKey
    mtu: MtuView
    mss: MssView
    path_mtu: int | None
    covered: bool | None
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReport:
    """What is concluded about one site.

    Attributes:
        isp: Internet provider of the site's circuit, as the inventory names it; ``""`` unknown.
    """

    site: str
    verdict: SiteVerdict
    flows: tuple[FlowReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    next_test: NextTest | None = None
    notes: tuple[str, ...] = ()
    isp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """How the visit to one device ended.

    Attributes:
        error: One typed, readable line, empty when ok.
        error_kind: ``DeviceError.kind`` or ``""``.
    """

    host: str
    site: str
    role: str
    status: Literal["ok", "failed", "skipped"]
    error: str = ""
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One feature that failing sites share.

    Attributes:
        feature: What it is (``isp``, ``gateway firmware``).
        value: Its value.
        failing: Failing sites with this value.
        passing: Passing sites with it.
        others_failing: Failing sites with another value.
        others_passing: Passing sites with another value.
        chance: Two-sided p of Fisher's exact test.
        tests: How many values were tested, which the threshold is divided by.
    """

    feature: str
    value: str
    failing: int
    passing: int
    others_failing: int
    others_passing: int
    chance: float
    tests: int

    @property
    def sentence(self) -> str:
        """The contrast in words."""
        own, others = self.failing + self.passing, self.others_failing + self.others_passing
        return (
            f"{self.feature} {self.value}: {self.failing} of {own} sites fail, elsewhere "
            f"{self.others_failing} of {others} (p {self.chance:.2g}, {self.tests} tested)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """What the audited sites say together.

    Attributes:
        contrasts: The surest first.
        judged: Sites that fail or pass.
        unknown: Sites that count on neither side.
    """

    contrasts: tuple[Contrast, ...]
    judged: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """A whole run: what ``audit --json`` writes.

    Attributes:
        sites: In the inventory's order; of a large fleet packed (:mod:`mtughost.model.packed`).
        fleet: What the sites say together; ``None`` where nobody compared them.
    """

    run_id: str
    started_utc: str
    tool: str
    content_digest: str
    hosts: tuple[HostStatus, ...]
    sites: Sequence[SiteReport]
    fleet: FleetView | None = None
