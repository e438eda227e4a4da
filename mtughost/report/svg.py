"""The path picture: AP, VLAN, gateway, WAN, ISP or tunnel, service, as inline SVG.

The bore of each pipe shows which part is narrower (two steps, not to scale: 8 bytes of 1500 would
be invisible). Arrows show the largest packets of each direction and where they end. Colours come
from the page's CSS; with ``standalone`` the picture brings its own. Without colour it reads by
shape and word. A lying and a standing layout have the same content, for wide and narrow screens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mtughost.report.safe_text import for_html
from mtughost.report.summary import Hop, Load, PathView
from mtughost.report.svg_shapes import STANDALONE_STYLE, Sheet, label
from mtughost.report.words import DIRECTION_WORDS, FAMILY_WORDS, LIMITED_BY, UNKNOWN, figure

Layout = Literal["lying", "standing"]

_HOP_WORDS: Final[dict[Hop, str]] = {
    "vlan": "the VLAN",
    "wan": "the WAN",
    "beyond": "the path behind it",
}


@dataclass(frozen=True, slots=True)
class _Pipe:
    """One stretch between two devices, in the layout's running coordinate."""

    hop: Hop
    start: int
    end: int
    name: str
    mtu: int | None


def path_picture(
    view: PathView, *, ident: str, layout: Layout = "lying", standalone: bool = False
) -> str:
    """Return one well-formed ``<svg>`` element.

    Args:
        view: The path with both directions.
        ident: Prefix for the ids of title and description: letters, digits and hyphens.
        layout: ``lying`` is 960 units wide, ``standing`` 340.
        standalone: Bring colours along, for use outside our page.
    """
    sheet = Sheet()
    if layout == "lying":
        width, height = 960, 300
        _lying(sheet, view)
    else:
        width, height = 340, 640
        _standing(sheet, view)
    style = f"<style>{STANDALONE_STYLE}</style>" if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pp pp-{layout}" role="img" '
        f'viewBox="0 0 {width} {height}" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{for_html(path_title(view), lines=False)}</title>'
        f'<desc id="{ident}-d">{for_html(" ".join(path_sentences(view)), lines=False)}</desc>'
        f"{style}{sheet.text()}</svg>"
    )


def path_title(view: PathView) -> str:
    """Return the picture's title, one line."""
    return (
        f"Path of {view.service} from {view.ap} through {view.gateway or 'an unknown gateway'} "
        f"({view.egress or 'unknown way out'}), {FAMILY_WORDS[view.family]}"
    )


def path_sentences(view: PathView) -> tuple[str, ...]:
    """Return the picture in words: the MTUs, then one sentence for each direction."""
    mtu = view.mtu
    beyond = "tunnel" if mtu.tunnel is not None else "whole path"
    hops = (
        f"MTU: AP {_known(mtu.ap)}, VLAN {_known(mtu.vlan)}, WAN {_known(mtu.wan)}, "
        f"{beyond} {_known(view.beyond_mtu)}."
    )
    return (hops, *(load_sentence(load) for load in view.loads))


def load_sentence(load: Load) -> str:
    """Return one direction in words: what limits it, what is sent, what happens to it."""
    where = DIRECTION_WORDS[load.direction]
    packet = LIMITED_BY[load.direction]
    if load.packet_bytes is None:
        return f"{where}: nobody has seen or derived the MSS in the {packet}; not known what fits."
    how = "carries" if load.mss_basis == "seen" else "should, by the configuration, carry"
    sent = (
        f"{where}: the {packet} {how} MSS {load.mss_bytes}, so packets of up to "
        f"{load.packet_bytes} bytes are sent"
    )
    limit = ""
    if load.stops_at is not None:
        limit = f"{_HOP_WORDS[load.stops_at]} takes {load.stops_mtu_bytes}"
    if load.outcome == "lost":
        return f"{sent}; {limit}: they are lost there."
    if load.outcome == "at-risk" and limit:
        return f"{sent}; {limit}: they arrive only where fragments or ICMP get through."
    if load.outcome == "at-risk":
        return f"{sent}; these fit, but only because the far end asks for less than we would allow."
    if load.outcome == "fits":
        return f"{sent}: they fit."
    return f"{sent}; not known whether they fit."


