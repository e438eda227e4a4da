# ruff: noqa: PLR0913 - a packet has many fields
"""A tiny builder of frames and capture files, so that every byte of a test capture is known."""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import ssl
import struct
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from mtughost.model.inventory import Service
from mtughost.packets import summarise

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
CLIENT_PORT, SERVER_PORT = 40112, 2083
LINK_ETHERNET = 1


def ethernet(packet: bytes, *, tags: tuple[int, ...] = ()) -> bytes:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    header = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"
    for tag in tags:
        header += struct.pack("!HH", 0x8100, tag)
    return header + struct.pack("!H", kind) + packet


def ipv4(
    source, destination, protocol, body, *, df=True, ident=0, more=False, offset=0, total=None
):
    flags = (0x4000 if df else 0) | (0x2000 if more else 0) | offset // 8
    total = 20 + len(body) if total is None else total
    return (
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            total,
            ident,
            flags,
            64,
            protocol,
            0,
            ipaddress.ip_address(source).packed,
            ipaddress.ip_address(destination).packed,
        )
        + body
    )


def ipv6(source, destination, protocol, body, *, extensions=b""):
    return (
        struct.pack("!IHBB", 6 << 28, len(extensions) + len(body), protocol, 64)
        + ipaddress.ip_address(source).packed
        + ipaddress.ip_address(destination).packed
        + extensions
        + body
    )


def tcp_options(*, mss=None, timestamps=True, sack=()):
    options = b""
    if mss is not None:
        options += struct.pack("!BBH", 2, 4, mss)
    if timestamps:
        options += b"\x01\x01" + struct.pack("!BBII", 8, 10, 7, 9)
    if sack:
        options += b"\x01\x01" + struct.pack("!BB", 5, 2 + 8 * len(sack))
        options += b"".join(struct.pack("!II", *block) for block in sack)
    return options + b"\x01" * (-len(options) % 4)


def too_big_v4(mtu, quoted):
    return struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quoted[:28]


def too_big_v6(mtu, quoted):
    return struct.pack("!BBHI", 2, 0, 0, mtu) + quoted[:1200]


@dataclass
class Wire:
    """A connection between a client and a server, written down frame by frame.

    Sequence numbers are relative: 0 is the SYN, 1 the first byte of data.
    """

    client: str = "10.20.0.10"
    server: str = "203.0.113.10"
    client_port: int = CLIENT_PORT
    server_port: int = SERVER_PORT
    client_isn: int = 1000
    server_isn: int = 900_000
    timestamps: bool = True
    now_s: float = 1_700_000_000.0
    frames: list[tuple[float, bytes, int]] = field(default_factory=list)
    idents: itertools.count = field(default_factory=lambda: itertools.count(1))

    @property
    def is_v6(self) -> bool:
        return ":" in self.client

    def wait(self, seconds):
        self.now_s += seconds
        return self

    def raw(self, packet, *, keep=None, wire=None, tags=()):
        """Record one IP packet; ``keep`` cuts the frame like a snaplen does."""
        frame = ethernet(packet, tags=tags)
        self.now_s += 0.000_05
        self.frames.append((self.now_s, frame[:keep], len(frame) if wire is None else wire))
        return self

    def ip(self, source, destination, protocol, body, *, df=True, ident=None):
        if self.is_v6:
            return ipv6(source, destination, protocol, body)
        ident = next(self.idents) & 0xFFFF if ident is None else ident
        return ipv4(source, destination, protocol, body, df=df, ident=ident)

    def segment(
        self,
        side,
        seq,
        ack,
        flags,
        payload=b"",
        *,
        mss=None,
        sack=(),
        df=True,
        ident=None,
        window=500,
    ):
        up = side == "client"
        own, other = (
            (self.client_isn, self.server_isn) if up else (self.server_isn, self.client_isn)
        )
        ports = (self.client_port, self.server_port)
        source, destination = ports if up else ports[::-1]
        blocks = tuple(((other + a) % 2**32, (other + b) % 2**32) for a, b in sack)
        options = tcp_options(mss=mss, timestamps=self.timestamps, sack=blocks)
        header = struct.pack(
            "!HHIIBBHHH",
            source,
            destination,
            (own + seq) % 2**32,
            (other + ack) % 2**32 if flags & ACK else 0,
            (5 + len(options) // 4) << 4,
            flags,
            window,
            0,
            0,
        )
        addresses = (self.client, self.server) if up else (self.server, self.client)
        return self.ip(*addresses, 6, header + options + payload, df=df, ident=ident)

    def send(self, side, seq, ack, flags=ACK, payload=b"", *, keep=None, tags=(), **more):
        if isinstance(payload, int):
            payload = bytes(payload)
        return self.raw(self.segment(side, seq, ack, flags, payload, **more), keep=keep, tags=tags)

    def handshake(self, mss=1460, answer_mss=1460, *, df=True):
        self.send("client", 0, 0, SYN, mss=mss, df=df)
        self.send("server", 0, 1, SYN | ACK, mss=answer_mss)
        return self.send("client", 1, 1, df=df)

    def icmp(self, reporter, mtu, quoted):
        if self.is_v6:
            return self.raw(self.ip(reporter, self.client, 58, too_big_v6(mtu, quoted)))
        return self.raw(self.ip(reporter, self.client, 1, too_big_v4(mtu, quoted)))

    def pcap(self, *, order="<", nanoseconds=False, linktype=LINK_ETHERNET, strip=14, prefix=b""):
        """Return the frames as a pcap file; ``strip`` and ``prefix`` exchange the link header."""
        magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
        out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, linktype)]
        for when_s, frame, wire in self.frames:
            data = frame if linktype == LINK_ETHERNET else prefix + frame[strip:]
            wire_bytes = wire + len(data) - len(frame)
            unit = 10**9 if nanoseconds else 10**6
            fraction = round((when_s - int(when_s)) * unit)
            out.append(struct.pack(order + "IIII", int(when_s), fraction, len(data), wire_bytes))
            out.append(data)
        return b"".join(out)


