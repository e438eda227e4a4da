"""Stand-ins: consistent, keyed, and faithful to what a diagnosis needs of an address."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.model.errors import UsageError

KEY = b"not-a-real-key-not-a-real-key-00"
OURS, OTHER = Pseudonyms(KEY), Pseudonyms(KEY[::-1])
V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)


def shared_bits(a, b):
    return a.max_prefixlen - (int(a) ^ int(b)).bit_length()


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_addresses_share_as_many_first_bits_afterwards_as_before(a, b):
    assert shared_bits(OURS.ipv4(a), OURS.ipv4(b)) == shared_bits(a, b)


@given(st.ip_addresses(v=6, network="2000::/3"), st.ip_addresses(v=6, network="2000::/3"))
def test_the_same_holds_for_global_ipv6(a, b):
    if a in ipaddress.ip_network("2001:db8::/32") or b in ipaddress.ip_network("2001:db8::/32"):
        return
    assert shared_bits(OURS.ipv6(a), OURS.ipv6(b)) == shared_bits(a, b)


@given(V4)
def test_an_address_stays_of_its_kind(address):
    new = OURS.ipv4(address)

    for kind in ("is_private", "is_multicast", "is_loopback", "is_link_local", "is_reserved"):
        assert getattr(new, kind) == getattr(address, kind), (address, new, kind)


@given(V4, st.integers(8, 32))
def test_a_network_holds_exactly_the_stand_ins_of_its_addresses(address, length):
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    new = ipaddress.ip_network(OURS.network(str(network)))

    assert OURS.ipv4(address) in new or not network.network_address.is_private


@given(V4, V4)
def test_two_addresses_never_become_one(a, b):
    assert (OURS.ipv4(a) == OURS.ipv4(b)) == (a == b)


@given(V6, V6)
def test_two_ipv6_addresses_never_become_one(a, b):
    assert (OURS.ipv6(a) == OURS.ipv6(b)) == (a == b)


@pytest.mark.parametrize(
    "text", ["0.0.0.1", "127.0.0.1", "255.255.255.0", "224.0.0.5", "0.0.0.255"]
)
def test_masks_loopback_and_groups_name_nobody_and_stay(text):
    assert str(OURS.ipv4(ipaddress.IPv4Address(text))) == text


def test_another_key_gives_other_stand_ins():
    address = ipaddress.ip_address("10.20.30.40")

    assert OURS.ipv4(address) == OURS.ipv4(address)
    assert OURS.ipv4(address) != OTHER.ipv4(address)


@pytest.mark.parametrize(
    "text", ["00:1A:2B:3c:4d:5e", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e", "001a:2b3c:4d5e"]
)
def test_a_hardware_address_keeps_its_notation_and_its_maker(text):
    new = OURS.mac(text)

    assert len(new) == len(text)
    assert new != text
    assert new.lower()[:4] == text.lower()[:4]


def test_all_notations_of_one_hardware_address_get_one_stand_in():
    a, b = OURS.mac("001a.2b3c.4d5e"), OURS.mac("00:1a:2b:3c:4d:5e")

    assert a.replace(".", "") == b.replace(":", "")


@given(st.binary(min_size=1, max_size=200))
def test_a_name_of_the_same_length_is_printable_and_says_nothing(value):
    new = OURS.same_length("server-name", value)

    assert len(new) == len(value)
    assert new.isalpha()


def test_a_key_of_another_length_is_refused():
    with pytest.raises(UsageError, match="32 bytes"):
        Pseudonyms(b"short")