def _known(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _pipes(
    view: PathView, edges: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
) -> tuple[_Pipe, _Pipe, _Pipe]:
    beyond = "Tunnel" if view.mtu.tunnel is not None else "ISP"
    return (
        _Pipe("vlan", *edges[0], "VLAN", view.mtu.vlan),
        _Pipe("wan", *edges[1], "WAN", view.mtu.wan),
        _Pipe("beyond", *edges[2], beyond, view.beyond_mtu),
    )


def _bore(pipe: _Pipe, view: PathView, *, full: int, narrow: int) -> int:
    known = [v for v in (view.mtu.ap, view.mtu.vlan, view.mtu.wan, view.beyond_mtu) if v]
    smaller = pipe.mtu is not None and pipe.mtu < max(known, default=0)
    return narrow if smaller else full


def _entry(load: Load, pipes: tuple[_Pipe, _Pipe, _Pipe]) -> int | None:
    """Return where the load enters the part that is too small for it."""
    for pipe in pipes:
        if pipe.hop == load.stops_at:
            return pipe.start if load.direction == "up" else pipe.end
    return None


# --- lying: 960 x 300 -----------------------------------------------------------------------

_MID: Final = 150


def _lying(sheet: Sheet, view: PathView) -> None:
    pipes = _pipes(view, ((146, 326), (456, 626), (626, 814)))
    for pipe in pipes:
        bore = _bore(pipe, view, full=52, narrow=34)
        sheet.pipe(
            pipe.start, _MID - bore // 2, pipe.end - pipe.start, bore, known=pipe.mtu is not None
        )
        middle = (pipe.start + pipe.end) // 2
        sheet.write(middle, _MID + 5, f"{pipe.name} {figure(pipe.mtu)}", "pp-mtu")
    sheet.write(541, _MID + 44, label(view.egress or UNKNOWN, 20), "pp-small")
    sheet.write(236, _MID + 44, "AP network", "pp-small")
    sheet.box(
        16, _MID - 42, 130, 84, ("AP or host", label(view.ap, 15), f"MTU {figure(view.mtu.ap)}")
    )
    sheet.box(326, _MID - 42, 130, 84, ("Gateway", label(view.gateway or UNKNOWN, 15), ""))
    sheet.box(814, _MID - 42, 130, 84, ("Service", label(view.service, 15), ""))
    _lying_lane(sheet, view.load_up, pipes, y=66)
    _lying_lane(sheet, view.load_down, pipes, y=234)


def _lying_lane(sheet: Sheet, load: Load, pipes: tuple[_Pipe, _Pipe, _Pipe], *, y: int) -> None:
    up = load.direction == "up"
    begin, end = (80, 880) if up else (880, 80)
    stop = _entry(load, pipes)
    text_y = y - 20 if up else y + 34
    sheet.write(
        begin - 64 if up else begin + 64,
        text_y,
        _lane_words(load),
        "pp-lane",
        anchor="start" if up else "end",
    )
    sheet.lane((begin, y), (end, y), load.outcome, stop=None if stop is None else (stop, y))
    if stop is not None:
        words = _stop_words(load)
        sheet.write(
            stop + (20 if up else -20),
            y - 9,
            words,
            f"pp-stop pp-{load.outcome}",
            anchor="start" if up else "end",
        )


def _lane_words(load: Load) -> str:
    sender = "AP" if load.direction == "up" else "Service"
    packet = LIMITED_BY[load.direction]
    if load.packet_bytes is None:
        return f"{packet}: MSS {UNKNOWN}"
    seen = "" if load.mss_basis == "seen" else " by configuration"
    return f"{packet} MSS {load.mss_bytes}{seen}: {sender} sends up to {load.packet_bytes}"


def _stop_words(load: Load) -> str:
    verb = "lost here" if load.outcome == "lost" else "too big here"
    return f"{load.packet_bytes} > {load.stops_mtu_bytes}: {verb}"


# --- standing: 340 x 640 --------------------------------------------------------------------

_AXIS: Final = 170


def _standing(sheet: Sheet, view: PathView) -> None:
    pipes = _pipes(view, ((78, 218), (282, 422), (422, 562)))
    for pipe in pipes:
        bore = _bore(pipe, view, full=92, narrow=68)
        sheet.pipe(
            _AXIS - bore // 2, pipe.start, bore, pipe.end - pipe.start, known=pipe.mtu is not None
        )
        middle = (pipe.start + pipe.end) // 2
        sheet.write(_AXIS, middle - 4, pipe.name, "pp-small")
        sheet.write(_AXIS, middle + 15, figure(pipe.mtu), "pp-mtu")
    sheet.box(85, 8, 170, 70, ("AP or host", label(view.ap, 20), f"MTU {figure(view.mtu.ap)}"))
    sheet.box(
        85,
        218,
        170,
        64,
        ("Gateway", label(view.gateway or UNKNOWN, 20), label(view.egress or UNKNOWN, 22)),
    )
    sheet.box(85, 562, 170, 64, ("Service", label(view.service, 20), ""))
    _standing_lane(sheet, view.load_up, pipes, x=52)
    _standing_lane(sheet, view.load_down, pipes, x=288)


def _standing_lane(sheet: Sheet, load: Load, pipes: tuple[_Pipe, _Pipe, _Pipe], *, x: int) -> None:
    up = load.direction == "up"
    sender = "AP sends" if up else "Service sends"
    basis = {"seen": "", "configured": "(by config)", "unknown": ""}[load.mss_basis]
    words = (
        sender,
        figure(load.packet_bytes),
        LIMITED_BY[load.direction],
        f"MSS {figure(load.mss_bytes)}",
        basis,
    )
    begin, end, top = (184, 594, 96) if up else (466, 44, 488)
    stop = _entry(load, pipes)
    if stop is not None and not up and stop > begin:
        # It ends right after its start: the words move up, onto the part that is not travelled.
        begin, top = 594, 400
    for step, word in enumerate(words):
        sheet.write(x, top + 17 * step, word, f"{'pp-mtu' if step == 1 else 'pp-small'} pp-halo")
    sheet.lane((x, begin), (x, end), load.outcome, stop=None if stop is None else (x, stop))
    if stop is not None:
        below = stop + (34 if up else -40)
        verb = "lost here" if load.outcome == "lost" else "too big"
        for step, word in enumerate((f"{load.packet_bytes} > {load.stops_mtu_bytes}", verb)):
            sheet.write(x, below + 17 * step, word, f"pp-stop pp-{load.outcome} pp-halo")
