import json
from dataclasses import replace

import pytest

from mtughost.packets import judge, summarise
from mtughost.report.captures import render_report, report_to_dict


@pytest.fixture(scope="module")
def site_a(checkout):
    # Recorded at the access point of a lab's Site A: 1514+1514+542, DF clear, nothing answered.
    with (checkout / "tests/fixtures/captures/site-a.pcap").open("rb") as stream:
        evidence = summarise(
            stream,
            host="site-a.pcap",
            point="ap",
            interface="eth0",
            basis="recorded output",
            command="",
            seconds=14.0,
            services=(),
        )
    return judge([evidence])


def printed(report):
    return "\n".join(text.plain for text in render_report(report).renderables)


def test_the_terminal_shows_the_sentence_first_then_findings_with_frames_and_what_to_do(site_a):
    lines = printed(site_a).splitlines()

    assert lines[0].startswith("fault: packets of 1500 bytes from 10.20.0.10 never arrive")
    assert "MSS 1460" in lines[0]
    assert lines[0].endswith("(likely)")
    assert any("clamp-missing (likely, gateway)" in line for line in lines)
    assert any("frame" in line and "never acknowledged" in line for line in lines)
    assert any(line.startswith("  next: Read the gateway's packet filter") for line in lines)


def test_every_connection_has_a_sentence_with_both_mss_the_lost_size_and_the_stage(site_a):
    sentence = site_a.connections[0].sentence

    assert "MSS 1460 in the SYN, 1460 in the SYN-ACK" in sentence
    assert "1500 bytes never did" in sentence
    assert "DF clear" in sentence
    assert "TLS came as far as client-flight (TLS 1.2)" in sentence


def test_the_json_carries_verdict_sentence_findings_frames_and_evidence(site_a):
    document = json.loads(json.dumps(report_to_dict(site_a)))

    assert (document["schema"], document["verdict"]) == ("mtughost/pcap/v1", "fault")
    assert document["findings"][0]["id"] == "clamp-missing"
    assert all(item["frame"] for item in document["findings"][0]["evidence"])
    assert document["captures"][0]["flows"][0]["smallest_lost_up_bytes"] == 1500
    assert document["connections"][0]["frames"]


def test_words_of_a_capture_cannot_reach_the_terminal_as_escapes(site_a):
    hostile = replace(site_a, notes=("\x1b]0;pwned\x07 \x1b[31m",), sentence="\x1b[2J")

    assert "\x1b" not in printed(hostile)
