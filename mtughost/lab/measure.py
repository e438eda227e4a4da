"""What a site really does, measured: a real client, captures at two points, controls.

Nothing here knows what was planted, and nothing here uses the tool's own parsers. The verdict
comes from behaviour alone:

* the AP's own programs, freshly started, do a full handshake and a RADIUS round trip (an
  appliance: ``curl`` with mutual TLS);
* where that fails, the same handshake with segments of 536 bytes says whether size decides;
* where it works, the same handshake towards a far end that does not shrink its MSS, and the count
  of fragments on the WAN, say whether it works by luck.
"""

from __future__ import annotations

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal

from mtughost.lab.compose import BuiltSite
from mtughost.lab.conversation import Conversation, Handshake, Stage
from mtughost.lab.handle import Lab
from mtughost.lab.retail import LOCAL_SECRET, radsecproxy_conf
from mtughost.lab.tap import Tap
from mtughost.model.errors import LabError

TruthVerdict = Literal["ok", "latent", "fault", "not-mtu"]

_FRAGMENT = "(ip and ip[6:2] & 0x3fff != 0)"
#: Segments that pass every path of RFC 1122 (576 - 40).
SMALL_SEGMENT_BYTES = 536
_PROXY_PORT = 18120
#: A name that nobody resolves stays one.
_NOWHERE = "nowhere.invalid"
#: Payload of a ping that fills a packet of 1500 bytes.
_LARGE_PING = 1472
_AP_SCRIPT = """
[ ! -e /etc/radsec/openssl.cnf ] || export OPENSSL_CONF=/etc/radsec/openssl.cnf
dir=$(mktemp -d /tmp/measure.XXXXXX)
cat >"$dir/proxy.conf"
radsecproxy -f -c "$dir/proxy.conf" 2>"$dir/log" &
proxy=$!
sleep 0.3
printf 'User-Name = "measure"\\nUser-Password = "measure"\\n' |
    radclient -x -D /etc/cloud -t 2 -r 3 "127.0.0.1:$1" auth "$2" >"$dir/answer" 2>&1
kill "$proxy"
wait "$proxy" 2>/dev/null
cat "$dir/log" "$dir/answer"
grep -q 'Received Access-Accept' "$dir/answer"
code=$?
rm -r "$dir"
exit "$code"
"""
_HOST_SCRIPT = """
. /etc/cloud/agent.conf
exec curl -sS --fail --connect-timeout 4 --max-time 6 --local-port "$1" $TLS_OPTION \\
    --cacert /etc/radsec/ca.pem --cert /etc/radsec/client.pem --key /etc/radsec/client.key \\
    --data 'state=measured' "$PUSH_URL"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What one site did when it was measured.

    Attributes:
        works: The real client got its answer.
        client_words: What the real client printed.
        at_device: Handshake as the AP's (host's) own interface saw it.
        at_wan: The same connection on the gateway's WAN (tunnel) side.
        upload_frames: Lengths of the client's data frames in order, first transmissions only.
        resent_frames: Lengths of the retransmitted ones.
        dont_fragment: Whether the client's data had DF set, ``None`` without data.
        fragments_on_wan: Fragments of this connection on the WAN side, both directions.
        icmp_at_device: Next-hop MTUs of the "fragmentation needed" messages that arrived.
        stage: Where the conversation ended.
        icmp_at_wan: The same on the WAN side of the gateway.
        download_gap: Packets of the service were missing at the device to the end.
        resets: Whether the far end reset the connection.
        small_works: The control with small segments, ``None`` when not needed.
        elsewhere_works: The control towards an MSS that nobody shrinks, ``None`` when not needed.
        standby_works: The control over the second WAN, ``None`` where there is none.
        login_works: A login of the operator with usual segments, ``None`` when not tried.
        login_small_works: The same with small ones.
        rebooted_works: The real client after the gateway booted from its saved files, ``None``
            when not tried: only where something runs that is not saved.
        verdict: Derived from the fields above and from nothing else.
    """

    site: str
    service: str
    tls: str
    works: bool
    client_words: str
    at_device: Handshake
    at_wan: Handshake
    upload_frames: tuple[int, ...]
    resent_frames: tuple[int, ...]
    dont_fragment: bool | None
    fragments_on_wan: int
    icmp_at_device: tuple[int, ...]
    icmp_at_wan: tuple[int, ...]
    download_gap: bool
    resets: bool
    stage: Stage
    small_works: bool | None
    elsewhere_works: bool | None
    standby_works: bool | None
    login_works: bool | None
    login_small_works: bool | None
    rebooted_works: bool | None
    verdict: TruthVerdict


