"""From the bytes of one capture to the evidence it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from mtughost.model.basis import Basis
from mtughost.model.evidence import CaptureEvidence, IcmpTooBigSeen, Point
from mtughost.model.inventory import Service
from mtughost.packets.analysis import Analysis
from mtughost.packets.icmp import doubt, oddity
from mtughost.packets.links import link_name
from mtughost.packets.reader import read_capture
from mtughost.packets.source import Readable
from mtughost.packets.sparse import entering_only, sparse


def _fragment_counts(analysis: Analysis, services: Sequence[Service]) -> tuple[int, int]:
    """Count fragments towards the servers and back."""
    servers = analysis.judged.servers | {_packed(service.host) for service in services}
    if not services:
        servers |= analysis.udp_servers
    counted = analysis.fragments.items()
    up = sum(n for (_, to), n in counted if to in servers)
    down = sum(n for (by, to), n in counted if by in servers and to not in servers)
    return up, down


def _judged_too_big(
    analysis: Analysis,
) -> tuple[tuple[IcmpTooBigSeen, ...], tuple[IcmpTooBigSeen, ...], list[str]]:
    """Split the ICMP messages into believed and doubted, with a sentence for each doubt."""
    believed: list[IcmpTooBigSeen] = []
    doubted: list[IcmpTooBigSeen] = []
    notes: list[str] = []
    for message in analysis.too_big:
        pair = _packed(message.quoted_source), _packed(message.quoted_destination)
        why = doubt(message, analysis.judged.largest_sent(*pair))
        (doubted if why else believed).append(message)
        if why:
            notes.append(f"frame {message.frame}: a too-big message is not believed: {why}")
        elif odd := oddity(message):
            notes.append(f"frame {message.frame}: a too-big message is odd: {odd}")
    return tuple(believed), tuple(doubted), notes


def _warnings(analysis: Analysis) -> list[str]:
    return [
        *(
            f"{count} packets have a link type that is not read: {link_name(linktype)}"
            for linktype, count in sorted(analysis.unread_links.items())
        ),
        *_damage_notes(analysis),
        *_limit_notes(analysis),
        *_artefact_notes(analysis),
    ]


def _damage_notes(analysis: Analysis) -> list[str]:
    notes = []
    if analysis.cut_headers:
        notes.append(f"{analysis.cut_headers} packets were cut inside their TCP header")
    if analysis.wifi.damaged:
        notes.append(f"{analysis.wifi.damaged} 802.11 frames failed their checksum or are damaged")
    if analysis.reassembly.overlapping:
        frames = ", ".join(str(frame) for frame in analysis.reassembly.overlapping[:5])
        notes.append(
            f"{len(analysis.reassembly.overlapping)} datagrams have overlapping fragments (first "
            f"at frame {frames}): not put together, as their receiver may drop them"
        )
    return notes


def _limit_notes(analysis: Analysis) -> list[str]:
    judged, table = analysis.judged, analysis.table
    notes = []
    if table.evicted_live:
        notes.append(
            f"{table.evicted_live} connections were judged before their end, to bound the memory: "
            "those that were silent longest"
        )
    if judged.unlisted_quiet:
        notes.append(f"{judged.unlisted_quiet} connections without trouble are not listed")
    if judged.unlisted_troubled:
        notes.append(f"{judged.unlisted_troubled} connections with trouble are not listed")
    if judged.forgotten_pairs:
        notes.append(
            "too many pairs of addresses to remember what each delivered: no lost size is stated "
            "for the later ones"
        )
    for count, what in (
        (analysis.unlisted_syns, "SYNs and SYN-ACKs"),
        (analysis.unlisted_too_big, "too-big messages"),
        (analysis.fragments_of_others, "fragments of further pairs of addresses"),
        (analysis.reassembly.unlisted, "incomplete datagrams"),
        (analysis.wifi.unlisted, "messages of further stations"),
    ):
        if count:
            notes.append(f"{count} {what} are counted but not listed")
    return notes


def _artefact_notes(analysis: Analysis) -> list[str]:
    notes = []
    if analysis.judged.copies:
        notes.append(
            f"{analysis.judged.copies} segments were captured more than once (two taps or a "
            "mirrored port): not counted as retransmissions"
        )
    if analysis.judged.offload_bytes:
        notes.append(
            f"packets of up to {analysis.judged.offload_bytes} bytes are larger than the MSS "
            "allows: offload in the capturing host, no evidence of a size on the wire"
        )
    return notes


def _packed(host: str) -> bytes:
    try:
        return ip_address(host).packed
    except ValueError:
        return b""


def summarise(  # noqa: PLR0913 - a capture is described by all of these
    raw: bytes | Readable,
    *,
    host: str,
    point: Point,
    interface: str,
    basis: Basis,
    command: str,
    seconds: float,
    services: Sequence[Service],
    misses: str = "",
    misses_later: bool = False,
    leaving_known: bool = True,
    passphrase: str = "",
    ssid: str = "",
    progress: Callable[[int], None] | None = None,
) -> CaptureEvidence:
    """Read one capture and judge every connection in it. Never raises for damaged input.

    Args:
        raw: pcap or pcapng, plain or gzip.
        host: Inventory name of the device that captured, or the file's name.
        point: Where on the path it captured.
        interface: Interface as the device names it.
        basis: What the result rests on.
        command: The line that made the capture, or ``""``.
        seconds: How long it ran.
        services: Only connections to these ports are reported; all when empty.
        misses: Which packets it does not show although they pass, or ``""``.
        misses_later: Of each direction it shows every packet up to some moment and none behind it.
        leaving_known: Whether packets that leave by the interface are shown as they were sent.
        passphrase: Of the Wi-Fi network, to check handshakes with; it goes nowhere else.
        ssid: Name of that network, where the capture does not show it.
        progress: Is told how many bytes of the file were read, about once per MiB.

    Returns:
        The evidence; ``warnings`` says what could not be read or believed.
    """
    reader = read_capture(raw)
    analysis = Analysis(services)
    analysis.run(reader, progress)
    believed, doubted, doubts = _judged_too_big(analysis)
    fragments_up, fragments_down = _fragment_counts(analysis, services)
    notes = [*reader.warnings, *_warnings(analysis), *doubts]
    if not analysis.packets and reader.format and not reader.truncated:
        notes.append("the capture holds no packet")
    incomplete = tuple(analysis.reassembly.incomplete)
    found = CaptureEvidence(
        host=host,
        point=point,
        interface=interface,
        basis=basis,
        command=command,
        seconds=seconds or (analysis.end_ns - analysis.begin_ns) / 1e9,
        packets=analysis.packets,
        flows=analysis.judged.flows(),
        syns=tuple(analysis.syns),
        too_big=believed,
        fragments_up=fragments_up,
        fragments_down=fragments_down,
        truncated=reader.truncated,
        warnings=tuple(notes),
        sha256=reader.sha256(),
        doubted_too_big=doubted,
        incomplete_datagrams=incomplete,
        complete_datagrams=analysis.reassembly.completed,
        connections=analysis.judged.connections,
        radius=analysis.radius.seen(frozenset(incomplete)),
        wifi=analysis.wifi.seen(passphrase, ssid),
        offload_bytes=analysis.judged.offload_bytes,
        copies=analysis.judged.copies,
    )
    found = sparse(found, misses, later=misses_later) if misses else found
    return found if leaving_known else entering_only(found)
