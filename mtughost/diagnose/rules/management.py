"""The path between us and the devices."""

from __future__ import annotations

from mtughost.diagnose.case import Outcome
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.model.basis import Basis
from mtughost.model.findings import Evidence, Finding, Owner

_BASIS: dict[str, Basis] = {"foundry": "real program", "virtual": "emulation"}


def management_path_hole(evidence: SiteEvidence) -> Outcome:
    """DESIGN section 1: SSH to the device crosses the same kind of path.

    Observables: a login that stalls between banner and key exchange and succeeds with a small MSS
    on our own socket (two observations: confirmed), or stalls with both (possible).
    """
    text = "the login stalled after the banner and succeeded with a small MSS on our socket"
    proven = [
        _finding(evidence, f.host, text, confirmed=True)
        for f in evidence.facts
        if f.login_needed_small_mss
    ]
    stalled = [
        _finding(evidence, s.host, s.error.removeprefix(f"{s.host}: "), confirmed=False)
        for s in evidence.failed
        if s.error_kind == "management-stall"
    ]
    return (*proven, *stalled)


def _finding(evidence: SiteEvidence, host: str, text: str, *, confirmed: bool) -> Finding:
    device = evidence.device(host)
    lab = device.lab if device is not None else ""
    basis = _BASIS.get(lab, "real device")
    lead = (
        "large packets between us and" if confirmed else "large packets may be lost between us and"
    )
    return Finding(
        id="management-path-hole",
        grade="confirmed" if confirmed else "possible",
        owner=_owner(evidence, host),
        summary=f"{lead} {host}{' are lost' if confirmed else ''}: {text}",
        evidence=(Evidence(kind="login", basis=basis, host=host, value=text),),
    )


def _owner(evidence: SiteEvidence, host: str) -> Owner:
    """The site's gateway is the first device that could clamp this path."""
    own = evidence.device(host)
    gateways = evidence.site.with_role("gateway")
    managed = (own is not None and own.managed_by) or any(g.managed_by for g in gateways)
    return "provider" if managed else "gateway"
