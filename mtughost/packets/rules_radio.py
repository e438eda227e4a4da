"""RADIUS over UDP, fragments and Wi-Fi handshakes, as findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtughost.model.evidence import CaptureEvidence, RadiusSeen, WifiHandshake
from mtughost.model.findings import Evidence, Finding, Grade, NextTest, RuledOut

#: Reasons that access points give when message 2 did not convince them (802.11 table 9-49): 4-way
#: handshake timeout, previous authentication no longer valid.
_TIMEOUT_REASONS = frozenset({2, 15})
_SECOND_TRY = 2


def radius_findings(captures: Sequence[CaptureEvidence]) -> Iterable[Finding]:
    """M19: large requests go unanswered while small ones are answered, or their rest is missing."""
    for capture in captures:
        for seen in capture.radius:
            lost_here = bool(seen.missing_fragments)
            if not seen.unanswered_fragmented or not (lost_here or _small_answered(seen)):
                continue
            elsewhere = [
                other
                for second in captures
                if second is not capture
                for other in second.radius
                if (other.server, other.port) == (seen.server, seen.port)
                and bool(other.missing_fragments) != lost_here
            ]
            grade: Grade = "confirmed" if elsewhere else "likely"
            where = (
                "only their first fragments come by this point"
                if lost_here
                else "they pass this point whole"
            )
            yield Finding(
                id="radius-fragments-dropped",
                grade=grade,
                owner="isp",
                summary=(
                    f"{seen.client}'s RADIUS requests of {seen.smallest_unanswered_bytes} bytes to "
                    f"{seen.server} port {seen.port} travel as fragments, are sent again and never "
                    f"answered; {where}"
                ),
                evidence=(_radius_cite(capture, seen),),
            )


def _small_answered(seen: RadiusSeen) -> bool:
    size, lost = seen.largest_answered_bytes, seen.smallest_unanswered_bytes
    return size is not None and lost is not None and size < lost and not seen.unanswered_whole


def _radius_cite(capture: CaptureEvidence, seen: RadiusSeen) -> Evidence:
    frames = seen.missing_fragments or seen.frames
    return Evidence(
        kind="radius",
        basis=capture.basis,
        host=capture.host,
        value=(
            f"{seen.requests} requests, {seen.answered} answered, {seen.repeats} repeats; "
            f"{seen.unanswered_fragmented} in fragments without answer"
        ),
        frame=frames[0] if frames else None,
    )


def radius_sentence(seen: RadiusSeen) -> str:
    """Say in one sentence what a client and a RADIUS server exchanged."""
    parts = [f"{seen.requests} requests, {seen.answered} answered"]
    if seen.repeats:
        parts.append(f"{seen.repeats} repeats")
    if seen.fragmented:
        parts.append(f"{seen.fragmented} datagrams in fragments")
    if seen.missing_fragments:
        parts.append(f"{len(seen.missing_fragments)} of them without their rest")
    return f"RADIUS {seen.client} to {seen.server}:{seen.port}: {', '.join(parts)}"


def fragment_note(capture: CaptureEvidence) -> str:
    """Say how many fragmented datagrams were whole, ``""`` where none came in fragments."""
    missing = len(capture.incomplete_datagrams)
    total = capture.complete_datagrams + missing
    if not total:
        return ""
    text = (
        f"{capture.host}: {capture.complete_datagrams} of {total} fragmented datagrams are complete"
    )
    if missing:
        frames = ", ".join(str(frame) for frame in capture.incomplete_datagrams[:5])
        text += f"; missing fragments in {missing}, which begin at frame {frames}"
    return text


# -- Wi-Fi --------------------------------------------------------------------------------------


def wifi_findings(capture: CaptureEvidence) -> Iterable[Finding]:
    """N10: the access point never accepts message 2, or EAP fails."""
    for seen in capture.wifi:
        rejected = _rejected(seen)
        if rejected is None:
            continue
        grade, why, frame = rejected
        yield Finding(
            id="credential-rejected",
            grade=grade,
            owner="ap",
            summary=f"{seen.ap} does not let {seen.station} in: {why}",
            evidence=(
                Evidence(
                    kind="eapol",
                    basis=capture.basis,
                    host=capture.host,
                    value=wifi_sentence(seen),
                    frame=frame,
                ),
            ),
        )


def _rejected(seen: WifiHandshake) -> tuple[Grade, str, int] | None:
    if seen.eap_failures:
        return "likely", "EAP ends in failure", seen.eap_failures[-1]
    if seen.accepted or seen.completed:
        return None  # message 3 proves that message 2 convinced the access point
    if seen.mic_fails and not seen.mic_fits:
        sure: Grade = "confirmed" if len(seen.mic_fails) >= _SECOND_TRY else "likely"
        return sure, "its message 2 was not made with the given passphrase", seen.mic_fails[0]
    tries = {message.counter for message in seen.messages if message.number == 2}  # noqa: PLR2004
    if len(tries) < _SECOND_TRY or seen.mic_fits:
        return None
    reason = seen.sent_away_reason
    if reason is not None and reason not in _TIMEOUT_REASONS:
        return None
    last = seen.sent_away_frame or seen.messages[-1].frame
    why = (
        f"it asks again after {len(tries)} answers"
        + (f" and sends it away (reason {reason})" if reason is not None else "")
        + "; a wrong passphrase and a key lookup that never came back look the same"
    )
    return "possible", why, last


def wifi_ruled_out(capture: CaptureEvidence) -> Iterable[RuledOut]:
    """Say where a wrong passphrase is excluded, and by which frame."""
    for seen in capture.wifi:
        frame = next(iter(seen.accepted), None)
        if frame is not None and not seen.eap_failures:
            because = (
                f"{capture.host}, frame {frame}: {seen.ap} sends message 3 to {seen.station}, so "
                "it accepted message 2 and the key is right"
            )
        elif seen.mic_fits:
            because = (
                f"{capture.host}, frame {seen.mic_fits[0]}: message 2 of {seen.station} was made "
                "with the given passphrase"
            )
        else:
            continue
        yield RuledOut(id="credential-rejected", because=because)


def wifi_settled(seen: WifiHandshake) -> bool:
    """Say whether a handshake is known to have come to its end."""
    return bool(seen.completed)


def wifi_sentence(seen: WifiHandshake) -> str:
    """Say in one sentence how far a station came."""
    name = f" ({seen.ssid})" if seen.ssid else ""
    counts = {n: sum(m.number == n for m in seen.messages) for n in (1, 2, 3, 4)}
    heard = ", ".join(f"{count} x M{n}" for n, count in counts.items() if count) or "no message"
    parts = [f"station {seen.station} at {seen.ap}{name}: {heard}"]
    if seen.completed:
        parts.append(f"handshake complete at frame {seen.completed[0]}")
    elif seen.accepted:
        parts.append("M3 without M4: the access point accepted the key; M4 was lost or not heard")
    elif counts[2]:
        parts.append("M2 without M3")
    elif counts[1]:
        parts.append("M1 only: inconclusive, the sensor may not hear the station")
    if seen.suite:
        parts.append(f"{seen.suite}, which no passphrase opens")
    if seen.mic_fits:
        frames = ", ".join(str(frame) for frame in seen.mic_fits)
        parts.append(f"the passphrase fits (MIC of frame {frames})")
    if seen.mic_fails:
        frames = ", ".join(str(frame) for frame in seen.mic_fails)
        parts.append(f"the passphrase does not fit (MIC of frame {frames})")
    if seen.sent_away_frame is not None:
        parts.append(
            f"sent away by the {seen.sent_away_by} at frame {seen.sent_away_frame}, reason "
            f"{seen.sent_away_reason}"
        )
    return "; ".join(parts)


def wifi_next_test(seen: WifiHandshake) -> NextTest:
    """Name what would settle an inconclusive handshake."""
    numbers = {message.number for message in seen.messages}
    if 2 in numbers and seen.mic_fits:  # noqa: PLR2004
        text = f"Read the log of {seen.ap}: the passphrase is right, yet it does not answer M2"
    elif 2 in numbers:  # noqa: PLR2004
        text = "Give the passphrase with --passphrase-ref env:NAME: whether M2's MIC fits tells why"
    else:
        text = f"Capture nearer to {seen.station}: this sensor does not hear what it sends"
    return NextTest(kind="capture", host=seen.ap, summary=text)
