"""Over all scenarios: what a redacted bundle says offline is what the audit said."""

from __future__ import annotations

import json
import os

import pytest

from mtughost import lab
from mtughost.app.evidence import EvidenceRequest, diagnose_bundle, make_bundle, verify_bundle
from mtughost.app.labs import lab_environment, own_command
from mtughost.app.project import open_project
from mtughost.lab import CATALOGUE, LabSpec, SiteSpec

pytestmark = [pytest.mark.lab, pytest.mark.nightly(basis="real program"), pytest.mark.timeout(3000)]

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
#: Sites that are up at once.
BATCH = 14
SAMPLE_SIZE = 8
#: All that hand over raw evidence.
RECIPIENTS = ("isp", "gateway-provider", "ap-vendor")
WITH_SERVICE = tuple(s.name for s in CATALOGUE.values() if s.topology != "plain")


@pytest.fixture
def audited(folder):
    """Bring scenarios up, audit them, and return the project with its stored run."""
    running = []

    def run(specs, number):
        name = f"bundles{number}"
        running.append(lab.up(LabSpec(name=name, sites=specs, renumber=number + 1), root=folder))
        running[-1].settle()
        words = ("--quiet", "audit", "--probe", "service", "--capture", "12", "--json", "-")
        done = running[-1].exec(
            [*own_command(), *words], env=lab_environment(running[-1].project), timeout_s=600
        )
        assert done.returncode in {0, 10, 11}, done.stderr
        return open_project(running[-1].project), json.loads(done.stdout)

    yield run
    lab.down_all(root=folder)


def test_the_redacted_bundle_of_every_scenario_gives_the_verdict_of_the_original(
    audited, folder, chance, note
):
    names = chance.sample(WITH_SERVICE, len(WITH_SERVICE) if FULL else SAMPLE_SIZE)
    kinds = [(chance.choice(("1.2", "1.3")), chance.choice(("nft", "iptables"))) for _ in names]
    specs = [
        SiteSpec(scenario=name, tls=tls, style=style)
        for name, (tls, style) in zip(names, kinds, strict=True)
    ]
    differing, bundles = [], 0
    for number, first in enumerate(range(0, len(specs), BATCH)):
        batch = tuple(specs[first : first + BATCH])
        project, document = audited(batch, number)
        for spec, site in zip(batch, document["sites"], strict=True):
            for recipient in RECIPIENTS:
                out = folder / f"{spec.scenario}-{recipient}.zip"
                request = EvidenceRequest(site=site["site"], recipient=recipient, out=out)
                make_bundle(project, request)
                (offline,) = diagnose_bundle(project.content, out).report.sites
                said = [(f["id"], f["grade"], f["owner"]) for f in site["findings"]]
                again = [(f.id, f.grade, f.owner) for f in offline.findings]
                if (site["verdict"], said) != (offline.verdict, again):
                    differing.append((spec, recipient, site["verdict"], said, again))
                assert verify_bundle(project, out).same_verdict
                bundles += 1
        lab.down_all(root=folder)
    note("bundles", f"{bundles} of {len(names)} scenarios, {len(differing)} differ")

    assert differing == []
