"""What diagnosing costs, beside what collecting the same facts costs; and that it grows linearly.

``python benchmarks/diagnose.py [SITES]``. Audits a chain of stores in a lab once, with probe and
capture, and measures the CPU time of that whole process. Then the stored evidence is multiplied to
SITES sites (10,000 unless given) with names of their own and diagnosed, fleet view included. Exit
code 1 when a target is missed. Needs what a lab needs.
"""

from __future__ import annotations

import os
import resource
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

from mtughost import lab
from mtughost.app.inventory import open_inventory
from mtughost.app.labs import lab_environment, own_command
from mtughost.app.project import open_project
from mtughost.app.stored import evidence_of_stored, stored_sites
from mtughost.diagnose import SiteEvidence, diagnose_site
from mtughost.diagnose.cohorts import fleet_view, with_far_ends
from mtughost.lab import LabSpec
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

SITES = 10_000
#: Diagnosis may cost this share of collecting (issue 3).
SHARE = 0.05
#: Ten times the sites may take this much longer than ten times as long.
SLACK = 1.3
SCENARIOS = (
    "clamp-scope",
    "healthy-clamp-both",
    "healthy-icmp",
    "clamp-missing",
    "clamp-syn-only",
    "icmp-ignored",
    "latent-far-end",
    "port-blocked",
)


@dataclass(frozen=True, slots=True)
class Collected:
    """One real audit.

    Attributes:
        cpu_s: CPU time of the audit's own process, start-up included.
        facts_s: CPU time of deriving facts and packets' evidence again from what was stored.
    """

    evidence: tuple[SiteEvidence, ...]
    cpu_s: float
    facts_s: float


def main() -> int:
    """Measure, print, and compare with the targets."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SITES
    collected = collect()
    per_site_s = collected.cpu_s / len(collected.evidence)
    small_s = diagnose_all(collected.evidence, max(count // 10, 1))
    large_s = diagnose_all(collected.evidence, count)
    share = large_s / count / per_site_s
    growth = (large_s / count) / (small_s / max(count // 10, 1))
    print(
        f"{len(collected.evidence)} sites of a lab, multiplied to {count}; {os.cpu_count()} cores"
    )
    print(f"collecting, CPU of the audit's process: {per_site_s * 1000:.1f} ms a site")
    print(f"deriving facts from stored answers and captures: "
          f"{collected.facts_s / len(collected.evidence) * 1000:.1f} ms a site")  # fmt: skip
    print(f"diagnosing: {large_s:.2f} s for {count} sites, {large_s / count * 1000:.2f} ms a site")
    print(f"share of collecting: {share:.1%} (target at most {SHARE:.0%})")
    print(f"time a site at {count} sites / at {max(count // 10, 1)}: {growth:.2f} "
          f"(target at most {SLACK})")  # fmt: skip
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0 if share <= SHARE and growth <= SLACK else 1


def collect() -> Collected:
    """Audit a lab once and read its evidence back from the store."""
    name = f"bench-{secrets.token_hex(3)}"
    made = lab.up(LabSpec(name=name, sites=lab.sites_of(SCENARIOS)))
    try:
        made.settle()
        argv = [*own_command(), "--quiet", "audit", "--probe", "service", "--capture", "8"]
        done = made.exec(
            ["bash", "-c", '"$@" >/dev/null 2>&1; times', "bash", *argv],
            env=lab_environment(made.project),
            timeout_s=300,
        )
        cpu_s = _times(done.stdout)
        project = open_project(made.project, None)
        began_s = time.process_time()
        with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
            run = store.load_run(store.find_run("latest"))
        stored = stored_sites(run, open_inventory(project).sites)
        evidence = tuple(evidence_of_stored(item, project.content) for item in stored)
        return Collected(evidence, cpu_s, time.process_time() - began_s)
    finally:
        lab.down(name)


def diagnose_all(evidence: tuple[SiteEvidence, ...], count: int) -> float:
    """Return the CPU time of diagnosing ``count`` sites and comparing them."""
    sites = list(islice(copies(evidence), count))
    began_s = time.process_time()
    told = with_far_ends(sites)
    reports = [diagnose_site(item) for item in told]
    fleet_view(told, reports)
    return time.process_time() - began_s


def copies(evidence: tuple[SiteEvidence, ...]) -> Iterator[SiteEvidence]:
    """Yield the sites again and again, each with a name of its own."""
    number = 0
    while True:
        for item in evidence:
            number += 1
            yield replace(item, site=replace(item.site, name=f"{item.site.name}-{number}"))


def _times(text: str) -> float:
    """Return user and system time of all children, as the shell's ``times`` prints them."""
    last = text.strip().split("\n")[-1].split()
    return sum(int(m) * 60 + float(s) for m, s in (word.rstrip("s").split("m") for word in last))


if __name__ == "__main__":
    sys.exit(main())
