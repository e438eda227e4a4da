"""What the documents show of a site at a glance: one path with both directions, one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mtughost.model.device import MSS_OVERHEAD_BYTES, Family
from mtughost.model.evidence import Direction
from mtughost.model.findings import (
    AuditReport,
    Evidence,
    Finding,
    FlowReport,
    HostStatus,
    InstalledClamp,
    MtuView,
    SiteReport,
)
from mtughost.report.words import GRADE_ORDER, UNKNOWN, VERDICT_ORDER, figure

#: ``lost``: does not fit and the site fails; ``at-risk``: does not fit, or fits only because the
#: far end is modest; ``fits``: proven; ``unknown``: not settled.
Outcome = Literal["lost", "at-risk", "fits", "unknown"]

#: Parts of the path that have an MTU of their own, from the AP outwards.
Hop = Literal["vlan", "wan", "beyond"]

MssBasis = Literal["seen", "configured", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The largest packets of one direction, and how far they get.

    Attributes:
        mss_bytes: MSS that limits the sender, ``None`` when nobody knows it.
        mss_basis: ``seen`` on the wire, or what the configuration yields.
        packet_bytes: Size of the packets that it allows, headers included.
        stops_at: First part of the path, in the direction of travel, that is too small.
        stops_mtu_bytes: Its MTU.
    """

    direction: Direction
    mss_bytes: int | None
    mss_basis: MssBasis
    packet_bytes: int | None
    outcome: Outcome
    stops_at: Hop | None = None
    stops_mtu_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathView:
    """One service path in one family through one egress, with both directions."""

    service: str
    ap: str
    gateway: str
    egress: str
    family: Family
    mtu: MtuView
    path_mtu: int | None
    up: FlowReport | None
    down: FlowReport | None
    load_up: Load
    load_down: Load

    @property
    def loads(self) -> tuple[Load, Load]:
        """Both directions, AP to service first."""
        return (self.load_up, self.load_down)

    @property
    def beyond_mtu(self) -> int | None:
        """MTU of what lies behind the WAN, where it is known to differ or was measured."""
        return self.mtu.tunnel if self.mtu.tunnel is not None else self.path_mtu


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSummary:
    """One row of the fleet table. Figures are already words; unknown ones are ``?``."""

    site: SiteReport
    headline: Finding | None
    sentence: str
    path: PathView | None
    wan_mtu: str
    vlan_mtu: str
    clamp: str
    mss_up: str
    mss_down: str
    path_mtu: str


def paths_of(site: SiteReport) -> tuple[PathView, ...]:
    """Return the site's service paths, the worst first, each with both directions."""
    groups: dict[tuple[str, str, str, str, Family], dict[Direction, FlowReport]] = {}
    for flow in site.flows:
        key = flow.key
        group = (key.service, key.ap, key.gateway, key.egress, key.family)
        groups.setdefault(group, {}).setdefault(key.direction, flow)
    views = [_path(site, group, flows) for group, flows in groups.items()]
    return tuple(sorted(views, key=lambda view: _badness(site, view)))


_WORST: Final[dict[Outcome, int]] = {"lost": 0, "at-risk": 1, "unknown": 2, "fits": 3}


def _badness(site: SiteReport, view: PathView) -> tuple[bool, int, int, bool]:
    headline = headline_of(site)
    named = headline is not None and headline.flow is not None
    concerned = named and any(
        flow is not None and headline is not None and flow.key == headline.flow
        for flow in (view.up, view.down)
    )
    worst = sorted(_WORST[load.outcome] for load in view.loads)
    return (named and not concerned, worst[0], worst[1], view.family == "ipv6")


def _path(
    site: SiteReport,
    group: tuple[str, str, str, str, Family],
    flows: dict[Direction, FlowReport],
) -> PathView:
    service, ap, gateway, egress, family = group
    up, down = flows.get("up"), flows.get("down")
    mtu = _merged([flow.mtu for flow in (up, down) if flow])
    known = [flow.path_mtu for flow in (up, down) if flow and flow.path_mtu is not None]
    return PathView(
        service=service,
        ap=ap,
        gateway=gateway,
        egress=egress,
        family=family,
        mtu=mtu,
        path_mtu=min(known, default=None),
        up=up,
        down=down,
        load_up=_load(site, up, "up", mtu, family),
        load_down=_load(site, down, "down", mtu, family),
    )


