from __future__ import annotations

import contextlib
import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtughost.collect.hello import (
    MAX_HELLO_BYTES,
    client_hello,
    parse_reply,
    server_name,
    smallest_hello,
)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """Return a real OpenSSL server for each version, with a certificate made now."""
    folder = tmp_path_factory.mktemp("server")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "crt").write_bytes(certificate.public_bytes(pem))
    (folder / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "crt", folder / "key")
        context.minimum_version = context.maximum_version = version
        made[version] = context
    return made


def answer_of(context, hello):
    """Return what a real TLS server answers, and the name that it was asked for."""
    asked = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read(), asked


@given(
    total=st.one_of(st.integers(260, 2000), st.integers(260, MAX_HELLO_BYTES)),
    host=st.sampled_from(["203.0.113.10", "2001:db8::1", "radsec.example.net", "a.b"]),
    version=st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]),
    entropy=st.binary(min_size=96, max_size=96),
)
def test_a_real_server_answers_a_hello_of_every_length(contexts, total, host, version, entropy):
    hello = client_hello(total, host=host, entropy=entropy)

    answer, asked = answer_of(contexts[version], hello)

    assert len(hello) == total
    assert parse_reply(answer).kind == "server-hello"
    assert asked == [server_name(host) or None]


def test_the_shortest_hello_is_answered_and_one_byte_less_is_refused(contexts):
    shortest = smallest_hello("203.0.113.10")
    context = contexts[ssl.TLSVersion.TLSv1_3]

    assert parse_reply(answer_of(context, client_hello(shortest))[0]).kind == "server-hello"
    with pytest.raises(ValueError, match=f"has {shortest} to {MAX_HELLO_BYTES} bytes"):
        client_hello(shortest - 1)


def test_only_one_padding_extension_is_sent():
    """OpenSSL calls a second one an illegal parameter."""
    hello = client_hello(700, entropy=bytes(range(96)))
    extensions = hello[43 + 1 + 32 + 2 + hello[77] + 2 + 2 :]
    codes = []
    while extensions:
        codes.append(int.from_bytes(extensions[:2], "big"))
        extensions = extensions[4 + int.from_bytes(extensions[2:4], "big") :]

    assert codes.count(21) == 1
    assert codes[-1] == 21
    assert len(codes) == len(set(codes))


def test_two_hellos_share_neither_random_nor_key():
    assert client_hello(300) != client_hello(300)


@pytest.mark.parametrize(
    ("host", "name"),
    [("203.0.113.10", ""), ("2001:db8::1", ""), ("cloud.example.", "cloud.example"), ("a", "a")],
)
def test_only_names_go_into_the_server_name(host, name):
    assert server_name(host) == name


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        (b"", "incomplete", ""),
        (b"\x16\x03", "incomplete", ""),
        (b"\x16\x03\x03\x00\x7a\x02", "incomplete", ""),
        (b"\x16\x03\x03\x00\x7a\x02\x00", "server-hello", ""),
        (b"\x15\x03\x01\x00\x02\x02\x28", "alert", "handshake_failure"),
        (b"\x16\x03\x03\x00\x7a\x01\x00", "not-tls", "another message"),
        (b"220 mail ready", "not-tls", "without TLS"),
        (b"\x16\x07\x03\x00\x7a\x02\x00", "not-tls", "without TLS"),
        (b"\x16\x03\x03\xff\xff\x02\x00", "not-tls", "without TLS"),
        (b"\x16\x03\x03\x00\x01\x02\x00", "not-tls", "without TLS"),
    ],
)
def test_a_reply_counts_only_when_it_is_a_tls_record(data, kind, detail):
    reply = parse_reply(data)

    assert reply.kind == kind
    assert detail in reply.detail


@given(st.binary(max_size=40))
def test_no_bytes_of_a_far_end_make_the_judgement_raise(data):
    assert parse_reply(data).kind in {"incomplete", "server-hello", "alert", "not-tls"}
