"""The recorder's small world: one network namespace, certificates with every fault, packet truth.

Addresses are documentation addresses on the loopback, which has an MTU of 1500 here. Faults on
the path are planted with nft on the packets' arrival, so that the observer sees what was sent.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "cloud.example"
ADDRESS = {"ipv4": "203.0.113.10", "ipv6": "2001:db8:113::10"}
FOLDER = Path("/mnt/push")
PATH_MTU_BYTES = 1492
_OUTGOING = 4
_ETH_IP, _ETH_IP6 = 0x0800, 0x86DD
_SYN, _ACK, _RST, _FIN = 2, 16, 4, 1


def sh(*argv: str, stdin: str | None = None) -> None:
    """Run a command of the set-up; a failure is an error."""
    subprocess.run(argv, check=True, input=stdin, text=True, capture_output=True)


def build() -> None:
    """Make addresses, names and the planted faults of the path."""
    sh("hostname", "ap")
    sh("ip", "link", "set", "lo", "mtu", "1500")
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "address", "add", f"{ADDRESS['ipv4']}/32", "dev", "lo")
    sh("ip", "address", "add", f"{ADDRESS['ipv6']}/128", "dev", "lo", "nodad")
    sh("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    FOLDER.mkdir(mode=0o755)
    for name, text in (
        ("hosts", "".join(f"{a} {NAME}\n" for a in ADDRESS.values()) + "127.0.0.1 localhost ap\n"),
        ("resolv.conf", "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ):
        (FOLDER / name).write_text(text)
        target = Path("/etc") / name
        if target.exists():
            sh("mount", "--bind", str(FOLDER / name), str(target))
    sets = "".join(
        f"set {name} {{ type inet_service; }}\n" for name in ("down", "up", "syn", "admin", "deaf")
    )
    big = f"meta length > {PATH_MTU_BYTES}"
    rules = (
        f"tcp sport @down {big} drop; tcp dport @up {big} drop; "
        "tcp dport @syn tcp flags & (syn|ack) == syn drop; "
        "tcp dport @deaf tcp flags & (syn|ack) == ack drop; "
        "tcp dport @admin reject with icmpx type admin-prohibited; "
        "udp dport @syn drop"
    ).replace("; ", "\n")
    chain = f"chain arrive {{ type filter hook input priority 0;\n{rules}\n}}"
    sh("nft", "-f", "-", stdin=f"table inet hole {{\n{sets}{chain}\n}}\n")


def plant(kind: str, port: int) -> None:
    """Let one port suffer from one fault of the path."""
    sh("nft", "add", "element", "inet", "hole", kind, f"{{ {port} }}")


# -- what the packets say -------------------------------------------------------------------------


@dataclass
class Seen:
    """What the wire showed of the connections to one port, as sent (before any planted loss)."""

    syn: int = 0
    syn_ack: int = 0
    rst_far: int = 0
    rst_near: int = 0
    fin_far: int = 0
    hello: int = 0
    payload_near: int = 0
    payload_far: int = 0
    largest_near: int = 0
    largest_far: int = 0
    alert_near: int | None = None
    alert_far: int | None = None
    icmp: int = 0
    datagrams_near: int = 0
    datagrams_far: int = 0

    def plain(self) -> dict[str, int]:
        """Return what is not empty."""
        return {key: value for key, value in vars(self).items() if value}


class Observer:
    """Counts packets by the service's port with a packet socket: shares no code with the tool."""

    def __init__(self) -> None:
        self.ports: dict[int, Seen] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self._socket.bind(("lo", 3))
        threading.Thread(target=self._run, daemon=True).start()

    def of(self, port: int) -> Seen:
        """Return the account of one port."""
        return self.ports.setdefault(port, Seen())

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                frame, address = self._socket.recvfrom(70000)
                if address[2] == _OUTGOING:
                    self._packet(frame[14:], int.from_bytes(frame[12:14], "big"))

    def _packet(self, packet: bytes, kind: int) -> None:
        if kind == _ETH_IP and len(packet) > 20:
            protocol, start = packet[9], (packet[0] & 15) * 4
            length = int.from_bytes(packet[2:4], "big")
        elif kind == _ETH_IP6 and len(packet) > 40:
            protocol, start, length = packet[6], 40, 40 + int.from_bytes(packet[4:6], "big")
        else:
            return
        transport = packet[start:length] if length else packet[start:]
        if protocol == 6 and len(transport) >= 20:
            self._tcp(transport, length)
        elif protocol == 17 and len(transport) >= 8:
            near, far = struct.unpack("!HH", transport[:4])
            if far in self.ports:
                self.ports[far].datagrams_near += 1
            elif near in self.ports:
                self.ports[near].datagrams_far += 1
        elif protocol == 1 and transport[:1] == b"\x03":
            self._unreachable(transport[8:])

    def _unreachable(self, inner: bytes) -> None:
        if len(inner) >= 24:
            port = int.from_bytes(inner[(inner[0] & 15) * 4 + 2 :][:2], "big")
            if port in self.ports:
                self.ports[port].icmp += 1

    def _tcp(self, segment: bytes, length: int) -> None:
        source, target = struct.unpack("!HH", segment[:4])
        flags, payload = segment[13], segment[(segment[12] >> 4) * 4 :]
        if target in self.ports:
            seen = self.ports[target]
            seen.syn += flags & (_SYN | _ACK) == _SYN
            seen.rst_near += bool(flags & _RST)
            seen.payload_near += len(payload)
            seen.hello += payload[:1] == b"\x16" and payload[5:6] == b"\x01"
            seen.largest_near = max(seen.largest_near, length if payload else 0)
            seen.alert_near = _alert(payload, seen.alert_near)
        elif source in self.ports:
            seen = self.ports[source]
            seen.syn_ack += flags & (_SYN | _ACK) == _SYN | _ACK
            seen.rst_far += bool(flags & _RST)
            seen.fin_far += bool(flags & _FIN)
            seen.payload_far += len(payload)
            seen.largest_far = max(seen.largest_far, length if payload else 0)
            seen.alert_far = _alert(payload, seen.alert_far)