def truth(lab: Lab, label: str) -> Truth:
    """Measure one site.

    Starts a client beside the device's own, captures on two interfaces, and takes up to 15
    seconds. Leaves nothing behind but log lines at the far end.

    Args:
        lab: A running lab.
        label: Site name.

    Raises:
        LabError: no such site, it has no service, or a program of the measurement failed.
    """
    site = lab.site(label)
    if site.service is None:
        raise LabError(f"site {label} has no service that could be measured")
    # The client's own port tells its connection from those of the device's agent.
    port = random.randrange(20000, 30000)  # noqa: S311 - variety, not secrecy
    service = site.service
    # Only the first fragment carries ports, so all fragments and all ICMP are kept.
    expression = f"tcp port {service.port} or icmp or icmp6 or ip6 proto 44 or {_FRAGMENT}"
    with (
        Tap(lab, site.device, site.device_port, expression) as near,
        Tap(lab, site.gateway, site.wan, expression) as far,
    ):
        works, words = _real_client(lab, site, port)
    conversation = Conversation(near.frames(), far.frames(), site, port)
    small = None if works else _small_control(lab, site)
    elsewhere = _control(lab, site, site.control) if works else None
    standby = _over_standby(lab, site) if works and site.standby else None
    login, login_small = _logins(lab, site)
    fragments = conversation.fragments_on_wan()
    return Truth(
        site=label,
        service=service.name,
        tls=site.tls,
        works=works,
        client_words=words,
        at_device=conversation.at_device(),
        at_wan=conversation.at_wan(),
        upload_frames=conversation.upload(),
        resent_frames=conversation.resent(),
        dont_fragment=conversation.dont_fragment(),
        fragments_on_wan=fragments,
        icmp_at_device=conversation.icmp_at_device(),
        icmp_at_wan=conversation.icmp_at_wan(),
        download_gap=conversation.download_gap(),
        resets=conversation.resets(),
        stage=conversation.stage(works=works),
        small_works=small,
        elsewhere_works=elsewhere,
        standby_works=standby,
        login_works=login,
        login_small_works=login_small,
        rebooted_works=None,
        verdict=judge(
            works=works,
            small_works=small,
            elsewhere_works=elsewhere,
            fragments=fragments,
            standby_works=standby,
            login_hole=login is False and bool(login_small),
        ),
    )


def truths(lab: Lab, *, at_once: int = 16) -> dict[str, Truth]:
    """Measure every site that has a service, several at once."""
    labels = [site.label for site in lab.sites if site.service]
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(labels, pool.map(lambda label: truth(lab, label), labels), strict=True))


def with_reboot(lab: Lab, measured: Truth) -> Truth:
    """Boot a site's gateway from its saved files and add what the real client then meets.

    What works now and not after a reboot works by luck.

    Raises:
        LabError: the gateway does not come up.
    """
    site = lab.site(measured.site)
    lab.reboot(site.gateway)
    works, _ = _real_client(lab, site, random.randrange(20000, 30000))  # noqa: S311 - variety
    verdict = measured.verdict
    if measured.works and not works and verdict == "ok":
        verdict = "latent"
    return replace(measured, rebooted_works=works, verdict=verdict)


def judge(
    *,
    works: bool,
    small_works: bool | None,
    elsewhere_works: bool | None,
    fragments: int,
    standby_works: bool | None = None,
    login_hole: bool = False,
) -> TruthVerdict:
    """Derive a verdict from measured behaviour.

    Args:
        works: The real client got its answer.
        small_works: The control with small segments did (only asked when it did not work).
        elsewhere_works: The control towards an unshrunk MSS did (only asked when it worked).
        fragments: Fragments of the real connection on the WAN.
        standby_works: The control over the second WAN did.
        login_hole: The operator's login needs small segments.
    """
    if not works:
        return "fault" if small_works else "not-mtu"
    if login_hole:
        return "fault"
    lucky = fragments or not elsewhere_works or standby_works is False
    return "latent" if lucky else "ok"


