"""One AP and service with everything that the rules look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mtughost.diagnose.coverage import Proof, is_tunnel
from mtughost.diagnose.evidence import SiteEvidence, cite, source_of
from mtughost.diagnose.flows import Flow, link_of
from mtughost.diagnose.symptom import Symptom, examine
from mtughost.diagnose.wire import Wire
from mtughost.model.basis import value_or_none
from mtughost.model.device import DeviceFacts, Family
from mtughost.model.findings import (
    Evidence,
    Finding,
    Owner,
    RuledOut,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One AP, one service, one family over one egress.

    Attributes:
        up: Coverage proof of the AP's packets.
        down: Coverage proof of the service's packets.
        symptom: How the service fares; known for the active egress only.
    """

    evidence: SiteEvidence
    flow: Flow
    up: Proof
    down: Proof
    wire: Wire
    symptom: Symptom

    @property
    def ap(self) -> DeviceFacts | None:
        """The AP's facts."""
        return self.evidence.facts_of(self.flow.ap)

    @property
    def gateway(self) -> DeviceFacts | None:
        """The gateway's facts."""
        return self.evidence.facts_of(self.flow.gateway)

    @property
    def family(self) -> Family:
        """The flow's address family."""
        return self.flow.family

    @property
    def proofs(self) -> tuple[Proof, Proof]:
        """Both directions, upwards first."""
        return self.up, self.down

    @property
    def holes(self) -> tuple[Proof, ...]:
        """Directions in which a counterexample was found."""
        return tuple(p for p in self.proofs if p.covered is False)

    @property
    def tunnelled(self) -> bool:
        """Whether the egress is a tunnel."""
        return is_tunnel(self.evidence, self.flow)

    @property
    def way_is_certain(self) -> bool:
        """Whether the flow leaves by this egress for sure: by routing, or its SYN was seen."""
        return not self.flow.doubt or self.wire.syn.wan is not None

    @property
    def sends_df(self) -> bool | None:
        """Whether the AP's TCP sets DF: its packets say so, or its kernel."""
        seen = {s.flow.df_up for s in self.wire.flows if s.flow.df_up is not None}
        if len(seen) == 1:
            return seen.pop()
        settings = value_or_none(self.ap.icmp) if self.ap is not None else None
        return settings.sends_df if settings is not None else None

    @property
    def gateway_owner(self) -> Owner:
        """Who must act when the gateway must change."""
        device = self.evidence.device(self.flow.gateway)
        return "provider" if device is not None and device.managed_by else "gateway"

    @property
    def ap_owner(self) -> Owner:
        """Who must act when the AP or appliance must change."""
        device = self.evidence.device(self.flow.ap)
        return "host" if device is not None and device.role == "appliance" else "ap"

    def link_cite(self, host: str, name: str | None) -> tuple[Evidence, ...]:
        """Quote an interface's MTU."""
        facts = self.evidence.facts_of(host)
        link = link_of(facts, name)
        if facts is None or link is None or link.mtu_bytes is None:
            return ()
        text = f"{host} {link.name} has MTU {link.mtu_bytes}"
        return (cite("interface-mtu", source_of(facts.interfaces, host), text, line=link.line),)

    def syn_cites(self, name: str) -> tuple[Evidence, ...]:
        """Quote where a SYN or SYN-ACK was seen."""
        return tuple(e for e in self.wire.mss_cites if e.value.startswith(name + " "))


#: What one rule says about one case.
Outcome = tuple[Finding | RuledOut, ...]


def build_cases(evidence: SiteEvidence, proofs: Iterable[Proof]) -> tuple[Case, ...]:
    """Pair the directions and examine how the service fares over each egress."""
    pairs: dict[int, list[Proof]] = {}
    for proof in proofs:
        pairs.setdefault(id(proof.flow), []).append(proof)
    cases = []
    for both in pairs.values():
        up = next(p for p in both if p.direction == "up")
        down = next(p for p in both if p.direction == "down")
        symptom = (
            examine(evidence, up.flow, up.wire) if up.flow.active else Symptom(state="unknown")
        )
        cases.append(
            Case(evidence=evidence, flow=up.flow, up=up, down=down, wire=up.wire, symptom=symptom)
        )
    return tuple(cases)


def unique(*groups: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Join citations without repeating one."""
    return tuple(dict.fromkeys(e for group in groups for e in group))
