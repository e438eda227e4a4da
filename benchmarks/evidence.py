"""How long documents take and how much memory: a bundle with a large capture, a large fleet page.

Makes a project with one stored run: a site whose access point captured 100 MB of TLS traffic
that does not compress, then types ``evidence``, ``evidence verify`` and ``diagnose --bundle`` as
a person would, each in a process of its own. The fleet page is made from a stored audit of 5,000
sites, with twenty runs before it.

    python benchmarks/evidence.py                 # 100 MB and 5,000 sites; writes EVIDENCE.md
    python benchmarks/evidence.py --megabytes 10  # smaller, prints only
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from pcap import _measured, write_capture

from mtughost.model.findings import HostStatus
from mtughost.store import RunMeta, RunStore
from mtughost.wire.clock import SystemClock

HERE = Path(__file__).resolve().parent
SITES = 5000
RUNS_BEFORE = 20
_HOSTS = """\
s001-ap1:
  hostname: 10.20.0.10
  platform: linux
  username: audit
  data:
    site: s001
    role: ap
    use_agent: true
    services: [{name: radsec, host: 203.0.113.10, port: 443, tls: mutual}]
"""
_PROVIDERS = ("Cable One", "Fibre Co", "DSL Ltd", "Metro Net", "Carrier X")
_FINDINGS = {
    "fault": ("clamp-scope", "confirmed", "provider"),
    "latent": ("clamp-missing", "likely", "gateway"),
    "not-mtu": ("no-syn-ack", "confirmed", "isp"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    size_bytes: int


def incompressible(path: Path) -> None:
    """Fill the payload of large packets with noise, as encrypted data is; headers stay."""
    rng = random.Random(1)  # noqa: S311 - noise, no secret
    data = bytearray(path.read_bytes())
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        body, end = at + 16 + 100, at + 16 + length
        if length > 400:
            data[body:end] = rng.randbytes(end - body)
        at = end
    path.write_bytes(data)


def make_project(folder: Path) -> Path:
    """Write a project with one access point."""
    project = folder / "project"
    (project / "inventory").mkdir(parents=True)
    (project / "mtughost.toml").write_text('[project]\nname = "bench"\n')
    (project / "inventory" / "hosts.yaml").write_text(_HOSTS)
    for name in ("groups", "defaults"):
        (project / "inventory" / f"{name}.yaml").write_text("{}\n")
    return project


def store_capture(project: Path, capture: Path) -> None:
    """Store a run as an audit with ``--capture`` would."""
    with closing(RunStore.open(project / "state" / "runs.sqlite", clock=SystemClock())) as store:
        run = store.create_run(_meta("audit", ("s001-ap1",)), suffix="abcdef")
        ok = HostStatus(host="s001-ap1", site="s001", role="ap", status="ok")
        store.record_host(run, ok, ())
        meta = {"command": "tcpdump -w -", "seconds": 60.0, "basis": "recorded output"}
        store.record_capture(
            run, "s001-ap1", point="ap", interface="eth0", pcap=capture.read_bytes(), meta=meta
        )
        store.finish_run(run)


def store_fleet(project: Path) -> None:
    """Store audits of many sites, the last one whole and the ones before by their verdicts."""
    rng = random.Random(2)  # noqa: S311 - variety, no secret
    with closing(RunStore.open(project / "state" / "runs.sqlite", clock=SystemClock())) as store:
        for number in range(RUNS_BEFORE + 1):
            run = store.create_run(_meta("audit", (), day=number + 1), suffix=f"{number:06x}")
            document = _document(run, rng)
            store.record_report(run, document)
            store.finish_run(run)


def _meta(kind: str, hosts: tuple[str, ...], day: int = 1) -> RunMeta:
    started = f"2026-10-{day:02d}T02:00:00+00:00"
    return RunMeta(started_utc=started, tool="mtughost", kind=kind, hosts=hosts)


def _document(run: str, rng: random.Random) -> dict[str, object]:
    sites = [_site(number, rng) for number in range(SITES)]
    verdicts = dict.fromkeys(("fault", "latent", "unknown", "not-mtu", "ok"), 0)
    hosts = [
        {"host": f"{site['site']}-ap1", "site": site["site"], "role": "ap", "status": "ok"}
        for site in sites
    ]
    counts = {"asked": SITES, "ok": SITES, "failed": 0, "skipped": 0}
    return {
        "schema": "mtughost/audit/v1", "run_id": run, "started_utc": "2026-10-21T02:00:00Z",
        "tool": "mtughost", "content_digest": "", "hosts": hosts, "sites": sites,
        "counts": {"hosts": counts, "sites": verdicts, "findings": {}},
    }  # fmt: skip


def _site(number: int, rng: random.Random) -> dict[str, object]:
    verdict = rng.choices(("ok", "fault", "latent", "not-mtu", "unknown"), (80, 10, 5, 3, 2))[0]
    name = f"store-{number:04d}"
    findings = []
    if verdict in _FINDINGS:
        ident, grade, owner = _FINDINGS[verdict]
        rule = {
            "kind": "clamp-rule", "basis": "real device", "host": f"{name}-gw1", "line": 17,
            "command": "nft -a list ruleset", "value": "tcp option maxseg size set rt mtu " * 3,
        }  # fmt: skip
        findings = [
            {
                "id": ident, "grade": grade, "owner": owner, "evidence": [rule] * 12,
                "summary": f"rule 3 on {name}-gw1 would clamp but matches vlan30 only, not vlan20, "
                "so the SYN-ACK reaches the AP with MSS 1460; MSS 1452 will work (path MTU 1492)",
            }
        ]  # fmt: skip
    mss = {"configured": 1452, "installed": [], "needed": 1452,
           "observed": {"ap": 1460, "lan": 1460, "wan": 1460}}  # fmt: skip
    flows = [
        {
            "service": "radsec", "ap": f"{name}-ap1", "gateway": f"{name}-gw1", "egress": "wan0",
            "family": "ipv4", "direction": direction, "mss": mss, "path_mtu": 1492,
            "mtu": {"ap": 1500, "vlan": 1500, "wan": 1492, "tunnel": None},
            "covered": verdict == "ok", "proof": "rule 3 writes MSS 1452 when this SYN-ACK leaves",
        }
        for direction in ("up", "down")
    ]  # fmt: skip
    return {
        "site": name, "verdict": verdict, "flows": flows, "findings": findings, "ruled_out": [],
        "notes": [], "isp": rng.choice(_PROVIDERS),
    }  # fmt: skip


def typed(what: str, project: Path, *words: str, result: Path) -> Row:
    """Type one command and measure it."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "MTUGHOST_PROJECT": str(project)}
    cpu_s, wall_s, peak_mb = _measured([sys.executable, "-P", "-m", "mtughost", *words], env)
    return Row(what, wall_s, cpu_s, peak_mb, result.stat().st_size)


