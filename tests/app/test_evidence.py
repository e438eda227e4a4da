"""Bundles from real runs: every recipient, verified, tampered with, diagnosed again offline."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile

import pytest

from mtughost.evidence.archive import Archive
from mtughost.lab import SiteSpec
from mtughost.model.errors import EvidenceError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SCENARIOS = ("clamp-scope", "icmp-ignored", "latent-far-end", "certificate-expired", "healthy-icmp")
RECIPIENTS = ("isp", "gateway-provider", "ap-vendor", "management")
SITE_A = "s001"


@pytest.fixture(scope="module")
def handed_over(labs, tmp_path_factory):
    """Audit a few stores once and make every bundle of every store."""
    out = tmp_path_factory.mktemp("bundles")
    with labs(*(SiteSpec(scenario=name) for name in SCENARIOS)) as operator:
        audit = operator.audit("--probe", "service", "--capture", "12")
        key = str(operator.project / "ssh" / "operator")
        made = {}
        for site in audit["sites"]:
            for recipient in RECIPIENTS if site["site"] == SITE_A else RECIPIENTS[:1]:
                path = out / f"{site['site']}-{recipient}.zip"
                words = ("--site", site["site"], "--for", recipient, "--out", str(path))
                made[site["site"], recipient] = (operator("evidence", *words, "--key", key), path)
        # The others are diagnosed again below, which checks them, too.
        verified = {
            key: operator("evidence", "verify", str(path))
            for key, (_, path) in made.items()
            if key[0] == SITE_A
        }
        again = {
            key: operator("diagnose", "--bundle", str(path), "--json", "-")
            for key, (_, path) in made.items()
            if key[1] == "isp"
        }
        spoiled = out / "spoiled.zip"
        spoil(made[SITE_A, "isp"][1], spoiled)
        refused = operator("evidence", "verify", str(spoiled))
    return audit, made, verified, again, refused


def spoil(path, target):
    """Change the WAN's MTU in one raw answer, as somebody might who wants to be right."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("links.txt"):
                data = data.replace(b"1492", b"1500")
            new.writestr(info, data)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_bundle_is_made_and_verifies(handed_over):
    _, made, verified, _, _ = handed_over

    assert len(made) == len(SCENARIOS) + 3
    for done, _ in made.values():
        assert done.returncode == 0, done.stderr
    for (_, recipient), done in verified.items():
        assert done.returncode == 0, done.stderr
        assert "signed by author" in done.stdout
        assert ("same verdict" in done.stdout) == (recipient != "management")


def test_the_redacted_evidence_gives_the_verdict_of_the_original(handed_over):
    audit, _, _, again, _ = handed_over
    original = {site["site"]: site for site in audit["sites"]}

    assert len(again) == len(SCENARIOS)
    for (name, _), done in again.items():
        (site,) = json.loads(done.stdout)["sites"]
        assert site["site"] != name
        assert site["verdict"] == original[name]["verdict"]
        assert [(f["id"], f["grade"], f["owner"]) for f in site["findings"]] == [
            (f["id"], f["grade"], f["owner"]) for f in original[name]["findings"]
        ]


def test_a_changed_answer_is_detected(handed_over):
    refused = handed_over[4]

    assert refused.returncode == 5
    assert "was changed" in refused.stderr


def test_the_provider_of_the_circuit_learns_nothing_about_the_inside(handed_over):
    _, made, _, _, _ = handed_over
    texts = b"\n".join(members(made[SITE_A, "isp"][1]).values())

    for inside in (b"s001", b"172.31.1.10", b"172.31.1.1"):
        assert inside not in texts


#: Site A, and the second story.
TICKETS = ((SITE_A, "gateway-provider"), (SITE_A, "isp"), ("s002", "isp"))
KINDS_SEEN = {
    SITE_A: {"clamp-rule", "interface-mtu", "syn-mss", "stall", "cloud"},
    "s002": {"icmp", "interface-mtu", "syn-mss"},
}


