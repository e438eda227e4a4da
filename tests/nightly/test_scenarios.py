"""Every scenario with both TLS versions: the measured truth beside the verdict.

The measurement shares no code with the tool. Names, addresses, order and the packet filter's
dialect must not matter, so each pass has others, and every pass must find the same truths.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from mtughost.app.lab_run import RunTable, run_scenarios
from mtughost.lab import SCENARIOS

pytestmark = [pytest.mark.lab, pytest.mark.nightly, pytest.mark.timeout(1800)]

#: Name of the pass and the gateways' packet filter.
PASSES = {"first": "nft", "again": "nft", "iptables": "iptables"}
SAMPLED = {"sample": ""}
#: In a sample: cases of each TLS version.
SAMPLE_SIZE = 4
VERDICTS = ("fault", "latent", "not-mtu", "ok", "unknown")
WITH_SERVICE = tuple(s.name for s in SCENARIOS.values() if s.topology != "plain")
FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"


@pytest.fixture(scope="module")
def truths_so_far():
    return {}


@pytest.mark.parametrize("name", PASSES if FULL else SAMPLED)
def test_the_verdict_is_the_measured_truth_whatever_the_names_the_order_and_the_dialect(
    name, chance, note, truths_so_far
):
    rows = []
    for tls in ("1.2", "1.3"):
        style = PASSES.get(name) or chance.choice(("nft", "iptables"))
        order = chance.sample(WITH_SERVICE, len(WITH_SERVICE) if FULL else SAMPLE_SIZE)
        renumber = chance.randrange(1, 1_000_000)
        note(f"TLS {tls}", f"{len(order)} scenarios, {style}, renumber {renumber}")
        rows += run_scenarios(order, tls=tls, style=style, renumber=renumber).rows
    table = RunTable(rows=tuple(rows))

    note("basis", "real program")
    note("right", f"{sum(row.agrees for row in rows)} of {len(rows)}")
    note(f"Scenarios, {name} pass: truth (rows) and verdict (columns)", confusion(rows))
    note(f"Scenarios, {name} pass, in the order in which they stood", table.table)
    truths = {(row.scenario, row.tls): row.truth.verdict for row in rows}
    different = {
        case: (truths_so_far[case], truth)
        for case, truth in truths.items()
        if truths_so_far.setdefault(case, truth) != truth
    }
    assert [row for row in rows if row.truth.verdict == "ok" and row.findings] == []
    assert table.all_agree, table.table
    assert different == {}
    if FULL:
        assert set(truths.values()) == set(VERDICTS) - {"unknown"}


def confusion(rows):
    counted = Counter((row.truth.verdict, row.verdict) for row in rows)
    lines = [f"| truth | {' | '.join(VERDICTS)} |", "|--" * (len(VERDICTS) + 1) + "|"]
    for truth in VERDICTS[:-1]:
        cells = " | ".join(str(counted[truth, verdict]) for verdict in VERDICTS)
        lines.append(f"| {truth} | {cells} |")
    return "\n".join(lines)
