import pytest

from mtughost.packets.summary import summarise
from mtughost.report.captures import capture_to_dict, flow_sentence


@pytest.fixture(scope="module")
def site_a(checkout):
    # Recorded at the access point of a lab's Site A: 1514+1514+542, DF clear, nothing answered.
    with (checkout / "tests/fixtures/captures/site-a.pcap").open("rb") as stream:
        return summarise(
            stream,
            host="site-a.pcap",
            point="ap",
            interface="eth0",
            basis="recorded output",
            command="",
            seconds=14.0,
            services=(),
        )


def test_the_sentence_of_site_a_names_both_mss_the_lost_size_and_the_stage(site_a):
    sentence = flow_sentence(site_a.flows[0])

    assert "MSS 1460 in the SYN, 1460 in the SYN-ACK" in sentence
    assert "1500 bytes never did" in sentence
    assert "DF clear" in sentence
    assert "TLS came as far as client-flight (TLS 1.2)" in sentence


def test_the_json_of_a_capture_carries_one_sentence_per_connection(site_a):
    document = capture_to_dict(site_a)

    assert document["schema"] == "mtughost/capture/v1"
    assert [flow["sentence"] for flow in document["flows"]] == [
        flow_sentence(flow) for flow in site_a.flows
    ]