def measure(folder: Path, megabytes: int) -> list[Row]:
    """Make everything and measure every command."""
    project = make_project(folder)
    _apart(prepare, project, folder / "capture.pcap", megabytes)
    bundle, fleet = folder / "ticket.zip", folder / "fleet.html"
    make = ("evidence", "--site", "s001", "--for", "isp", "--out", str(bundle))
    rows = [
        typed(f"evidence, {megabytes} MB of capture", project, *make, result=bundle),
        typed("evidence verify", project, "evidence", "verify", str(bundle), result=bundle),
        typed("diagnose --bundle", project, "diagnose", "--bundle", str(bundle), result=bundle),
    ]
    _apart(store_fleet, project)
    page = ("--quiet", "report", "--fleet", str(fleet))
    rows.append(typed(f"report --fleet, {SITES} sites", project, *page, result=fleet))
    return rows


def prepare(project: Path, capture: Path, megabytes: int) -> None:
    """Make the capture and store it."""
    write_capture(capture, megabytes * 1_000_000)
    incompressible(capture)
    store_capture(project, capture)
    capture.unlink()


def _apart(work: Callable[..., None], *given: object) -> None:
    """Do it in a process of its own: what this one ever held counts for whatever it starts."""
    process = get_context("spawn").Process(target=work, args=given)
    process.start()
    process.join()
    assert process.exitcode == 0


def table(rows: list[Row]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| command | wall s | CPU s | peak MB | result, MB |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.what} | {row.wall_s:.1f} | {row.cpu_s:.1f} | {row.peak_mb:.0f} | "
        f"{row.size_bytes / 1e6:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure; write EVIDENCE.md after a run of the full size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--megabytes", type=int, default=100)
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory(prefix="mtughost-bench-") as name:
        rows = measure(Path(name), megabytes)
    text = table(rows)
    print(text)
    if megabytes != 100:
        return
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    load = f"load average {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d')}"
    (HERE / "EVIDENCE.md").write_text(
        "# Documents: time and memory\n\n"
        "Written by `python benchmarks/evidence.py`; every command is a process of its own, its\n"
        f"start included. {machine}, {load}.\n\n{text}\n\n"
        "The goals are 30 s and 300 MB for a bundle with a capture of 100 MB, 10 s and a page of\n"
        "less than 5 MB for a fleet of 5,000 sites. The capture is TLS traffic whose payload does\n"
        "not compress; the bundle is small because all payload but the skeleton of TLS is zeros.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
