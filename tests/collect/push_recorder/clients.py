"""Real programs that meet the far ends, and how they are called."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plants import Plant
from world import ADDRESS, FOLDER, NAME

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C", "HOME": str(FOLDER)}
_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")


@dataclass(frozen=True)
class Call:
    """One run of a client."""

    plant: Plant
    port: int
    family: str
    tls: str
    variant: int
    wait_s: int


@dataclass(frozen=True)
class Ran:
    """What a client left: its text, its exit code, how it was called."""

    text: str
    code: int
    options: str


def which(program: str) -> str:
    """Return a program's path, or ``""``."""
    return shutil.which(program, path=SEARCH) or ""


def run(argv: list[str], *, stdin: str = "", limit_s: float = 30, options: str = "") -> Ran:
    """Run to the end."""
    done = subprocess.run(
        argv,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=limit_s,
        text=True,
        errors="replace",
        check=False,
        env=_ENVIRONMENT,
        cwd=FOLDER,
    )
    return Ran(text=done.stdout, code=done.returncode, options=options)


def _host(call: Call) -> str:
    return call.plant.host or NAME


def _pair(call: Call) -> tuple[str, str]:
    name = call.plant.client
    return (f"{FOLDER}/{name}.pem", f"{FOLDER}/{name}.key") if name else ("", "")


# -- curl -----------------------------------------------------------------------------------------

CURL_VARIANTS: tuple[tuple[str, ...], ...] = (
    ("-v", "-sS"),
    ("-sS", "--fail"),
    ("-v", "-sS", "--fail"),
    ("-v", "--trace-time", "-sS"),
    ("-v",),
    ("-sS", "--fail", "--http1.1"),
)


def curl(call: Call) -> Ran:
    """The command line tool with its own back end."""
    certificate, key = _pair(call)
    family = ["-6"] if call.family == "ipv6" else ["-4"]
    version = {"1.2": ["--tls-max", "1.2"], "1.3": ["--tlsv1.3"]}.get(call.tls, [])
    limits = (
        ["-m", str(call.wait_s)],
        ["--connect-timeout", str(call.wait_s)],
        ["--connect-timeout", str(call.wait_s), "-m", str(call.wait_s + 1)],
    )[call.variant % 3]
    if call.plant.label == "no-reply-after-handshake":
        limits = ["-m", str(call.wait_s)]
    verbosity = CURL_VARIANTS[call.variant % len(CURL_VARIANTS)]
    if call.plant.label == "none":
        verbosity = CURL_VARIANTS[0]  # without -v success has no words
    flags = [*verbosity, *limits, *version, *family]
    files = ["--cacert", f"{FOLDER}/ca.pem"]
    if certificate:
        files += ["--cert", certificate, "--key", key]
    url = f"https://{_host(call)}:{call.port}/push"
    return run(["curl", *flags, *files, url], options=" ".join(flags))


def _libcurl(file: str) -> Callable[[Call], Ran]:
    library = str(_LIBRARIES / file)

    def client(call: Call) -> Ran:
        certificate, key = _pair(call)
        limit = "connect" if call.variant % 3 == 1 else "timeout"
        if call.plant.label == "no-reply-after-handshake":
            limit = "timeout"
        options = [
            f"{limit}={call.wait_s * 1000}",
            f"family={2 if call.family == 'ipv6' else 1}",
            f"fail={call.variant % 2}",
        ]
        if call.tls:
            options.append(f"tls={(6 << 16) | 6 if call.tls == '1.2' else 7}")
        files = [f"cacert={FOLDER}/ca.pem", f"cert={certificate}", f"key={key}"]
        url = f"https://{_host(call)}:{call.port}/push"
        script = str(FOLDER / "libcurl_client.py")
        argv = [sys.executable, script, library, url, *options, *files]
        return run(argv, options=" ".join(options))

    return client


# -- openssl s_client -----------------------------------------------------------------------------

S_CLIENT_VARIANTS: tuple[tuple[str, ...], ...] = (
    (),
    ("-brief",),
    ("-state",),
    ("-quiet",),
)


def s_client(call: Call) -> Ran:
    """OpenSSL's own client; it waits for ever, so ``timeout`` ends it as a person would."""
    certificate, key = _pair(call)
    connect = _host(call)
    if not call.plant.host:
        address = ADDRESS[call.family]
        connect = f"[{address}]" if call.family == "ipv6" else address
    flags = [*S_CLIENT_VARIANTS[call.variant % len(S_CLIENT_VARIANTS)]]
    flags += {"1.2": ["-tls1_2"], "1.3": ["-tls1_3"]}.get(call.tls, [])
    flags += ["-ign_eof", "-verify_return_error", "-verify_hostname", NAME]
    files = ["-CAfile", f"{FOLDER}/ca.pem"]
    if certificate:
        files += ["-cert", certificate, "-key", key]
    argv = ["timeout", str(call.wait_s), "openssl", "s_client", "-connect"]
    argv += [f"{connect}:{call.port}", "-servername", NAME, *flags, *files]
    options = f"timeout {call.wait_s} openssl s_client {' '.join(flags)}"
    request = "GET /push HTTP/1.0\r\n\r\n"
    if call.variant // 4 % 2:
        return _on_a_terminal(argv, request, options)
    return run(argv, stdin=request, options=options)


