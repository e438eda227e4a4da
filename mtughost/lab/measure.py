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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from mtughost.lab.compose import BuiltSite
from mtughost.lab.frames import Frame, Tcp
from mtughost.lab.handle import Lab
from mtughost.lab.retail import LOCAL_SECRET, radsecproxy_conf
from mtughost.lab.tap import Tap
from mtughost.model.errors import LabError
from mtughost.model.inventory import Service

TruthVerdict = Literal["ok", "latent", "fault", "not-mtu"]
#: Where the conversation ended, as far as packets can tell.
Stage = Literal["no-syn-ack", "upload-unacknowledged", "ended-acknowledged", "round-trip"]

#: Segments that pass every path of RFC 1122 (576 - 40).
SMALL_SEGMENT_BYTES = 536
_PROXY_PORT = 18120
_AP_SCRIPT = """
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
class Handshake:
    """MSS of both SYNs at one point, ``None`` where none was seen."""

    syn_mss_bytes: int | None
    syn_ack_mss_bytes: int | None


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
        small_works: The control with small segments, ``None`` when not needed.
        elsewhere_works: The control towards an MSS that nobody shrinks, ``None`` when not needed.
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
    stage: Stage
    small_works: bool | None
    elsewhere_works: bool | None
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
    expression = f"tcp port {service.port} or icmp or (ip[6:2] & 0x3fff != 0)"
    with (
        Tap(lab, site.device, site.device_port, expression) as near,
        Tap(lab, site.gateway, site.wan, expression) as far,
    ):
        works, words = _real_client(lab, site, port)
    conversation = _Conversation(near.frames(), far.frames(), service, port)
    small = None if works else _control(lab, site, service.host, SMALL_SEGMENT_BYTES)
    elsewhere = _control(lab, site, site.control, 0) if works else None
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
        stage=conversation.stage(works=works),
        small_works=small,
        elsewhere_works=elsewhere,
        verdict=judge(
            works=works, small_works=small, elsewhere_works=elsewhere, fragments=fragments
        ),
    )


def truths(lab: Lab, *, at_once: int = 6) -> dict[str, Truth]:
    """Measure every site that has a service, several at once."""
    labels = [site.label for site in lab.sites if site.service]
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(labels, pool.map(lambda label: truth(lab, label), labels), strict=True))


def judge(
    *, works: bool, small_works: bool | None, elsewhere_works: bool | None, fragments: int
) -> TruthVerdict:
    """Derive a verdict from measured behaviour.

    Args:
        works: The real client got its answer.
        small_works: The control with small segments did (only asked when it did not work).
        elsewhere_works: The control towards an unshrunk MSS did (only asked when it worked).
        fragments: Fragments of the real connection on the WAN.
    """
    if not works:
        return "fault" if small_works else "not-mtu"
    return "latent" if fragments or not elsewhere_works else "ok"


def _real_client(lab: Lab, site: BuiltSite, port: int) -> tuple[bool, str]:
    service = site.service
    if service is None:
        raise LabError(f"site {site.label} has no service")
    if service.name != "radsec":
        done = lab.in_device(site.device, ["sh", "-c", _HOST_SCRIPT, "sh", str(port)])
        return done.returncode == 0, (done.stdout + done.stderr).strip()
    listen = str(_PROXY_PORT + port % 1000)
    conf = radsecproxy_conf(server=service.host, tls=site.tls, log="/dev/null", port=int(listen))
    conf = f"SourceTLS *:{port}\n{conf}"
    done = lab.in_device(
        site.device, ["sh", "-c", _AP_SCRIPT, "sh", listen, LOCAL_SECRET], text_in=conf
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def _control(lab: Lab, site: BuiltSite, server: str, max_segment: int) -> bool:
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
    argv = ["nsenter", f"--net=/run/netns/{site.device}", sys.executable, "-I", program]
    done = lab.exec([*argv, json.dumps(wish)], check=True)
    return bool(json.loads(done.stdout)["ok"])


class _Conversation:
    """One connection, seen at the device and on the WAN side of the gateway."""

    def __init__(
        self, near: Sequence[Frame], far: Sequence[Frame], service: Service, port: int
    ) -> None:
        self._service = service
        self._near = _first_connection(near, port)
        self._near_all = near
        # NAT may change the port but not the initial sequence number.
        starts = {tcp.sequence for _, tcp in self._near if tcp.is_syn}
        outside = {f.tcp.source_port for f in far if f.tcp and f.tcp.sequence in starts}
        self._far_all = far
        self._far = [
            (frame, frame.tcp)
            for frame in far
            if frame.tcp and {frame.tcp.source_port, frame.tcp.target_port} & outside
        ]
        # A service that moved port numbers into the set would count everything.
        if service.port in outside:
            raise LabError("the client's port equals the service's")

    def at_device(self) -> Handshake:
        return _handshake(self._near)

    def at_wan(self) -> Handshake:
        return _handshake(self._far)

    def _sent(self) -> list[tuple[Frame, Tcp]]:
        return [
            (frame, tcp)
            for frame, tcp in self._near
            if tcp.target_port == self._service.port and tcp.payload_bytes
        ]

    def upload(self) -> tuple[int, ...]:
        seen: set[int] = set()
        lengths = []
        for frame, tcp in self._sent():
            if tcp.sequence not in seen:
                lengths.append(frame.length)
            seen.add(tcp.sequence)
        return tuple(lengths)

    def resent(self) -> tuple[int, ...]:
        seen: set[int] = set()
        lengths = []
        for frame, tcp in self._sent():
            if tcp.sequence in seen:
                lengths.append(frame.length)
            seen.add(tcp.sequence)
        return tuple(lengths)

    def dont_fragment(self) -> bool | None:
        sent = self._sent()
        return any(frame.dont_fragment for frame, _ in sent) if sent else None

    def fragments_on_wan(self) -> int:
        ours = {
            (frame.source, frame.target, frame.identification)
            for frame, _ in self._far
            if frame.is_fragment
        }
        return sum(
            (frame.source, frame.target, frame.identification) in ours
            for frame in self._far_all
            if frame.is_fragment
        )

    def icmp_at_device(self) -> tuple[int, ...]:
        return tuple(
            frame.next_hop_mtu
            for frame in self._near_all
            if frame.next_hop_mtu is not None and frame.quoted_target == self._service.host
        )

    def stage(self, *, works: bool) -> Stage:
        if works:
            return "round-trip"
        if not any(tcp.is_syn_ack for _, tcp in self._near):
            return "no-syn-ack"
        heard = max(
            tcp.acknowledged for _, tcp in self._near if tcp.source_port == self._service.port
        )
        lost = [tcp for _, tcp in self._sent() if tcp.sequence + tcp.payload_bytes > heard]
        sent_again = len({tcp.sequence for tcp in lost}) < len(lost)
        return "upload-unacknowledged" if sent_again else "ended-acknowledged"


def _first_connection(frames: Sequence[Frame], port: int) -> list[tuple[Frame, Tcp]]:
    """Return the client's first connection from ``port``; it may use the same port again."""
    found: list[tuple[Frame, Tcp]] = []
    start: int | None = None
    for frame in frames:
        tcp = frame.tcp
        if tcp is None or port not in {tcp.source_port, tcp.target_port}:
            continue
        if tcp.is_syn and start is not None and tcp.sequence != start:
            break
        if tcp.is_syn:
            start = tcp.sequence
        found.append((frame, tcp))
    return found


def _handshake(packets: Sequence[tuple[Frame, Tcp]]) -> Handshake:
    syn = next((tcp.mss_bytes for _, tcp in packets if tcp.is_syn), None)
    syn_ack = next((tcp.mss_bytes for _, tcp in packets if tcp.is_syn_ack), None)
    return Handshake(syn_mss_bytes=syn, syn_ack_mss_bytes=syn_ack)
