"""The corpus is made while testing: real clients against real servers on loopback."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtughost.collect.push_errors import Decision, LogLine, classify, decide, decide_log

SEARCH = "/usr/local/sbin:/usr/sbin:/usr/bin:/bin"
CLIENT_WAIT_S = 2


def needs(program):
    path = shutil.which(program, path=SEARCH)
    return pytest.mark.skipif(path is None, reason=f"{program} is not installed")


class Pki:
    """Certificates with every fault, made at run time."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = self._make("ca", "Test CA", days=(-900, 900), is_ca=True)
        self.stranger = self._make("other", "Other CA", days=(-900, 900), is_ca=True)
        for name, days, issuer in (
            ("good", (-1, 1), self.authority),
            ("expired", (-30, -2), self.authority),
            ("future", (5, 30), self.authority),
            ("foreign", (-1, 1), self.stranger),
            ("selfsigned", (-1, 1), None),
            ("client", (-1, 1), self.authority),
            ("client-expired", (-30, -2), self.authority),
            ("client-foreign", (-1, 1), self.stranger),
        ):
            self._make(name, "localhost", days=days, issuer=issuer)

    def crt(self, name):
        return str(self.folder / f"{name}.crt")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def _make(self, file, subject, *, days, issuer=None, is_ca=False):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer[0].subject if issuer else name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(issuer[1] if issuer else key, hashes.SHA256())
        )
        (self.folder / f"{file}.crt").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        (self.folder / f"{file}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, key


@dataclass
class Servers:
    """TCP servers on loopback, one per kind of trouble."""

    pki: Pki
    ports: dict[str, int] = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def listen(self, name, handler):
        listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self.sockets.append(listener)
        self.ports[name] = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener, handler), daemon=True).start()

    def _accept(self, listener, handler):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(
                    target=self._serve, args=(handler, connection), daemon=True
                ).start()

    def _serve(self, handler, connection):
        with contextlib.suppress(OSError), connection:
            handler(connection)

    def tls(self, certificate, *, answer="", mutual=False, version=None, silent=False):
        def serve(connection):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.pki.crt(certificate), self.pki.key(certificate))
            if version:
                context.minimum_version = context.maximum_version = version
            if mutual:
                context.load_verify_locations(self.pki.crt("ca"))
                context.verify_mode = ssl.CERT_REQUIRED
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(4096)
                if silent:
                    self.stop.wait(30)
                elif answer:
                    head = f"HTTP/1.1 {answer}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                    secure.sendall(head.encode())
                    secure.unwrap()

        return serve

    def silent(self, connection):
        connection.recv(4096)
        self.stop.wait(30)

    @staticmethod
    def reset(connection):
        connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def hang_up(connection):
        connection.recv(4096)

    @staticmethod
    def plain(connection):
        connection.recv(4096)
        connection.sendall(b"220 mail ready\r\n")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def servers(pki):
    made = Servers(pki)
    for name in ("good", "expired", "future", "foreign", "selfsigned"):
        made.listen(name, made.tls(name, answer="200 OK"))
    for name, answer in (
        ("401", "401 Unauthorized"),
        ("403", "403 Forbidden"),
        ("503", "503 Busy"),
    ):
        made.listen(name, made.tls("good", answer=answer))
    made.listen("mutual", made.tls("good", mutual=True, version=ssl.TLSVersion.TLSv1_2))
    made.listen("no-reply", made.tls("good", silent=True))
    made.listen("silent", made.silent)
    made.listen("reset", made.reset)
    made.listen("hang-up", made.hang_up)
    made.listen("plain", made.plain)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        made.ports["refused"] = closed.getsockname()[1]
    yield made
    made.stop.set()
    for listener in made.sockets:
        listener.close()


def run(argv, *, timeout_s=CLIENT_WAIT_S + 4, stdin=""):
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        text=True,
        errors="replace",
        check=False,
        env={"PATH": SEARCH, "LC_ALL": "C"},
    )
    return done.stdout + done.stderr


# -- curl -----------------------------------------------------------------------------------------