def _alert(payload: bytes, before: int | None) -> int | None:
    """Return the description of a plain alert record at the start or the end of a segment."""
    for record in (payload[:7], payload[-7:]):
        if len(record) == 7 and record[:2] == b"\x15\x03" and record[3:5] == b"\x00\x02":
            return record[6] or before
    return before


# -- certificates ---------------------------------------------------------------------------------

#: file: (subject, subject alternative name, first and last day from now, issuer, padded)
LEAVES: dict[str, tuple[str, str, tuple[int, int], str, bool]] = {
    "good": (NAME, NAME, (-1, 30), "ca", False),
    "big": (NAME, NAME, (-1, 30), "ca", True),
    "expired": (NAME, NAME, (-90, -2), "ca", False),
    "expired-long": (NAME, NAME, (-900, -700), "ca", False),
    "future": (NAME, NAME, (5, 30), "ca", False),
    "future-far": (NAME, NAME, (3000, 4000), "ca", False),
    "foreign": (NAME, NAME, (-1, 30), "other", False),
    "no-intermediate": (NAME, NAME, (-1, 30), "intermediate", False),
    "self": (NAME, NAME, (-1, 30), "", False),
    "wrong-name": ("mail.example", "mail.example", (-1, 30), "ca", False),
    "wrong-name-2": ("*.shop.example", "*.shop.example", (-1, 30), "ca", False),
    "inspected-1": (NAME, NAME, (-1, 30), "zscaler", False),
    "inspected-2": (NAME, NAME, (-1, 30), "fortigate", False),
    "inspected-3": (NAME, NAME, (-1, 30), "paloalto", False),
    "client": ("ap1", "ap1.shop.example", (-1, 30), "ca", False),
    "client-big": ("ap1", "ap1.shop.example", (-1, 30), "ca", True),
    "client-expired": ("ap1", "ap1.shop.example", (-90, -2), "ca", False),
    "client-foreign": ("ap1", "ap1.shop.example", (-1, 30), "other", False),
    "client-future": ("ap1", "ap1.shop.example", (5, 30), "ca", False),
}
_AUTHORITIES = {
    "ca": ("Push Test CA", "Example"),
    "other": ("Another CA", "Somebody"),
    "intermediate": ("Push Test Intermediate", "Example"),
    "zscaler": ("Zscaler Intermediate Root CA (zscaler.net)", "Zscaler Inc."),
    "fortigate": ("FG100F0000000000", "Fortinet"),
    "paloalto": ("Forward-Trust-CA", "Palo Alto Networks"),
}


@dataclass
class Pki:
    """Writes every certificate and key into ``FOLDER``; keys never leave the run."""

    made: dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = field(
        default_factory=dict
    )

    def make(self) -> None:
        """Make all."""
        for file, (subject, organisation) in _AUTHORITIES.items():
            issuer = "ca" if file == "intermediate" else ""
            self._make(file, subject, issuer=issuer, organisation=organisation)
        for file, (subject, alternative, days, issuer, padded) in LEAVES.items():
            names = [alternative] + [
                f"name-{number:03}.padding.shop.example" for number in range(90 if padded else 0)
            ]
            self._make(file, subject, issuer=issuer, days=days, names=names)

    def _make(
        self,
        file: str,
        subject: str,
        *,
        issuer: str,
        days: tuple[int, int] = (-1000, 5000),
        names: list[str] | None = None,
        organisation: str = "",
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, subject)]
        if organisation:
            parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        name = x509.Name(parts)
        above = self.made.get(issuer)
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(above[0].subject if above else name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            entries: list[x509.GeneralName] = [x509.DNSName(text) for text in names]
            if names[0] == NAME:
                entries += [x509.IPAddress(ipaddress.ip_address(a)) for a in ADDRESS.values()]
            builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical=False)
        certificate = builder.sign(above[1] if above else key, hashes.SHA256())
        self.made[file] = (certificate, key)
        (FOLDER / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (FOLDER / f"{file}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        for suffix in (".pem", ".key"):
            (FOLDER / f"{file}{suffix}").chmod(0o644)


# -- name server ----------------------------------------------------------------------------------


def name_server() -> None:
    """Answer on 127.0.0.53: NXDOMAIN, SERVFAIL for ``broken.*``, silence for ``silent.*``."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.53", 53))

    def run() -> None:
        while True:
            query, client = server.recvfrom(4096)
            if b"\x06silent" in query:
                continue
            code = 2 if b"\x06broken" in query else 3
            flags = struct.pack("!H", 0x8180 | code)
            server.sendto(query[:2] + flags + query[4:6] + b"\0" * 6 + query[12:], client)

    threading.Thread(target=run, daemon=True).start()