def _merged(views: Sequence[MtuView]) -> MtuView:
    def first(values: Iterable[int | None]) -> int | None:
        return next((value for value in values if value is not None), None)

    return MtuView(
        ap=first(view.ap for view in views),
        vlan=first(view.vlan for view in views),
        wan=first(view.wan for view in views),
        tunnel=first(view.tunnel for view in views),
    )


def seen_mss(flow: FlowReport) -> int | None:
    """Return the MSS on the wire where it counts: at the end whose sending it limits.

    Up: the SYN-ACK as it reaches the AP. Down: the SYN as it leaves the WAN.
    """
    seen = flow.mss.observed
    order = (seen.ap, seen.lan, seen.wan)
    if flow.key.direction == "down":
        order = (seen.wan, seen.lan, seen.ap)
    return next((value for value in order if value is not None), None)


def _load(
    site: SiteReport, flow: FlowReport | None, direction: Direction, mtu: MtuView, family: Family
) -> Load:
    if flow is None:
        return Load(
            direction=direction,
            mss_bytes=None,
            mss_basis="unknown",
            packet_bytes=None,
            outcome="unknown",
        )
    seen = seen_mss(flow)
    mss = flow.mss.configured if seen is None else seen
    basis: MssBasis = "seen" if seen is not None else "configured"
    packet = None if mss is None else mss + MSS_OVERHEAD_BYTES[family]
    if packet is not None and direction == "up" and mtu.ap is not None:
        packet = min(packet, mtu.ap)
    hop, hop_mtu = _first_too_small(packet, direction, mtu, flow.path_mtu)
    return Load(
        direction=direction,
        mss_bytes=mss,
        mss_basis="unknown" if mss is None else basis,
        packet_bytes=packet,
        outcome=_outcome(site, flow, too_small=hop is not None),
        stops_at=hop,
        stops_mtu_bytes=hop_mtu,
    )


def _first_too_small(
    packet: int | None, direction: Direction, mtu: MtuView, path_mtu: int | None
) -> tuple[Hop | None, int | None]:
    if packet is None:
        return None, None
    beyond = mtu.tunnel if mtu.tunnel is not None else path_mtu
    # Only a sender's own interface limits a packet: the VLAN's MTU rules what the gateway sends
    # to the AP, never what it receives from it (measured with a VLAN at 1492 and an AP at 1500).
    hops: list[tuple[Hop, int | None]] = [("wan", mtu.wan), ("beyond", beyond)]
    if direction == "down":
        # A measured ceiling of the whole path is no place of its own where our WAN explains it.
        explained = mtu.tunnel is None and mtu.wan is not None and beyond == mtu.wan
        hops = [("wan", mtu.wan)] if explained else [("beyond", beyond), ("wan", mtu.wan)]
        hops.append(("vlan", mtu.vlan))
    for hop, size in hops:
        if size is not None and size < packet:
            return hop, size
    return None, None


def _outcome(site: SiteReport, flow: FlowReport, *, too_small: bool) -> Outcome:
    if too_small:
        return "lost" if site.verdict == "fault" and _blamed(site, flow) else "at-risk"
    if flow.covered is None:
        return "unknown"
    return "fits" if flow.covered else "at-risk"


def _blamed(site: SiteReport, flow: FlowReport) -> bool:
    return any(
        finding.grade in {"confirmed", "likely"} and finding.flow in {None, flow.key}
        for finding in site.findings
    )


def headline_of(site: SiteReport) -> Finding | None:
    """Return the finding that a reader needs first: best grade, then the report's own order."""
    told = [item for item in site.findings if item.grade != "ruled-out"]
    return min(told, key=lambda item: GRADE_ORDER.index(item.grade), default=None)


