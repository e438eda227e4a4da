"""Hold the tool against generated labs: sites drawn from a seed, measured, audited, compared.

Many sites stand in one lab: they share the cloud and nothing else. All truths of a lab are measured
side by side, then one audit goes over all of it.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from mtughost import lab
from mtughost.app.lab_access import Access
from mtughost.app.lab_matrix import Case, Matrix
from mtughost.app.lab_run import SURE, audit_lab
from mtughost.lab import Lab, LabSpec, Truth, host, truths, with_reboot
from mtughost.lab.expect import allowed, label_problem
from mtughost.lab.generate import abilities, draw_site
from mtughost.lab.spec import SiteSpec
from mtughost.model.errors import UsageError

#: Sites of one lab; more of them only wait for the same two cores.
SITES_PER_LAB = 16
#: A client that failed before its gateway was ready tries again within this time.
_RECONNECT_S = 40.0
_TRIES = 3
_CROWDED = "too many labs at once: the kernel's table of neighbours was full"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to generate.

    Attributes:
        seed: The same seed gives the same sites.
        count: How many sites.
        only: Numbers of the sites wanted; empty for all.
        accesses: With which logins each lab is audited, one audit after the other.
        at_once: Labs that run side by side.
    """

    seed: int
    count: int
    only: tuple[int, ...] = ()
    accesses: tuple[Access, ...] = ("all",)
    at_once: int = 2


def run_generated(wish: Wish, say: Say = lambda _text: None) -> tuple[Matrix, ...]:
    """Generate, measure, audit and compare; the labs come and go. One matrix per access.

    Raises:
        UsageError: nothing is asked for.
        LabError: no lab can run here, or an audit did not end by itself.
    """
    numbers = wish.only or tuple(range(1, wish.count + 1))
    if not numbers or min(numbers) < 1:
        raise UsageError("there is nothing to generate", todo="Give --n, or --only from 1")
    started_s = time.monotonic()
    can = abilities()
    if not (can.legacy and can.shifted_clock):
        say(f"left out here: {'' if can.legacy else 'legacy iptables '}"
            f"{'' if can.shifted_clock else 'shifted clocks (package faketime)'}")  # fmt: skip
    sites = {number: draw_site(wish.seed, number, can) for number in numbers}
    batches = _batches(numbers, wish.at_once)
    with ThreadPoolExecutor(wish.at_once) as pool:
        found = list(
            pool.map(lambda batch: _undisturbed(wish, {n: sites[n] for n in batch}, say), batches)
        )
    cases = [case for batch in found for case in batch]
    return tuple(
        Matrix(
            seed=wish.seed,
            asked=len(numbers),
            access=access,
            cases=tuple(case for case in cases if case.access == access),
            seconds=time.monotonic() - started_s,
        )
        for access in wish.accesses
    )


def _batches(numbers: Sequence[int], at_once: int) -> list[tuple[int, ...]]:
    """Split evenly, so that no lab waits alone at the end."""
    labs = -(-len(numbers) // SITES_PER_LAB)
    if labs > 1:
        labs = -(-labs // at_once) * at_once
    return [tuple(numbers[start::labs]) for start in range(labs)]


def _undisturbed(wish: Wish, specs: dict[int, SiteSpec], say: Say) -> list[Case]:
    """Do one lab again when the kernel ran out of neighbours meanwhile: it then drops packets.

    Decided by the kernel's own counter, whatever was measured or said.
    """
    cases: list[Case] = []
    for left in reversed(range(_TRIES)):
        before = host.neighbour_overflows()
        cases = _one_lab(wish, specs, say)
        full = host.neighbour_overflows() - before
        if not full:
            return cases
        say(
            f"this kernel's table of neighbours was full {full} times (too many labs at once; "
            "sysctl net.ipv4.neigh.default.gc_thresh3): "
            + ("once again" if left else "these labs are thrown out")
        )
    return [replace(case, problem=case.problem or _CROWDED) for case in cases]


def _one_lab(wish: Wish, specs: dict[int, SiteSpec], say: Say) -> list[Case]:
    name = f"gen-{secrets.token_hex(4)}"
    drawn = random.Random(wish.seed).randrange(1, 1 << 30)  # noqa: S311 - variety
    made = lab.up(LabSpec(name=name, sites=tuple(specs.values()), renumber=drawn))
    try:
        made.settle(timeout_s=60.0)
        say(f"measuring {len(specs)} sites with real clients")
        measured = truths(made)
        late = _await_connected(made, measured)
        said = {}
        for access in wish.accesses:
            say(f"auditing {len(specs)} sites (access: {access})")
            said[access] = {site["site"]: site for site in audit_lab(made, access)["sites"]}
        for site in made.sites:
            if site.unsaved:
                measured[site.label] = with_reboot(made, measured[site.label])
    finally:
        lab.down(name)
    return [
        _case(number, spec, access, measured[site.label], said[access][site.label], late)
        for access in wish.accesses
        for (number, spec), site in zip(specs.items(), made.sites, strict=True)
    ]


def _await_connected(made: Lab, measured: dict[str, Truth]) -> frozenset[str]:
    """Wait until the devices' own clients agree with the measured ones; return who does not.

    Measuring a second WAN takes the first one away for a moment, and with it the connections of the
    device's own client: there only what the client says afterwards counts.
    """
    began_s = time.time()
    deadline_s = time.monotonic() + _RECONNECT_S
    waiting = {site for site in made.sites if measured[site.label].works}
    while waiting and time.monotonic() < deadline_s:
        waiting = {
            site
            for site in waiting
            if not _connected(made, site.device, since_s=began_s if site.standby else 0.0)
        }
        if waiting:
            time.sleep(1.0)
    return frozenset(site.label for site in waiting)


def _connected(made: Lab, device: str, *, since_s: float) -> bool:
    """Say whether a device's own client reported an answer after a moment (machine time)."""
    script = "cloud-status && stat -c 'written: %Y' /run/cloud/status"
    lines = made.in_device(device, ["sh", "-c", script]).stdout.splitlines()
    written = next((float(line.split()[1]) for line in lines if line.startswith("written:")), 0.0)
    return "connected: yes" in lines and written > since_s


def _case(
    number: int,
    spec: SiteSpec,
    access: Access,
    truth: Truth,
    said: dict[str, Any],
    late: frozenset[str],
) -> Case:
    problem = label_problem(spec.plan, truth)
    if not problem and truth.site in late:
        problem = "the device's own client did not connect, the measured one did"
    sure = [finding for finding in said["findings"] if finding["grade"] in SURE]
    return Case(
        number=number,
        spec=spec,
        access=access,
        truth=truth,
        problem=problem,
        allowed=allowed(spec.plan, truth, access),
        verdict=said["verdict"],
        findings=tuple(finding["id"] for finding in sure),
        grades=tuple(finding["grade"] for finding in sure),
        said=said,
    )
