"""The fleet as a whole: what failing sites have in common that passing ones have not.

A contrast is shown only where the numbers support it. For every value of every feature a two-sided
Fisher exact test compares "sites with it" against "sites without it", failing against passing; with
many values some would look remarkable by chance, so the threshold of 0.05 is divided by the number
of tests (Bonferroni). A value also needs at least three failing sites of its own, and a failure
rate above the others'. Sites whose verdict is unknown count on neither side.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import exp, lgamma

from mtughost.diagnose.case import build_cases
from mtughost.diagnose.coverage import before_gateway, prove
from mtughost.diagnose.evidence import FarEnd, SiteEvidence
from mtughost.model.basis import value_or_none
from mtughost.model.clamps import ClampTo, Match
from mtughost.model.device import DeviceFacts
from mtughost.model.findings import Contrast, FleetView, SiteReport, SiteVerdict

#: Chance of a false contrast in the whole table.
THRESHOLD = 0.05
#: Fewer failing sites with a value are an anecdote.
LEAST_FAILING = 3
_FAILING = frozenset({"fault", "latent"})
_PASSING = frozenset({"ok", "not-mtu"})


def fleet_view(evidence: Iterable[SiteEvidence], reports: Iterable[SiteReport]) -> FleetView:
    """Compare failing with passing sites.

    Args:
        evidence: What each site's verdict was computed from.
        reports: The verdicts.
    """
    tally = FleetTally()
    verdicts = {report.site: report.verdict for report in reports}
    for item in evidence:
        tally.add(item, verdicts[item.site.name])
    return tally.view()


class FleetTally:
    """Takes site after site, whose evidence may be forgotten then, and compares them at the end."""

    def __init__(self) -> None:
        #: Of the sites that count on a side.
        self._known: dict[str, dict[str, str]] = {}
        self._verdicts: dict[str, SiteVerdict] = {}

    def add(self, evidence: SiteEvidence, verdict: SiteVerdict) -> None:
        """Note what a site can be compared by, and how it was judged."""
        self._verdicts[evidence.site.name] = verdict
        if verdict in _FAILING or verdict in _PASSING:
            # The same few words at every site: one copy of each is enough.
            found = {name: sys.intern(text) for name, text in features(evidence).items()}
            self._known[evidence.site.name] = found

    def view(self) -> FleetView:
        """Compare failing with passing sites, in the order of their names."""
        known = {name: self._known[name] for name in sorted(self._known)}
        failing = {name for name, verdict in self._verdicts.items() if verdict in _FAILING}
        passing = {name for name, verdict in self._verdicts.items() if verdict in _PASSING}
        return FleetView(
            contrasts=contrasts(known, failing, passing),
            judged=len(failing) + len(passing),
            unknown=sum(1 for verdict in self._verdicts.values() if verdict == "unknown"),
        )


def contrasts(
    known: Mapping[str, Mapping[str, str]], failing: set[str], passing: set[str]
) -> tuple[Contrast, ...]:
    """Return the supported contrasts, the surest first.

    Args:
        known: Per site, its features. A site that lacks a feature does not count for it.
        failing: Sites that fail.
        passing: Sites that pass.
    """
    judged = [site for site in known if site in failing or site in passing]
    tested: list[Contrast] = []
    for feature in dict.fromkeys(name for site in judged for name in known[site]):
        having = [site for site in judged if feature in known[site]]
        sites = Counter(known[site][feature] for site in having)
        bad = Counter(known[site][feature] for site in having if site in failing)
        if len(sites) > 1:
            tested += [_contrast((feature, value), sites, bad) for value in sites]
    found = [
        replace(item, tests=len(tested))
        for item in tested
        if item.failing >= LEAST_FAILING
        and item.chance <= THRESHOLD / len(tested)
        and _rate(item.failing, item.passing) > _rate(item.others_failing, item.others_passing)
    ]
    return tuple(sorted(found, key=lambda item: (item.chance, item.feature, item.value)))


def _contrast(item: tuple[str, str], sites: Counter[str], failing: Counter[str]) -> Contrast:
    """Compare one value with all others.

    Args:
        item: Feature and value.
        sites: Sites by the feature's value.
        failing: Failing ones among them.
    """
    feature, value = item
    own, bad, all_bad = sites[value], failing[value], failing.total()
    table = (bad, own - bad, all_bad - bad, sites.total() - own - all_bad + bad)
    return Contrast(
        feature=feature,
        value=value,
        failing=table[0],
        passing=table[1],
        others_failing=table[2],
        others_passing=table[3],
        chance=fisher_exact(*table),
        tests=0,
    )


def _rate(failing: int, passing: int) -> float:
    return failing / (failing + passing) if failing + passing else 0.0


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Return the two-sided p of Fisher's exact test for a table of two rows (a, b) and (c, d).

    Sums the probabilities of all tables with the same margins that are no likelier than this one.
    """
    row, column, total = a + b, a + c, a + b + c + d
    least, most = max(0, row + column - total), min(row, column)
    ways = [_log_comb(row, i) + _log_comb(total - row, column - i) for i in range(least, most + 1)]
    all_ways = _log_comb(total, column)
    own = ways[a - least] + _SAME
    return min(1.0, sum(exp(way - all_ways) for way in ways if way <= own))


