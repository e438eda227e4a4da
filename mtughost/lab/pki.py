"""Keys and certificates of a lab, made when it starts and never stored in the project.

The AP's chain (leaf and intermediate, RSA 2048 because RSA signatures have a fixed length) is
padded so that its TLS flight has the size seen in the field: 3570 bytes on the wire as frames of
1514, 1514 and 542 bytes under TLS 1.2. The servers' keys are elliptic: their flight fits one
packet, so that the upload direction is what a scenario is about.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

#: Bytes of the AP's two certificates together. With TLS 1.2, ECDHE on X25519 and AES-256-GCM
#: the whole client flight is then 3372 bytes: 1448 + 1448 + 476 of payload with TCP timestamps.
CLIENT_CHAIN_BYTES = 2992

_COMMENT = ObjectIdentifier("2.16.840.1.113730.1.13")  # nsComment
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A key with its certificate chain, PEM."""

    key: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class _Issuer:
    key: _Key
    certificate: x509.Certificate


class Pki:
    """One lab's certificate authorities."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now.replace(microsecond=0)
        root_key = ec.generate_private_key(ec.SECP256R1())
        root = self._sign("Lab Root CA", root_key, None, authority=True)
        self._root = _Issuer(root_key, root)
        device_key = rsa.generate_private_key(65537, 2048)
        self._devices = _Issuer(
            device_key, self._sign("Lab Device CA", device_key, self._root, authority=True)
        )

    @property
    def root_pem(self) -> bytes:
        """The certificate that everybody trusts."""
        return _pem(self._root.certificate)

    def server(
        self,
        name: str,
        addresses: tuple[IPv4Address, ...],
        *,
        expired: bool,
        more: tuple[IPv6Address, ...] = (),
        padding: int = 0,
        foreign: bool = False,
    ) -> Issued:
        """Return a server certificate for ``name`` and its addresses.

        Args:
            name: DNS name.
            addresses: IPv4 addresses.
            expired: Whether it ended yesterday.
            more: IPv6 addresses.
            padding: Bytes that make it larger; with 0 its flight fits one packet.
            foreign: Issued by an authority that nobody here trusts.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(address) for address in addresses]
        names += [x509.IPAddress(address) for address in more]
        certificate = self._sign(
            name,
            key,
            self._foreign() if foreign else self._root,
            names=names,
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            expired=expired,
            padding=padding,
        )
        return Issued(_key_pem(key), _pem(certificate))

    def _foreign(self) -> _Issuer:
        key = ec.generate_private_key(ec.SECP256R1())
        return _Issuer(key, self._sign("Inspection CA", key, None, authority=True))

    def device(self, name: str) -> Issued:
        """Return the padded client certificate of one AP together with its intermediate."""
        key = rsa.generate_private_key(65537, 2048)
        intermediate = len(_der(self._devices.certificate))
        padding = 600
        while True:
            leaf = self._sign(
                name, key, self._devices, usage=ExtendedKeyUsageOID.CLIENT_AUTH, padding=padding
            )
            missing = CLIENT_CHAIN_BYTES - intermediate - len(_der(leaf))
            if missing == 0:
                break
            padding += missing
        return Issued(_key_pem(key), _pem(leaf) + _pem(self._devices.certificate))

    def _sign(  # noqa: PLR0913 - one certificate has this many properties
        self,
        name: str,
        key: _Key,
        issuer: _Issuer | None,
        *,
        names: list[x509.GeneralName] | None = None,
        usage: ObjectIdentifier | None = None,
        authority: bool = False,
        expired: bool = False,
        padding: int = 0,
    ) -> x509.Certificate:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mtughost lab"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        day = dt.timedelta(days=1)
        start, end = (-30 * day, -1 * day) if expired else (-1 * day, 30 * day)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            # A serial number of fixed length: the padding must be exact.
            .serial_number((1 << 158) | (x509.random_serial_number() >> 3))
            .not_valid_before(self._now + start)
            .not_valid_after(self._now + end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if padding:
            text = b"\x16\x82" + padding.to_bytes(2, "big") + b"n" * padding  # IA5String
            builder = builder.add_extension(
                x509.UnrecognizedExtension(_COMMENT, text), critical=False
            )
        return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _key_pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(frozen=True, slots=True)
class SshKey:
    """An ed25519 key in OpenSSH's formats."""

    private: bytes
    public: str


def ssh_key() -> SshKey:
    """Make a new SSH key without passphrase (lab only)."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return SshKey(private, public.decode())
