"""Pure diagnosis: evidence in, findings with proofs out. No I/O, no clock."""

from mtughost.diagnose.coverage import prove_coverage
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.simulate import simulate_change
from mtughost.diagnose.site import diagnose_site, wanted_tests

__all__ = ["SiteEvidence", "diagnose_site", "prove_coverage", "simulate_change", "wanted_tests"]