CURL = {
    "good": "none",
    "expired": "certificate-expired",
    "future": "certificate-not-yet-valid",
    "foreign": "certificate-untrusted",
    "selfsigned": "certificate-untrusted",
    "401": "credential-rejected",
    "403": "credential-rejected",
    "503": "http-error",
    "mutual": "tls-alert",
    "no-reply": "no-reply-after-handshake",
    "silent": "handshake-stall",
    "reset": "connection-reset",
    "hang-up": "connection-reset",
    "plain": "unclassified",
    "refused": "connection-refused",
}


def curl(pki, port, *more):
    return run(
        [
            *("curl", "-sS", "-v", "-m", str(CLIENT_WAIT_S), "--cacert", pki.crt("ca"), *more),
            f"https://127.0.0.1:{port}/push",
        ]
    )


@pytest.fixture(scope="module")
def curl_texts(pki, servers):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = {name: pool.submit(curl, pki, servers.ports[name]) for name in CURL}
        return {name: future.result() for name, future in found.items()}


@needs("curl")
@pytest.mark.parametrize("case", CURL)
def test_every_outcome_of_a_real_curl_is_named(curl_texts, case):
    assert classify(curl_texts[case]) == CURL[case], curl_texts[case]


@needs("curl")
def test_the_deciding_line_is_the_clients_own(curl_texts):
    text = curl_texts["expired"]

    decision = decide(text)

    assert "certificate has expired" in decision.text
    assert text.splitlines()[decision.line - 1].strip() == decision.text
    assert decision.judge == "device"


@needs("curl")
@pytest.mark.parametrize(
    ("certificate", "failure", "alert"),
    [
        ("client-expired", "certificate-expired", "certificate_expired"),
        ("client-foreign", "certificate-untrusted", "unknown_ca"),
    ],
)
def test_an_alert_about_the_devices_own_certificate_names_alert_and_judge(
    pki, servers, certificate, failure, alert
):
    identity = ("--cert", pki.crt(certificate), "--key", pki.key(certificate))

    decision = decide(curl(pki, servers.ports["mutual"], *identity))

    assert (decision.failure, decision.alert, decision.judge) == (failure, alert, "far end")


@needs("curl")
def test_a_name_that_does_not_resolve_is_a_name_lookup():
    text = run(["curl", "-sS", "-v", "-m", "3", "https://cloud.invalid/"])

    assert classify(text) == "name-lookup"


@needs("curl")
def test_of_several_attempts_in_one_log_the_newest_counts(curl_texts):
    log = curl_texts["expired"] + curl_texts["silent"]

    assert [decision.failure for decision in decide_log(_log(log))] == [
        "certificate-expired",
        "handshake-stall",
    ]
    assert classify(curl_texts["silent"] + curl_texts["good"]) == "none"


@needs("curl")
@needs("unshare")
@pytest.mark.lab
def test_a_connection_that_nobody_answers_is_a_connect_timeout(fresh_network):
    """In a namespace of its own, where packets to the far end vanish."""
    script = (
        "ip link set lo up; ip link add hole0 type veth peer name hole1; ip link set hole0 up; "
        "ip link set hole1 up; ip address add 192.0.2.1/24 dev hole0; "
        "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev hole0"
    )
    text = run([*fresh_network(script), "curl", "-sS", "-v", "-m", "2", "https://192.0.2.9:2083/"])

    assert classify(text) == "connect-timeout", text


# -- openssl s_client -----------------------------------------------------------------------------

S_CLIENT = {
    "good": "unclassified",  # a handshake alone proves no application round trip
    "expired": "certificate-expired",
    "future": "certificate-not-yet-valid",
    "foreign": "certificate-untrusted",
    "selfsigned": "certificate-untrusted",
    "mutual": "tls-alert",
    "reset": "connection-reset",
    "hang-up": "connection-reset",
    "plain": "unclassified",
    "refused": "connection-refused",
}


