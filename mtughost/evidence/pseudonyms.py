"""Keyed, consistent stand-ins for identifiers.

The same value gives the same stand-in in text, JSON and captures of one bundle, and nobody without
the key can try all 2^32 addresses to find out whose it was. Addresses keep what a diagnosis needs:
two addresses that share their first n bits share them afterwards (the construction of Xu, Fan,
Ammar and Moon, "Prefix-Preserving IP Address Anonymization", 2002, with keyed BLAKE2 in place of
AES), and special ranges (RFC 6890) stay what they are.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from functools import lru_cache
from typing import Final

from mtughost.model.errors import UsageError

KEY_BYTES: Final = 32
_V4_BITS: Final = 32
_V6_BITS: Final = 128

#: Ranges whose first bits say what an address *is*; these bits stay, the rest is replaced.
#: A length of 32 or 128 keeps the whole address: it names nobody.
_V4_RANGES: Final = tuple(
    (ipaddress.IPv4Network(network), keep)
    for network, keep in (
        ("0.0.0.0/8", 32),
        ("127.0.0.0/8", 32),
        ("224.0.0.0/3", 32),  # multicast, reserved, and every netmask
        ("10.0.0.0/8", 8),
        ("100.64.0.0/10", 10),
        ("169.254.0.0/16", 16),
        ("172.16.0.0/12", 12),
        ("192.0.0.0/24", 32),
        ("192.0.2.0/24", 24),
        ("192.168.0.0/16", 16),
        ("198.18.0.0/15", 15),
        ("198.51.100.0/24", 24),
        ("203.0.113.0/24", 24),
    )
)
#: First octets that hold a special range beside ordinary addresses: they stay, with the second.
_MIXED_OCTETS: Final = frozenset({100, 169, 172, 192, 198, 203})
_ORDINARY_OCTETS: Final = tuple(
    octet for octet in range(1, 224) if octet not in _MIXED_OCTETS and octet not in {10, 127}
)
_V6_RANGES: Final = tuple(
    (ipaddress.IPv6Network(network), keep)
    for network, keep in (
        ("::/127", 128),
        ("ff00::/8", 128),
        ("fe80::/10", 64),
        ("fc00::/7", 8),
        ("2001:db8::/32", 32),
        ("64:ff9b::/96", 96),
        ("2000::/3", 3),
    )
)
_MAC_DIGITS: Final = re.compile(r"[0-9A-Fa-f]")
_MAC_KEPT_DIGITS: Final = 6
_MULTICAST_BIT: Final = 0x01


class Pseudonyms:
    """Stand-ins made with one key.

    Args:
        key: 32 secret random bytes. Who has the key can find out what stood there.

    Raises:
        UsageError: the key has another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise UsageError(f"a redaction key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        # One cache per object: a cache of the class would keep every key alive.
        self._flip = lru_cache(maxsize=1 << 16)(self._flip_bit)
        ordered = sorted(_ORDINARY_OCTETS, key=lambda octet: self._digest("octet", bytes([octet])))
        self._octets = dict(zip(_ORDINARY_OCTETS, ordered, strict=True))

    def _digest(self, kind: str, value: bytes) -> bytes:
        return hmac.new(self._key, kind.encode() + b"\0" + value, hashlib.blake2s).digest()

    def _flip_bit(self, family: int, length: int, prefix: int) -> int:
        message = family.to_bytes(1, "big") + length.to_bytes(1, "big") + prefix.to_bytes(16, "big")
        return hashlib.blake2s(message, key=self._key, digest_size=1).digest()[0] & 1

    def _walk(self, value: int, *, family: int, bits: int, start: int) -> int:
        """Replace all bits from ``start`` on, each by the key and the original bits before it."""
        out = value >> (bits - start) if start else 0
        for length in range(start, bits):
            prefix = value >> (bits - length) if length else 0
            bit = (value >> (bits - length - 1)) & 1
            out = (out << 1) | (bit ^ self._flip(family, length, prefix))
        return out

    def ipv4(self, address: ipaddress.IPv4Address) -> ipaddress.IPv4Address:
        """Return the stand-in of an address; special addresses stand for themselves."""
        for network, keep in _V4_RANGES:
            if address in network:
                return ipaddress.IPv4Address(
                    self._walk(int(address), family=4, bits=_V4_BITS, start=keep)
                )
        first = int(address) >> 24
        if first in _MIXED_OCTETS:
            return ipaddress.IPv4Address(
                self._walk(int(address), family=4, bits=_V4_BITS, start=16)
            )
        walked = self._walk(int(address), family=4, bits=_V4_BITS, start=8)
        return ipaddress.IPv4Address((self._octets[first] << 24) | (walked & 0xFFFFFF))

    def ipv6(self, address: ipaddress.IPv6Address) -> ipaddress.IPv6Address:
        """Return the stand-in of an address; an embedded IPv4 address is replaced as one."""
        if address.ipv4_mapped is not None:
            inner = self.ipv4(address.ipv4_mapped)
            return ipaddress.IPv6Address(f"::ffff:{inner}")
        for network, keep in _V6_RANGES:
            if address in network:
                return ipaddress.IPv6Address(
                    self._walk(int(address), family=6, bits=_V6_BITS, start=keep)
                )
        return ipaddress.IPv6Address(self._walk(int(address), family=6, bits=_V6_BITS, start=0))

    def address(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """Return the stand-in of an address of either family."""
        if isinstance(address, ipaddress.IPv4Address):
            return self.ipv4(address)
        return self.ipv6(address)

    def network(self, text: str) -> str:
        """Return the stand-in of ``ADDRESS/LENGTH``, in the same form.

        A network (no bits beyond the length) stays a network, so that readers who insist on that
        still accept it. Networks shorter than /8 name nobody and stay.

        Raises:
            ValueError: it is none.
        """
        interface = ipaddress.ip_interface(text)
        length = interface.network.prefixlen
        if length < 8:  # noqa: PLR2004 - shorter than any range that somebody owns
            return text
        mapped = self.address(interface.ip)
        if interface.ip != interface.network.network_address:
            return f"{mapped}/{length}"
        host_bits = mapped.max_prefixlen - length
        cut = (int(mapped) >> host_bits) << host_bits
        return f"{type(mapped)(cut)}/{length}"

    def mac_bytes(self, mac: bytes) -> bytes:
        """Return the stand-in of a hardware address: the vendor's half stays."""
        if mac[0] & _MULTICAST_BIT or not any(mac):
            return mac  # groups, broadcast and "none" name nobody
        return mac[:3] + self._digest("mac", mac)[:3]

    def mac(self, text: str) -> str:
        """Return the stand-in of a hardware address in the notation in which it is written."""
        digits = "".join(_MAC_DIGITS.findall(text))
        fresh = iter(self.mac_bytes(bytes.fromhex(digits)).hex())
        upper = any(char.isupper() for char in text)
        out = _MAC_DIGITS.sub(lambda _found: next(fresh), text)
        return out.upper() if upper else out

    def word(self, kind: str, value: str) -> str:
        """Return the stand-in of a name: its kind and eight hexadecimal digits."""
        return f"{kind}-{self._digest(kind, value.encode()).hex()[:8]}"

    def same_length(self, kind: str, value: bytes) -> bytes:
        """Return printable bytes of the same length, for places whose length is evidence."""
        out = bytearray()
        counter = 0
        while len(out) < len(value):
            block = self._digest(f"{kind}:{counter}", value)
            out += bytes(ord("a") + byte % 26 for byte in block)
            counter += 1
        return bytes(out[: len(value)])