@pytest.mark.parametrize(("site", "recipient"), TICKETS)
def test_every_claim_leads_to_a_line_or_a_packet_of_the_bundle(
    handed_over, tmp_path, site, recipient
):
    held = members(handed_over[1][site, recipient][1])
    (said,) = json.loads(held["report.json"])["sites"]
    manifest = json.loads(held["manifest.json"])
    packets, checked = {}, set()
    for item in (item for finding in said["findings"] for item in finding["evidence"]):
        if "line" not in item and "frame" not in item:
            continue
        sources = [
            member["path"]
            for member in manifest["members"]
            if (member["host"], member["command"]) == (item["host"], item["command"])
        ]
        assert sources, item
        if "frame" in item:
            if sources[0] not in packets:
                packets[sources[0]] = told_by_tcpdump(tmp_path / "x.pcap", held[sources[0]])
            near = packets[sources[0]][item["frame"]]
            # The last fragment stands for the whole packet, which ends where the fragment does.
            part = re.search(r"offset (\d+), .* length (\d+)\)", near)
            near += f" {int(part[1]) + int(part[2])}" if part else ""
        else:
            lines = held[sources[0]].decode().split("\n")
            assert 0 < item["line"] <= len(lines), item
            near = "\n".join(lines[item["line"] - 1 : item["line"] + 9])
        # The kernel's "mss" has TCP's timestamps taken off already (12 bytes).
        claimed = {int(text) for text in re.findall(r"(?<![\w.])\d{3,4}(?![\w.])", item["value"])}
        claimed |= {figure - 12 for figure in claimed}
        assert not claimed or any(str(figure) in near for figure in claimed), (item, near)
        checked.add(item["kind"])

    assert KINDS_SEEN[site] <= checked


@pytest.mark.parametrize(("site", "recipient"), TICKETS)
def test_every_packet_of_the_sequence_is_the_one_that_tcpdump_numbers_so(
    handed_over, tmp_path, site, recipient
):
    held = members(handed_over[1][site, recipient][1])
    page = held["report.md"].decode()
    (member,) = re.findall(r"All of it is in `(captures/[^`]+)`", page)
    packets = told_by_tcpdump(tmp_path / "x.pcap", held[member])
    rows = re.findall(r"^\| (\d+) \| [\d.]+ \| [→←] \| (\d+) \| (.+) \|$", page, re.MULTILINE)

    assert len(rows) > 10
    for frame, size, words in rows:
        text = packets[int(frame)]
        assert f"length {int(size) - 14})" in text, (frame, text)
        mss = re.search(r"MSS (\d+)", words)
        assert mss is None or f"mss {mss[1]}" in text
        assert ("ICMP too big" in words) == ("unreachable - need to frag" in text)
    lost = {size for _, size, words in rows if "never acknowledged" in words}
    # The ISP sees the WAN, where Site A's packets are fragments already.
    assert lost == {"1506" if (site, recipient) == (SITE_A, "isp") else "1514"}


def told_by_tcpdump(path, data):
    """Return what tcpdump says of each packet, by its number."""
    path.write_bytes(data)
    command = ["tcpdump", "-nn", "-v", "--number", "-r", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, *parts = re.split(r"^ *(\d+)  (?=\d\d:\d\d:\d\d)", text, flags=re.MULTILINE)
    return {int(number): said for number, said in zip(parts[::2], parts[1::2], strict=True)}


def test_one_byte_in_any_member_is_noticed(handed_over):
    data = handed_over[1][SITE_A, "isp"][1].read_bytes()
    names = [name for name in members(handed_over[1][SITE_A, "isp"][1]) if name[-4:] != ".sig"]

    for name in names:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for info in old.infolist():
                content = old.read(info)
                if info.filename == name:
                    content = content[:-1] + bytes([content[-1] ^ 1]) if content else b"x"
                new.writestr(info, content)
        if name == "manifest.json":
            continue  # that is what the signature is for
        with pytest.raises(EvidenceError, match="was changed"):
            Archive(out.getvalue(), name="spoiled")

    assert len(names) > 50


def test_the_page_says_what_fails_whose_it_is_and_what_is_asked(handed_over):
    _, made, _, _, _ = handed_over
    held = members(made[SITE_A, "gateway-provider"][1])
    page, pasted = held["report.html"].decode(), held["report.md"].decode()

    for words in ("What we ask for", "clamp-scope", "The line that proves it", "<svg"):
        assert words in page
    for words in ("clamp-scope", "MSS 1452", "Ruled out", "Check it yourself"):
        assert words in pasted
    assert "<script" not in page


def test_management_gets_the_page_and_no_raw_answers(handed_over):
    _, made, _, _, _ = handed_over
    held = members(made[SITE_A, "management"][1])

    assert "All evidence" not in held["report.html"].decode()
    assert "Of whoever configures the gateway: " in held["report.md"].decode()
    assert sorted(held) == [
        "manifest.json", "manifest.json.sig", "report.html", "report.json", "report.md",
    ]  # fmt: skip