#: Tables that differ by rounding only are equally likely (R's fisher.test does the same).
_SAME = 1e-7


def _log_comb(n: int, k: int) -> float:
    """Return the logarithm of "n choose k"; the numbers themselves have thousands of digits."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def features(evidence: SiteEvidence) -> dict[str, str]:
    """Return what a site can be compared by; what is not known is left out."""
    info = evidence.site.info
    said = {"isp": info.isp, "modem": info.modem}
    found = {name: text for name, text in said.items() if text}
    for role, name in (("gateway", "gateway"), ("ap", "access point")):
        facts = next((f for f in evidence.facts if f.role == role), None)
        if facts is not None:
            for what, read in _DEVICE.items():
                value = read(facts)
                if value:
                    found[f"{name} {what}"] = value
    return found


def _model(facts: DeviceFacts) -> str:
    identity = value_or_none(facts.identity)
    return identity.model if identity is not None else ""


def _firmware(facts: DeviceFacts) -> str:
    identity = value_or_none(facts.identity)
    return f"{identity.os_name} {identity.os_version}".strip() if identity is not None else ""


def _clamps(facts: DeviceFacts) -> str:
    """Return a digest of all clamp rules, so that sites with the same template share a value."""
    ruleset = value_or_none(facts.clamps)
    if facts.role != "gateway" or ruleset is None:
        return ""
    rules = [
        f"{chain.table} {chain.name} {_condition(rule.match)} {rule.action.value_bytes} "
        f"{rule.action.can_raise} {rule.action.typed_bytes} {rule.action.kind}"
        for chain in ruleset.chains
        for rule in chain.rules
        if isinstance(rule.action, ClampTo)
    ]
    if not rules:
        return "none"
    return hashlib.sha256("\n".join(rules).encode()).hexdigest()[:12]


@lru_cache(maxsize=1024)  # sites that were set up alike ask for the same, rule by rule
def _condition(match: Match) -> str:
    """Return what a rule asks for as text: the same for equal conditions, in every process."""
    ranges = (match.in_interfaces, match.out_interfaces, match.sources, match.destinations)
    ports = (match.source_ports, match.destination_ports)
    unordered = (match.families, match.protocols, match.handshake, match.icmp_types)
    named = [item and sorted(item) for item in unordered]
    sizes = (match.mss_above_bytes, match.mss_at_most_bytes)
    # Most rules ask for little: "any" is not composed anew for each.
    told = [str(item) if item is not None else "" for item in (*ranges, *ports)]
    return f"{named} {told} {sizes} {match.opaque}"


_DEVICE: dict[str, Callable[[DeviceFacts], str]] = {
    "model": _model,
    "firmware": _firmware,
    "clamp rules": _clamps,
}


def with_far_ends(evidence: Sequence[SiteEvidence]) -> tuple[SiteEvidence, ...]:
    """Tell every site what the same far ends offered other sites, in front of their gateways.

    Takes two passes over the sites, whatever their number: of each far end only the two largest
    offers of different sites are kept.
    """
    offers = FarOffers()
    for item in evidence:
        offers.add(item)
    return tuple(replace(item, far_ends=offers.elsewhere(item.site.name)) for item in evidence)


class FarOffers:
    """The largest MSS that each far end offered, at two different sites."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, int, str], list[FarEnd]] = {}

    def add(self, evidence: SiteEvidence) -> None:
        """Note what was offered to one site; its evidence may be forgotten then."""
        for offer in _offers(evidence):
            best = self._best.setdefault((offer.server, offer.port, offer.family), [])
            best.append(offer)
            best.sort(key=lambda o: -o.mss_bytes)
            kept = {o.site: o for o in reversed(best)}
            best[:] = sorted(kept.values(), key=lambda o: -o.mss_bytes)[:2]

    def elsewhere(self, site: str) -> tuple[FarEnd, ...]:
        """Return what far ends offered other sites than this."""
        return tuple(
            next(o for o in best if o.site != site)
            for best in self._best.values()
            if any(o.site != site for o in best)
        )


def _offers(evidence: SiteEvidence) -> list[FarEnd]:
    if not any(c.point == "gateway-wan" for c in evidence.captures):
        return []
    found = []
    for case in build_cases(evidence, prove(evidence)):
        offered = before_gateway(case.up)
        if offered is not None and case.flow.server is not None and case.flow.active:
            found.append(
                FarEnd(
                    site=evidence.site.name,
                    server=case.flow.server,
                    port=case.flow.service.port,
                    family=case.family,
                    mss_bytes=offered,
                )
            )
    return found
