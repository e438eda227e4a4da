"""Record what the access points of a lab say; the label is measured by packets and exit codes.

Usage: foundry.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mtughost import lab

_SCENARIOS = [
    "healthy-clamp-both",
    "clamp-scope",
    "clamp-missing",
    "clamp-syn-only",
    "latent-far-end",
    "port-blocked",
    "certificate-expired",
]
_CERTIFICATE, _TIMED_OUT = 60, 28


def _silence(truth: lab.Truth) -> str:
    """Under TLS 1.3 a client whose own flight is lost believes that the handshake is done."""
    late = truth.stage == "upload-unacknowledged" and truth.tls == "1.3"
    return "no-reply-after-handshake" if late else "handshake-stall"


def _radsec_label(truth: lab.Truth) -> str:
    if truth.works:
        return "none"
    if truth.stage == "no-syn-ack":
        return "connect-timeout"
    return _silence(truth) if truth.verdict == "fault" else "certificate-expired"


def _push_label(truth: lab.Truth, code: int) -> str:
    if code == 0:
        return "none"
    if code == _TIMED_OUT and truth.verdict == "fault":
        return _silence(truth)
    return "certificate-expired" if code == _CERTIFICATE and truth.verdict == "not-mtu" else ""


def main() -> None:
    """Bring a lab up, measure, push, read, take it down."""
    records = []
    for tls in ("1.2", "1.3"):
        name = f"push-corpus-{tls.replace('.', '')}"
        made = lab.up(lab.LabSpec(name=name, sites=lab.sites_of(_SCENARIOS, tls=tls)))
        try:
            made.settle()
            found = lab.truths(made, at_once=4)
            for site in (site for site in made.sites if site.label in found):
                truth = found[site.label]
                push = made.in_device(site.device, ["cloud-push", "-v"])
                log = made.in_device(site.device, ["tail", "-n", "30", "/var/log/radsecproxy.log"])
                code = push.returncode
                blocked = site.scenario == "port-blocked"
                if truth.works != (code == 0) and not blocked:
                    sys.stderr.write(f"thrown out: {site.scenario}: {truth.stage}, exit {code}\n")
                    continue
                measured = {"packets": {"stage": truth.stage}, "verdict": truth.verdict}
                common = {"planted": f"foundry-{site.scenario}", "family": "ipv4", "tls": tls}
                common |= {"alert": None, "measured": {**measured, "exit": code}}
                for program, label, text in (
                    ("curl", _push_label(truth, code), push.stdout),
                    ("radsecproxy", _radsec_label(truth), log.stdout),
                ):
                    if label and text.strip():
                        told = {"program": program, "options": "in a lab", "label": label}
                        records.append(told | common | {"text": text})
        finally:
            lab.down(name)
    Path(sys.argv[1]).write_text("".join(json.dumps(item) + "\n" for item in records))


if __name__ == "__main__":
    main()