def _real_client(lab: Lab, site: BuiltSite, port: int) -> tuple[bool, str]:
    service = site.service
    if service is None:
        raise LabError(f"site {site.label} has no service")
    if service.name != "radsec":
        done = lab.in_device(site.device, ["sh", "-c", _HOST_SCRIPT, "sh", str(port)])
        return done.returncode == 0, (done.stdout + done.stderr).strip()
    listen = str(_PROXY_PORT + port % 1000)
    conf = radsecproxy_conf(server=service.host, tls=site.tls, log="/dev/null", port=int(listen))
    conf = f"SourceTLS {'[::]' if site.family != 'ipv4' else '*'}:{port}\n{conf}"
    argv = ["env", *site.environment, "sh", "-c", _AP_SCRIPT, "sh", listen, LOCAL_SECRET]
    done = lab.in_device(site.device, argv, text_in=conf)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def _control(lab: Lab, site: BuiltSite, server: str, *, max_segment: int = 0) -> bool:
    """Do the handshake and the round trip with a chosen segment size or far end."""
    service = site.service
    files = f"/run/mtughost/devices/{site.device}/fs/etc/radsec"
    wish = {
        "server": server,
        "port": service.port if service else 0,
        "ca": f"{files}/ca.pem",
        "chain": f"{files}/client.pem",
        "key": f"{files}/client.key",
        "tls": site.tls,
        "max_segment": max_segment,
        "ask": "radius" if service and service.name == "radsec" else "http",
        "timeout_s": 5.0,
    }
    program = str(resources.files("mtughost.lab").joinpath("data", "tls_client.py"))
    argv = ["nsenter", f"--net=/run/netns/{site.device}", "env", *site.environment]
    done = lab.exec([*argv, sys.executable, "-I", program, json.dumps(wish)], check=True)
    return bool(json.loads(done.stdout)["ok"])


def _small_control(lab: Lab, site: BuiltSite) -> bool:
    """Do it with segments that pass everywhere, to the address that the real client prefers."""
    server = next(iter(site.addresses), _NOWHERE)
    return _control(lab, site, server, max_segment=SMALL_SEGMENT_BYTES)


def _over_standby(lab: Lab, site: BuiltSite) -> bool:
    """Take the first WAN's default route away for as long as one control lasts."""
    script = (
        'route=$(ip route show default dev "$1") && ip route del $route dev "$1" && echo "$route"'
    )
    done = lab.in_device(site.gateway, ["sh", "-c", script, "sh", site.wan], check=True)
    try:
        return _control(lab, site, site.control)
    finally:
        route = ["ip", "route", "add", *done.stdout.split(), "dev", site.wan]
        lab.in_device(site.gateway, route, check=True)


def _logins(lab: Lab, site: BuiltSite) -> tuple[bool | None, bool | None]:
    """Log in to the device as the operator does, and where that stalls with small segments.

    Only tried where a large ping from the operator is not answered and a small one is.
    """
    address = site.management
    if not address or _answers(lab, address, _LARGE_PING) or not _answers(lab, address, 56):
        return None, None
    project = lab.project
    argv = [
        *("timeout", "6", "ssh", "-F", "/dev/null", "-o", "BatchMode=yes"),
        *("-o", f"UserKnownHostsFile={project}/known_hosts", "-o", f"HostKeyAlias={site.device}"),
        *("-i", f"{project}/ssh/operator", f"root@{address}", "true"),
    ]
    if lab.exec(argv).returncode == 0:
        return True, None
    route = f"{address}/32 dev mgmtbr"
    lab.exec(["sh", "-c", f"ip route add {route} advmss 536"], check=True)
    try:
        return False, lab.exec(argv).returncode == 0
    finally:
        lab.exec(["sh", "-c", f"ip route del {route}"], check=True)


def _answers(lab: Lab, address: str, payload: int) -> bool:
    argv = ["ping", "-n", "-q", "-M", "dont", "-c", "2", "-i", "0.2", "-W", "1"]
    return lab.exec([*argv, "-s", str(payload), address]).returncode == 0
