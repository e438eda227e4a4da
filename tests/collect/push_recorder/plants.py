"""What is planted, which class it is, and what must have been measured for the label to hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from far_ends import Behaviour, FarEnd, alert, https, part_of_flight, plain, raw
from world import PATH_MTU_BYTES, Seen

Check = Callable[[Seen, FarEnd, int], bool]


@dataclass(frozen=True)
class Plant:
    """One planted fault.

    Attributes:
        label: The class that a reader of the text should name.
        behaviour: What the far end does; ``None`` for nobody listening.
        measured: What packets, far end and exit code must have shown.
        alert: Number of the TLS alert that decides.
        path: Fault of the path (a set of ``world``), or ``""``.
        host: Name instead of the service's own.
        client: The client's certificate.
        slow: The client has to wait for its own time-out.
    """

    label: str
    behaviour: Behaviour | None
    measured: Check
    alert: int | None = None
    path: str = ""
    host: str = ""
    client: str = "client"
    slow: bool = False
    tls: str = ""


def _failed(seen: Seen, far: FarEnd, code: int) -> bool:
    return code != 0 and seen.syn_ack > 0 and "answered" not in far.stages


def _silent(seen: Seen, far: FarEnd, code: int) -> bool:
    """Say whether the client got a SYN-ACK and then waited in vain, ended by nobody."""
    return (
        _failed(seen, far, code)
        and seen.hello > 0
        and not seen.rst_far
        and not seen.fin_far
        and seen.alert_far is None
    )


def _stalled(seen: Seen, far: FarEnd, code: int) -> bool:
    return _silent(seen, far, code) and "handshake" not in far.stages


def _stalled_down(seen: Seen, far: FarEnd, code: int) -> bool:
    return _stalled(seen, far, code) and seen.largest_far > PATH_MTU_BYTES


def _stalled_up(seen: Seen, far: FarEnd, code: int) -> bool:
    return _stalled(seen, far, code) and seen.largest_near > PATH_MTU_BYTES


def _no_reply(seen: Seen, far: FarEnd, code: int) -> bool:
    return _silent(seen, far, code) and seen.payload_far > 0


def _reset(seen: Seen, far: FarEnd, code: int) -> bool:
    return _failed(seen, far, code) and seen.rst_far > 0


def _closed(seen: Seen, far: FarEnd, code: int) -> bool:
    return _failed(seen, far, code) and seen.fin_far > 0


def _alerted(number: int) -> Check:
    return lambda seen, far, code: _failed(seen, far, code) and seen.alert_far == number


def _rejects_server(seen: Seen, far: FarEnd, code: int) -> bool:
    """Say whether the whole server flight arrived and the client itself ended the handshake."""
    ended = bool(far.error or seen.fin_far or seen.rst_near)
    return (
        _failed(seen, far, code) and seen.payload_far > 0 and ended and "request" not in far.stages
    )


#: What OpenSSL's engine says at the far end when it rejects a client's certificate.
_VERDICTS = frozenset({"CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"})


def _judged(seen: Seen, far: FarEnd, code: int) -> bool:
    """Say whether the far end rejected the client's certificate (its own engine says why)."""
    return seen.syn_ack > 0 and far.error in _VERDICTS and "answered" not in far.stages


def _spoke(seen: Seen, far: FarEnd, code: int) -> bool:
    """Say whether the far end answered a ClientHello with bytes that are no TLS."""
    return _failed(seen, far, code) and seen.payload_far > 0 and far.stages == ["accepted", "hello"]


def _answered(_seen: Seen, far: FarEnd, code: int) -> bool:
    return "answered" in far.stages and code == 0


def _cut_short(_seen: Seen, far: FarEnd, code: int) -> bool:
    """Say whether an answer began and the client did not get all of it."""
    return "answered" in far.stages and code != 0


def _status(_seen: Seen, far: FarEnd, _code: int) -> bool:
    return "answered" in far.stages


def _unanswered_syn(seen: Seen, _far: FarEnd, code: int) -> bool:
    return code != 0 and seen.syn > 0 and seen.syn_ack == 0 and seen.rst_far == 0


def _refused(seen: Seen, _far: FarEnd, code: int) -> bool:
    return code != 0 and seen.syn > 0 and seen.syn_ack == 0 and seen.rst_far > 0


def _nothing_sent(seen: Seen, _far: FarEnd, code: int) -> bool:
    return code != 0 and seen.syn == 0


#: Plain alerts that a far end can send (RFC 8446 section 6.2 and older registrations).
ALERTS = (10, 20, 22, 40, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 70, 71, 80, 86, 109, 110, 112,
          115, 116, 120)  # fmt: skip
_ALERT_LABELS = {
    45: "certificate-expired",
    48: "certificate-untrusted",
    116: "client-certificate-missing",
}

