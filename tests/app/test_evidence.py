"""Bundles from real runs: every recipient, verified, tampered with, diagnosed again offline."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

from mtughost.lab import SiteSpec

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
        verified = {key: operator("evidence", "verify", str(p)) for key, (_, p) in made.items()}
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


def test_every_claim_of_the_page_leads_to_a_line_or_a_packet_of_the_bundle(handed_over):
    _, made, _, _, _ = handed_over
    held = members(made[SITE_A, "gateway-provider"][1])
    (site,) = json.loads(held["report.json"])["sites"]
    manifest = json.loads(held["manifest.json"])
    checked = 0
    for finding in site["findings"]:
        for item in finding["evidence"]:
            if "command" not in item or ("line" not in item and "frame" not in item):
                continue
            sources = [
                member
                for member in manifest["members"]
                if (member["host"], member["command"]) == (item["host"], item["command"])
            ]
            assert sources, item
            raw = held[sources[0]["path"]]
            if "line" in item:
                lines = raw.decode().split("\n")
                assert 0 < item["line"] <= len(lines), item
                figures = {int(text) for text in re.findall(r"(?<!\w)\d{3,4}", item["value"])}
                # The kernel's "mss" has TCP's timestamps taken off already (12 bytes).
                figures |= {figure - 12 for figure in figures}
                near = "\n".join(lines[max(0, item["line"] - 3) : item["line"] + 40])
                assert not figures or any(str(figure) in near for figure in figures), item
            checked += 1

    assert checked > 10


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

    assert sorted(held) == [
        "manifest.json", "manifest.json.sig", "report.html", "report.json", "report.md",
    ]  # fmt: skip
