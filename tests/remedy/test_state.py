"""Two readings of one state are equal; what volatile parts do does not matter; drift is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import PlanItem
from mtughost.remedy.edits import AddRule, ReplaceRule, SetMtu, lines_after
from mtughost.remedy.rule_text import ClampText
from mtughost.remedy.state import (
    drift,
    has_stanza,
    interfaces_file,
    iptables_tables,
    links,
    nft_handles,
    nft_tables,
    reading,
    stanza_mtu,
    state_digest,
    with_interface_mtu,
)

RULESET = """table inet filter {
\tset banned {
\t\ttype ipv4_addr
\t\tflags dynamic,timeout
\t\telements = { 192.0.2.1 expires 3s,
\t\t\t     192.0.2.2 expires 9s }
\t}
\tset fixed {
\t\ttype ipv4_addr
\t\telements = { 192.0.2.7, 192.0.2.3 }
\t}
\tchain forward {
\t\tiifname { "b", "a" } counter packets 7 bytes 9 accept
\t}
}
table inet clamp {
\tchain forward {
\t\ttype filter hook forward priority mangle; policy accept;
\t\tiifname "a" tcp flags syn tcp option maxseg size set rt mtu # handle 4
\t}
}
"""


def test_moving_elements_counters_and_order_in_sets_do_not_matter():
    other = RULESET.replace("expires 3s", "expires 1s").replace("packets 7", "packets 8")
    other = other.replace('"b", "a"', '"a", "b"').replace(
        "192.0.2.7, 192.0.2.3", "192.0.2.3, 192.0.2.7"
    )

    assert nft_tables(other) == nft_tables(RULESET)


def test_fixed_elements_and_rules_do_matter():
    for old, new in (("192.0.2.7", "192.0.2.8"), ('"b"', '"c"'), ("accept;", "drop;")):
        assert nft_tables(RULESET.replace(old, new)) != nft_tables(RULESET)


def test_the_order_of_tables_does_not_matter_to_the_saved_state():
    first, second = RULESET.split("table inet clamp", maxsplit=1)
    turned = "table inet clamp" + second + first

    one = reading("nft", "inet clamp", texts(RULESET))
    two = reading("nft", "inet clamp", texts(turned))

    assert one.running == two.running


def texts(ruleset, relevant=None):
    return {
        "relevant": relevant or "table inet clamp" + ruleset.split("table inet clamp")[1],
        "ruleset": ruleset,
        "links": "2: a@if3: <UP> mtu 1500 qdisc noqueue master br0 state UP",
        "saved": ruleset,
    }


def test_handles_are_read_in_order():
    assert nft_handles(RULESET) == (
        ('iifname "a" tcp flags syn tcp option maxseg size set rt mtu', 4),
    )


def test_links_are_name_mtu_and_master():
    text = "1: lo: <UP> mtu 65536 qdisc\n2: a@if3: <UP> mtu 1500 qdisc x master br0 state UP\\ link"

    assert links(text) == ("a mtu 1500 master br0", "lo mtu 65536")


def test_empty_iptables_tables_are_no_state():
    empty = "*mangle\n:FORWARD ACCEPT [5:6]\nCOMMIT\n"

    assert iptables_tables(empty) == {}
    assert iptables_tables(empty.replace("ACCEPT", "DROP")) == {"mangle": (":FORWARD DROP",)}


def test_drift_shows_the_line_that_came_and_names_other_sections():
    planned = state_digest(reading("nft", "inet clamp", texts(RULESET)), taken_utc="")
    changed = RULESET.replace('"b", "a"', '"c"')
    relevant = "table inet clamp" + RULESET.split("table inet clamp")[1].replace(
        "# handle 4\n", "# handle 4\n\t\ttcp dport 9 drop # handle 5\n"
    )

    found = state_digest(reading("nft", "inet clamp", texts(changed, relevant)), taken_utc="")
    text = drift(planned, found)

    assert "+tcp dport 9 drop" in text
    assert "section nft table inet filter changed" in text
    assert "saved" in text
    assert drift(planned, planned) == ""


def test_items_do_not_change_a_states_digest():
    read = reading("nft", "inet clamp", texts(RULESET))
    plain = state_digest(read, taken_utc="")
    named = state_digest(read, taken_utc="x", items=(PlanItem(path="a", value="b"),))

    assert (plain.relevant, plain.whole) == (named.relevant, named.whole)


STANZAS = """# comment
auto a
iface a inet static
  mtu 1500
  address 192.0.2.1/24
iface a inet6 auto
iface b inet manual
  mtu 1400
"""


def test_an_mtu_is_written_into_every_stanza_of_one_interface():
    lines = interfaces_file(STANZAS)

    changed = with_interface_mtu(lines, "a", 1440)

    assert changed == (
        "auto a",
        "iface a inet static",
        "mtu 1440",
        "address 192.0.2.1/24",
        "iface a inet6 auto",
        "mtu 1440",
        "iface b inet manual",
        "mtu 1400",
    )
    assert (stanza_mtu(lines, "a"), stanza_mtu(changed, "a"), stanza_mtu(lines, "b")) == (
        1500,
        1440,
        1400,
    )
    assert has_stanza(lines, "a")
    assert not has_stanza(lines, "c")


RULE = ClampText(tool="nft", in_interfaces=("a",), flags=1)


@pytest.mark.parametrize(
    ("lines", "edit"),
    [
        (
            ("chain forward {", "}"),
            ReplaceRule(table="t", chain="forward", before=RULE, after=RULE),
        ),
        (
            ("chain forward {", RULE.text(), RULE.text(), "}"),
            ReplaceRule(table="t", chain="forward", before=RULE, after=RULE),
        ),
        (
            ("chain other {", RULE.text(), "}"),
            AddRule(table="t", chain="forward", rule=RULE, behind=RULE.text()),
        ),
        (
            ("== iptables mangle", "== ip6tables mangle"),
            AddRule(
                table="ip mangle",
                chain="FORWARD",
                behind="-A FORWARD -j X",
                rule=replace(RULE, tool="iptables", nfproto=4),
            ),
        ),
        (("interface a mtu 1492",), SetMtu(interface="a", before_bytes=1500, after_bytes=1440)),
    ],
)
def test_an_edit_that_no_longer_fits_is_refused(lines, edit):
    with pytest.raises(PlanRefusedError, match="has changed since it was audited"):
        lines_after(lines, edit)
