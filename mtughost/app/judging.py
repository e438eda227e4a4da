"""Judges each site of a run as soon as its devices are in, and forgets what was read of it.

What was read is in the run store: whoever looks again (a probe, a plan, a bundle) derives the facts
from there, site by site. In memory stay each device's status, each site's packed report, and what
sites are compared by: a few kilobytes a site, however much its devices said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mtughost.content.root import ContentRoot
from mtughost.diagnose import SiteEvidence, diagnose_site
from mtughost.diagnose.cohorts import FarOffers, FleetTally
from mtughost.diagnose.evidence import FarEnd
from mtughost.model.device import DeviceFacts
from mtughost.model.findings import FleetView, HostStatus, SiteReport
from mtughost.model.inventory import Site
from mtughost.model.packed import Packed, pack, unpack
from mtughost.store import RunStore

if TYPE_CHECKING:
    from mtughost.app.observing import Observed

#: Facts are kept for the rest of their site's devices, up to so many devices (40 kB each); beyond,
#: as where all gateways are read after all access points, they come from the store again.
HELD_DEVICES = 256


class Judge:
    """The sites of one run. One thread at a time, but for :meth:`evidence`.

    Attributes:
        statuses: How each device's visit ended, by name, as far as it has.
    """

    def __init__(
        self, content: ContentRoot, store: RunStore, run_id: str, sites: Sequence[Site]
    ) -> None:
        self.statuses: dict[str, HostStatus] = {}
        self._content = content
        self._store = store
        self._run_id = run_id
        self._sites = {site.name: site for site in sites}
        self._missing = {site.name: len(site.devices) for site in sites}
        self._facts: dict[str, DeviceFacts] = {}
        self._seen: dict[str, SiteEvidence] = {}
        self._handed_in = store.ingested()
        self._reports: dict[str, bytes] = {}
        self._tally = FleetTally()
        self._offers = FarOffers()

    @property
    def unjudged(self) -> list[Site]:
        """Sites without a verdict, in the inventory's order."""
        return [site for name, site in self._sites.items() if name not in self._reports]

    @property
    def reports(self) -> Packed[SiteReport]:
        """All verdicts so far, in the inventory's order."""
        return Packed([self._reports[n] for n in self._sites if n in self._reports], unpack)

    def arrived(self, status: HostStatus, facts: DeviceFacts | None = None) -> Site | None:
        """Note how a device ended. It is in the store already.

        Returns:
            Its site, where this was the last device of it.
        """
        self.statuses[status.host] = status
        if facts is not None and len(self._facts) < HELD_DEVICES:
            self._facts[status.host] = facts
        self._missing[status.site] -= 1
        return None if self._missing[status.site] else self._sites[status.site]

    def saw(self, site: str, seen: Observed) -> None:
        """Note what was observed at a site beyond reading. It is in the store already."""
        before = self._seen.get(site) or SiteEvidence(site=self._sites[site])
        self._seen[site] = replace(
            before,
            captures=(*before.captures, *(capture for _, capture in seen.captures)),
            probes=(*before.probes, *seen.probes),
            pings=(*before.pings, *seen.pings),
        )

    def evidence(self, site: str) -> SiteEvidence:
        """Return everything that is known about a site whose devices are all in.

        Raises:
            StoreError: the store cannot be read.
            ContentError: the task book of a handed-in output does not exist any more.
        """
        devices = {device.name: device for device in self._sites[site].devices}
        read = [name for name in devices if self.statuses[name].status == "ok"]
        facts = {name: self._facts[name] for name in read if name in self._facts}
        lost = [name for name in read if name not in facts]
        if lost:
            from mtughost.app.stored import facts_of_stored  # noqa: PLC0415  # parsers: seldom

            for host in self._store.load_part(self._run_id, lost).hosts:
                name = host.status.host
                facts[name] = facts_of_stored(host, devices[name], self._content)
        found = SiteEvidence(
            site=self._sites[site],
            facts=tuple(facts[name] for name in read),
            failed=tuple(self.statuses[name] for name in devices if name not in facts),
        )
        if self._handed_in:
            from mtughost.app.handed_in import with_handed_in  # noqa: PLC0415  # likewise

            found = with_handed_in(found, self._handed_in, self._content)
        seen = self._seen.get(site)
        if seen is None:
            return found
        return replace(found, captures=seen.captures, probes=seen.probes, pings=seen.pings)

    def compare_far_ends(self) -> dict[str, tuple[FarEnd, ...]]:
        """Let every site know what its far ends offered other sites; return that by site."""
        for name in self._seen:
            self._offers.add(self.evidence(name))
        known = {name: self._offers.elsewhere(name) for name in self._sites}
        return {name: found for name, found in known.items() if found}

    def judge(self, site: str) -> SiteReport:
        """Judge a site whose devices are all in, and forget its facts."""
        found = replace(self.evidence(site), far_ends=self._offers.elsewhere(site))
        report = diagnose_site(found)
        self._reports[site] = pack(report)
        self._tally.add(found, report.verdict)
        self.forget(site)
        return report

    def forget(self, site: str) -> None:
        """Drop what was read of a site from memory."""
        for device in self._sites[site].devices:
            self._facts.pop(device.name, None)

    def fleet_view(self) -> FleetView:
        """Compare the sites judged."""
        return self._tally.view()
