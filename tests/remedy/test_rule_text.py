"""Rules taken apart and put together again are the same text, or are not touched at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.remedy.rule_text import ClampText, parse_iptables, parse_nft

NAMES = st.from_regex(r"\A[a-z][a-z0-9.]{0,8}\Z")
LISTS = st.lists(NAMES, max_size=3, unique=True).map(sorted).map(tuple)


@given(
    st.builds(
        ClampText,
        tool=st.just("nft"),
        nfproto=st.sampled_from([0, 4, 6]),
        in_interfaces=LISTS,
        out_interfaces=LISTS,
        flags=st.sampled_from([1, 2]),
        above_bytes=st.integers(0, 9000),
        counter_at=st.sampled_from([0, 1, 2, 3]),
        mss_bytes=st.integers(0, 9000),
        comment=st.sampled_from(["", "a", "mtughost-01"]),
    )
)
def test_nft_rules_survive_being_read(rule):
    found = parse_nft(rule.text() + " # handle 7")

    assert found is not None
    assert found.text() == rule.text()


@given(
    st.builds(
        ClampText,
        tool=st.just("iptables"),
        nfproto=st.just(4),
        in_interfaces=LISTS.map(lambda names: names[:1]),
        out_interfaces=LISTS.map(lambda names: names[:1]),
        flags=st.sampled_from([1, 2, 3]),
        above_bytes=st.integers(0, 9000),
        mss_bytes=st.integers(0, 9000),
    )
)
def test_iptables_rules_survive_being_read(rule):
    assert parse_iptables(f"[3:120] -A FORWARD {rule.text()}", 4) == ("FORWARD", rule)


def test_counts_handles_and_blanks_do_not_matter():
    found = parse_nft(
        '  iifname "a"  tcp flags syn counter packets 12 bytes 720 '
        "tcp option maxseg size set rt mtu # handle 12"
    )

    assert found == ClampText(tool="nft", in_interfaces=("a",), flags=1, counter_at=1)


@pytest.mark.parametrize(
    "text",
    [
        'iifname "a" meta mark 1 tcp flags syn tcp option maxseg size set rt mtu',
        'iifname "a" tcp flags syn tcp option maxseg size set rt mtu accept',
        'iifname != "a" tcp flags syn tcp option maxseg size set rt mtu',
        "iifname @lan tcp flags syn tcp option maxseg size set rt mtu",
        'iifname "ppp*" tcp flags syn tcp option maxseg size set rt mtu',
        'iifname "a;b" tcp flags syn tcp option maxseg size set rt mtu',
        'iifname "a\'b" tcp flags syn tcp option maxseg size set rt mtu',
        'iifname "a" tcp flags syn tcp option maxseg size set rt mtu comment "a b"',
        'oifname "b" iifname "a" tcp flags syn tcp option maxseg size set rt mtu',
        "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
        "tcp dport 22 accept",
    ],
)
def test_any_other_nft_rule_is_not_understood(text):
    assert parse_nft(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "-A FORWARD -s 10.0.0.0/8 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        "-A FORWARD ! -i a -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        "-A FORWARD -i ppp+ -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        "-A FORWARD -i a$(b) -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        "-A FORWARD -p tcp -m tcp --tcp-flags ALL SYN -j TCPMSS --set-mss 1400",
        "-A FORWARD -j ACCEPT",
    ],
)
def test_any_other_iptables_rule_is_not_understood(text):
    assert parse_iptables(text, 4) is None


def test_a_mirrored_rule_asks_the_other_way_round():
    rule = ClampText(tool="nft", in_interfaces=("a",), out_interfaces=("b",))

    assert rule.mirrored().text().startswith('iifname "b" oifname "a"')
    assert rule.mirrored().mirrored() == rule
