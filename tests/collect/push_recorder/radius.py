"""FreeRADIUS, hostapd and wpa_supplicant: both ends of RADsec and of EAP, with planted faults.

Each scene starts daemons of its own on ports of its own and gives the text of every program in it
with one label. The witnesses are the packets and the exit code of the client that asked.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import world
from clients import SEARCH, run, which
from far_ends import FarEnd, https, part_of_flight, plain, raw
from world import ADDRESS, FOLDER, NAME, Observer

_ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C", "HOME": str(FOLDER)}
_BASE = """name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {home}
logdir = {home}
run_dir = {home}
pidfile = {home}/radiusd.pid
max_request_time = 10
max_requests = 1024
hostname_lookups = no
log {{
    destination = files
    file = {home}/radius.log
    auth = yes
}}
security {{
    allow_core_dumps = no
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
    max_requests_per_server = 0
}}
client lo {{
    ipaddr = 127.0.0.1
    secret = not-a-secret
}}
"""
_TLS = """    tls {{
        private_key_file = {folder}/{certificate}.key
        certificate_file = {folder}/{certificate}.pem
        ca_file = {folder}/ca.pem
        fragment_size = 8192
        cipher_list = "DEFAULT"
        ecdh_curve = ""
        tls_min_version = "{tls}"
        tls_max_version = "{tls}"
        require_client_cert = yes
    }}