def _on_a_terminal(argv: list[str], stdin: str, options: str) -> Ran:
    """Run as a person would: on a terminal the lines come in the order in which they are said."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, env=_ENVIRONMENT, cwd=FOLDER
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        said = b""
        with contextlib.suppress(OSError):  # a closed terminal reads as EIO
            while chunk := os.read(ours, 65536):
                said += chunk
    os.close(ours)
    text = said.decode(errors="replace").replace("\r\n", "\n")
    return Ran(text=text, code=process.returncode, options=f"{options} (terminal)")


# -- radsecproxy ----------------------------------------------------------------------------------

_PROXY = """ListenUDP 127.0.0.1:{listen}
LogLevel {level}
{log}
tls default {{
    CACertificateFile {folder}/ca.pem
    CertificateFile {certificate}
    CertificateKeyFile {key}
{version}}}
client lo {{
    host 127.0.0.1
    type udp
    secret not-a-secret
}}
server cloud {{
    host {host}
    port {port}
    type tls
    secret radsec
{server}}}
realm * {{
    server cloud
}}
"""


def radsecproxy(call: Call) -> Ran:
    """The client of many access points; runs as a daemon, so it is ended after a while."""
    certificate, key = _pair(call)
    level = (3, 4, 2, 5)[call.variant % 4]
    path = FOLDER / f"radsecproxy-{call.port}.conf"
    log = FOLDER / f"radsecproxy-{call.port}.log"
    version = f"    TlsVersion TLS{call.tls.replace('.', '_')}\n" if call.tls else ""
    family = "IPv6Only" if call.family == "ipv6" else "IPv4Only"
    check = f"    {family} on\n"
    check += "    certificateNameCheck off\n" if "name" not in call.plant.label else ""
    path.write_text(
        _PROXY.format(
            listen=call.port + 20000,
            level=level,
            log=f"LogDestination file://{log}" if call.variant % 2 else "",
            folder=FOLDER,
            certificate=certificate or f"{FOLDER}/client.pem",
            key=key or f"{FOLDER}/client.key",
            version=version,
            host=call.plant.host or NAME,
            port=call.port,
            server=check,
        )
    )
    path.chmod(0o600)
    seconds = {"connect-timeout": 40.0, "handshake-stall": 7.0, "name-lookup": 3.0}.get(
        call.plant.label, 1.5
    )
    with subprocess.Popen(
        [which("radsecproxy"), "-f", "-c", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_ENVIRONMENT,
    ) as process:
        time.sleep(seconds)
        process.terminate()
        text = process.communicate(timeout=10)[0]
    text += log.read_text() if log.exists() else ""
    # A daemon has no exit code of its attempt: the far end and the packets decide.
    return Ran(text=text, code=1, options=f"LogLevel {level}")


def versions() -> dict[str, str]:
    """Return what each program says of itself; missing ones are left out."""
    asked = {
        "curl": ["curl", "--version"],
        "s_client": ["openssl", "version"],
        "radsecproxy": ["radsecproxy", "-v"],
        "freeradius": ["freeradius", "-v"],
        "hostapd": ["hostapd", "-v"],
        "wpa_supplicant": ["wpa_supplicant", "-v"],
    }
    found = {
        name: run(argv).text.splitlines()[0].strip()
        for name, argv in asked.items()
        if which(argv[0])
    }
    for name, file in (
        ("libcurl-gnutls", "libcurl-gnutls.so.4"),
        ("libcurl-nss", "libcurl-nss.so.4"),
    ):
        if (_LIBRARIES / file).exists():
            script = str(FOLDER / "libcurl_client.py")
            argv = [sys.executable, script, str(_LIBRARIES / file), "-", "version=1"]
            found[name] = " ".join(run(argv).text.split()[:3])
    return found


CLIENTS: dict[str, Callable[[Call], Ran]] = {
    "curl": curl,
    "libcurl-gnutls": _libcurl("libcurl-gnutls.so.4"),
    "libcurl-nss": _libcurl("libcurl-nss.so.4"),
    "s_client": s_client,
    "radsecproxy": radsecproxy,
}