def proof_of(finding: Finding) -> Evidence | None:
    """Return the one observable that proves the finding best.

    Evidence of the finding's own kind (``clamp-rule`` for ``clamp-scope``) comes before what it is
    compared with, and what can be looked up (line, frame) before what cannot.
    """
    family = finding.id.partition("-")[0]

    def rank(item: Evidence) -> tuple[bool, bool, bool]:
        own = item.kind.partition("-")[0] == family
        return (not own, item.line is None and item.frame is None, item.command is None)

    return min(finding.evidence, key=rank, default=None)


def sentence_of(site: SiteReport) -> str:
    """Return the site's conclusion in one sentence; a site is never silent."""
    headline = headline_of(site)
    if headline is not None:
        return headline.summary
    if site.verdict == "ok":
        proof = next((flow.proof for flow in site.flows if flow.covered), "")
        return f"No fault found. {proof}".strip()
    if site.next_test is not None:
        return f"Not settled. Next: {site.next_test.summary}"
    reasons = [*site.notes, *(flow.proof for flow in site.flows if flow.covered is None)]
    return f"Not settled: {reasons[0]}" if reasons else "Not settled."


def clamp_words(path: PathView | None) -> str:
    """Return what the installed clamps do for this path, in three words or so."""
    if path is None:
        return UNKNOWN
    up, down = _rules(path.up), _rules(path.down)
    covers_up = [rule for rule in up if rule.covers]
    covers_down = [rule for rule in down if rule.covers]
    if covers_up and covers_down:
        return f"{_values(covers_up + covers_down)} both ways"
    if covers_up or covers_down:
        known = _known(path.down if covers_up else path.up)
        packet = "SYN-ACK" if covers_up else "SYN"
        rest = "only" if known else f"({UNKNOWN} the other way)"
        return f"{_values(covers_up + covers_down)} {packet} {rest}"
    if up or down:
        return f"none here ({_values([*up, *down])} elsewhere)"
    return "none" if _known(path.up) and _known(path.down) else UNKNOWN


def _rules(flow: FlowReport | None) -> tuple[InstalledClamp, ...]:
    return flow.mss.installed if flow else ()


def _known(flow: FlowReport | None) -> bool:
    return flow is not None and flow.mss.configured is not None


def _values(rules: Sequence[InstalledClamp]) -> str:
    values = dict.fromkeys(figure(rule.value) for rule in rules)
    return "/".join(values)


def summarise(site: SiteReport) -> SiteSummary:
    """Return the row of the fleet table for one site."""
    path = next(iter(paths_of(site)), None)
    up = path.up if path else None
    down = path.down if path else None
    return SiteSummary(
        site=site,
        headline=headline_of(site),
        sentence=sentence_of(site),
        path=path,
        wan_mtu=figure(path.mtu.wan if path else None),
        vlan_mtu=figure(path.mtu.vlan if path else None),
        clamp=clamp_words(path),
        mss_up=figure(seen_mss(up) if up else None),
        mss_down=figure(seen_mss(down) if down else None),
        path_mtu=_path_words(up, down),
    )


def _path_words(up: FlowReport | None, down: FlowReport | None) -> str:
    values = dict.fromkeys(figure(flow.path_mtu) for flow in (up, down) if flow)
    known = [value for value in values if value != UNKNOWN]
    return "/".join(known) or UNKNOWN


def by_urgency(report: AuditReport) -> Iterator[SiteReport]:
    """Yield the sites, the ones that need a person first, then by name; one at a time."""
    order = sorted(
        (VERDICT_ORDER.index(site.verdict), site.site, number)
        for number, site in enumerate(report.sites)
    )
    return (report.sites[number] for _, _, number in order)


def not_read(report: AuditReport) -> tuple[HostStatus, ...]:
    """Return the devices that were asked for and not read, failures first."""
    missing = [host for host in report.hosts if host.status != "ok"]
    return tuple(sorted(missing, key=lambda host: (host.status != "failed", host.site, host.host)))