"""
_RADSEC_SERVER = """modules {{
    always reject {{
        rcode = reject
    }}
}}
server shop {{
    authorize {{
        if (&User-Name == "stranger") {{
            reject
        }}
        update control {{
            Auth-Type := Accept
        }}
    }}
}}
clients radsec {{
    client sites {{
        ipaddr = 0.0.0.0/0
        proto = tls
        secret = radsec
    }}
}}
listen {{
    ipaddr = {address}
    port = {port}
    type = auth
    proto = tcp
    virtual_server = shop
    clients = radsec
{tls}}}
"""
_RADSEC_PROXY = """modules {{
    realm suffix {{
        format = suffix
        delimiter = "@"
    }}
}}
home_server cloud {{
    ipaddr = {address}
    port = {port}
    type = auth
    proto = tcp
    secret = radsec
    response_window = 3
    zombie_period = 5
    status_check = none
{tls}}}
home_server_pool clouds {{
    home_server = cloud
}}
realm DEFAULT {{
    auth_pool = clouds
    nostrip
}}
proxy server {{
    default_fallback = no
}}
server shop {{
    authorize {{
        update control {{
            Proxy-To-Realm := "DEFAULT"
        }}
    }}
}}
listen {{
    ipaddr = 127.0.0.1
    port = {listen}
    type = auth
    virtual_server = shop
}}
"""
_EAP_SERVER = """modules {{
    eap {{
        default_eap_type = {method}
        tls-config one {{
            private_key_file = {folder}/{certificate}.key
            certificate_file = {folder}/{certificate}.pem
            ca_file = {folder}/ca.pem
            cipher_list = "DEFAULT"
            ecdh_curve = ""
            tls_min_version = "1.2"
            tls_max_version = "1.2"
        }}
        tls {{
            tls = one
        }}
        peap {{
            tls = one
            default_eap_type = mschapv2
            virtual_server = shop
        }}
        mschapv2 {{
        }}
    }}
    mschap {{
    }}
}}
server shop {{
    authorize {{
        update control {{
            Cleartext-Password := "right"
        }}
        mschap
        eap
    }}
    authenticate {{
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap
    }}
}}
listen {{
    ipaddr = 127.0.0.1
    port = {listen}
    type = auth
    virtual_server = shop
}}
"""
_STARTS_S = 8.0
_TAIL_LINES = 40


@dataclass
class Scene:
    """One planted fault among daemons, and the texts it leaves."""

    name: str
    label: str
    number: int
    observer: Observer
    alert: int | None = None
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    measured: dict[str, object] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The service's port."""
        return 15000 + self.number

    @property
    def home(self) -> Path:
        """A directory of its own."""
        path = FOLDER / f"radius-{self.number}"
        path.mkdir(exist_ok=True)
        return path

    def records(self) -> Iterator[dict[str, object]]:
        """Give one record for each program."""
        for program, (options, text) in self.texts.items():
            yield {
                "program": program,
                "options": options,
                "planted": self.name,
                "family": "ipv4",
                "tls": "",
                "label": self.label,
                "alert": self.alert,
                "measured": self.measured,
                "text": text,
            }

    @contextlib.contextmanager
    def daemon(self, program: str, argv: list[str], ready: str, options: str) -> Iterator[None]:
        """Run a daemon until the block ends; what it printed becomes a text."""
        path = self.home / f"{program}.out"
        with path.open("w") as stream:
            process = subprocess.Popen(
                argv, stdout=stream, stderr=subprocess.STDOUT, env=_ENVIRONMENT, cwd=self.home
            )
            try:
                if not _until(lambda: ready in path.read_text(errors="replace"), _STARTS_S):
                    raise RuntimeError(f"{program} does not start: {path.read_text()[-800:]}")
                yield
                time.sleep(0.3)
            finally:
                process.terminate()
                try:
                    process.wait(timeout=2)
                except subprocess.TimeoutExpired:
                    process.kill()  # FreeRADIUS does not end while a handshake of its own hangs
                    process.wait(timeout=5)
        self.texts[program] = (f"{options} | tail", tail(path.read_text(errors="replace")))

    def radiusd(self, config: str, verbosity: str, program: str = "freeradius"):
        """Run FreeRADIUS with this configuration."""
        (self.home / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
        (self.home / "radiusd.conf").write_text(_BASE.format(home=self.home) + config)
        argv = ["freeradius", *verbosity.split(), "-l", "stdout", "-n", "radiusd", "-d"]
        return self.daemon(program, [*argv, str(self.home)], "Ready to process", verbosity)


def tail(text: str) -> str:
    """Return the end of a log, as people ask a device for it."""
    return "".join(text.splitlines(keepends=True)[-_TAIL_LINES:])


def _until(done: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _radclient(port: int, user: str = "guest", *, wait_s: int = 2, tries: int = 2) -> int:
    done = run(
        [
            *("radclient", "-x", "-t", str(wait_s), "-r", str(tries)),
            *(f"127.0.0.1:{port}", "auth", "not-a-secret"),
        ],
        stdin=f'User-Name = "{user}"\nUser-Password = "guest"\n',
    )
    return done.code


# -- FreeRADIUS as the far end of RADsec ----------------------------------------------------------


def server_scene(scene: Scene, *, tls: str, verbosity: str, client: str) -> bool:
    """Let one kind of client meet a real RADsec server; return whether reality fits."""
    seen = scene.observer.of(scene.port)
    certificate = "expired" if client == "rejects-expired" else "good"
    part = _TLS.format(folder=FOLDER, certificate=certificate, tls=tls)
    config = _RADSEC_SERVER.format(address=ADDRESS["ipv4"], port=scene.port, tls=part)
    with scene.radiusd(config, verbosity):
        outcome = _CLIENTS[client](scene, tls)
        if scene.label not in {"none", "credential-rejected"}:
            _until(lambda: bool(seen.fin_far or seen.rst_far), 2)
    scene.measured = {"packets": seen.plain(), "client": outcome}
    if scene.label == "none":
        return outcome == "accepted"
    if scene.label == "credential-rejected":
        return outcome == "rejected"
    return seen.syn_ack > 0 and outcome not in {"accepted", "rejected"}


def _proxy_asks(scene: Scene, tls: str, user: str, certificate: str = "client") -> str:
    """Ask through a real radsecproxy; its text is kept, too."""
    listen = scene.port + 5000
    path = scene.home / "proxy.conf"
    path.write_text(
        f"""ListenUDP 127.0.0.1:{listen}
LogLevel 3
tls default {{
    CACertificateFile {FOLDER}/ca.pem
    CertificateFile {FOLDER}/{certificate}.pem
    CertificateKeyFile {FOLDER}/{certificate}.key
    TlsVersion TLS{tls.replace(".", "_")}
}}
client lo {{
    host 127.0.0.1
    type udp
    secret not-a-secret
}}
server cloud {{
    host {ADDRESS["ipv4"]}
    port {scene.port}
    type tls
    secret radsec
    certificateNameCheck off
}}
realm * {{
    server cloud
}}
"""
    )
    path.chmod(0o600)
    argv = [which("radsecproxy"), "-f", "-c", str(path)]
    with scene.daemon("radsecproxy", argv, "createlistener", "LogLevel 3"):
        time.sleep(0.5)
        code = _radclient(listen, user)
    return "accepted" if code == 0 else "failed"


def _accepted(scene: Scene, tls: str) -> str:
    return _proxy_asks(scene, tls, "guest")


def _rejected(scene: Scene, tls: str) -> str:
    outcome = _proxy_asks(scene, tls, "stranger")
    return "rejected" if outcome == "failed" else outcome


def _shows(certificate: str) -> Callable[[Scene, str], str]:
    def client(scene: Scene, tls: str) -> str:
        argv = ["timeout", "3", "openssl", "s_client", "-connect"]
        argv += [f"{ADDRESS['ipv4']}:{scene.port}", f"-tls{tls.replace('.', '_')}", "-ign_eof"]
        argv += ["-CAfile", f"{FOLDER}/ca.pem", "-verify_return_error"]
        if certificate:
            argv += ["-cert", f"{FOLDER}/{certificate}.pem", "-key", f"{FOLDER}/{certificate}.key"]
        return f"exit {run(argv).code}"

    return client


def _mute(share: bytes) -> Callable[[Scene, str], str]:
    def client(scene: Scene, _tls: str) -> str:
        with socket.create_connection((ADDRESS["ipv4"], scene.port)) as link:
            link.sendall(share)
            time.sleep(0.5)
        return "left"

    return client


_CLIENTS: dict[str, Callable[[Scene, str], str]] = {
    "accepted": _accepted,
    "rejected": _rejected,
    "shows-expired": _shows("client-expired"),
    "shows-future": _shows("client-future"),
    "shows-foreign": _shows("client-foreign"),
    "shows-nothing": _shows(""),
    "rejects-expired": _shows("client"),
    "speaks-http": _mute(b"GET / HTTP/1.1\r\nHost: cloud.example\r\n\r\n"),
}
SERVER_SCENES: tuple[tuple[str, str, int | None], ...] = (
    ("accepted", "none", None),
    ("rejected", "credential-rejected", None),
    ("shows-expired", "certificate-expired", None),
    ("shows-future", "certificate-not-yet-valid", None),
    ("shows-foreign", "certificate-untrusted", None),
    ("shows-nothing", "client-certificate-missing", None),
    ("rejects-expired", "certificate-expired", 45),
    ("speaks-http", "not-tls", None),
)


# -- FreeRADIUS as a RADsec client ----------------------------------------------------------------


def proxy_scene(scene: Scene, far: FarEnd | None, *, tls: str, verbosity: str) -> bool:
    """Let FreeRADIUS forward to a faulty far end."""
    seen = scene.observer.of(scene.port)
    if far is not None:
        far.start()
    part = _TLS.format(folder=FOLDER, certificate="client", tls=tls)
    listen = scene.port + 5000
    config = _RADSEC_PROXY.format(address=ADDRESS["ipv4"], port=scene.port, tls=part, listen=listen)
    with scene.radiusd(config, verbosity, "freeradius-proxy"):
        code = _radclient(listen, wait_s=4, tries=2)
    stages = far.stages if far is not None else []
    scene.measured = {"packets": seen.plain(), "far_end": stages, "client": f"exit {code}"}
    return code != 0 and seen.syn > 0


PROXY_SCENES: tuple[tuple[str, str, Callable[[str, int], FarEnd | None], str], ...] = (
    ("expired", "certificate-expired", lambda t, p: _far(t, p, https("expired")), ""),
    ("foreign", "certificate-untrusted", lambda t, p: _far(t, p, https("foreign")), ""),
    ("future", "certificate-not-yet-valid", lambda t, p: _far(t, p, https("future")), ""),
    ("reset", "connection-reset", lambda t, p: _far(t, p, raw("reset")), ""),
    ("hang-up", "connection-reset", lambda t, p: _far(t, p, raw("hang-up")), ""),
    ("silent", "handshake-stall", lambda t, p: _far(t, p, raw("silence")), ""),
    ("half", "handshake-stall", lambda t, p: _far(t, p, part_of_flight(0.5, "silence")), ""),
    ("http", "not-tls", lambda t, p: _far(t, p, plain(b"HTTP/1.1 400 Bad Request\r\n\r\n")), ""),
    ("no-answer", "no-reply-after-handshake", lambda t, p: _far(t, p, https(end="silence")), ""),
    ("refused", "connection-refused", lambda _t, _p: None, ""),
    ("filtered", "connect-timeout", lambda _t, _p: None, "syn"),
)


def _far(tls: str, port: int, behaviour) -> FarEnd:
    return FarEnd(port=port, family="ipv4", behaviour=behaviour, tls=tls)


# -- EAP ------------------------------------------------------------------------------------------

_PEER = """network={{
    ssid="shop"
    key_mgmt={key_management}
    eap={method}
    identity="guest"
    password="{password}"
    ca_cert="{folder}/ca.pem"
    client_cert="{folder}/{client}.pem"
    private_key="{folder}/{client}.key"
    phase2="auth=MSCHAPV2"
    eapol_flags=0
    {match}
}}
"""
_AUTHENTICATOR = """interface=wire0
driver=wired
logger_stdout=-1
logger_stdout_level={level}
ieee8021x=1
eap_reauth_period=3600
use_pae_group_addr=1
own_ip_addr=127.0.0.1
nas_identifier=ap.example
auth_server_addr=127.0.0.1
auth_server_port={port}
auth_server_shared_secret=not-a-secret
"""

#: name, label, alert, method, server's certificate, client's certificate, password, server runs
EAP_SCENES: tuple[tuple[str, str, int | None, str, str, str, str, bool], ...] = (
    ("eap-tls-ok", "none", None, "TLS", "good", "client", "right", True),
    ("eap-peap-ok", "none", None, "PEAP", "good", "client", "right", True),
    ("eap-peap-wrong", "credential-rejected", None, "PEAP", "good", "client", "wrong", True),
    ("eap-server-expired", "certificate-expired", 45, "TLS", "expired", "client", "", True),
    ("eap-server-foreign", "certificate-untrusted", 48, "TLS", "foreign", "client", "", True),
    ("eap-server-future", "certificate-not-yet-valid", 42, "TLS", "future", "client", "", True),
    ("eap-client-expired", "certificate-expired", 45, "TLS", "good", "client-expired", "", True),
    ("eap-client-foreign", "certificate-untrusted", 48, "TLS", "good", "client-foreign", "", True),
    ("eap-server-gone", "radius-timeout", None, "TLS", "good", "client", "", False),
    ("eap-wrong-name", "certificate-name-mismatch", 80, "TLS", "wrong-name", "client", "", True),
)


def eap_scene(
    scene: Scene, method: str, certificate: str, client: str, password: str, *, serves: bool
) -> bool:
    """Let a real EAP peer ask a real RADIUS server, once directly and once through hostapd."""
    port = scene.port
    seen = scene.observer.of(port)
    config = _EAP_SERVER.format(
        method=method.lower(), folder=FOLDER, certificate=certificate, listen=port
    )
    with contextlib.ExitStack() as stack:
        if serves:
            stack.enter_context(scene.radiusd(config, "-fx"))
        else:
            world.plant("syn", port)  # its datagrams vanish: no "port unreachable" comes back
        direct = _eapol_test(scene, method, client, password)
        wired = _wired(scene, method, client, password)
    scene.measured = {"packets": seen.plain(), "eapol_test": direct, "authorised": wired}
    if scene.label == "none":
        return direct == 0 and wired
    if not serves:
        return direct != 0 and not wired and seen.datagrams_near > 0 and not seen.datagrams_far
    return direct != 0 and not wired and seen.datagrams_far > 0


def _peer(scene: Scene, method: str, client: str, password: str, key_management: str) -> Path:
    path = scene.home / f"peer-{key_management}.conf"
    path.write_text(
        _PEER.format(
            key_management=key_management,
            method=method,
            password=password,
            folder=FOLDER,
            client=client,
            match=f'domain_suffix_match="{NAME}"',
        )
    )
    return path


def _eapol_test(scene: Scene, method: str, client: str, password: str) -> int:
    path = _peer(scene, method, client, password, "IEEE8021X")
    argv = ["eapol_test", "-c", str(path), "-a", "127.0.0.1", "-p", str(scene.port)]
    ran = run([*argv, "-s", "not-a-secret", "-t", "8"], limit_s=60)
    scene.texts["eapol_test"] = ("-t 8 | tail", tail(ran.text))
    return ran.code


def _wired(scene: Scene, method: str, client: str, password: str) -> bool:
    """Run hostapd and wpa_supplicant on the two ends of a wire; say whether they got on."""
    if not which("hostapd") or not which("wpa_supplicant"):
        return scene.label == "none"
    world.sh("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    for end in ("wire0", "wire1"):
        world.sh("ip", "link", "set", end, "up")
    path = scene.home / "hostapd.conf"
    path.write_text(_AUTHENTICATOR.format(port=scene.port, level=scene.number % 2))
    peer = _peer(scene, method, client, password, "IEEE8021X")
    peer.write_text("ap_scan=0\n" + peer.read_text())
    try:
        with scene.daemon("hostapd", ["hostapd", "-t", str(path)], "AP-ENABLED", "-t"):
            argv = ["wpa_supplicant", "-D", "wired", "-i", "wire1", "-c", str(peer)]
            out = scene.home / "wpa_supplicant.out"
            with scene.daemon("wpa_supplicant", argv, "Successfully initialized", ""):
                ends = ("EAP-SUCCESS", "EAP-FAILURE")
                _until(
                    lambda: any(word in out.read_text(errors="replace") for word in ends),
                    6 if scene.label != "radius-timeout" else 25,
                )
                authorised = "EAP-SUCCESS" in out.read_text(errors="replace")
    finally:
        world.sh("ip", "link", "delete", "wire0")
    return authorised


def record_all(observer: Observer) -> Iterator[dict[str, object]]:
    """Play every scene that the installed programs allow."""
    number = 0
    if not which("freeradius") or not which("radsecproxy"):
        return
    for tls in ("1.2", "1.3"):
        verbosity = "-fxx" if tls == "1.2" else "-fx"
        for name, label, alert in SERVER_SCENES:
            number += 1
            scene = Scene(f"server-{name}", label, number, observer, alert)
            yield from _played(
                scene, server_scene(scene, tls=tls, verbosity=verbosity, client=name)
            )
        for name, label, far, path in PROXY_SCENES:
            number += 1
            scene = Scene(f"proxy-{name}", label, number, observer)
            if path:
                world.plant(path, scene.port)
            ok = proxy_scene(scene, far(tls, scene.port), tls=tls, verbosity=verbosity)
            yield from _played(scene, ok)
    for name, label, alert, method, certificate, client, password, serves in EAP_SCENES:
        number += 1
        if which("eapol_test"):
            scene = Scene(name, label, number, observer, alert)
            ok = eap_scene(scene, method, certificate, client, password, serves=serves)
            yield from _played(scene, ok)


def _played(scene: Scene, fits: bool) -> Iterator[dict[str, object]]:  # noqa: FBT001
    if fits:
        yield from scene.records()
    else:
        print(f"thrown out: {scene.name}: {scene.measured}")  # noqa: T201