def site_a(wire: Wire, *, retries: int = 3) -> Wire:
    """Write the field story: 1500 + 1500 + 528 up, the last one SACKed, the first never."""
    wire.handshake(df=False)
    wire.send("client", 1, 1, ACK | PSH, 188, df=False)
    wire.send("server", 1, 189, ACK | PSH, 1448).send("server", 1449, 189, ACK | PSH, 900)
    wire.send("client", 189, 2349, df=False)
    wire.send("client", 189, 2349, ACK, 1448, df=False)
    wire.send("client", 1637, 2349, ACK, 1448, df=False)
    wire.send("client", 3085, 2349, ACK | PSH, 476, df=False)
    wire.wait(0.03).send("server", 2349, 189, sack=((3085, 3561),))
    pause_s = 0.22
    for _ in range(retries):
        wire.wait(pause_s).send("client", 189, 2349, ACK, 1448, df=False)
        pause_s *= 2
    return wire


@pytest.fixture(scope="session")
def wire():
    """Return the builder class."""
    return Wire


@pytest.fixture(scope="session")
def story():
    """Return the function that writes the field story of Site A onto a wire."""
    return site_a


@pytest.fixture(scope="session")
def pack():
    """Return the packet builders by name."""
    return {"ipv4": ipv4, "ipv6": ipv6, "ethernet": ethernet, "tcp_options": tcp_options}


@pytest.fixture(scope="session")
def judge():
    """Return a function that summarises a capture or a wire."""

    def run(capture, *services: Service):
        raw = capture.pcap() if isinstance(capture, Wire) else capture
        return summarise(
            raw,
            host="s001-ap1",
            point="ap",
            interface="eth0",
            basis="recorded output",
            command="",
            seconds=10.0,
            services=services,
        )

    return run


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate and its key, made at run time, as files."""

    certificate: str
    key: str


def _identity(folder, name) -> Identity:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Identity(str(paths[0]), str(paths[1]))


class TlsTalk:
    """A real TLS connection in memory (OpenSSL), whose bytes become segments on a wire."""

    def __init__(self, server_identity, client_identity, version, *, session=None, contexts=None):
        self.contexts = contexts or self._contexts(server_identity, client_identity, version)
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = self.contexts[0].wrap_bio(
            self.to_client, self.to_server, server_hostname="server", session=session
        )
        self.server = self.contexts[1].wrap_bio(self.to_server, self.to_client, server_side=True)

    @staticmethod
    def _contexts(server_identity, client_identity, version):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(server_identity.certificate)
        client.load_cert_chain(client_identity.certificate, client_identity.key)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(server_identity.certificate, server_identity.key)
        server.load_verify_locations(client_identity.certificate)
        server.verify_mode = ssl.CERT_REQUIRED
        for context in (client, server):
            context.minimum_version = context.maximum_version = version
        return client, server

    @staticmethod
    def _step(action):
        try:
            return action()
        except ssl.SSLWantReadError:
            return None

    def flights(self, request=b"access-request", reply=b"access-accept"):
        """Yield (side, bytes) for every flight of a handshake and one round trip."""
        self._step(self.client.do_handshake)
        yield "client", self._taken(self.to_server)
        while True:
            self._step(self.server.do_handshake)
            data = self._taken(self.to_client)
            if data:
                yield "server", data
            done = self._step(lambda: (self.client.do_handshake(), True))
            data = self._taken(self.to_server)
            if data:
                yield "client", data
            if done:
                break
        self._step(self.server.do_handshake)
        late = self._taken(self.to_client)
        if late:
            yield "server", late
        self.client.write(request)
        yield "client", self._taken(self.to_server)
        assert self.server.read(100) == request
        self.server.write(reply)
        yield "server", self._taken(self.to_client)
        assert self.client.read(100) == reply

    def _taken(self, bio):
        """Take what was written; put it back for the other side, as the network would."""
        data = bio.read()
        bio.write(data)
        return data


@pytest.fixture(scope="session")
def identities(tmp_path_factory):
    """Return a server's and a client's certificate."""
    folder = tmp_path_factory.mktemp("identities")
    return _identity(folder, "server"), _identity(folder, "client")


@pytest.fixture(scope="session")
def talk(identities):
    """Return a function that makes a real TLS connection of one version."""

    def make(version, **more):
        return TlsTalk(*identities, version, **more)

    return make


@pytest.fixture(scope="session")
def on_the_wire():
    """Return a function that writes flights as segments of at most ``mss`` bytes, acknowledged."""

    def write(wire, flights, *, mss=1448, keep=None):
        position = {"client": 1, "server": 1}
        for side, data in flights:
            other = "server" if side == "client" else "client"
            for at in range(0, len(data), mss):
                part = data[at : at + mss]
                wire.send(side, position[side], position[other], ACK | PSH, part, keep=keep)
                position[side] += len(part)
            wire.wait(0.01).send(other, position[other], position[side])
        return wire

    return write