PLANTS: dict[str, Plant] = {
    "ok": Plant("none", https(), _answered),
    "ok-204": Plant("none", https(status="204 No Content", body=""), _answered),
    "ok-mutual": Plant("none", https(mutual=True), _answered),
    "401": Plant("credential-rejected", https(status="401 Unauthorized"), _status),
    "403": Plant("credential-rejected", https(status="403 Forbidden"), _status),
    "404": Plant("http-error", https(status="404 Not Found"), _status),
    "429": Plant("http-error", https(status="429 Too Many Requests"), _status),
    "500": Plant("http-error", https(status="500 Internal Server Error"), _status),
    "503": Plant("http-error", https(status="503 Service Unavailable"), _status),
    # what the client says about the far end's certificate
    "expired": Plant("certificate-expired", https("expired"), _rejects_server),
    "expired-long": Plant("certificate-expired", https("expired-long"), _rejects_server),
    "future": Plant("certificate-not-yet-valid", https("future"), _rejects_server),
    "future-far": Plant("certificate-not-yet-valid", https("future-far"), _rejects_server),
    "foreign": Plant("certificate-untrusted", https("foreign"), _rejects_server),
    "no-intermediate": Plant("certificate-untrusted", https("no-intermediate"), _rejects_server),
    "self": Plant("certificate-untrusted", https("self"), _rejects_server),
    "wrong-name": Plant("certificate-name-mismatch", https("wrong-name"), _rejects_server),
    "wrong-name-2": Plant("certificate-name-mismatch", https("wrong-name-2"), _rejects_server),
    "inspected-1": Plant("tls-inspection", https("inspected-1"), _rejects_server),
    "inspected-2": Plant("tls-inspection", https("inspected-2"), _rejects_server),
    "inspected-3": Plant("tls-inspection", https("inspected-3"), _rejects_server),
    # what the far end says about the client's certificate
    "client-none-12": Plant(
        "tls-alert", https(mutual=True), _judged, alert=40, client="", tls="1.2"
    ),
    "client-none-13": Plant(
        "client-certificate-missing", https(mutual=True), _judged, alert=116, client="", tls="1.3"
    ),
    "client-expired": Plant(
        "certificate-expired", https(mutual=True), _judged, alert=45, client="client-expired"
    ),
    "client-foreign": Plant(
        "certificate-untrusted", https(mutual=True), _judged, alert=48, client="client-foreign"
    ),
    "client-future": Plant(
        "tls-alert", https(mutual=True), _judged, alert=42, client="client-future"
    ),
    # silence
    "silent": Plant("handshake-stall", raw("silence"), _stalled, slow=True),
    "stall-early": Plant("handshake-stall", part_of_flight(0.02, "silence"), _stalled, slow=True),
    "stall-half": Plant("handshake-stall", part_of_flight(0.5, "silence"), _stalled, slow=True),
    "stall-late": Plant(
        "handshake-stall", part_of_flight(0.95, "silence", "big"), _stalled, slow=True
    ),
    "hole-down": Plant("handshake-stall", https("big"), _stalled_down, path="down", slow=True),
    "hole-up-12": Plant(
        "handshake-stall",
        https(mutual=True),
        _stalled_up,
        path="up",
        client="client-big",
        slow=True,
        tls="1.2",
    ),
    "hole-up-13": Plant(
        "no-reply-after-handshake",
        https(mutual=True),
        _stalled_up,
        path="up",
        client="client-big",
        slow=True,
        tls="1.3",
    ),
    "no-reply": Plant("no-reply-after-handshake", https(end="silence"), _no_reply, slow=True),
    "no-rest": Plant("no-reply-after-handshake", https(end="late-silence"), _cut_short, slow=True),
    # ends
    "reset-first": Plant("connection-reset", raw("reset", read_first=False), _reset),
    "reset-hello": Plant("connection-reset", raw("reset"), _reset),
    "reset-half": Plant("connection-reset", part_of_flight(0.5, "reset"), _reset),
    "reset-request": Plant("connection-reset", https(end="reset"), _reset),
    "close-first": Plant("connection-reset", raw("hang-up", read_first=False), _closed),
    "close-hello": Plant("connection-reset", raw("hang-up"), _closed),
    "close-half": Plant("connection-reset", part_of_flight(0.5, "hang-up"), _closed),
    "close-request": Plant("connection-reset", https(end="hang-up"), _closed),
    "close-rest": Plant("connection-reset", https(end="late-hang-up"), _cut_short),
    # before TLS
    "refused": Plant("connection-refused", None, _refused),
    "filtered": Plant("connect-timeout", None, _unanswered_syn, path="syn", slow=True),
    "prohibited": Plant("network-unreachable", None, _unanswered_syn, path="admin"),
    "no-route": Plant("network-unreachable", None, _nothing_sent, host="198.51.100.9"),
    "no-such-name": Plant("name-lookup", None, _nothing_sent, host="nowhere.example"),
    "broken-name": Plant("name-lookup", None, _nothing_sent, host="broken.example"),
    "silent-name": Plant("name-lookup", None, _nothing_sent, host="silent.example", slow=True),
    # not TLS
    "mail": Plant("not-tls", plain(b"220 mail.example ESMTP ready\r\n"), _spoke),
    "http": Plant(
        "not-tls", plain(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), _spoke
    ),
    "portal": Plant(
        "not-tls", plain(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n"), _spoke
    ),
    **{
        f"alert-{number}": Plant(
            _ALERT_LABELS.get(number, "tls-alert"), alert(number), _alerted(number), alert=number
        )
        for number in ALERTS
    },
}