@needs("openssl")
@pytest.mark.parametrize("case", S_CLIENT)
def test_every_outcome_of_a_real_s_client_is_named(pki, servers, case):
    connect = f"127.0.0.1:{servers.ports[case]}"
    text = run(
        [
            "openssl",
            "s_client",
            "-CAfile",
            pki.crt("ca"),
            "-verify_return_error",
            "-connect",
            connect,
        ]
    )

    assert classify(text) == S_CLIENT[case], text


@needs("openssl")
def test_s_client_names_the_alert_by_number(pki, servers):
    connect = f"127.0.0.1:{servers.ports['mutual']}"
    identity = ["-cert", pki.crt("client-expired"), "-key", pki.key("client-expired")]
    text = run(["openssl", "s_client", "-CAfile", pki.crt("ca"), *identity, "-connect", connect])

    decision = decide(text)

    assert (decision.failure, decision.alert) == ("certificate-expired", "certificate_expired")


# -- radsecproxy ----------------------------------------------------------------------------------

RADSECPROXY = {
    "expired": "certificate-expired",
    "future": "certificate-not-yet-valid",
    "foreign": "certificate-untrusted",
    "selfsigned": "certificate-untrusted",
    "silent": "handshake-stall",
    "reset": "connection-reset",
    "hang-up": "connection-reset",
    "plain": "unclassified",
    "refused": "connection-refused",
    "good": "unclassified",  # "up" is no proof of a round trip, least of all under TLS 1.3
}
CONFIGURATION = """
ListenUDP 127.0.0.1:{listen}
LogLevel {level}
tls default {{
    CACertificateFile {ca}
    CertificateFile {crt}
    CertificateKeyFile {key}
}}
client lo {{
    host 127.0.0.1
    type udp
    secret not-a-secret
}}
server cloud {{
    host 127.0.0.1
    port {port}
    type tls
    secret radsec
    certificateNameCheck off
}}
realm * {{
    server cloud
}}
"""


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def radsecproxy_log(pki, folder, port, *, level, seconds, certificate="client"):
    path = folder / f"{port}-{level}.conf"
    path.write_text(
        CONFIGURATION.format(
            listen=free_udp_port(),
            level=level,
            ca=pki.crt("ca"),
            crt=pki.crt(certificate),
            key=pki.key(certificate),
            port=port,
        )
    )
    path.chmod(0o600)
    program = shutil.which("radsecproxy", path=SEARCH)
    with subprocess.Popen(
        [program, "-f", "-c", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(seconds)
        process.terminate()
        return process.communicate(timeout=5)[1]


@pytest.fixture(scope="module", params=[3, 4])
def radsecproxy_logs(request, pki, servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("radsecproxy")

    def one(name):
        seconds = 6.0 if name == "silent" else 1.5
        return radsecproxy_log(
            pki, folder, servers.ports[name], level=request.param, seconds=seconds
        )

    with concurrent.futures.ThreadPoolExecutor(len(RADSECPROXY)) as pool:
        found = {name: pool.submit(one, name) for name in RADSECPROXY}
        return {name: future.result() for name, future in found.items()}


@needs("radsecproxy")
def test_every_outcome_of_a_real_radsecproxy_is_named(radsecproxy_logs):
    named = {name: classify(text) for name, text in radsecproxy_logs.items()}

    # Now and then radsecproxy loses the word about a reset: then nothing is known.
    assert named.pop("reset") in {"connection-reset", "unclassified"}
    assert named == {name: failure for name, failure in RADSECPROXY.items() if name != "reset"}


@needs("radsecproxy")
def test_a_silent_handshake_in_a_radsecproxy_log_names_the_line_and_its_time(radsecproxy_logs):
    (decision,) = decide_log(_log(radsecproxy_logs["silent"]))

    assert decision.failure == "handshake-stall"
    assert "SSL connect to cloud" in decision.text
    assert decision.when


@needs("radsecproxy")
def test_an_alert_in_a_radsecproxy_log_is_no_stall(pki, servers, tmp_path):
    text = radsecproxy_log(
        pki, tmp_path, servers.ports["mutual"], level=3, seconds=1.5, certificate="client-foreign"
    )

    failures = {decision.failure for decision in decide_log(_log(text))}

    # The alert may be overtaken by the reset that follows it, but it is never a stall.
    assert failures <= {"certificate-untrusted", "connection-reset"}
    assert failures


def _log(text):
    for number, raw in enumerate(text.splitlines(), start=1):
        when, _, words = raw.partition(" 20")
        is_dated = words[2:4] == ": "
        yield LogLine(
            text=words[4:] if is_dated else raw,
            when=f"{when} 20{words[:2]}" if is_dated else "",
            line=number,
        )


# -- single lines, and texts of programs that were not run ----------------------------------------


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("tlsconnect: SSL connect to cloud (203.0.113.10 port 2083) failed", "unclassified"),
        ("sslconnecttimeout: timeout during SSL_connect", "handshake-stall"),
        ("clientwr: no server response, cloud dead?", "no-reply-after-handshake"),
        ("curl: (28) Connection timed out after 3001 milliseconds", "unclassified"),
        ("curl: (28) SSL connection timeout", "handshake-stall"),
        (
            "curl: (28) Failed to connect to x port 443 after 9 ms: Timeout was reached",
            "connect-timeout",
        ),
        ("curl: (28) Resolving timed out after 2000 milliseconds", "name-lookup"),
        ("curl: (22) The requested URL returned error: 503", "http-error"),
        ("Connection failed: Connection timed out", "connect-timeout"),
        ("resolvehostport: can't resolve cloud.invalid port 2083", "name-lookup"),
        ("(0) Received Access-Reject Id 7 from 127.0.0.1:1812", "credential-rejected"),
        ("(0) Received Access-Accept Id 7 from 127.0.0.1:1812", "none"),
        ("(TLS) Alert read:fatal:unknown CA", "certificate-untrusted"),
        ("(TLS) recv TLS 1.2 Alert, fatal certificate_expired", "certificate-expired"),
        ("(TLS) send TLS 1.3 Alert, fatal certificate_required", "tls-alert"),
        ("(TLS) Alert write:fatal:handshake failure", "tls-alert"),
        ("(TLS) recv TLS 1.2 Alert, warning close_notify", "unclassified"),
        ("no answer to an Access-Request", "unclassified"),
        ("none", "unclassified"),
        ("", "unclassified"),
    ],
)
def test_a_single_line_is_named_only_as_far_as_it_tells(line, failure):
    assert classify(line) == failure


def test_a_quick_failure_without_words_is_not_called_a_stall():
    log = (
        "Sat Nov 21 12:14:37 2026: createlistener: listening for udp on 127.0.0.1:1812\n"
        "Sat Nov 21 12:14:37 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
        "Sat Nov 21 12:14:45 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
    )

    assert [decision.failure for decision in decide_log(_log(log))] == ["unclassified"] * 2


def test_a_stall_that_follows_a_stall_is_one_too():
    log = (
        "Sat Nov 21 12:14:37 2026: createlistener: listening for udp on 127.0.0.1:1812\n"
        "Sat Nov 21 12:14:42 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
        "Sat Nov 21 12:14:52 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
    )

    assert [decision.failure for decision in decide_log(_log(log))] == ["handshake-stall"] * 2


def test_iso_times_of_a_log_tell_a_stall_too():
    lines = [
        LogLine(text="createlistener: listening for udp", when="2026-11-21T12:14:37Z"),
        LogLine(
            text="tlsconnect: SSL connect to c (h port 2083) failed", when="2026-11-21T12:14:42Z"
        ),
    ]

    assert [decision.failure for decision in decide_log(lines)] == ["handshake-stall"]


@given(st.text())
def test_text_of_any_kind_never_raises(text):
    assert isinstance(decide(text), Decision)


@given(st.lists(st.sampled_from(["* TLS", "alert", "failed", "Certificate", "cloud", "(0)"])))
def test_words_without_a_known_sentence_are_unclassified(words):
    assert classify(" ".join(words)) == "unclassified"
